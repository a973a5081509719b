"""Faults in what a user gave, a line each: the setting as typed, the value, what is allowed, the remedy."""

import json
import os
import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from omegaconf import OmegaConf

CONF = "nersweep.conf"
TRACEBACK = "NERSWEEP_TRACEBACK"  # the environment variable that shows where a fault was found


class Faults(ValueError):
    """One or more faults, a line each."""

    def __init__(self, lines: Sequence[str]):
        super().__init__("\n".join(lines))


def one_line(error: BaseException) -> str:
    """The message of an error, or its type where it has none, without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


def reason(error: BaseException) -> str:
    """The first line of the innermost cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def shown(value: object) -> str:
    """A value as it is typed."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def fault_lines(error: Exception) -> list[str]:
    """Faults of the user's, of files and of servers speak for themselves; anything else is ours, and says so."""
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    if isinstance(error, ValueError):
        return str(error).split("\n")
    if isinstance(error, OSError | RuntimeError):
        return [one_line(error)]
    return [f"internal error: {type(error).__name__}: {one_line(error)}; {TRACEBACK}=1 shows where"]


@dataclass(frozen=True)
class Knob:
    """A setting at the top level that belongs to an option: focal_gamma, of loss=focal, feeds loss.gamma;
    class_balance_beta, of loss=class_balanced, feeds effective_beta."""

    name: str
    group: str
    option: str
    feeds: str


@cache
def knobs() -> tuple[Knob, ...]:
    """Of all options that are written for the global package: the top-level keys that feed another setting there."""
    found = []
    for group in sorted(folder.name for folder in files(CONF).iterdir() if folder.is_dir()):
        for file in sorted((files(CONF) / group).iterdir(), key=lambda file: file.name):
            if not file.name.endswith(".yaml") or "# @package _global_" not in (text := file.read_text("utf-8")):
                continue
            keys = OmegaConf.to_container(OmegaConf.create(text))
            leaves = flat(keys)
            for name in sorted(keys.keys() - {group, "defaults"}):
                feeds = next((key for key, value in leaves.items() if refers_to(value, name)), None)
                if feeds:
                    found.append(Knob(name, group, file.name.removesuffix(".yaml"), feeds))
    return tuple(found)


def refers_to(value: object, name: str) -> bool:
    """Does a value, or a value in it, take its own from this top-level setting?"""
    return re.search(rf"\$\{{{re.escape(name)}\}}", str(value)) is not None


def not_read(setting: str, name: str, choices: Mapping[str, str]) -> str | None:
    """The fault of a knob without its option, as typed; None where no option has such a knob."""
    owners = [knob for knob in knobs() if knob.name == name]
    if not owners:
        return None
    here = dict.fromkeys(f"{knob.group}={choices.get(knob.group)}" for knob in owners)
    return f"{setting}: nothing reads it with {' and '.join(here)}; it belongs to {options_of(owners)}"


def options_of(owners: Sequence[Knob]) -> str:
    """loss=focal|weighted_focal for the knobs of these options."""
    groups: dict[str, list[str]] = {}
    for knob in owners:
        groups.setdefault(knob.group, []).append(knob.option)
    return " and ".join(f"{group}={'|'.join(options)}" for group, options in groups.items())


def without_seed(overrides: Sequence[str]) -> tuple[str, ...]:
    """Those that two runs share which repeat one setting."""
    return tuple(override for override in overrides if not re.fullmatch(r"seed=(0|[1-9]\d{0,8})", override))


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings under dotted names."""
    out: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            out |= {f"{key}.{name}": inner for name, inner in flat(value).items()}
        else:
            out[key] = value
    return out
