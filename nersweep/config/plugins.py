"""Plug-ins: modules of the user's own whose classes a configuration may name."""

import os
from functools import cache
from importlib.metadata import entry_points

from nersweep.faults import Fault, UserError

VARIABLE = "NERSWEEP_PLUGINS"  # my_losses,my_formats
GROUP = "nersweep.plugins"  # of entry points, each naming a module: mine = "my_losses"


def plugins() -> tuple[str, ...]:
    """Return the modules and packages that NERSWEEP_PLUGINS or an entry point allows.

    A configuration folder cannot add to them, so it never decides what code runs. Raises UserError
    for a name that is no module path.
    """
    names = os.environ.get(VARIABLE, "").replace(",", " ").split()
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise UserError(Fault(VARIABLE, name, "must be modules separated by commas"))
    return tuple(dict.fromkeys([*names, *declared()]))


@cache
def declared() -> list[str]:
    """Return the modules of the entry points; looking through all packages takes milliseconds."""
    return sorted(point.value for point in entry_points(group=GROUP))


def is_within(module: str, rooms: tuple[str, ...]) -> bool:
    """Return whether a module is one of these modules or packages, or lies in one."""
    return f"{module}.".startswith(tuple(f"{room}." for room in rooms))
