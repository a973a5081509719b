"""What was typed after `python -m nersweep`, checked before Hydra starts anything: all faults at once."""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig

from nersweep.config.compose import Composer
from nersweep.config.overrides import without_seed
from nersweep.faults import Faults, fault_lines, reason

if TYPE_CHECKING:
    from nersweep.config.check import Checked  # torch costs seconds, which the help need not pay
from nersweep.command.composition import COMPOSITION, no_option, sift
from nersweep.command.untrusted import addresses, foreign_hydra, foreign_targets, of_a_file
from nersweep.config.overrides import as_hydra_takes_it

# Options of Hydra's that are refused, and why.
REFUSED = {
    "config_path": "nersweep's own options would be missing; type --config-dir=DIR for further ones",
    "config_name": "type experiment=NAME, with a file experiment/NAME.yaml in --config-dir=DIR",
    "experimental_rerun": "a pickle can run anything; type the run's command again",
}


@dataclass
class Command:
    """A command line: the overrides of each run that it asks for, what is wrong with it, and how to compose a run.
    What plan.check gave for the runs, 17 kB each, is kept by their overrides without the seed."""

    runs: list[tuple[str, ...]]
    faults: list[str]
    many: bool  # a multirun, be it of one
    composer: Composer
    checked: dict[tuple[str, ...], "Checked"] = field(default_factory=dict)

    def is_more_than_a_run(self) -> bool:
        """A sweep, a study, or a preview."""
        config = self.composer(self.runs[0])
        return bool(self.many or config.dry_run or config.study.space)


def refuse(typed: argparse.Namespace) -> None:
    """Raises ValueError for an option of Hydra's that must not be used."""
    for name, why in REFUSED.items():
        if (value := getattr(typed, name)) is not None:
            raise ValueError(f"--{name.replace('_', '-')}={value}: {why}")
    if typed.package and not typed.cfg:
        raise ValueError(
            f"--package={typed.package}: is a part of what --cfg shows; type --cfg job with it"
        )
    if any(re.match(r"\W*hydra\.searchpath\b", override) for override in typed.overrides):
        raise ValueError("hydra.searchpath: type --config-dir=DIR")
    if typed.config_dir and not Path(typed.config_dir).is_dir():
        raise ValueError(f"--config-dir={typed.config_dir}: no such folder")


def read(typed: argparse.Namespace) -> Command:
    """A command line as Hydra's own parser gives it. Overrides that do not compose, and values that no run takes, in
    each run of a sweep, are faults, a line each. Nothing is loaded, written or started."""
    typed.overrides = [as_hydra_takes_it(override) for override in typed.overrides]
    command = Command([], [], False, Composer(folder=typed.config_dir))
    with command.composer as composer:
        try:
            overrides, command.faults = parse(typed.overrides, composer)
            unfold(command, overrides, typed.multirun)
        except COMPOSITION as error:  # no file of that name, or a sweep that Hydra cannot unfold
            raise ValueError(reason(error)) from None
        shown = typed.cfg or typed.info or typed.help or typed.hydra_help
        foreign_of: dict[
            tuple[str, ...], list[str]
        ] = {}  # Hydra's own section is the same for the same options
        for setting, run in {without_seed(run): run for run in command.runs}.items():
            config, taken, lines = sift(run, composer)
            section = HydraConfig.instance().cfg.hydra
            options, _ = composer.split(taken)
            if options not in foreign_of:
                foreign_of[options] = foreign_hydra(section)
            foreign = (
                foreign_of[options] + of_a_file(section, taken, composer) + foreign_targets(config)
            )
            foreign += addresses(config, {o.key_or_group for o in overrides}, composer)
            unmade = unswept(section, run, composer)
            command.faults += lines + foreign + unmade
            if (
                config.get("report") is True
                and not unmade
                and (not command.many or config.study.space)
            ):
                command.faults.append(
                    "report=true: is for a sweep of runs; type python -m nersweep.report afterwards"
                )
            if not (foreign or shown):
                check(command, setting, config, composer.choice(taken))
    return command


