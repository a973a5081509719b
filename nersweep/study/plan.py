"""The plan of a study: its space, its seeds, its name, and everything that identifies it."""

import shlex
from collections.abc import Mapping, Sequence
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
from nersweep.config.flat import plain
from nersweep.config.overrides import for_people, setting_of
from nersweep.faults import Fault, UserError, shown
from nersweep.machine import files
from nersweep.machine.databases import Lock, public
from nersweep.run import plan as run_plan
from nersweep.run.plan import Plan
from nersweep.study import storage
from nersweep.study.changes import changes
from nersweep.study.check import conflicts
from nersweep.study.metric import check_metric, short_name
from nersweep.study.queue import make_pruner
from nersweep.study.space import Space, parse_space, seeds

IDENTITY = "about"  # the attribute of a study in the storage that holds its identity
NOT_SEARCHED = "not searched"


@dataclass(frozen=True)
class StudyPlan:
    """A study that a command describes.

    command: for people to read. url: of the storage. identity: all that is fixed and can change
    results, as stored with the study. example: the plan of one of its runs.
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


def make(config: DictConfig, overrides: Sequence[str], composer: Composer) -> StudyPlan:
    """Plan the study of a configuration, given the overrides of its command.

    Raises UserError for faults in space, settings and data.
    """
    space = search_space(config, composer.choice(overrides), composer)
    given = {}
    for override in overrides:
        given[setting_of(override)] = override.partition("=")[2]
    if faults := conflicts(given, space.dimensions):  # also where the value given is the default
        raise UserError(*faults)
    seed_list = seeds(config)
    plans = []
    for example in space.examples():
        run_overrides = [*space.fixed, *example, f"seed={seed_list[0]}"]
        plans.append(run_plan.make(check_overrides(composer, run_overrides)))
    check_metric(config.study.metric, plans[0].facts.labels)
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


def search_space(config: DictConfig, choice: Mapping[str, str], composer: Composer) -> Space:
    """Return the search space of a configuration. Raises UserError if it cannot be parsed."""
    dimensions, faults = parse_space(plain(config.study.space))
    if faults:
        raise UserError(*faults)
    searched = [dimension.name for dimension in dimensions]
    fixed = changes(config, choice, composer).overrides(without=searched)
    return Space(dimensions, fixed, composer)


def identify(
    config: DictConfig, space: Space, seed_list: Sequence[int], plans: Sequence[Plan]
) -> dict[str, Any]:
    """Return all that is fixed in a study and can change its results."""
    definitions = {}
    for dimension in space.dimensions:
        definitions[dimension.name] = "".join(dimension.text.split())
    fixed = []
    for override in space.fixed:
        name = setting_of(override)
        if settings.matters(name) and name != "seed":
            fixed.append(override)
    return {
        "space": definitions,
        "seeds": list(seed_list),
        "metric": short_name(config.study.metric),
        "direction": config.study.direction,
        "fixed": sorted(fixed),
        # stands for data, model and version, and for the source of each loss and head
        "runs": files.fingerprint([plan.fingerprint for plan in plans]),
    }


def default_name(config: DictConfig, overrides: Sequence[str], identity: dict[str, Any]) -> str:
    """Return study=OPTION's name and a hash: the same command, wherever its data lies."""
    option = "study"
    for override in overrides:
        if override.startswith("study="):
            option = override.partition("=")[2]
            break
    method = {"sampler": config.study.sampler, "pruner": config.study.pruner}
    fixed = [o for o in identity["fixed"] if not settings.is_source(setting_of(o))]
    return f"{option}-{files.fingerprint(identity | method | {'fixed': fixed})[:8]}"


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
    faults = []
    for key in ("seeds", "metric", "direction"):
        if before[key] != now[key]:
            faults.append(Fault(f"study.{key}", now[key], f"was {shown(before[key])}", remedy))
    for key in sorted(before["space"].keys() | now["space"].keys()):
        old = before["space"].get(key, NOT_SEARCHED)
        new = now["space"].get(key, NOT_SEARCHED)
        if old != new:
            faults.append(Fault(f"study.space.{key}", new, f"was {old}", remedy))
    same_runs = before["runs"] == now["runs"]  # then other files hold the same data
    removed = only_in(before["fixed"], now["fixed"], with_sources=not same_runs)
    added = only_in(now["fixed"], before["fixed"], with_sources=not same_runs)
    if removed or added:
        was = " ".join(removed) or "not set"
        faults.append(Fault(" ".join(added) or "nothing", must=f"was {was}", remedy=remedy))
    if not same_runs and not faults:
        must = (
            "began with other data, another model, precision or version, or other code of a loss "
            "or head"
        )
        faults.append(Fault("study.name", name, must, "set another name"))
    return faults


def only_in(overrides: Sequence[str], others: Sequence[str], with_sources: bool) -> list[str]:
    """Return the overrides that `others` lacks. with_sources: also those of data and model."""
    different = []
    for override in overrides:
        if override not in others and (
            with_sources or not settings.is_source(setting_of(override))
        ):
            different.append(override)
    return different
