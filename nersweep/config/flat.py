"""Nested settings under dotted names."""

from collections.abc import Mapping
from typing import Any


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings under dotted names."""
    out: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            out |= {f"{key}.{name}": inner for name, inner in flat(value).items()}
        else:
            out[key] = value
    return out
