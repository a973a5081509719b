"""Read JSON files, and turn JSON values into dataclasses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from nersweep.faults import Fault, UserError

T = TypeVar("T")


class Mismatch(ValueError):
    """Raised for values that do not fit a type. path: of the first that does not; "" is the whole.

    missing: True if the value is absent.
    """

    def __init__(self, path: str, missing: bool, reason: str):
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path, self.missing = path, missing


def read_json(file: Path, parse: Callable[[Any], T], content: str, remedy: str = "") -> T | None:
    """Return what `parse` makes of a file's JSON values; None if there is no such file.

    content: what the file should hold, for people. Raises UserError for a file that cannot be read,
    and for values on which `parse` raises ValueError, LookupError or TypeError.
    """
    try:
        return parse(json.loads(file.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        must = f"cannot be read ({error.strerror})"
    except (ValueError, LookupError, TypeError) as error:
        must = f"not {content} ({error})"
    raise UserError(Fault(str(file), must=must, remedy=remedy))


def validate(adapter: TypeAdapter[T], values: Any) -> T:
    """Return the object that JSON values describe. Raises Mismatch, whose message is one line."""
    try:
        return adapter.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(map(str, first["loc"]))
        raise Mismatch(path, first["type"] == "missing", first["msg"]) from error
