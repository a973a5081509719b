"""Nested settings as plain mappings."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf


def plain(config: DictConfig, resolve: bool = False) -> dict[str, Any]:
    """Return a configuration, or a section of one, as a plain mapping."""
    mapping: Any = OmegaConf.to_container(config, resolve=resolve)
    return mapping


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings under dotted names."""
    out: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            for name, inner in flat(value).items():
                out[f"{key}.{name}"] = inner
        else:
            out[key] = value
    return out
