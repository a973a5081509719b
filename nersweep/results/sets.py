"""Sets of runs that are compared with each other: those on one data set, or of one encoder on it.

A sweep plans the seeds of each set by itself, and a report has a section for each.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from nersweep.config.flat import flat
from nersweep.faults import shown
from nersweep.machine.databases import public


@dataclass(frozen=True)
class Place:
    """The data and the encoder of a run.

    dataset, encoder: the options of the groups data and model. checksum, settings: of the data, or
    of what they are one draw of. All are empty if unknown.
    """

    dataset: str = ""
    encoder: str = ""
    checksum: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)


class Placed(Protocol):
    """A run by its setting, without the seed, and its place."""

    @property
    def setting(self) -> str: ...

    @property
    def place(self) -> Place: ...


T = TypeVar("T", bound=Placed)


def data_settings(section: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings of a data set as text, without passwords. section: `data`, resolved.

    The fold, and the seed that a run has drawn its splits with, differ between runs of one setting
    and are left out.
    """
    settings: dict[str, str] = {}
    for name, value in flat(section).items():
        drawn = {"fold": "folds", "split_seed": "resample"}.get(name)
        if not (drawn and section.get(drawn)):
            settings[f"data.{name}"] = public(shown(value))
    return settings


def group_runs(runs: Iterable[T]) -> dict[str, list[T]]:
    """Group runs by data, and by encoder if each encoder of the data has several settings.

    An encoder with one setting is a row beside the others. Data are the same if their checksum is;
    data that differ, but not in their settings, share a name and so a group. An unfinished run of
    unknown data or encoder, as of an older version, goes to the first group that it may be of.
    """
    groups: dict[str, list[T]] = {}
    for name, group in group_by_data(runs).items():
        by_encoder: dict[str, list[T]] = {}
        for run in group:
            by_encoder.setdefault(run.place.encoder, []).append(run)
        unknown = by_encoder.pop("", [])
        if len(by_encoder) > 1 and all(map(has_several_settings, by_encoder.values())):
            next(iter(by_encoder.values())).extend(unknown)
            groups |= {f"{name}, {encoder}": part for encoder, part in by_encoder.items()}
        else:
            groups[name] = group
    return groups


def group_by_data(runs: Iterable[T]) -> dict[str, list[T]]:
    """Group runs by data, under names that tell them apart."""
    by_checksum: dict[str, list[T]] = {}
    unknown: list[T] = []
    for run in runs:
        group = by_checksum.setdefault(run.place.checksum, []) if run.place.checksum else unknown
        group.append(run)
    places: list[Place] = []
    for group in by_checksum.values():
        places.append(max((run.place for run in group), key=lambda place: bool(place.settings)))
    groups: dict[str, list[T]] = {}
    for place, group in zip(places, by_checksum.values(), strict=True):
        groups.setdefault(name_of(place, places), []).extend(group)
    firsts = {group[0].place.dataset: name for name, group in reversed(groups.items())}
    for run in unknown:
        option = run.place.dataset
        name = firsts.get(option, option) if option else next(iter(groups), "")
        groups.setdefault(name, []).append(run)
    return groups


def name_of(place: Place, places: Sequence[Place]) -> str:
    """Name data: their option, with the settings that others of it do not share.

    Data of unknown settings, as of an archive, have the start of their checksum instead.
    """
    name = place.dataset
    others = [each for each in places if each.dataset == place.dataset and each is not place]
    if others and not place.settings:
        return f"{name} {place.checksum[:8]}"
    for setting, value in place.settings.items():
        # An older version may not have had the setting.
        if any(other.settings.get(setting, value) != value for other in others):
            name += f" {setting}={value}"
    return name


def has_several_settings(runs: Sequence[Placed]) -> bool:
    return len({run.setting for run in runs}) > 1
