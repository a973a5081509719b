"""A worker of a study: it takes a trial, trains its runs and reports them, until the study ends."""

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from omegaconf import DictConfig
from optuna.trial import FrozenTrial, Trial, TrialState

from nersweep import terminal
from nersweep.config.check import Checked, check_overrides
from nersweep.config.compose import Composer
from nersweep.evaluation.metrics import Scores
from nersweep.faults import Fault, UserError, fault_lines
from nersweep.machine import files, signals
from nersweep.results.folder import retry_while_claimed
from nersweep.results.result import FinishedResult
from nersweep.run import execute
from nersweep.run import plan as run_plan
from nersweep.study import lease, metric, plan, storage
from nersweep.study.outcome import Outcome, brief, ranking
from nersweep.study.plan import StudyPlan
from nersweep.study.queue import FAILED, SECONDS, Queue
from nersweep.terminal import console

POLL_SECONDS = 0.5  # between two looks at the trials of other workers


def work(config: DictConfig, overrides: Sequence[str], composer: Composer) -> float:
    """Work on the study of a configuration until it has all its trials; return the best value.

    The value is NaN if no trial is complete. overrides: those of the command. A trial that fails
    is printed and does not end the study. Ctrl-C and SIGTERM go through; the same command resumes.

    Raises UserError for faults in space, settings and data, for a study of the same name that
    searches something else, for a trial that fails with on_failure=stop, and, as Unavailable, for
    a storage that does not answer.
    """
    study_plan = plan.make(config, overrides, composer)
    files.writable(study_plan.output_dir)
    if study_plan.config.study.export:
        files.writable(study_plan.experiment.parent, "study.export", study_plan.experiment)
    store, lock = storage.open_storage(study_plan.url)
    try:
        study = plan.join(study_plan, store, lock)
        queue = Queue(study, store, lock, study_plan.space, config)
        outcome = Outcome(queue, study_plan)
        try:
            if outcome.begin():
                Worker(queue, study_plan).run()
            return outcome.conclude()
        except BaseException as error:
            outcome.leave("failed" if isinstance(error, Exception) else "killed")
            raise
    except storage.BROKEN as error:
        raise storage.unavailable(study_plan.url, error) from error


