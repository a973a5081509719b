"""What a study leaves: its folder with a card, the best trial and pictures; a table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nersweep.config.flat import plain
from nersweep.evaluation.budget import expected_gain
from nersweep.faults import Fault, UserError
from nersweep.machine.databases import public
from nersweep.results.card import Card, read_card, write_card
from nersweep.study import export, pictures, storage
from nersweep.study.metric import metric_name
from nersweep.study.plan import StudyPlan
from nersweep.study.plan import trials as trials_of
from nersweep.study.queue import FINISHED, SECONDS, Queue
from nersweep.terminal import console, print_table
from nersweep.tracking import syncing
from nersweep.tracking import tracker as trackers

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
TRACKED_SETTINGS = ("direction", "sampler", "pruner", "seeds")
MAX_ROWS = 5  # of the table of the best trials


def value_of(trial: FrozenTrial) -> float:
    """Return the value of a complete trial."""
    assert trial.value is not None
    return trial.value


def ranking(trials: Sequence[FrozenTrial], direction: StudyDirection) -> list[FrozenTrial]:
    """Return the complete trials, best first."""

    def order(trial: FrozenTrial) -> tuple[float, int]:
        value = value_of(trial)
        return (-value if direction == StudyDirection.MAXIMIZE else value, trial.number)

    return sorted((t for t in trials if t.state == TrialState.COMPLETE), key=order)


def efficient(best: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the Pareto front by value and seconds of training: no other trial beats both.

    best: complete trials, best first. Trials of an older version have no seconds and are left out.
    """
    front: list[FrozenTrial] = []
    least = math.inf
    for trial in best:
        if (seconds := seconds_of(trial)) < least:
            front.append(trial)
            least = seconds
    return front


def seconds_of(trial: FrozenTrial) -> float:
    """Return the seconds of training of a trial; ∞ if an older version made it."""
    return float(sum(trial.user_attrs.get(SECONDS, [math.inf])))


def points(trials: Sequence[FrozenTrial]) -> list[tuple[float, float]]:
    """Return the seconds of training and the value of complete trials."""
    return [(seconds_of(trial), value_of(trial)) for trial in trials]


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


def finished(plan: StudyPlan) -> list[FrozenTrial]:
    """Return the finished trials of a study so far, pruned ones too, by number."""
    return [trial for trial in trials_of(plan) if trial.state in FINISHED]


def selected(plan: StudyPlan) -> list[str]:
    """Return the overrides of the best complete trial. Raises UserError if there is none."""
    best = ranking(finished(plan), StudyDirection[plan.config.study.direction.upper()])
    if not best:
        must, remedy = "none of its trials is complete", "the same command tries others"
        raise UserError(Fault(f"study {plan.name}", must=must, remedy=remedy))
    return plan.space.overrides(best[0].params)


