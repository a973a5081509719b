"""The plan of a study: its space, its seeds, its name, and everything that identifies it."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial

from nersweep.config import settings
from nersweep.config.check import check_overrides
from nersweep.config.compose import Composer
from nersweep.config.overrides import for_people, setting_of, value_of
from nersweep.faults import UNSET, Fault, UserError, shown
from nersweep.machine import files
from nersweep.machine.databases import Lock, public
from nersweep.run import plan as run_plan
from nersweep.run.plan import Plan
from nersweep.study import storage
from nersweep.study.metric import check_metric, metric_name
from nersweep.study.queue import make_pruner
from nersweep.study.space import Space, seeds

IDENTITY = "identity"  # the attribute of a study in the storage that holds its identity
RUNS = "runs"  # its entry that stands for all the runs


@dataclass(frozen=True)
class StudyPlan:
    """A study that a command describes.

    command: for people to read. url: of the storage. identity: all that is fixed and can change
    results, by setting, as stored with the study. example: the plan of one of its runs.
    """

    name: str
    command: str
    config: DictConfig
    url: str
    space: Space
    seeds: Sequence[int]
    identity: dict[str, Any]
    example: Plan

    @property
    def output_dir(self) -> Path:
        return Path(self.config.output_dir)

    @property
    def folder(self) -> Path:
        return self.output_dir / "studies" / self.name

    @property
    def experiment(self) -> Path:
        """The file of the best trial."""
        given = self.config.study.export
        return Path(given or self.folder / "experiment" / "best.yaml").absolute()


def make(config: DictConfig, overrides: Sequence[str], composer: Composer) -> StudyPlan:
    """Plan the study of a configuration, given the overrides of its command.

    Raises UserError for faults in space, settings and data.
    """
    space = Space.of(config, composer.choice(overrides), composer)
    seed_list = seeds(config)
    plans = []
    for example in space.examples():
        run_overrides = [*space.fixed, *example, f"seed={seed_list[0]}"]
        plans.append(run_plan.make(check_overrides(composer, run_overrides)))
    check_metric(metric_name(config), plans[0].facts.labels)
    identity = identify(config, space, seed_list, plans)
    return StudyPlan(
        name=config.study.name or default_name(config, overrides, identity),
        command=command_of(overrides, composer.folder),
        config=config,
        url=storage.url_of(config.study.storage, Path(config.output_dir)),
        space=space,
        seeds=seed_list,
        identity=identity,
        example=plans[0],
    )


def identify(
    config: DictConfig, space: Space, seed_list: Sequence[int], plans: Sequence[Plan]
) -> dict[str, Any]:
    """Return all that is fixed in a study and can change its results, by setting."""
    identity: dict[str, Any] = {
        "study.seeds": list(seed_list),
        "study.metric": metric_name(config),
        "study.direction": config.study.direction,
    }
    for dimension in space.dimensions:
        identity[f"study.space.{dimension.name}"] = "".join(dimension.text.split())
    for override in relevant(space.fixed):
        identity[setting_of(override)] = value_of(override)
    # for data, model and version, and for the source of each loss and head
    identity[RUNS] = files.fingerprint([plan.fingerprint for plan in plans])
    return identity


def relevant(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that change the results of a study, whose seeds are its own."""
    own = []
    for override in overrides:
        name = setting_of(override)
        if settings.matters(name) and name != "seed":
            own.append(override)
    return own


def default_name(config: DictConfig, overrides: Sequence[str], identity: dict[str, Any]) -> str:
    """Return study=OPTION's name and a hash: the same command, wherever its data lies."""
    option = "tune" if config.tune.trials else "study"
    for override in overrides:
        if override.startswith("study="):
            option = override.partition("=")[2]
            break
    contents: dict[str, Any] = {"sampler": config.study.sampler, "pruner": config.study.pruner}
    for name, value in identity.items():
        if not settings.is_source(name):
            contents[name] = value
    return f"{option}-{files.fingerprint(contents)[:8]}"


def command_of(overrides: Sequence[str], folder: str | None) -> str:
    """Return the command with these overrides, without passwords and the tracker's address."""
    arguments = ["--config-dir", folder] if folder else []
    for override in overrides:
        if not override.startswith("tracking.uri="):
            arguments.append(public(for_people(override)))
    return shlex.join(["python", "-m", "nersweep", *arguments])


def join(plan: StudyPlan, store: RDBStorage, lock: Lock) -> Study:
    """Return the study of this plan; the first worker creates it.

    Raises UserError if a study of this name searches something else.
    """
    settings = plan.config.study
    with lock(plan.name):
        study = optuna.create_study(
            study_name=plan.name,
            storage=store,
            direction=settings.direction,
            pruner=make_pruner(settings.pruner, plan.example.train.epochs),
            load_if_exists=True,
        )
        if not study.get_trials(deepcopy=False) and IDENTITY not in study.user_attrs:
            study.set_user_attr(IDENTITY, plan.identity)
    check_same(study, plan)
    return study


def trials(plan: StudyPlan) -> list[FrozenTrial]:
    """Return the trials that the study has so far; create nothing. Raises as `join` does."""
    try:
        store = storage.existing_storage(plan.url)
        if store is None or plan.name not in optuna.get_all_study_names(store):
            return []
        study = optuna.load_study(study_name=plan.name, storage=store)
        check_same(study, plan)
        return study.get_trials(deepcopy=False)
    except storage.BROKEN as error:
        raise storage.unavailable(plan.url, error) from error


def check_same(study: Study, plan: StudyPlan) -> None:
    """Raise UserError with a fault for each way in which a stored study differs from the plan."""
    before = study.user_attrs.get(IDENTITY)
    if before is None:
        must = "the storage has a study of this name that another program created"
        raise UserError(Fault("study.name", plan.name, must, "set another name"))
    if faults := contradictions(plan.name, before, plan.identity):
        raise UserError(*faults)


def contradictions(name: str, before: dict[str, Any], now: dict[str, Any]) -> list[Fault]:
    """Return a fault for each difference between two identities."""
    remedy = f"the study {name} began that way: set it back, or set another study.name"
    same_runs = before[RUNS] == now[RUNS]  # then other files hold the same data
    faults = []
    for setting in before | now:
        if setting == RUNS or (same_runs and settings.is_source(setting)):
            continue
        old, new = before.get(setting, UNSET), now.get(setting, UNSET)
        if old != new:
            must = "was not set" if old is UNSET else f"was {shown(old)}"
            faults.append(Fault(setting, new, must, remedy))
    if not same_runs and not faults:
        must = (
            "began with other data, another model, precision or version, or other code of a loss "
            "or head"
        )
        faults.append(Fault("study.name", name, must, "set another name"))
    return faults
