"""Knobs: top-level settings that belong to one option of a group."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from omegaconf import DictConfig, OmegaConf

from nersweep.config.flat import flat, plain

CONF = "nersweep.conf"


@dataclass(frozen=True)
class Knob:
    """A top-level setting of an option: focal_gamma, of loss=focal, feeds loss.gamma."""

    name: str
    group: str
    option: str
    feeds: str


@cache
def knobs() -> tuple[Knob, ...]:
    """Return the knobs of all options: top-level keys that feed another setting of their file."""
    knobs = []
    for folder in sorted(files(CONF).iterdir(), key=lambda folder: folder.name):
        if not folder.is_dir():
            continue
        for file in sorted(folder.iterdir(), key=lambda file: file.name):
            if not file.name.endswith(".yaml"):
                continue
            text = file.read_text("utf-8")
            if "# @package _global_" not in text:
                continue
            content = OmegaConf.create(text)
            assert isinstance(content, DictConfig), file
            keys = plain(content)
            leaves = flat(keys)
            for name in sorted(keys.keys() - {folder.name, "defaults"}):
                feeds = next((key for key, value in leaves.items() if refers_to(value, name)), None)
                if feeds:
                    option = file.name.removesuffix(".yaml")
                    knobs.append(Knob(name, folder.name, option, feeds))
    return tuple(knobs)


def knob_of(name: str, choice: Mapping[str, str]) -> Knob | None:
    """Return the knob of this name that belongs to a chosen option."""
    for knob in knobs():
        if knob.name == name and knob.option == choice.get(knob.group):
            return knob
    return None


def is_fed(name: str, choice: Mapping[str, str]) -> bool:
    """Return whether a knob of a chosen option gives a setting, or the whole of it, its value."""
    for knob in knobs():
        if knob.option == choice.get(knob.group) and f"{name}.".startswith(f"{knob.feeds}."):
            return True
    return False


def refers_to(value: object, name: str) -> bool:
    """Return whether a value, or a value in it, interpolates this top-level setting."""
    return re.search(rf"\$\{{{re.escape(name)}\}}", str(value)) is not None


def foreign_knob(name: str, choice: Mapping[str, str]) -> str | None:
    """Explain a knob whose option is not chosen; None if no option has this knob."""
    owners = [knob for knob in knobs() if knob.name == name]
    if not owners:
        return None
    here = dict.fromkeys(f"{knob.group}={choice.get(knob.group)}" for knob in owners)
    return f"nothing reads it with {' and '.join(here)}; it belongs to {options_of(owners)}"


def options_of(owners: Sequence[Knob]) -> str:
    """Return the options of knobs: loss=focal|weighted_focal."""
    groups: dict[str, list[str]] = {}
    for knob in owners:
        groups.setdefault(knob.group, []).append(knob.option)
    return " and ".join(f"{group}={'|'.join(options)}" for group, options in groups.items())


def beside(config: DictConfig, key: str, choices: Mapping[str, str]) -> str:
    """Return what the innermost section of a key that does not exist has."""
    section, node = key, None
    while section and not isinstance(node, DictConfig):
        section = section.rpartition(".")[0]
        node = OmegaConf.select(config, section) if section else config
    feeding = {knob.feeds: knob.name for knob in knobs() if knob.option == choices.get(knob.group)}
    names = []
    for name in map(str, node or ()):
        if name not in ("_target_", "hydra"):
            names.append(feeding.get(f"{section}.{name}", name))
    group = section.replace(".", "/")
    where = f"{group}={choices[group]}" if group in choices else section or "the top level"
    return f"{where} has {', '.join(names) or 'no settings'}"
