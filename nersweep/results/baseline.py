"""The setting that the others of a sweep or a report are compared with."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

BASELINE = "cross_entropy"


class Setting(Protocol):
    """A setting by its name, with the option of its loss."""

    @property
    def setting(self) -> str: ...

    @property
    def loss(self) -> str | None: ...


T = TypeVar("T", bound=Setting)


def baseline_of(settings: Iterable[T], name: str = BASELINE) -> T | None:
    """Return the setting of that name, else the first by name of that loss; None without one."""
    by_name = sorted(settings, key=lambda each: each.setting)
    for each in by_name:
        if each.setting == name:
            return each
    for each in by_name:
        if each.loss == name:
            return each
    return None