def parse(typed: Sequence[str], composer: Composer) -> tuple[list[Override], list[str]]:
    """The overrides that follow Hydra's grammar, and a line for each of the others."""
    parsed, lines = [], []
    for override in typed:
        try:
            found = composer.parsed(override)
            if not found.key_or_group:
                raise ValueError("no name")
            if found.key_or_group.endswith("._target_") and not found.is_hydra_override():
                lines.append(
                    f"{override}: a class comes with its option; type {override.lstrip('+~').split('.')[0]}=NAME"
                )
            else:
                parsed.append(found)
        except COMPOSITION:
            lines.append(
                f"{override}: cannot be read; write name=value, with quotes around special characters"
            )
    return parsed, lines


def unfold(command: Command, overrides: Sequence[Override], multirun: bool) -> None:
    """The overrides of each run: of one, or, as Hydra's sweeper unfolds them, of the many of a multirun."""
    plain = tuple(o.input_line for o in overrides if not o.is_sweep_override())
    sweeps = [o for o in overrides if o.is_sweep_override()]
    section = whole(plain, command.composer).hydra
    command.many = multirun or section.mode == RunMode.MULTIRUN
    if not command.many:
        command.runs = [plain]
        command.faults += [
            f"{o.input_line}: a sweep needs -m; for one value put quotes around it" for o in sweeps
        ]
        return
    preset, faults = parse(
        [f"{key}={value}" for key, value in params(section).items()], command.composer
    )
    faults += [
        f"hydra.sweeper.params.{o.key_or_group}: is Hydra's own and no setting of a run; type {o.input_line}"
        for o in preset
        if o.is_hydra_override()
    ]
    every = [*preset, *overrides]  # of two for the same setting, what was typed is taken
    faults += [
        no_option(o, offered)
        if (offered := command.composer.options(o.key_or_group))
        else f"{o.input_line}: only values or a range can be swept, as in a=1,2 or a=range(1,4)"
        for o in every
        if o.is_sweep_override()
        and not (o.is_discrete_sweep() and any(True for _ in o.sweep_iterator()))
    ]
    command.faults += faults
    command.runs = (
        [] if faults else [tuple(run) for run in BasicSweeper.split_arguments(every, None)[0]]
    )
    if section.runtime.choices.experiment == "recommended":
        command.runs = as_recommended(command.runs, command.composer)


def as_recommended(runs: Sequence[tuple[str, ...]], composer: Composer) -> list[tuple[str, ...]]:
    """Each run with each setting that the diagnosis of its data recommends; of two for the same, what was typed is
    taken. A run with faults, which are told later, stays as it is. Raises ValueError for what is wrong in the data."""
    from nersweep.config.check import check_overrides
    from nersweep.diagnosis.recommendation import recommend_settings

    settings: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for run in {without_seed(run): run for run in runs}.values():
        try:
            _, taken, _ = sift(run, composer)
            settings[without_seed(run)] = recommend_settings(check_overrides(composer, taken))
        except Faults:
            settings[without_seed(run)] = [()]
    return [(*setting, *run) for run in runs for setting in settings[without_seed(run)]]


def params(section: DictConfig) -> Mapping[str, Any]:
    """What Hydra's own section sweeps without being typed, as a preset does."""
    return section.sweeper.get("params") or {}


def whole(overrides: Sequence[str], composer: Composer) -> DictConfig:
    """The configuration, with Hydra's section, of those overrides that compose."""
    return composer.whole(tuple(sift(overrides, composer)[1]))


def unswept(section: DictConfig, run: Sequence[str], composer: Composer) -> list[str]:
    """A line for each sweep of a preset that the command does not take: it is no multirun, or sweeps the preset."""
    taken = {composer.parsed(o).key_or_group for o in run}
    return [
        f"hydra.sweeper.params.{key}={value}: not swept here; type -m, and one experiment"
        for key, value in params(section).items()
        if key not in taken
    ]


def check(
    command: Command, setting: tuple[str, ...], config: DictConfig, choice: Mapping[str, Any]
) -> None:
    """Keeps what plan.check gives for a setting, as composed, or what is wrong with it or with its study."""
    from nersweep.config import (
        check as check_module,  # torch costs seconds, which the help need not pay
    )
    from nersweep.study.check import study_faults

    try:
        command.checked[setting] = check_module.check(config, choice)
    except Exception as error:
        command.faults += fault_lines(error)
    else:
        command.faults += map(str, study_faults(config, choice, command.composer))
