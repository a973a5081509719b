"""What a study leaves: its run in the tracker, the best trial as a file, pictures, a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nersweep import tracking
from nersweep.config.check import check_overrides
from nersweep.config.compose import Composer
from nersweep.config.flat import plain
from nersweep.machine.databases import public
from nersweep.results.result import read_run
from nersweep.run import plan as run_plan
from nersweep.run import publish
from nersweep.study import export, pictures, storage
from nersweep.study.plan import IDENTITY, StudyPlan
from nersweep.study.queue import FINISHED, Queue
from nersweep.terminal import console, print_table

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
MAX_ROWS = 5  # of the table of the best trials


def ranking(trials: Sequence[FrozenTrial], direction: StudyDirection) -> list[FrozenTrial]:
    """Return the complete trials, best first."""

    def order(trial: FrozenTrial) -> tuple[float, int]:
        value = value_of(trial)
        return (-value if direction == StudyDirection.MAXIMIZE else value, trial.number)

    return sorted((t for t in trials if t.state == TrialState.COMPLETE), key=order)


def value_of(trial: FrozenTrial) -> float:
    """Return the value of a complete trial."""
    assert trial.value is not None
    return trial.value


def brief(overrides: Sequence[str]) -> str:
    """Return overrides as a line of text, with numbers of six digits."""
    parts = []
    for override in overrides:
        name, _, value = override.partition("=")
        try:
            parts.append(f"{name}={float(value):.6g}")
        except ValueError:
            parts.append(override)
    return " ".join(parts)


def count(trials: Sequence[FrozenTrial], state: TrialState) -> int:
    """Return how many trials are in this state."""
    return sum(trial.state == state for trial in trials)


@dataclass
class Outcome:
    """The outcome of a study, in its folder output_dir/studies/NAME.

    command: the command of the study, for people to read.
    """

    queue: Queue
    plan: StudyPlan
    config: DictConfig
    composer: Composer
    command: str
    tracker: tracking.Run | tracking.Away | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def folder(self) -> Path:
        return Path(self.config.output_dir) / "studies" / self.name

    @property
    def experiment(self) -> Path:
        """The file of the best trial."""
        given = self.config.study.export
        return (Path(given) if given else self.folder / "experiment" / "best.yaml").absolute()

    def begin(self) -> bool:
        """Open the study's run in the tracker. Returns False if the study is over already."""
        if self.queue.is_over():
            return False
        with self.queue.lock(self.name):
            self.open_run({})
        url = public(self.plan.url)
        console.print(f"study {self.name}: {self.queue.total} trials in {url}")
        return True

    def leave(self, status: str) -> None:
        """End the study's run in the tracker early, unless another worker goes on.

        The next start opens it again.
        """
        over = self.queue.is_over()
        with self.queue.lock(self.name):
            concluded = over and self.is_concluded(self.queue.trials())
            if self.tracker and not (concluded or self.queue.has_other_workers()):
                self.tracker.finish(status)

    def conclude(self) -> float:
        """Write files, update the tracker, print the outcome and return the best value.

        The first worker to see that the study is over writes the files.
        """
        trials = self.queue.trials()
        best = ranking(trials, self.queue.study.direction)
        if best:
            self.export(best[0], len(trials))
        tracked = self.track_outcome(trials, best)
        self.print(trials, best)
        if not (tracked and self.track_runs(trials)):
            console.print("to bring MLflow up to date, run the same command again")
        return value_of(best[0]) if best else float("nan")

    def export(self, trial: FrozenTrial, trials: int) -> None:
        """Write the best trial as an experiment."""
        space = self.queue.space
        export.write_experiment(
            self.experiment, trial, trials, space, self.config, self.composer, self.command
        )

    def draw(self) -> list[Path]:
        """Draw the pictures of the study."""
        return pictures.draw(self.queue.study, self.folder, self.config.study.metric)

    def numbers(
        self, trials: Sequence[FrozenTrial], best: Sequence[FrozenTrial]
    ) -> dict[str, float]:
        """Return what trackers show of the study: the best trial, counts of trials and epochs."""
        numbers: dict[str, float] = {}
        if best:
            numbers[f"best/{self.config.study.metric}"] = value_of(best[0])
            for name, value in self.queue.space.values(best[0].params).items():
                if isinstance(value, int | float):
                    numbers[f"best/{name}"] = value
        for state in STATES:
            numbers[f"trials/{state.name.lower()}"] = count(trials, state)
        numbers["epochs"], numbers["epochs/without_pruning"] = self.epochs(trials)
        return numbers

    def epochs(self, trials: Sequence[FrozenTrial]) -> tuple[int, int]:
        """Return the epochs of all finished trials, and the epochs that all would have taken."""
        actual = planned = 0
        whole = self.plan.example.train.epochs * len(self.plan.seeds)
        for trial in trials:
            if trial.state in FINISHED:
                epochs = sum(trial.user_attrs.get("epochs", []))
                actual += epochs
                planned += epochs if trial.state == TrialState.COMPLETE else whole
        return actual, planned

    def print(self, trials: Sequence[FrozenTrial], best: Sequence[FrozenTrial]) -> None:
        """Print the best trials, what pruning saved, and how to go on from there."""
        counts = []
        for state, word in STATES.items():
            if number := count(trials, state):
                counts.append(f"{number} {word}")
        rows = []
        for trial in best[:MAX_ROWS]:
            overrides = self.queue.space.overrides(trial.params)
            rows.append([str(trial.number), brief(overrides), f"{trial.value:.4f}"])
        title = f"\nstudy {self.name}: {', '.join(counts)}"
        print_table(title, ["trial", "settings", self.config.study.metric], rows)
        actual, planned = self.epochs(trials)
        if actual < planned:
            console.print(f"pruning saved {planned - actual} of {planned} epochs")
        if best:
            command = export.rerun_command(
                self.experiment, best[0], self.queue.space, self.config, self.composer.folder
            )
            console.print(f"best: {command}")
            console.print(f"files: {self.folder}")
        console.print(f"dashboard: {storage.dashboard_command(self.plan.url)}")

    # The tracker

    def is_concluded(self, trials: Sequence[FrozenTrial]) -> bool:
        """True if the tracker has the outcome of these trials."""
        ended = sum(trial.state.is_finished() for trial in trials)
        return bool(self.queue.study.user_attrs.get("concluded") == ended)

    def open_run(self, tags: dict[str, Any]) -> tracking.Run | tracking.Away:
        """Open the study's run in the tracker; it may be away once it knows the study."""
        study, output_dir = self.queue.study, Path(self.config.output_dir)
        run_id = study.user_attrs.get("run_id")
        params = plain(self.config.study)
        for name in params.keys() - {"metric", "direction", "sampler", "pruner", "seeds"}:
            del params[name]
        for name, text in study.user_attrs[IDENTITY]["space"].items():
            params[f"space.{name}"] = text
        try:
            self.tracker = tracking.Run.start(
                tracking.open_store(self.config.tracking.uri, output_dir),
                output_dir,
                run_id=run_id,
                experiment=self.config.tracking.experiment,
                name=f"study-{self.name}",
                params=params,
                tags={
                    "kind": "study",
                    "study": self.name,
                    "folder": self.folder.absolute(),
                    **tags,
                },
                note=f"`{self.command}`",
            )
        except ConnectionError as error:
            if run_id is None:
                raise
            self.tracker = tracking.Away(run_id, str(error))
        if run_id != self.tracker.id:
            study.set_user_attr("run_id", self.tracker.id)
        return self.tracker

    def track_outcome(self, trials: Sequence[FrozenTrial], best: Sequence[FrozenTrial]) -> bool:
        """Bring the study's run in the tracker up to date; return whether it is."""
        study = self.queue.study
        with self.queue.lock(self.name):
            if self.is_concluded(trials):
                return True
            tags = {}
            if best:
                for name, value in self.queue.space.values(best[0].params).items():
                    tags[f"best/{name}"] = value
                tags["best/trial"] = best[0].number
            tracker = self.open_run(tags)
            finished = sum(trial.state in FINISHED for trial in trials)
            tracker.metrics(self.numbers(trials, best), step=finished)
            if best:
                for file in [*self.draw(), self.experiment]:
                    tracker.artifact(file)
            tracker.finish("finished" if best else "failed")
            if tracker.ended:
                ended = sum(trial.state.is_finished() for trial in trials)
                study.set_user_attr("concluded", ended)
            return tracker.ended

    def track_runs(self, trials: Sequence[FrozenTrial]) -> bool:
        """Bring the runs of all trials in the tracker up to date; return whether they are.

        Without the study's lock, because this may take long.
        """
        study = self.queue.study
        ended = sum(trial.state.is_finished() for trial in trials)
        if study.user_attrs.get("told") == ended:
            return True
        complete = publish.catch_up(self.untracked_runs(trials), study.user_attrs["run_id"])
        study.set_user_attr("told", ended if complete else None)
        return complete

    def untracked_runs(
        self, trials: Sequence[FrozenTrial]
    ) -> Iterator[tuple[run_plan.Plan, list[str]]]:
        """Yield the runs that ended while the tracker was away, with their overrides."""
        space = self.queue.space
        for trial in trials:
            if not trial.state.is_finished():
                continue
            for seed in self.plan.seeds:
                overrides = [*space.fixed, *space.overrides(trial.params), f"seed={seed}"]
                try:
                    checked = check_overrides(self.composer, overrides)
                    folder, fingerprint = run_plan.place(checked)
                except ValueError:  # the reason why the trial failed
                    continue
                result = read_run(folder, fingerprint)
                if result and result.untracked:
                    yield run_plan.make(checked), overrides
