"""Read a command line: its runs, and everything that is wrong with it, before Hydra starts one."""

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nersweep.command import rows, untrusted
from nersweep.command.explain import Composed, compose_or_explain, no_option
from nersweep.command.rows import Entry
from nersweep.config.compose import COMPOSITION, Composer
from nersweep.config.overrides import (
    Overrides,
    fault,
    for_hydra,
    setting_of,
    text_of,
    without_seed,
)
from nersweep.config.settings import FIXED
from nersweep.faults import Fault, UserError, reason

if TYPE_CHECKING:
    from nersweep.config.check import Checked  # torch takes seconds, and --help does not need it

# Options of Hydra's that are refused, and why.
REFUSED = {
    "config_path": (
        "nersweep's own options would be missing",
        "use --config-dir=DIR for further ones",
    ),
    "config_name": ("use experiment=NAME", "with a file experiment/NAME.yaml in --config-dir=DIR"),
    "experimental_rerun": ("a pickle can run anything", "give the run's command again"),
}

# Settings of a sweep, and what to set in a study instead.
OF_SWEEP = {"seeds.max": "set study.seeds", "tune.trials": "set study.trials"}

# What a command line can ask for, one at a time.
MODES = ("run", "multirun", "cfg", "info", "shell_completion")

# Return the faults of a run that `check` does not see. Parts of it may have faults that it does.
RunCheck = Callable[[Composed, Sequence[str], Composer], Iterable[Fault]]
# Return the overrides of each run that sweep.settings=recommended stands for.
Recommend = Callable[["Checked"], list[Overrides]]


@dataclass
class Command:
    """A command line: the overrides of each run, its faults, and how to compose a run.

    checked: what `check` gave for the runs, 17 kB each, by their overrides without the seed.
    entries: of sweep.settings, by the overrides of their runs without the seed.
    """

    runs: list[Overrides]
    faults: list[Fault]
    many: bool  # a multirun, even if of one run
    composer: Composer
    checked: dict[Overrides, "Checked"] = field(default_factory=dict)
    entries: dict[Overrides, Entry] = field(default_factory=dict)

    def first(self) -> "Checked":
        """Return what `check` gave for the first run."""
        return self.checked[without_seed(self.runs[0])]

    def is_more_than_a_run(self) -> bool:
        """Return whether the command asks for a sweep, a study or a preview."""
        settings = self.first().settings
        return bool(self.many or settings.dry_run or settings.study.space)


def refuse(arguments: argparse.Namespace) -> None:
    """Raise UserError for an option of Hydra's that must not be used."""
    for name, (must, remedy) in REFUSED.items():
        value = getattr(arguments, name)
        if value is not None:
            raise UserError(Fault(f"--{name.replace('_', '-')}", value, must, remedy))
    modes = [f"--{mode.replace('_', '-')}" for mode in MODES if getattr(arguments, mode)]
    if len(modes) > 1:
        raise UserError(Fault(" ".join(modes), must="cannot be combined", remedy="use one of them"))
    if arguments.package and not arguments.cfg:
        must, remedy = "selects a part of what --cfg prints", "use it with --cfg job"
        raise UserError(Fault("--package", arguments.package, must, remedy))
    if arguments.resolve and not (arguments.cfg or arguments.help):
        must, remedy = "resolves what --cfg or --help prints", "use it with --cfg job"
        raise UserError(Fault("--resolve", must=must, remedy=remedy))
    if any(re.match(r"\W*hydra\.searchpath\b", override) for override in arguments.overrides):
        raise UserError(Fault("hydra.searchpath", must="use --config-dir=DIR"))
    if arguments.config_dir and not Path(arguments.config_dir).is_dir():
        raise UserError(Fault("--config-dir", arguments.config_dir, "no such folder"))


