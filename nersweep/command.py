"""What was typed after `python -m nersweep`, checked before Hydra starts anything: all faults at once."""

import argparse
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nersweep.compose import Composer
from nersweep.config import SECTIONS, describe
from nersweep.faults import Faults, Knob, fault_lines, flat, knobs, not_read, options_of, reason, without_seed

if TYPE_CHECKING:
    from nersweep.plan import Checked  # torch costs seconds, which the help need not pay

COMPOSITION = (HydraException, OmegaConfBaseException, ValueError)  # what Hydra raises while it composes

# Options of Hydra's that are refused, and why.
REFUSED = {
    "config_path": "nersweep's own options would be missing; type --config-dir=DIR for further ones",
    "config_name": "type experiment=NAME, with a file experiment/NAME.yaml in --config-dir=DIR",
    "experimental_rerun": "a pickle can run anything; type the run's command again",
}

# What a file of --config-dir may set in Hydra's own section, and what Hydra writes there itself.
OF_A_FILE = ("mode", "sweeper.params")
PLACES = ("output_dir", "tracking.uri", "study.storage", "study.export")  # where something is sent to or written
BY_HYDRA = ("runtime", "overrides", "searchpath", "job.override_dirname")

# Launchers of plugins, by what is typed for them, as docs/scale.md says.
PLUGINS = {"joblib": "pip install -e '.[parallel]'", "ray": "make ray"}
PLUGINS |= dict.fromkeys(("submitit_local", "submitit_slurm"), "pip install -e '.[slurm]'")

# Where Hydra's own classes are. Not all of hydra.: hydra.utils.get_object would import anything.
HYDRA_ROOMS = ("hydra._internal.core_plugins.", "hydra.experimental.callbacks.", "hydra_plugins.")


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
        raise ValueError(f"--package={typed.package}: is a part of what --cfg shows; type --cfg job with it")
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
        foreign_of: dict[tuple[str, ...], list[str]] = {}  # Hydra's own section is the same for the same options
        for setting, run in {without_seed(run): run for run in command.runs}.items():
            config, taken, lines = sift(run, composer)
            section = HydraConfig.instance().cfg.hydra
            options, _ = composer.split(taken)
            if options not in foreign_of:
                foreign_of[options] = foreign_hydra(section)
            foreign = foreign_of[options] + of_a_file(section, taken, composer) + foreign_targets(config)
            foreign += addresses(config, {o.key_or_group for o in overrides}, composer)
            unmade = unswept(section, run, composer)
            command.faults += lines + foreign + unmade
            if config.get("report") is True and not unmade and (not command.many or config.study.space):
                command.faults.append("report=true: is for a sweep of runs; type python -m nersweep.report afterwards")
            if not (foreign or shown):
                check(command, setting, config)
    return command


def as_hydra_takes_it(argument: str) -> str:
    """study.space.focal_gamma=interval(0,5), which Hydra would take for a sweep of its own and for a setting that is
    not there, as ++study.space.focal_gamma='interval(0,5)'. Other arguments as they are."""
    found = re.fullmatch(r"\+{0,2}(study\.space\.[^=]+)=(.*)", argument, re.S)
    if not found or re.match(r"""['"\[]""", found[2]):
        return f"++{argument.lstrip('+')}" if found else argument
    return f"++{found[1]}='" + found[2].replace("'", "\\'") + "'"


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
            lines.append(f"{override}: cannot be read; write name=value, with quotes around special characters")
    return parsed, lines


def unfold(command: Command, overrides: Sequence[Override], multirun: bool) -> None:
    """The overrides of each run: of one, or, as Hydra's sweeper unfolds them, of the many of a multirun."""
    plain = tuple(o.input_line for o in overrides if not o.is_sweep_override())
    sweeps = [o for o in overrides if o.is_sweep_override()]
    section = whole(plain, command.composer).hydra
    command.many = multirun or section.mode == RunMode.MULTIRUN
    if not command.many:
        command.runs = [plain]
        command.faults += [f"{o.input_line}: a sweep needs -m; for one value put quotes around it" for o in sweeps]
        return
    preset, faults = parse([f"{key}={value}" for key, value in params(section).items()], command.composer)
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
        if o.is_sweep_override() and not (o.is_discrete_sweep() and any(True for _ in o.sweep_iterator()))
    ]
    command.faults += faults
    command.runs = [] if faults else [tuple(run) for run in BasicSweeper.split_arguments(every, None)[0]]
    if section.runtime.choices.experiment == "recommended":
        command.runs = as_recommended(command.runs, command.composer)


def as_recommended(runs: Sequence[tuple[str, ...]], composer: Composer) -> list[tuple[str, ...]]:
    """Each run with each setting that the diagnosis of its data recommends; of two for the same, what was typed is
    taken. A run with faults, which are told later, stays as it is. Raises ValueError for what is wrong in the data."""
    from nersweep.recommendation import recommended

    settings: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for run in {without_seed(run): run for run in runs}.values():
        try:
            settings[without_seed(run)] = recommended(sift(run, composer)[0])
        except Faults:
            settings[without_seed(run)] = [()]
    return [(*setting, *run) for run in runs for setting in settings[without_seed(run)]]


def params(section: DictConfig) -> Mapping[str, Any]:
    """What Hydra's own section sweeps without being typed, as a preset does."""
    return section.sweeper.get("params") or {}


def whole(overrides: Sequence[str], composer: Composer) -> DictConfig:
    """The configuration, with Hydra's section, of those overrides that compose."""
    return composer.whole(tuple(sift(overrides, composer)[1]))


