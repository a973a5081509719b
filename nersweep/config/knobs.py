"""Knobs: top-level settings that belong to one option of a group."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from omegaconf import OmegaConf

from nersweep.config.flat import flat

CONF = "nersweep.conf"


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
            if not file.name.endswith(".yaml") or "# @package _global_" not in (
                text := file.read_text("utf-8")
            ):
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
    return (
        f"{setting}: nothing reads it with {' and '.join(here)}; it belongs to {options_of(owners)}"
    )


def options_of(owners: Sequence[Knob]) -> str:
    """loss=focal|weighted_focal for the knobs of these options."""
    groups: dict[str, list[str]] = {}
    for knob in owners:
        groups.setdefault(knob.group, []).append(knob.option)
    return " and ".join(f"{group}={'|'.join(options)}" for group, options in groups.items())