def read(
    arguments: argparse.Namespace,
    run_check: RunCheck = lambda composed, overrides, composer: [],
    recommend: Recommend | None = None,
) -> Command:
    """Read what Hydra's own parser gives. Nothing is loaded, written or started.

    Overrides that do not compose, and values that no run accepts, in each run of a sweep, are
    faults of the command. Raises UserError where it cannot be unfolded into runs.
    """
    if faults := untrusted.defaults_faults(arguments.config_dir):
        raise UserError(*faults)
    command = Command([], [], False, Composer(folder=arguments.config_dir))
    with command.composer:
        try:
            overrides = parse(map(for_hydra, arguments.overrides), command)
            unfold(command, overrides, arguments.multirun)
        except COMPOSITION as error:  # no such file, or a sweep that Hydra cannot unfold
            raise UserError(Fault("", must=reason(error))) from error
        explicit = {override.key_or_group for override in overrides}
        if recommend and command.many:
            expand(command, explicit, recommend)
        own_faults = []
        for setting, run in {without_seed(run): run for run in command.runs}.items():
            faults, entry = command.faults, command.entries.get(setting)
            command.faults = []
            names = entry.names if entry and rows.SETTINGS in explicit else set()
            check_run(command, run, explicit | names, asks_hydra(arguments), run_check)
            own_faults.append((entry, command.faults))
            command.faults = faults
        command.faults += rows.marked(own_faults)
    return command


def asks_hydra(arguments: argparse.Namespace) -> bool:
    """Return whether the options are for Hydra itself: help, or printing the configuration."""
    options = ("cfg", "info", "help", "hydra_help")
    return any(getattr(arguments, option) for option in options)


def parse(texts: Iterable[str], command: Command) -> list[Override]:
    """Return the overrides that follow Hydra's grammar; the others are faults of the command."""
    overrides = []
    for text in texts:
        try:
            override = command.composer.parsed(text)
        except COMPOSITION:
            override = None
        if override is None or not override.key_or_group:
            remedy = "write name=value, with quotes around special characters"
            command.faults.append(fault(text, "cannot be read", remedy))
        elif override.key_or_group.endswith("._target_") and not override.is_hydra_override():
            remedy = f"set {setting_of(text).split('.')[0]}=NAME"
            command.faults.append(fault(text, "a class comes with its option", remedy))
        else:
            overrides.append(override)
    return overrides


def unfold(command: Command, overrides: Sequence[Override], multirun: bool) -> None:
    """Set the runs of the command: one, or those into which Hydra's sweeper unfolds a multirun."""
    composer = command.composer
    plain = tuple(text_of(o) for o in overrides if not o.is_sweep_override())
    section = compose_or_explain(plain, composer).hydra
    command.many = multirun or section.mode == RunMode.MULTIRUN
    if not command.many:
        command.runs = [plain]
        for override in overrides:
            if override.is_sweep_override():
                remedy = "for one value put quotes around it"
                command.faults.append(fault(text_of(override), "a sweep needs -m", remedy))
        return
    count = len(command.faults)
    preset = parse((f"{key}={value}" for key, value in params(section).items()), command)
    for override in preset:
        if override.is_hydra_override():
            name = f"hydra.sweeper.params.{override.key_or_group}"
            must, remedy = "is Hydra's own and no setting of a run", f"set {text_of(override)}"
            command.faults.append(Fault(name, must=must, remedy=remedy))
    every = [*preset, *overrides]  # of two for one setting, the later wins
    for override in every:
        text, offered = text_of(override), composer.options(override.key_or_group)
        if not override.is_sweep_override():
            continue
        if override.is_discrete_sweep() and any(True for _ in override.sweep_iterator()):
            continue
        remedy = "as in a=1,2 or a=range(1,4)"
        bad = fault(text, "only values or a range can be swept", remedy)
        command.faults.append(no_option(override, offered) if offered else bad)
    if len(command.faults) == count:
        command.runs = [tuple(run) for run in BasicSweeper.split_arguments(every, None)[0]]