def sift(overrides: Sequence[str], composer: Composer) -> tuple[DictConfig, Sequence[str], list[str]]:
    """The configuration of those overrides that compose, those overrides, and a line for each of the others.

    Hydra stops at its first fault. So they are added one by one, options of groups first, because these decide which
    settings there are. What depends on an option that does not exist is neither taken nor told.
    """
    try:
        return composer(overrides), overrides, []
    except COMPOSITION:
        pass
    config, taken, lost, lines = composer([]), [], set(), {}
    for override in sorted(map(composer.parsed, overrides), key=lambda o: not composer.options(o.key_or_group)):
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
    section, group = key.partition(".")[0], "/".join(key.split(".")[:2])  # hydra/launcher of hydra.launcher.n_jobs
    return {section, group} | {knob.group for knob in knobs() if key in (knob.name, knob.feeds)}


def composition_line(override: Override, error: Exception, config: DictConfig, composer: Composer) -> str:
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
        return f"{typed}: {reason(error)}" if override.value() in offered else no_option(override, offered)
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
    return not_read(typed, key, choices) or f"{typed}: no such setting; {beside(config, key, choices)}"


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


def foreign_targets(config: DictConfig) -> list[str]:
    """A line for each _target_ at a place that names no class. Those of our sections are for plan.check."""
    return [
        f"{key}={value}: a class can be named only as SECTION._target_, or in loss.terms"
        for key, value in targets(OmegaConf.to_container(config))
        if not re.fullmatch(r"\w+\._target_|loss(\.terms\.\w+)+\._target_", key)
    ]


def foreign_hydra(section: DictConfig) -> list[str]:
    """A line for each _target_ in Hydra's own section that is none of Hydra's: it would import and call it, as its
    callbacks for example."""
    return [
        f"hydra.{key}={value}: must be a class of Hydra's"
        for key, value in targets(OmegaConf.to_container(section))
        if not str(value).startswith(HYDRA_ROOMS)
    ]


def of_a_file(section: DictConfig, overrides: Sequence[str], composer: Composer) -> list[str]:
    """A line where a file of --config-dir sets more in Hydra's own section than a sweep. Logging calls what it is told
    to, a launcher gives lines to a shell, the environment reaches every process: all of that must be typed."""
    if not composer.folder:
        return []
    typed = tuple(o for o in overrides if composer.parsed(o).is_hydra_override())
    try:
        mine, theirs = settled(composer.without_files(typed).hydra), settled(section)
    except COMPOSITION:  # what was typed is an option of the folder
        return [f"{' '.join(typed)}: must be an option of Hydra's or of its plugins, and no file of --config-dir"]
    told = OmegaConf.to_container(section.overrides)
    foreign = {"overrides"} if {*told["hydra"], *told["task"]} - {*overrides, *composer.more} else set()
    foreign |= {key.partition(".")[0] for key, _ in mine.items() ^ theirs.items()}
    names = ", ".join(f"hydra.{name}" for name in sorted(foreign))
    allowed = " and ".join(f"hydra.{name}" for name in OF_A_FILE)
    return [f"{names}: set by a file of --config-dir, which may set only {allowed} there; type it"] if foreign else []


def addresses(config: DictConfig, typed: set[str], composer: Composer) -> list[str]:
    """A line for what a file of --config-dir sets that is not a stranger's to say: where something is sent to or
    written, and what calls a resolver, as ${oc.env:TOKEN} does. typed: the names on the command line, to which what a
    preset sweeps does not belong."""
    if not composer.folder:
        return []
    values = flat(OmegaConf.to_container(config))
    theirs = {key: str(value) for key, value in values.items() if value and key not in typed}
    usual = composer.without_files(())
    lines = [
        f"{key}={theirs[key]}: set by a file of --config-dir; type it"
        for key in PLACES
        if key in theirs and theirs[key] != str(OmegaConf.select(usual, key))
    ]
    for key, value in theirs.items():
        rest = re.sub(r"\$\{hydra:runtime\.choices\.\w+\}", "", value)
        if "${" in rest and ":" in rest:
            lines.append(f"{key}={value}: a file of --config-dir takes values from other settings alone; type it")
    return lines


def settled(section: DictConfig) -> dict[str, str]:
    """Hydra's own section, without what a file may set and what Hydra itself writes."""
    apart = tuple(f"{name}." for name in OF_A_FILE + BY_HYDRA)
    leaves = flat(OmegaConf.to_container(section))
    return {key: repr(value) for key, value in leaves.items() if not f"{key}.".startswith(apart)}


def unswept(section: DictConfig, run: Sequence[str], composer: Composer) -> list[str]:
    """A line for each sweep of a preset that the command does not take: it is no multirun, or sweeps the preset."""
    taken = {composer.parsed(o).key_or_group for o in run}
    return [
        f"hydra.sweeper.params.{key}={value}: not swept here; type -m, and one experiment"
        for key, value in params(section).items()
        if key not in taken
    ]


def targets(config: Mapping[str, Any] | Sequence[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items() if isinstance(config, Mapping) else enumerate(config):
        if key == "_target_":
            yield f"{prefix}{key}", value
        elif isinstance(value, Mapping | list):
            yield from targets(value, f"{prefix}{key}.")


def check(command: Command, setting: tuple[str, ...], config: DictConfig) -> None:
    """Keeps what plan.check gives for a setting, as composed, or what is wrong with it or with its study."""
    from nersweep import plan  # torch costs seconds, which the help need not pay
    from nersweep.study import space

    try:
        command.checked[setting] = plan.check(config)
    except Exception as error:
        command.faults += fault_lines(error)
    else:
        command.faults += space.faults(config, command.composer)
