"""Explain why overrides do not compose, beside those that do."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from nersweep.command.files import NO_SETTINGS, expected, file_faults, merge_faults
from nersweep.config.compose import COMPOSITION, Composer
from nersweep.config.knobs import beside, foreign_knob, knobs, options_of
from nersweep.config.overrides import fault, text_of
from nersweep.faults import Fault, reason

# What installs the launchers of plug-ins, as in docs/scale.md.
PLUGINS = {
    "joblib": "pip install -e '.[parallel]'",
    "ray": "make ray",
    "submitit_local": "pip install -e '.[slurm]'",
    "submitit_slurm": "pip install -e '.[slurm]'",
}


@dataclass(frozen=True)
class Composed:
    """The overrides of a run that compose, and faults that explain the others.

    config: without Hydra's section, which is `hydra`. choice: the option of each group of ours.
    options: the overrides that Hydra composed, of groups and of its own section.
    """

    config: DictConfig
    hydra: DictConfig
    choice: Mapping[str, Any]
    options: tuple[str, ...]
    faults: Sequence[Fault]


def compose_or_explain(overrides: Sequence[str], composer: Composer) -> Composed:
    """Compose overrides one by one, and explain each that does not compose.

    Options of groups come first, because they decide which settings exist. An override that
    depends on an option that does not exist is dropped without a fault of its own.
    """
    valid, values = composer.split(overrides)
    rest: list[Override] = []
    try:
        composer.whole(valid)
    except COMPOSITION:
        rest = sorted(
            map(composer.parsed, valid), key=lambda o: not composer.options(o.key_or_group)
        )
        valid = ()
    missing: set[str] = set()
    faults: dict[str, list[Fault]] = {}
    for option in rest:
        if missing & groups_behind(option.key_or_group):
            continue
        try:
            composer.whole((*valid, text_of(option)))
            valid = (*valid, text_of(option))
        except COMPOSITION as error:
            whole = composer.whole(valid)
            choices = whole.hydra.runtime.choices
            own = file_faults((*valid, text_of(option)), whole, choices, composer)
            faults[text_of(option)] = own or [explain(option, error, whole, choices, composer)]
            missing.add(option.key_or_group)
    hydra, config = composer.whole(valid).hydra, composer(valid)
    choices = hydra.runtime.choices
    values = [value for value in values if not missing & groups_behind(value.key_or_group)]
    try:
        composer.set(values, config)
    except COMPOSITION:
        config, of_values = set_or_explain(values, composer(valid), choices, composer)
        faults |= of_values
    ordered = [fault for override in overrides for fault in faults.get(override, ())]
    return Composed(config, hydra, composer.choice(valid), valid, ordered)


def set_or_explain(
    values: Sequence[Override], config: DictConfig, choices: Mapping[str, Any], composer: Composer
) -> tuple[DictConfig, dict[str, list[Fault]]]:
    """Set values one by one. Return the configuration, and the faults of those that do not fit."""
    faults: dict[str, list[Fault]] = {}
    for value in values:
        before = copy.deepcopy(config)
        try:
            composer.set([value], config)
        except COMPOSITION as error:
            config = before  # of seed.x=3, Hydra has set seed={}
            own = section_faults(value, config, choices)
            faults[text_of(value)] = own or [explain(value, error, config, choices, composer)]
    return config, faults


def section_faults(
    override: Override, config: DictConfig, choices: Mapping[str, Any]
) -> list[Fault]:
    """Return the faults in train={nope: 1}, by the names of its settings."""
    value = override.value()
    if not isinstance(value, Mapping) or override.is_delete():
        return []
    return merge_faults({override.key_or_group: value}, config, choices)


def groups_behind(key: str) -> set[str]:
    """Return the groups whose option may decide whether a setting exists."""
    groups = {key.partition(".")[0], "/".join(key.split(".")[:2])}  # hydra.launcher.n_jobs
    for knob in knobs():
        if key in (knob.name, knob.feeds):
            groups.add(knob.group)
    return groups


def explain(
    override: Override,
    error: Exception,
    config: DictConfig,
    choices: Mapping[str, Any],
    composer: Composer,
) -> Fault:
    """Explain why an override does not compose with those that gave a configuration.

    choices: the option of each group.
    """
    text, key = text_of(override), override.key_or_group
    offered, exists = composer.options(key), exists_in(config, key)
    if (override.package or "").startswith("data.sets.") and key == "data":
        return no_option(override, offered)
    if override.package is not None:
        return fault(text, "an option stays at its place", f"set {key}=NAME")
    if override.is_add() and (exists or offered):
        return fault(text, f"{key} exists already", f"set {text.lstrip('+')}")
    if override.is_delete():
        return fault(text, "cannot be left out", f"set {key}=VALUE")
    if offered:
        if override.value() not in offered:
            return no_option(override, offered)
        # OmegaConf's error of a file, unlike Hydra's of a missing option, which is an OSError too
        is_scalar = (
            isinstance(error, OSError)
            and error.errno is None
            and not isinstance(error, HydraException)
        )
        return fault(text, f"its file {NO_SETTINGS}" if is_scalar else reason(error))
    if exists:
        return fault(text, expected(key) or reason(error))
    owners = [
        f"{options_of([k for k in knobs() if k.feeds == key and k.name == name])}, as {name}"
        for name in dict.fromkeys(knob.name for knob in knobs() if knob.feeds == key)
    ]
    if owners:
        return fault(text, "no such setting here", f"it belongs to {' and '.join(owners)}")
    foreign = foreign_knob(key, choices)
    if foreign:
        return fault(text, foreign)
    return fault(text, "no such setting", beside(config, key, choices))


def no_option(override: Override, offered: Sequence[str]) -> Fault:
    """Return the fault of an option that its group does not offer."""
    text, key = text_of(override), override.key_or_group
    if key == "hydra/launcher" and (plugin := PLUGINS.get(str(override.value()))):
        return fault(text, "is not installed", f"run {plugin}")
    return fault(text, "no such option", f"{key} takes {', '.join(offered)}")


def exists_in(config: DictConfig, key: str) -> bool:
    """Return whether a setting exists."""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    return isinstance(node, DictConfig) and name in list(node)  # `in node` is false for ???