@dataclass
class Outcome:
    """The outcome of a study, in the folder of its plan."""

    queue: Queue
    plan: StudyPlan
    sync: syncing.Syncing = field(init=False)

    def __post_init__(self) -> None:
        tracker = trackers.of(self.plan.config.tracking, self.plan.output_dir)
        self.sync = syncing.Syncing(tracker, self.plan.folder)

    def begin(self) -> bool:
        """Write the card and show the study in the tracker. Return False if the study is over.

        Raises Unavailable if the tracker does not answer when the study starts. Later it may be
        away.
        """
        if self.queue.is_over():
            return False
        syncing.open_at_start(self.sync.tracker, self.plan.folder)
        with self.queue.lock(self.plan.name):
            write_card(self.plan.folder, self.card("running"))
            self.sync.start()
        url = public(self.plan.url)
        console.print(f"study {self.plan.name}: {self.queue.total} trials in {url}")
        return True

    def leave(self, status: str) -> None:
        """Write that the study was left early, unless it has ended or other workers continue it.

        The next start resumes it.
        """
        with self.queue.lock(self.plan.name):
            card = read_card(self.plan.folder)
            if card and card.status == "running" and not self.queue.has_other_workers():
                card.status = status
                write_card(self.plan.folder, card)
                self.sync.finish()

    def conclude(self) -> float:
        """Write the outcome, print it, update the tracker and return the best value.

        The first worker to see that the study is over draws the pictures. The tracker gets the
        runs without the study's lock, because that may take long.
        """
        trials = self.queue.trials()
        best = ranking(trials, self.queue.study.direction)
        if best:
            export.write_experiment(self.plan.experiment, best[0], len(trials), self.plan)
        with self.queue.lock(self.plan.name):
            self.write_final_card(trials, best)
            self.sync.finish()
        self.print(trials, best)
        folders = [*syncing.members(self.plan.folder), self.plan.folder]
        if not syncing.sync_all(self.sync.tracker, folders):
            name = self.sync.tracker.name
            remedy = "run the same command again, or python -m nersweep.sync"
            console.print(f"to sync {name}, {remedy}")
        return value_of(best[0]) if best else float("nan")

    def card(self, status: str) -> Card:
        """Return a card with the settings of the study."""
        study, params = plain(self.plan.config.study), {}
        for name in TRACKED_SETTINGS:
            params[name] = study[name]
        params["metric"] = metric_name(self.plan.config)
        for name, text in self.plan.identity.items():
            if name.startswith("study.space."):
                params[name.removeprefix("study.")] = text
        return Card(
            kind="study",
            name=f"study-{self.plan.name}",
            experiment=self.plan.config.tracking.experiment,
            params=params,
            tags={"kind": "study", "study": self.plan.name},
            note=f"`{self.plan.command}`",
            status=status,
        )

    def write_final_card(self, trials: Sequence[FrozenTrial], best: Sequence[FrozenTrial]) -> None:
        """Write the card of a study that is over; draw its pictures unless it has this card."""
        card = self.card("finished" if best else "failed")
        card.step = sum(trial.state in FINISHED for trial in trials)
        card.numbers = self.numbers(trials, best)
        if best:
            card.tags["best/trial"] = str(best[0].number)
            for name, value in self.plan.space.values(best[0].params).items():
                card.tags[f"best/{name}"] = str(value)
        before = read_card(self.plan.folder)
        if before and (before.status, before.numbers) == (card.status, card.numbers):
            return
        if best:
            metric = metric_name(self.plan.config)
            files = pictures.draw(self.queue.study, self.plan.folder, metric)
            if front := points(efficient(best)):
                files.append(pictures.draw_front(points(best), front, self.plan.folder, metric))
            card.files = [str(file.absolute()) for file in (*files, self.plan.experiment)]
        write_card(self.plan.folder, card)

    def numbers(
        self, trials: Sequence[FrozenTrial], best: Sequence[FrozenTrial]
    ) -> dict[str, float]:
        """Return the best value and its settings, and counts of trials and epochs."""
        numbers: dict[str, float] = {}
        if best:
            numbers[f"best/{metric_name(self.plan.config)}"] = value_of(best[0])
            for name, value in self.plan.space.values(best[0].params).items():
                if isinstance(value, int | float):
                    numbers[f"best/{name}"] = value
        for state in STATES:
            numbers[f"trials/{state.name.lower()}"] = count(trials, state)
        numbers["epochs"], numbers["epochs/without_pruning"] = self.epochs(trials)
        return numbers

    def epochs(self, trials: Sequence[FrozenTrial]) -> tuple[int, int]:
        """Return the epochs of all finished trials, with and without pruning."""
        actual = planned = 0
        whole = self.plan.example.train.epochs * len(self.plan.seeds)
        for trial in trials:
            if trial.state in FINISHED:
                epochs = sum(trial.user_attrs.get("epochs", []))
                actual += epochs
                planned += epochs if trial.state == TrialState.COMPLETE else whole
        return actual, planned

    def print_trials(self, title: str, trials: Sequence[FrozenTrial]) -> None:
        """Print a table of complete trials."""
        rows = []
        for trial in trials:
            settings = brief(self.plan.space.overrides(trial.params))
            seconds = f"{seconds_of(trial):.1f}".replace("inf", "–")
            rows.append([str(trial.number), settings, f"{trial.value:.4f}", seconds])
        print_table(title, ["trial", "settings", metric_name(self.plan.config), "s"], rows)

    def print_gain(self, trials: Sequence[FrozenTrial], best: Sequence[FrozenTrial]) -> None:
        """Print what more trials would bring, if all are independent draws and none is pruned."""
        if self.plan.config.study.sampler != "random" or len(best) < 2:
            return
        if count(trials, TrialState.PRUNED):
            return
        sign = -1 if self.queue.study.direction == StudyDirection.MINIMIZE else 1
        more, gain = expected_gain(sign * np.array([value_of(trial) for trial in best]))
        metric = metric_name(self.plan.config)
        console.print(f"{more} more trials would improve {metric} by at most {gain:.4f} on average")

    def print(self, trials: Sequence[FrozenTrial], best: Sequence[FrozenTrial]) -> None:
        """Print the best trials, what pruning saved, and the next commands."""
        counts = []
        for state, word in STATES.items():
            if number := count(trials, state):
                counts.append(f"{number} {word}")
        title = f"\nstudy {self.plan.name}: {', '.join(counts)}"
        self.print_trials(title, best[:MAX_ROWS])
        if len(front := efficient(best)) > 1:
            self.print_trials("best for their time", front)
        actual, planned = self.epochs(trials)
        if actual < planned:
            console.print(f"pruning saved {planned - actual} of {planned} epochs")
        self.print_gain(trials, best)
        if best:
            command = export.rerun_command(self.plan.experiment, best[0], self.plan)
            console.print(f"best: {command}")
            console.print(f"files: {self.plan.folder}")
        console.print(f"dashboard: {storage.dashboard_command(self.plan.url)}")
