"""Faults: what is wrong with something a user gave, as data."""

import json
import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

TRACEBACK = "NERSWEEP_TRACEBACK"  # the environment variable that prints tracebacks
UNSET = object()  # the value of a fault that has none
# Text from files may hold what a terminal takes for a command: escape, and Unicode's C1 controls.
COMMANDS = {code: f"\\x{code:02x}" for code in (0x1B, *range(0x80, 0xA0))}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with what a user gave.

    setting: what to change, as the user writes it: a setting (focal_gamma), a whole override that
    cannot be read, an option (--config-dir) or a place in a file (train.txt:12).
    value: the value given, if there is one.
    must: what is allowed, or what is wrong. remedy: what to do instead.
    file: the file, or the entry of sweep.settings, that gives the value, if not the command line.

    str() gives one line: "focal_gamma=-1: must be ≥ 0 (0 is cross entropy); set focal_gamma=2".
    """

    setting: str
    value: object = UNSET
    must: str = ""
    remedy: str = ""
    file: str = ""

    def __str__(self) -> str:
        subject = self.setting
        if self.value is not UNSET:
            subject += f"={shown(self.value)}"
        if self.file:
            subject += f" ({self.file})"
        message = "; ".join(filter(None, (self.must, self.remedy)))
        line = f"{subject}: {message}" if subject and message else subject or message
        return " ".join(line.split("\n")).translate(COMMANDS)


class UserError(ValueError):
    """Raised for what a user gave wrong: one or more faults. A ValueError, as torch would raise."""

    def __init__(self, *faults: Fault):
        super().__init__(*faults)
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join(map(str, self.faults))


class Unavailable(UserError):
    """Raised for a server or a database that the user named and that does not answer."""


@contextmanager
def blame(section: str, target: type, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Raise exceptions of the enclosed code as UserError if its class is not nersweep's own.

    section: the one that names the class `target`. passing: exceptions to leave as they are, beside
    UserError and OSError.
    """
    try:
        yield
    except (UserError, OSError):
        raise
    except passing:
        raise
    except Exception as error:
        if f"{target.__module__}.".startswith("nersweep."):
            raise
        must = f"raised {type(error).__name__}: {one_line(error)}"
        remedy = f"set {TRACEBACK}=1 to see the traceback"
        path = f"{target.__module__}.{target.__qualname__}"
        raise UserError(Fault(f"{section}._target_", path, must, remedy)) from error


def shown(value: object) -> str:
    """Return a value as it is set on the command line: null, true, 3.5, text."""
    if isinstance(value, Mapping):
        items = [f"{key}: {shown(item)}" for key, item in value.items()]
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def one_line(error: BaseException) -> str:
    """Return the message of an error without line breaks; its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def reason(error: BaseException) -> str:
    """Return the first line of the innermost cause of an error; of a YAML error, all of it.

    Of Hydra's "In 'mine': ValidationError raised while composing config:" also what it announces.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    if hasattr(error, "problem_mark"):
        return one_line(error)
    lines = list(filter(str.strip, str(error).splitlines()))
    if len(lines) > 1 and lines[0].endswith(":"):
        return f"{lines[0]} {lines[1]}"
    return lines[0] if lines else type(error).__name__


def fault_lines(error: BaseException) -> list[str]:
    """Describe an error, a line per fault.

    Only a UserError is the user's. An OSError is the system's; anything else is an error of ours.
    """
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    if isinstance(error, UserError):
        return [str(fault) for fault in error.faults]
    if isinstance(error, OSError):
        return [one_line(error)]
    kind = type(error).__name__
    return [f"internal error: {kind}: {one_line(error)}; set {TRACEBACK}=1 to see the traceback"]
