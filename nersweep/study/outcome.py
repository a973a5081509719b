"""What a study leaves: its run in the tracker, the best trial as a file, pictures, a table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import DictConfig
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nersweep.config.compose import Composer
from nersweep.config.flat import plain
from nersweep.faults import Unavailable
from nersweep.machine.databases import public
from nersweep.results.card import Card, read_card, write_card
from nersweep.study import export, pictures, storage
from nersweep.study.plan import IDENTITY, StudyPlan
from nersweep.study.queue import FINISHED, Queue
from nersweep.terminal import console, print_table
from nersweep.tracking import syncing
from nersweep.tracking import tracker as trackers
from nersweep.tracking.syncing import Syncing

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
    sync: Syncing = field(init=False)

    def __post_init__(self) -> None:
        tracker = trackers.of(self.config.tracking, Path(self.config.output_dir))
        self.sync = Syncing(tracker, self.folder)

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def folder(self) -> Path:
        return study_folder(self.config, self.name)

    @property
    def experiment(self) -> Path:
        """The file of the best trial."""
        given = self.config.study.export
        return (Path(given) if given else self.folder / "experiment" / "best.yaml").absolute()

    def begin(self) -> bool:
        """Show trackers that the study goes on. Returns False if the study is over already.

        The first start needs a tracker that answers; later ones go on without it.
        """
        if self.queue.is_over():
            return False
        try:
            self.sync.tracker.open()
        except Unavailable:
            if read_card(self.folder) is None:
                raise
        with self.queue.lock(self.name):
            write_card(self.folder, self.card("running"))
            self.sync.start()
        url = public(self.plan.url)
        console.print(f"study {self.name}: {self.queue.total} trials in {url}")
        return True

    def leave(self, status: str) -> None:
        """Show trackers that the study has ended early, unless another worker goes on.

        The next start opens it again.
        """
        with self.queue.lock(self.name):
            card = read_card(self.folder)
            if card and card.status == "running" and not self.queue.has_other_workers():
                card.status = status
                write_card(self.folder, card)
                self.sync.finish()

    def conclude(self) -> float:
        """Write files, sync the tracker, print the outcome and return the best value.

        The first worker to see that the study is over draws the pictures.
        """
        trials = self.queue.trials()
        best = ranking(trials, self.queue.study.direction)
        if best:
            self.export(best[0], len(trials))
        with self.queue.lock(self.name):
            self.write_final_card(trials, best)
            self.sync.finish()
        self.print(trials, best)
        tracker = self.sync.tracker
        if not syncing.sync_all(tracker, [*syncing.members(self.folder), self.folder]):
            console.print(
                f"to sync {tracker.name}, run the same command again, or python -m nersweep.sync"
            )
        return value_of(best[0]) if best else float("nan")

    def card(self, status: str) -> Card:
        """Return what trackers show of the study while it goes on."""
        params = {}
        for name in ("metric", "direction", "sampler", "pruner", "seeds"):
            params[name] = plain(self.config.study)[name]
        for name, text in self.queue.study.user_attrs[IDENTITY]["space"].items():
            params[f"space.{name}"] = text
        return Card(
            kind="study",
            name=f"study-{self.name}",
            experiment=self.config.tracking.experiment,
            params=params,
            tags={"kind": "study", "study": self.name},
            note=f"`{self.command}`",
            status=status,
        )

    def write_final_card(self, trials: Sequence[FrozenTrial], best: Sequence[FrozenTrial]) -> None:
        """Write what trackers show of the finished study; draw pictures if it has changed."""
        card = self.card("finished" if best else "failed")
        card.numbers = self.numbers(trials, best)
        card.step = sum(trial.state in FINISHED for trial in trials)
        before = read_card(self.folder)
        if before and (before.status, before.numbers) == (card.status, card.numbers):
            return
        if best:
            card.tags["best/trial"] = str(best[0].number)
            for name, value in self.queue.space.values(best[0].params).items():
                card.tags[f"best/{name}"] = str(value)
            for file in [*self.draw(), self.experiment]:
                card.files.append(str(file.absolute()))
        write_card(self.folder, card)

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


def study_folder(config: DictConfig, name: str) -> Path:
    return Path(config.output_dir) / "studies" / name
