"""The text of one Hydra override."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass  # torch costs seconds, which the help need not pay


def without_seed(overrides: Sequence[str]) -> tuple[str, ...]:
    """Those that two runs share which repeat one setting."""
    return tuple(
        override for override in overrides if not re.fullmatch(r"seed=(0|[1-9]\d{0,8})", override)
    )


def as_hydra_takes_it(argument: str) -> str:
    """study.space.focal_gamma=interval(0,5), which Hydra would take for a sweep of its own and for a setting that is
    not there, as ++study.space.focal_gamma='interval(0,5)'. Other arguments as they are."""
    found = re.fullmatch(r"\+{0,2}(study\.space\.[^=]+)=(.*)", argument, re.S)
    if not found or re.match(r"""['"\[]""", found[2]):
        return f"++{argument.lstrip('+')}" if found else argument
    return f"++{found[1]}='" + found[2].replace("'", "\\'") + "'"
