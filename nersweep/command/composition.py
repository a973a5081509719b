"""Compose the overrides that can be composed, and explain the others."""

import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nersweep.config.compose import Composer
from nersweep.config.knobs import Knob, knobs, not_read, options_of
from nersweep.config.schema import SECTIONS, describe
from nersweep.faults import reason

if TYPE_CHECKING:
    pass  # torch costs seconds, which the help need not pay


COMPOSITION = (
    HydraException,
    OmegaConfBaseException,
    ValueError,
)  # what Hydra raises while it composes


# Launchers of plugins, by what is typed for them, as docs/scale.md says.
PLUGINS = {"joblib": "pip install -e '.[parallel]'", "ray": "make ray"}


PLUGINS |= dict.fromkeys(("submitit_local", "submitit_slurm"), "pip install -e '.[slurm]'")


def sift(
    overrides: Sequence[str], composer: Composer
) -> tuple[DictConfig, Sequence[str], list[str]]:
    """The configuration of those overrides that compose, those overrides, and a line for each of the others.

    Hydra stops at its first fault. So they are added one by one, options of groups first, because these decide which
    settings there are. What depends on an option that does not exist is neither taken nor told.
    """
    try:
        return composer(overrides), overrides, []
    except COMPOSITION:
        pass
    config, taken, lost, lines = composer([]), [], set(), {}
    for override in sorted(
        map(composer.parsed, overrides), key=lambda o: not composer.options(o.key_or_group)
    ):
        if lost & groups_behind(override.key_or_group):
            continue
        try:
            config = composer([*taken, override.input_line])
            taken.append(override.input_line)
        except COMPOSITION as error:
            lines[override.input_line] = composition_line(override, error, config, composer)
            if composer.options(override.key_or_group):
                lost.add(override.key_or_group)
    return config, taken, [lines[o] for o in overrides if o in lines]


def groups_behind(key: str) -> set[str]:
    """The groups whose option may decide whether there is such a setting."""
    section, group = (
        key.partition(".")[0],
        "/".join(key.split(".")[:2]),
    )  # hydra/launcher of hydra.launcher.n_jobs
    return {section, group} | {knob.group for knob in knobs() if key in (knob.name, knob.feeds)}


def composition_line(
    override: Override, error: Exception, config: DictConfig, composer: Composer
) -> str:
    """Why this override cannot be added to a configuration."""
    typed, key = override.input_line, override.key_or_group
    offered, there = composer.options(key), is_there(config, key)
    choices = HydraConfig.get().runtime.choices  # those of the configuration
    if override.package is not None:
        return f"{typed}: an option stays at its place; type {key}=NAME"
    if override.is_add() and (there or offered):
        return f"{typed}: {key} is there already; type {typed.lstrip('+')}"
    if override.is_delete():
        return f"{typed}: cannot be left out; type {key}=VALUE"
    if offered:
        return (
            f"{typed}: {reason(error)}"
            if override.value() in offered
            else no_option(override, offered)
        )
    if override.is_hydra_override():
        config = HydraConfig.instance().cfg
        there = is_there(config, key)
    section, _, name = key.partition(".")
    if there and section in SECTIONS:
        hint = typing.get_type_hints(SECTIONS[section]).get(name)
        return f"{typed}: expected {describe(hint)}" if hint else f"{typed}: {reason(error)}"
    if there:
        return f"{typed}: {reason(error)}"
    fed: dict[str, list[Knob]] = {}
    for knob in knobs():
        if key == knob.feeds:
            fed.setdefault(knob.name, []).append(knob)
    if fed:
        belongs = " and ".join(f"{options_of(owners)}, as {name}" for name, owners in fed.items())
        return f"{typed}: no such setting here; it belongs to {belongs}"
    return (
        not_read(typed, key, choices) or f"{typed}: no such setting; {beside(config, key, choices)}"
    )


def no_option(override: Override, offered: Sequence[str]) -> str:
    """The fault of an option that its group does not offer."""
    typed, key = override.input_line, override.key_or_group
    if key == "hydra/launcher" and override.value() in PLUGINS:
        return f"{typed}: is not installed; type {PLUGINS[override.value()]}"
    return f"{typed}: no such option; {key} takes {', '.join(offered)}"


def is_there(config: DictConfig, key: str) -> bool:
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    return isinstance(node, DictConfig) and name in list(node)  # `in node` is false for ???


def beside(config: DictConfig, key: str, choices: Mapping[str, str]) -> str:
    """What the innermost section of a key that does not exist has."""
    section, node = key, None
    while section and not isinstance(node, DictConfig):
        section = section.rpartition(".")[0]
        node = OmegaConf.select(config, section) if section else config
    typed = {knob.feeds: knob.name for knob in knobs() if knob.option == choices.get(knob.group)}
    names = [str(name) for name in node if name not in ("_target_", "choice", "hydra")]
    names = [typed.get(f"{section}.{name}", name) for name in names]
    group = section.replace(".", "/")
    where = f"{group}={choices[group]}" if group in choices else section or "the top level"
    return f"{where} has {', '.join(names) or 'no settings'}"
