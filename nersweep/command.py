"""What was typed after `python -m nersweep`, checked before Hydra starts anything: all faults at once."""

import argparse
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from nersweep.config import SECTIONS, describe
from nersweep.faults import CONF, Knob, fault_lines, knobs, not_read, options_of, reason

COMPOSITION = (HydraException, OmegaConfBaseException, ValueError)  # what Hydra raises while it composes

# Where Hydra's own classes are. Not all of hydra.: hydra.utils.get_object would import anything.
HYDRA_ROOMS = ("hydra._internal.core_plugins.", "hydra.experimental.callbacks.", "hydra_plugins.")

Compose = Callable[[Sequence[str]], DictConfig]


def faults(typed: argparse.Namespace) -> list[str]:
    """A line for each thing that is wrong with a command line, as Hydra's own parser gives it: overrides that do not
    compose, and values that no run takes, in each job of a sweep. Nothing is loaded, written or started."""
    if typed.config_dir and not Path(typed.config_dir).is_dir():
        return [f"--config-dir={typed.config_dir}: no such folder"]
    more = [f"hydra.searchpath=['file://{Path(typed.config_dir).absolute()}']"] if typed.config_dir else []

    def composed(overrides: Sequence[str]) -> DictConfig:
        return compose(typed.config_name or "config", [*more, *overrides], return_hydra_config=True)

    with initialize_config_module(CONF, version_base="1.3"):
        try:
            overrides, lines = parse(typed.overrides)
            jobs, sweep_lines = jobs_of(overrides, typed.multirun, composed)
        except COMPOSITION as error:  # no file of that name, or a sweep that Hydra cannot unfold
            return [reason(error)]
        lines += sweep_lines
        for job in jobs:
            config, job_lines = sift(job, composed)
            foreign = foreign_targets(config)
            lines += job_lines + foreign
            if not (foreign or typed.cfg or typed.info or typed.help):
                lines += value_faults(config)
    return lines


def parse(typed: Sequence[str]) -> tuple[list[Override], list[str]]:
    """The overrides that follow Hydra's grammar, and a line for each of the others."""
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    parsed, lines = [], []
    for override in typed:
        try:
            found = parser.parse_overrides([override])[0]
            if not found.key_or_group:
                raise ValueError("no name")
            if found.key_or_group.endswith("._target_") and not found.is_hydra_override():
                lines.append(
                    f"{override}: a class comes with its option; type {override.lstrip('+~').split('.')[0]}=NAME"
                )
            else:
                parsed.append(found)
        except COMPOSITION:
            lines.append(f"{override}: cannot be read; write name=value, with quotes around special characters")
    return parsed, lines


def jobs_of(
    overrides: Sequence[Override], multirun: bool, composed: Compose
) -> tuple[list[Sequence[Override]], list[str]]:
    """The overrides of each job: of one, or, as Hydra's sweeper unfolds them, of the many of a multirun."""
    plain = [o for o in overrides if not o.is_sweep_override()]
    sweeps = [o for o in overrides if o.is_sweep_override()]
    config, _ = sift(plain, composed)
    if not multirun and config.hydra.mode != RunMode.MULTIRUN:
        return [plain], [f"{o.input_line}: a sweep needs -m; for one value put quotes around it" for o in sweeps]
    endless = [o.input_line for o in sweeps if not o.is_discrete_sweep()]
    if endless:
        return [], [f"{typed}: only values or a range can be swept, as in a=1,2 or a=range(1,4)" for typed in endless]
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    preset = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
    unfolded = BasicSweeper.split_arguments([*parser.parse_overrides(preset), *overrides], None)[0]
    return [parser.parse_overrides(job) for job in unfolded], []


