"""Check the study of a configuration before anything is started."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nersweep.command.explain import Composed
from nersweep.config.check import check_overrides
from nersweep.config.compose import Composer
from nersweep.config.flat import plain
from nersweep.config.knobs import foreign_knob
from nersweep.config.overrides import setting_of, value_of
from nersweep.config.schema import StudyConfig
from nersweep.faults import Fault, UserError, reason
from nersweep.labels import LabelSet
from nersweep.machine.databases import kind_of
from nersweep.study.metric import check_metric, is_final, metric_name
from nersweep.study.space import Dimension, Space, parse_space

TUNED = ("storage",)  # settings of a study that tune.trials reads
# Scores that are better if lower, by the first part of their names.
LOWER = ("illegal_transitions", "calibration_error", "errors", "cross_entropy")
HYDRA_ERRORS = (HydraException, OmegaConfBaseException)  # raised where overrides do not compose


def study_faults(composed: Composed, overrides: Sequence[str], composer: Composer) -> list[Fault]:
    """Return the faults of the study of a configuration; none without a study.

    The configuration may have faults of its own. overrides: those of the command.
    """
    config, choice = composed.config, composed.choice
    dimensions, faults = parse_space(plain(config.study.space))
    faults += seed_faults(config.study.seeds) + setting_faults(config, dimensions)
    is_whole = not composed.faults and None not in choice.values()
    if faults or not dimensions or not is_whole:
        return faults
    space = Space.of(config, choice, composer)
    faults = option_faults(space)
    if not config.tune.trials:  # which searches around what a row sets
        faults += conflicts(space, overrides)
    return faults or trial_faults(space, choice)


def trial_faults(space: Space, choice: Mapping[str, str]) -> list[Fault]:
    """Compose and check trials that cover the space, and return their faults, each once."""
    try:
        probes = list(space.probes())
    except HYDRA_ERRORS as error:
        return [Fault("study.space", must=reason(error))]
    faults = inactive_faults(space, choice)
    reasons = set()
    for overrides in probes:
        try:
            check_overrides(space.composer, [*space.fixed, *overrides])
        except UserError as error:
            for fault in error.faults:
                if fault not in faults:
                    faults.append(fault)
        except HYDRA_ERRORS as error:
            if reason(error) not in reasons:
                reasons.add(reason(error))
                must = f"{' '.join(overrides)}: {reason(error)}"
                faults.append(Fault("study.space", must=must))
    return faults


def inactive_faults(space: Space, choice: Mapping[str, str]) -> list[Fault]:
    """Return a fault for each setting that exists with no combination of options."""
    faults = []
    active = space.ever_active()
    for dimension in space.settings:
        if dimension.name in active:
            continue
        setting = f"study.space.{dimension.name}"
        must = foreign_knob(dimension.name, choice) or "no such setting"
        faults.append(Fault(setting, dimension.text, must))
    return faults


def option_faults(space: Space) -> list[Fault]:
    """Return a fault for each option that does not exist."""
    faults = []
    for group in space.groups:
        for option in group.values:
            try:
                space.composer([f"{group.name}={option}"])
            except HYDRA_ERRORS:
                must = f"no such option: {option}"
                faults.append(Fault(f"study.space.{group.name}", group.text, must))
    return faults


def conflicts(space: Space, overrides: Sequence[str]) -> list[Fault]:
    """Return a fault for each setting that is searched and given a value, be it the default."""
    values: dict[str, Any] = {}
    for name, value in space.given.items():
        values[setting_of(name)] = value
    for override in overrides:
        values[setting_of(override)] = value_of(override)
    faults = []
    for dimension in space.dimensions:
        name = dimension.name
        if name in values:
            must = f"is searched by study.space.{name} too"
            faults.append(Fault(name, values[name], must, "leave one of them out"))
    return faults


def seed_faults(given: Any) -> list[Fault]:
    """Check study.seeds: a number of seeds, or a list of different ones."""
    value: Any = OmegaConf.to_container(given) if OmegaConf.is_list(given) else given
    if isinstance(value, list):
        valid = bool(value) and all(map(is_seed, value)) and len(set(value)) == len(value)
    else:
        valid = is_seed(value) and value >= 1
    if valid:
        return []
    must = "must be a number of seeds, or a list of different whole numbers such as [1,2,3]"
    return [Fault("study.seeds", value, must)]


def is_seed(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32


def precision_faults(config: DictConfig, why: str) -> list[Fault]:
    """Return a fault if the precision of runs is left to each of several machines."""
    dimensions, _ = parse_space(plain(config.study.space))
    precisions: Sequence[Any] = (config.train.precision,)
    for dimension in dimensions:
        if dimension.name == "train.precision":
            precisions = dimension.values
    if "auto" not in precisions:
        return []
    must = f"each machine chooses for itself, and {why}"
    return [Fault("train.precision", "auto", must, "set train.precision=bf16 or fp32")]


def setting_faults(config: DictConfig, dimensions: Sequence[Dimension]) -> list[Fault]:
    """Check the settings of a study, each by itself and against each other."""
    study = config.study
    if not dimensions and not study.space:
        return unused_faults(plain(study), bool(config.tune.trials))
    faults = []
    if study.name is not None and not re.fullmatch(r"\w[\w.-]{0,99}", study.name):
        must = "must be 1 to 100 letters, digits, -, _ and ., the first a letter, a digit or _"
        faults.append(Fault("study.name", study.name, must))
    if study.export is not None and not re.search(r"(^|/)experiment/[^/]+\.yaml$", study.export):
        remedy = "so that experiment=NAME finds it"
        must = "must be DIR/experiment/NAME.yaml"
        faults.append(Fault("study.export", study.export, must, remedy))
    if study.sampler == "grid":
        for d in dimensions:
            if not d.values:
                must, remedy = "study.sampler=grid needs values", "use choice(...) or range(...)"
                faults.append(Fault(f"study.space.{d.name}", d.text, must, remedy))
    if study.metric is not None:
        name = metric_name(config)
        faults += metric_faults(name)
        is_lower = is_final(name) and name.partition("/")[0] in LOWER
        if is_lower and study.direction == "maximize":
            must, remedy = f"the lower {name}, the better", "set study.direction=minimize"
            faults.append(Fault("study.direction", "maximize", must, remedy))
    faults += pruner_faults(config)
    faults += storage_faults(config)
    if config.rerun:
        remedy = "set another study.name for new ones"
        if config.tune.trials:
            remedy = "set another output_dir for new ones"
        faults.append(Fault("rerun", True, "a study keeps its trials", remedy))
    return faults


def storage_faults(config: DictConfig) -> list[Fault]:
    """Return the faults of the address of the storage, and of what a server asks of its runs."""
    from nersweep.study.storage import url_of  # imports Optuna, which only a study needs

    if not config.study.storage:
        return []
    try:
        url = url_of(config.study.storage, Path(str(config.output_dir)))
    except UserError as error:
        return list(error.faults)
    if kind_of(url) == "sqlite":
        return []
    return precision_faults(config, "study.storage is shared by several")


def unused_faults(study: Mapping[str, Any], is_tuned: bool) -> list[Fault]:
    """Return a fault for each setting of a study that is not read, as the command has no space.

    is_tuned: the rows of the command have studies of their own.
    """
    must, remedy = "nothing is searched", "set study=NAME or study.space.KNOB=interval(LOW,HIGH)"
    if is_tuned:
        must, remedy = "is not used with tune.trials", "leave it out"
    faults = []
    for name, default in asdict(StudyConfig()).items():
        if study[name] != default and not (is_tuned and name in TUNED):
            faults.append(Fault(f"study.{name}", study[name], must, remedy))
    return faults


def metric_faults(metric: str) -> list[Fault]:
    """Return the fault of a metric that no data have, whatever their types."""
    faults: Sequence[Fault] = ()
    for types in (metric.split("/"), ["TYPE"]):
        try:
            check_metric(metric, LabelSet(types))
            return []
        except UserError as error:
            faults = error.faults
    return list(faults)


def pruner_faults(config: DictConfig) -> list[Fault]:
    """Check the pruner against the seeds and the metric."""
    study, faults = config.study, []
    enough = "study.seeds=5 or more"
    if study.pruner == "wilcoxon" and not seed_faults(study.seeds):
        count = study.seeds if isinstance(study.seeds, int) else len(study.seeds)
        if count < 5:
            must = "prunes from the fourth seed on"
            faults.append(Fault("study.pruner", "wilcoxon", must, f"set {enough}"))
    name = metric_name(config)
    if is_final(name) and study.pruner not in ("wilcoxon", "none"):
        must = f"is known after the last epoch, and study.pruner={study.pruner} looks at each"
        remedy = f"set study.pruner=none, or study.pruner=wilcoxon with {enough}"
        setting = "metric" if study.metric is None else "study.metric"
        faults.append(Fault(setting, name, must, remedy))
    return faults