def expand(command: Command, explicit: set[str], recommend: Recommend) -> None:
    """Replace each run by one for each entry of its sweep.settings.

    Of two for one setting, that of the command line wins over an entry of a file. A run with
    faults, which are reported later, stays as it is. Raises UserError for what is wrong in the
    data. explicit: the names on the command line.
    """
    entries: dict[Overrides, list[Entry]] = {}
    runs: list[Overrides] = []
    for run in command.runs:
        setting = without_seed(run)
        if setting not in entries:
            entries[setting] = entries_of(command, run, explicit, recommend)
        if not entries[setting]:
            runs.append(run)
            continue
        rest = [override for override in run if setting_of(override) != rows.SETTINGS]
        for entry in entries[setting]:
            row = (*entry.overrides, *rest)
            command.entries[without_seed(row)] = entry
            runs.append(row)
    command.runs = runs


def entries_of(
    command: Command, run: Overrides, explicit: set[str], recommend: Recommend
) -> list[Entry]:
    """Return the entries of a run's sweep.settings; none without it, and for a run with faults."""
    composed = compose_or_explain(run, command.composer)
    given = rows.value_of(composed)
    if given is None or composed.faults:
        return []
    if given == rows.RECOMMENDED:
        from nersweep.config.check import check

        try:
            checked = check(composed.config, composed.choice)
        except UserError:
            return []
        return [Entry(setting, rows.RECOMMENDED) for setting in recommend(checked)]
    entries, faults = rows.read_entries(given, command.composer)
    if rows.SETTINGS in explicit:
        for entry in entries:
            faults += rows.clashes(entry, run)
    command.faults += [fault for fault in faults if fault not in command.faults]
    return [] if faults else entries


def params(section: DictConfig) -> Mapping[str, Any]:
    """Return what a preset sweeps, from Hydra's own section."""
    return section.sweeper.get("params") or {}


def check_run(
    command: Command, run: Overrides, explicit: set[str], help_only: bool, run_check: RunCheck
) -> None:
    """Check a run: keep the result, or add its faults to those of the command."""
    composer = command.composer
    composed = compose_or_explain(run, composer)
    config, names = composed.config, set(map(setting_of, run))
    foreign = untrusted.faults(composed, run, explicit, composer)
    unswept = []
    for key, value in params(composed.hydra).items():
        if key not in names:
            must = "not swept here; use -m, and one experiment"
            unswept.append(Fault(f"hydra.sweeper.params.{key}", value, must))
    command.faults += [*composed.faults, *foreign, *unswept]
    single = not command.many or config.study.space
    if config.get("report") is True and single and not unswept:
        remedy = "use python -m nersweep.report afterwards"
        command.faults.append(Fault("report", True, "is for a sweep of runs", remedy))
    given = rows.value_of(composed)
    if given is not None and not command.many:
        command.faults.append(Fault(rows.SETTINGS, given, "is for a sweep of runs", "use -m"))
    for name, in_study in OF_SWEEP.items():
        value = OmegaConf.select(config, name)
        if value is not None and single and not unswept:
            remedy = in_study if config.study.space else "use -m with several settings"
            command.faults.append(Fault(name, value, "is for a sweep of runs", remedy))
    if foreign or help_only:
        return
    if composed.hydra.job.chdir:
        must = "would write outputs where the printed paths do not lead"
        command.faults.append(Fault("hydra.job.chdir", True, must, "set output_dir"))
    from nersweep.config.check import check

    try:
        command.checked[without_seed(run)] = check(config, composed.choice)
    except UserError as error:
        command.faults += error.faults
        if FIXED - config.keys():
            return
    try:
        further = run_check(composed, run, composer)
    except OmegaConfBaseException:  # a value that cannot be resolved, which `check` has named
        if not command.faults:
            raise
        return
    for one in further:
        if one not in command.faults:
            command.faults.append(one)
