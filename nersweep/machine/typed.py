"""Turn JSON values into dataclasses."""

from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


class Mismatch(ValueError):
    """Raised for values that do not fit a type. path: of the first that does not; "" is the whole.

    missing: True if the value is absent.
    """

    def __init__(self, path: str, missing: bool, reason: str):
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path, self.missing = path, missing


def validate(adapter: TypeAdapter[T], values: Any) -> T:
    """Return the object that JSON values describe. Raises Mismatch, whose message is one line."""
    try:
        return adapter.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(map(str, first["loc"]))
        raise Mismatch(path, first["type"] == "missing", first["msg"]) from error