@dataclass
class Worker:
    """This process, with the trials that it takes from the queue."""

    queue: Queue
    plan: StudyPlan

    def run(self) -> None:
        """Run trials until the study is over."""
        waiting = False
        while not self.queue.is_over():
            with signals.deferral():
                next_trial = self.queue.ask()
            if next_trial:
                self.perform(*next_trial)
                continue
            if not waiting:
                console.print("waiting for the trials of other processes")
            waiting = True
            signals.end()
            time.sleep(POLL_SECONDS)

    def perform(self, trial: Trial, overrides: list[str]) -> None:
        """Run a trial and tell the study how it ended.

        What ends this process puts the trial back into the queue.
        """
        start = time.perf_counter()
        value, state = None, TrialState.PRUNED
        try:
            signals.end()
            with lease.renewal(trial):
                value, state = self.objective(trial, overrides), TrialState.COMPLETE
        except execute.Pruned:
            pass
        except storage.BROKEN:
            raise
        except BaseException as error:
            with signals.deferral():
                if signals.pending or not isinstance(error, Exception):
                    self.queue.release(trial)
                    raise
                self.fail(trial, overrides, error)
            return
        with signals.deferral():
            ended = self.queue.study.tell(trial, value, state, skip_if_finished=True)
        self.print_trial(ended, overrides, time.perf_counter() - start)
        signals.end()

    def fail(self, trial: Trial, overrides: list[str], error: Exception) -> None:
        """Tell the study that a trial failed, and print why. Raises with on_failure=stop."""
        lines = fault_lines(error)
        self.queue.set_attribute(trial, "failed", lines[0])
        self.queue.study.tell(trial, state=FAILED, skip_if_finished=True)
        place = f"trial {trial.number} ({brief(overrides)})"
        faults = [Fault(place, must=line) for line in lines]
        if self.plan.config.on_failure == "stop":
            raise UserError(*faults) from error
        terminal.print_faults(map(str, faults))

    def objective(self, trial: Trial, overrides: list[str]) -> float:
        """Return the value of a trial: the mean of the metric over its seeds.

        Reports each epoch of the first seed or, for Wilcoxon's test, each seed. Raises Pruned.
        """
        name = metric.metric_name(self.plan.config)
        by_seed = self.plan.config.study.pruner == "wilcoxon"
        by_epoch = not by_seed and not metric.is_final(name)
        steps = self.queue.reported_steps(trial)
        values: list[float] = []
        seconds: list[float] = []
        for index, seed in enumerate(self.plan.seeds):
            run_overrides = [*self.plan.space.fixed, *overrides, f"seed={seed}"]
            checked = check_overrides(self.plan.space.composer, run_overrides)
            last = checked.settings.train.epochs if len(self.plan.seeds) == 1 else None
            reporter = Reporter(trial, name, index, steps, last, by_epoch and index == 0)
            result = self.run_once(checked, run_overrides, reporter)
            reporter.count_epochs(result.epochs)
            values.append(metric.score(name, result))
            seconds.append(result.seconds.train)
            trial.set_user_attr("values", values)
            trial.set_user_attr(SECONDS, seconds)
            if by_seed and index not in steps:
                trial.report(values[-1], index)
                if index + 1 < len(self.plan.seeds) and trial.should_prune():
                    raise execute.Pruned(f"after {index + 1} seeds")
        return statistics.fmean(values)

    def run_once(
        self, checked: Checked, overrides: list[str], reporter: "Reporter"
    ) -> FinishedResult:
        """Return the result of a run; wait if another sweep or study is running it."""

        def make() -> FinishedResult:
            with quiet():
                prepared = run_plan.make(checked)
                return execute.execute(prepared, overrides, self.plan.folder, reporter)

        return retry_while_claimed(make)

    def print_trial(self, trial: FrozenTrial, overrides: list[str], seconds: float) -> None:
        """Print a line for a trial that has ended."""
        name = metric.metric_name(self.plan.config)
        ending = f"lost, at {name}"
        if trial.state == TrialState.COMPLETE:
            ending = name
        elif trial.state == TrialState.PRUNED:
            ending = f"pruned at {name}"
        if trial.value is not None:
            ending += f" {trial.value:.4f}"
        line = f"trial {trial.number}: {brief(overrides)}: {ending}"
        if best := ranking(self.queue.trials(), self.queue.study.direction):
            line += f"; best {best[0].value:.4f}, of trial {best[0].number}"
        console.print(f"{line} ({seconds:.1f} s)")


@dataclass
class Reporter:
    """Reports each epoch of a run to its trial, and raises Pruned when the pruner says so.

    Epochs that the trial reported before it was resumed are decided, except the last of them:
    the process may have ended before the decision.

    index: the run's place among the seeds of the trial. steps: the epochs reported before.
    last: the epoch after which there is nothing to save. enabled: the run's epochs are reported.
    """

    trial: Trial
    metric: str
    index: int
    steps: set[int]
    last: int | None
    enabled: bool

    def __call__(self, epoch: int, dev: Scores) -> None:
        if not self.enabled or epoch < max(self.steps, default=0):
            return
        if epoch not in self.steps:
            self.trial.report(metric.score_of_epoch(self.metric, dev), epoch)
        if epoch != self.last and self.trial.should_prune():
            self.count_epochs(epoch)
            raise execute.Pruned(f"after epoch {epoch}")

    def count_epochs(self, epochs: int) -> None:
        """Store how many epochs the run took."""
        before = self.trial.user_attrs.get("epochs", [])
        self.trial.set_user_attr("epochs", [*before[: self.index], epochs])


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the console: the runs of a study print nothing."""
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before
