"""The trials of a study, shared by its workers: which to run next, and when to stop."""

import warnings
import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from omegaconf import DictConfig
from optuna import pruners, samplers
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from nersweep import terminal
from nersweep.machine.databases import Lock, kind_of
from nersweep.study import lease
from nersweep.study.space import Space

DEFAULT_TRIALS = 20
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
FAILED = TrialState.FAIL
SECONDS = "seconds"  # the attribute of a trial with the seconds of training of each of its seeds


def make_sampler(name: str, seed: int) -> samplers.BaseSampler:
    """Return the sampler of one trial.

    Each trial has its own, seeded by its number: workers draw different numbers, and a study that
    was interrupted draws the same numbers as one that was not. A grid is enqueued, not sampled.
    """
    if name == "tpe":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)
    if name == "gp":
        return samplers.GPSampler(seed=seed)
    return samplers.RandomSampler(seed=seed)


def make_pruner(name: str, epochs: int) -> pruners.BasePruner:
    """Return the pruner of a study whose runs take this many epochs.

    median: after five trials, prune from the second epoch on what is below their median.
    hyperband: prune all but a quarter at epochs 1, 4, 16, …
    wilcoxon: compare the seeds of a trial with those of the best one.
    """
    if name == "median":
        return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=4)
    if name == "wilcoxon":
        return pruners.WilcoxonPruner()
    return pruners.NopPruner()


def grid(space: Space, config: DictConfig) -> list[dict[str, Any]]:
    """Return the parameters of each trial of a grid; nothing for another sampler."""
    return space.grid() if config.study.sampler == "grid" else []


def trial_count(points: Sequence[Any], config: DictConfig) -> int:
    """Return how many trials are to finish. points: of a grid."""
    most = len(points) or config.study.trials or DEFAULT_TRIALS
    return min(config.study.trials or most, most)


class Queue:
    """The trials that the workers of a study share. Methods that change them lock the study.

    points: the parameters of each trial of a grid. total: the number of trials to finish.
    is_local: all workers run on one machine, as SQLite requires. start: when this process joined
    the study; failures before that do not count.
    """

    def __init__(
        self, study: Study, storage: RDBStorage, lock: Lock, space: Space, config: DictConfig
    ):
        self.study, self.storage, self.lock, self.space = study, storage, lock, space
        self.points = grid(space, config)
        self.total = trial_count(self.points, config)
        self.sampler = config.study.sampler
        # rows that are tuned together draw from one design
        self.design = "tune" if config.tune.trials else study.study_name
        self.stop_at_failure = config.on_failure == "stop"
        self.is_local = kind_of(str(storage.url)) == "sqlite"
        self.start = datetime.now()

    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def running(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def ask(self) -> tuple[Trial, list[str]] | None:
        """Return a trial and its overrides: a waiting one first, else a new one.

        Returns None while other workers run all that is left.
        """
        with self.lock(self.study.study_name):
            self.requeue_orphans()
            trials = self.trials()
            states = [trial.state for trial in trials]
            busy = states.count(TrialState.RUNNING)
            if busy + sum(state in FINISHED for state in states) >= self.total:
                return None
            if self.points and TrialState.WAITING not in states:
                point = self.next_point(trials)
                if point is None:
                    return None
                self.study.enqueue_trial(self.points[point], user_attrs={"point": point})
            seed = zlib.crc32(f"{self.design}:{len(trials)}".encode())
            self.study.sampler = make_sampler(self.sampler, seed)
            trial = self.study.ask()
            trial.set_user_attr("lease", lease.current())
            return trial, self.space.suggest(trial)

    def next_point(self, trials: Sequence[FrozenTrial]) -> int | None:
        """Return the first point of the grid without a trial, or None.

        A point whose trial failed is tried again, once in each start of the study.
        """
        done = set()
        for trial in trials:
            if trial.state != FAILED or self.is_recent(trial):
                done.add(trial.user_attrs.get("point"))
        for point in range(len(self.points)):
            if point not in done:
                return point
        return None

    def is_recent(self, trial: FrozenTrial) -> bool:
        """True if the trial began after this process joined the study."""
        return trial.datetime_start is not None and trial.datetime_start >= self.start

    def is_over(self) -> bool:
        """True if there are enough trials, or none left to run.

        As many failures as trials to finish are enough too; with on_failure=stop, one is.
        """
        with self.lock(self.study.study_name):
            self.requeue_orphans()
            trials = self.trials()
        finished = failed = pending = 0
        for trial in trials:
            if trial.state in FINISHED:
                finished += 1
            elif trial.state != FAILED:
                pending += 1
            elif self.is_recent(trial):
                failed += 1
        if finished >= self.total or failed >= (1 if self.stop_at_failure else self.total):
            return True
        return bool(self.points) and not pending and self.next_point(trials) is None

    def has_other_workers(self) -> bool:
        """True while another process runs a trial."""
        return any(lease.is_foreign(trial, self.is_local) for trial in self.running())

    def reported_steps(self, trial: Trial) -> set[int]:
        """Return the steps for which the trial has reported a value."""
        return set(self.trials()[trial.number].intermediate_values)

    def requeue_orphans(self) -> None:
        """Queue trials again whose process died; fail those whose process died twice."""
        for trial in self.running():
            if not lease.is_dead(trial, self.is_local):
                continue
            deaths = trial.user_attrs.get("deaths", 0) + 1
            self.set_attribute(trial, "deaths", deaths)
            if deaths == 1:
                self.storage.set_trial_state_values(self.storage_id(trial), TrialState.WAITING)
                continue
            reason = "its process died twice"
            self.set_attribute(trial, "failed", reason)
            self.study.tell(trial.number, state=FAILED)
            terminal.print_faults([f"trial {trial.number}: {reason}"])

    def release(self, trial: Trial) -> None:
        """Put a trial back into the queue.

        The next worker continues it: same number, parameters and reports, runs from checkpoints.
        """
        with self.lock(self.study.study_name):
            self.storage.set_trial_state_values(self.storage_id(trial), TrialState.WAITING)

    def set_attribute(self, trial: FrozenTrial | Trial, name: str, value: Any) -> None:
        self.storage.set_trial_user_attr(self.storage_id(trial), name, value)

    def storage_id(self, trial: FrozenTrial | Trial) -> int:
        """Return the id of a trial in the storage."""
        study_id = self.storage.get_study_id_from_name(self.study.study_name)
        return self.storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