def sift(overrides: Sequence[Override], composed: Compose) -> tuple[DictConfig, list[str]]:
    """The configuration of those overrides that compose, and a line for each of the others.

    Hydra stops at its first fault. So they are added one by one, options of groups first, because these decide which
    settings there are. What depends on an option that does not exist is neither taken nor told.
    """
    try:
        return composed([o.input_line for o in overrides]), []
    except COMPOSITION:
        pass
    config, taken, lost, lines = composed([]), [], set(), {}
    for override in sorted(overrides, key=lambda o: not options(o)):
        if lost & groups_behind(override.key_or_group):
            continue
        try:
            config = composed([*taken, override.input_line])
            taken.append(override.input_line)
        except COMPOSITION as error:
            lines[override.input_line] = composition_line(override, error, config)
            if options(override):
                lost.add(override.key_or_group)
    return config, [lines[o.input_line] for o in overrides if o.input_line in lines]


def options(override: Override) -> list[str]:
    """What a group offers; nothing for a setting."""
    return GlobalHydra.instance().config_loader().get_group_options(override.key_or_group)


def groups_behind(key: str) -> set[str]:
    """The groups whose option may decide whether there is such a setting."""
    return {key.partition(".")[0]} | {knob.group for knob in knobs() if key in (knob.name, knob.feeds)}


def composition_line(override: Override, error: Exception, config: DictConfig) -> str:
    """Why this override cannot be added to a configuration."""
    typed, key = override.input_line, override.key_or_group
    offered, there = options(override), is_there(config, key)
    if override.package is not None:
        return f"{typed}: an option stays at its place; type {key}=NAME"
    if override.is_add() and (there or offered):
        return f"{typed}: {key} is there already; type {typed.lstrip('+')}"
    if override.is_delete():
        return f"{typed}: cannot be left out; type {key}=VALUE"
    if offered:
        return f"{typed}: no such option; {key} takes {', '.join(offered)}"
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
    choices = OmegaConf.to_container(config.hydra.runtime.choices)
    return not_read(typed, key, choices) or f"{typed}: no such setting; {beside(config, key)}"


def is_there(config: DictConfig, key: str) -> bool:
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    return isinstance(node, DictConfig) and name in list(node)  # `in node` is false for ???


def beside(config: DictConfig, key: str) -> str:
    """What the innermost section of a key that does not exist has."""
    section, node = key, None
    while section and not isinstance(node, DictConfig):
        section = section.rpartition(".")[0]
        node = OmegaConf.select(config, section) if section else config
    choices = config.hydra.runtime.choices
    typed = {knob.feeds: knob.name for knob in knobs() if knob.option == choices.get(knob.group)}
    names = [str(name) for name in node if name not in ("_target_", "choice", "hydra")]
    names = [typed.get(f"{section}.{name}", name) for name in names]
    where = f"{section}={choices[section]}" if section in choices else section or "the top level"
    return f"{where} has {', '.join(names) or 'no settings'}"


def foreign_targets(config: DictConfig) -> list[str]:
    """A line for each _target_ at a place that names no class, or, in Hydra's own section, of something not Hydra's.

    Those of our sections are for plan.check. Hydra would import and call the others, its callbacks for example.
    """
    lines = []
    for key, value in targets(OmegaConf.to_container(config)):
        if key.startswith("hydra."):
            if not str(value).startswith(HYDRA_ROOMS):
                lines.append(f"{key}={value}: must be a class of Hydra's")
        elif not re.fullmatch(r"\w+\._target_|loss(\.terms\.\w+)+\._target_", key):
            lines.append(f"{key}={value}: a class can be named only as SECTION._target_, or in loss.terms")
    return lines


def targets(config: Mapping[str, Any] | Sequence[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items() if isinstance(config, Mapping) else enumerate(config):
        if key == "_target_":
            yield f"{prefix}{key}", value
        elif isinstance(value, Mapping | list):
            yield from targets(value, f"{prefix}{key}.")


def value_faults(config: DictConfig) -> list[str]:
    """What plan.check says of a composed configuration."""
    from nersweep import plan  # torch costs seconds, which the help need not pay

    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    try:
        plan.check(config)
    except Exception as error:
        return fault_lines(error)
    return []
