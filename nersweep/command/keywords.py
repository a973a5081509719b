"""Read name=value arguments into a dataclass, for the commands that do not use Hydra."""

import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import Field, field, fields
from typing import Any, TypeVar

from nersweep.faults import Fault, UserError, fault_lines
from nersweep.machine.host import refuse_windows
from nersweep.terminal import console, print_faults

T = TypeVar("T")


def keyword(
    about: str, default: str | None = None, name: str | None = None, nullable: bool = False
) -> Any:
    """Return a field of a dataclass of arguments.

    about: for the help. name: what the user writes, if it is not the field's name: tracking.uri.
    nullable: an empty value and null are None, as they are in training.
    """
    return field(default=default, metadata={"about": about, "name": name, "nullable": nullable})


def overrides_of(group: str, about: str) -> Any:
    """Return a field that holds the overrides of a group of options: data=conll, data.train=FILE.

    Its value is a tuple of them, as Hydra reads them.
    """
    return field(default=(), metadata={"about": about, "name": group, "group": True})


def keywords(kind: type) -> dict[str, Field[Any]]:
    """Return what the user writes for each field of a dataclass of arguments, and the field."""
    return {item.metadata["name"] or item.name: item for item in fields(kind)}


def read_keywords(kind: type[T], arguments: Sequence[str]) -> T:
    """Return the arguments as a dataclass. Every value is text: a sweep may be called 12345e67.

    Raises UserError, with all faults, for arguments that are not name=value of a known name.
    """
    names = keywords(kind)
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        group = names.get(name.partition(".")[0])
        if group and group.metadata.get("group"):
            values[group.name] = (*values.get(group.name, ()), argument)
            if not equals:
                faults.append(Fault(argument, must=f"expected {name}=VALUE"))
        elif name not in names:
            remedy = f"use one of {', '.join(names)}"
            faults.append(Fault(argument, must="no such setting", remedy=remedy))
        elif names[name].metadata["nullable"] and argument in (f"{name}=", f"{name}=null"):
            values[names[name].name] = None
        elif not value:
            faults.append(Fault(argument, must=f"expected {name}=VALUE"))
        else:
            values[names[name].name] = value
    if faults:
        raise UserError(*faults)
    return kind(**values)


def print_help(kind: type, command: str) -> None:
    """Print the command and its arguments."""
    console.print(f"{command} [name=value …]")
    for name, item in keywords(kind).items():
        console.print(f"  {name + '=':15}{item.metadata['about']}")


def run_program(kind: type[T], command: str, action: Callable[[T], None]) -> None:
    """Run an action with the arguments of the command line.

    Ends the process with exit code 1 after a fault, one line each on standard error, and with 130
    after Ctrl-C.
    """
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        print_help(kind, command)
        return
    try:
        refuse_windows()
        action(read_keywords(kind, arguments))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        print_faults(fault_lines(error))
        sys.exit(1)
