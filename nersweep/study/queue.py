"""The trials of a study, shared by its workers: who takes which, and when there are enough of them."""

import io
import pickle
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from omegaconf import DictConfig
from optuna import pruners, samplers
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from nersweep import terminal
from nersweep.study import lease
from nersweep.study.space import Space
from nersweep.study.storage import Lock

TRIALS = 20
STATE = {
    "cmaes._cma": {"CMA"},
    "numpy": {"dtype", "ndarray"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
}
FINISHED, FAILED = (TrialState.COMPLETE, TrialState.PRUNED), TrialState.FAIL


class StateReader(pickle.Unpickler):
    """Reads the state of CMA-ES, which Optuna keeps pickled in the storage, where a stranger may have put another."""

    def find_class(self, module: str, name: str) -> Any:
        if name not in STATE.get(module, ()):
            raise ValueError(
                f"study.sampler=cmaes: the storage holds {module}.{name}, which is no state of CMA-ES"
            )
        return super().find_class(module, name)


class CmaEs(samplers.CmaEsSampler):
    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> Any:
        for trial in reversed(completed_trials):
            parts = {
                k: v
                for k, v in trial.system_attrs.items()
                if k.startswith(self._attr_key_optimizer)
            }
            if parts:
                return StateReader(
                    io.BytesIO(bytes.fromhex(self._concat_optimizer_attrs(parts)))
                ).load()
        return None


def make_sampler(name: str, seed: int) -> samplers.BaseSampler:
    """Made anew for each trial, from the number of the trial: so workers draw different numbers, and a study that was
    interrupted draws the same ones as one that was not. A grid is put into the queue, and samples nothing."""
    if name == "tpe":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)
    if name == "gp":
        return samplers.GPSampler(seed=seed)
    if name == "cmaes":
        return CmaEs(seed=seed, warn_independent_sampling=False)
    return samplers.RandomSampler(seed=seed)


def make_pruner(name: str, epochs: int) -> pruners.BasePruner:
    """The median of earlier trials ends one from its second epoch on, when there are five; Hyperband ends all but a
    quarter at epochs 1, 4, 16, …; Wilcoxon's test compares seeds with those of the best trial."""
    if name == "median":
        return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=4)
    return pruners.WilcoxonPruner() if name == "wilcoxon" else pruners.NopPruner()


def grid(space: Space, config: DictConfig) -> list[dict[str, Any]]:
    """The points of a grid; none for another sampler."""
    return space.points() if config.study.sampler == "grid" else []


def total(points: Sequence[Any], config: DictConfig) -> int:
    """How many trials are to finish."""
    most = len(points) or config.study.trials or TRIALS
    return min(config.study.trials or most, most)


@dataclass
class Queue:
    """What the workers of a study share. Each method holds the lock of the study."""

    study: Study
    storage: RDBStorage
    lock: Lock
    space: Space
    sampler: str
    points: list[dict[str, Any]]  # of a grid
    total: int
    stop: bool  # at the first trial that fails
    began: datetime = field(default_factory=datetime.now)

    @classmethod
    def of(
        cls, study: Study, storage: RDBStorage, lock: Lock, space: Space, config: DictConfig
    ) -> "Queue":
        points = grid(space, config)
        return cls(
            study=study,
            storage=storage,
            lock=lock,
            space=space,
            sampler=config.study.sampler,
            points=points,
            total=total(points, config),
            stop=config.on_failure == "stop",
        )

    @property
    def local(self) -> bool:
        """Do all workers work on one machine, as SQLite wants it?"""
        return str(self.storage.url).startswith("sqlite")

    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def take(self) -> tuple[Trial, list[str]] | None:
        """A trial and its overrides: one that waits, else a new one; None where others work on all that is left."""
        with self.lock(self.study.study_name):
            self.bury()
            trials = self.trials()
            count = sum(t.state in (*FINISHED, TrialState.RUNNING) for t in trials)
            if count >= self.total:
                return None
            if not any(t.state == TrialState.WAITING for t in trials) and self.points:
                if (left := self.left(trials)) is None:
                    return None
                self.study.enqueue_trial(self.points[left], user_attrs={"point": left})
            seed = zlib.crc32(f"{self.study.study_name}:{len(trials)}".encode())
            self.study.sampler = make_sampler(self.sampler, seed)
            trial = self.study.ask()
            trial.set_user_attr("lease", lease.here())
            return trial, self.space.draw(trial)

    def left(self, trials: list[FrozenTrial]) -> int | None:
        """The first point of the grid that is still to be tried. Those that failed are tried again, once in each
        start of the study."""
        tried = {
            t.user_attrs.get("point")
            for t in trials
            if t.state != TrialState.FAIL or self.recent(t)
        }
        return next((i for i in range(len(self.points)) if i not in tried), None)

    def recent(self, trial: FrozenTrial) -> bool:
        return trial.datetime_start is not None and trial.datetime_start >= self.began

    def over(self) -> bool:
        """Are there enough trials, or no more to be had? As many failed ones as were asked for are enough too, and one
        with on_failure=stop."""
        with self.lock(self.study.study_name):
            self.bury()
            trials = self.trials()
        if sum(t.state in FINISHED for t in trials) >= self.total:
            return True
        if sum(t.state == TrialState.FAIL and self.recent(t) for t in trials) >= (
            1 if self.stop else self.total
        ):
            return True
        pending = any(t.state in (TrialState.RUNNING, TrialState.WAITING) for t in trials)
        return bool(self.points) and not pending and self.left(trials) is None

    def twin_runs(self, trial: Trial) -> bool:
        """Does another worker work on the same values, since before?"""
        mine = (trial.datetime_start, trial.number)
        return any(
            t.params == trial.params
            and (t.datetime_start, t.number) < mine
            and not lease.dead(t, self.local)
            for t in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        )

    def others_work(self) -> bool:
        """Does another worker work on a trial?"""
        at_work = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return any(lease.of_another(trial, self.local) for trial in at_work)

    def told(self, trial: Trial) -> set[int]:
        """The steps that a trial has reported."""
        return set(self.trials()[trial.number].intermediate_values)

    def bury(self) -> None:
        """Trials whose process died are queued again, and have failed when that happens a second time."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if lease.dead(trial, self.local):
                deaths = trial.user_attrs.get("deaths", 0) + 1
                self.note(trial, {"deaths": deaths})
                if deaths == 1:
                    self.storage.set_trial_state_values(self.id_of(trial), TrialState.WAITING)
                else:
                    self.note(trial, {"failed": "its process died twice"})
                    self.study.tell(trial.number, state=TrialState.FAIL)
                    terminal.print_faults([f"trial {trial.number}: its process died twice"])

    def give_back(self, trial: Trial) -> None:
        """A trial that this process will not end: whoever takes it has its number, its values and what was reported,
        and its runs go on from their checkpoints."""
        with self.lock(self.study.study_name):
            self.storage.set_trial_state_values(self.id_of(trial), TrialState.WAITING)

    def note(self, trial: FrozenTrial, attributes: Mapping[str, Any]) -> None:
        for name, value in attributes.items():
            self.storage.set_trial_user_attr(self.id_of(trial), name, value)

    def id_of(self, trial: FrozenTrial | Trial) -> int:
        study_id = self.storage.get_study_id_from_name(self.study.study_name)
        return self.storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
