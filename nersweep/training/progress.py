"""Show the progress of training."""

import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nersweep.terminal import console
from nersweep.training.history import History

PLAIN_INTERVAL = 15.0  # seconds between two lines without a terminal


class TrainingProgress:
    """A bar with the steps done, and the latest loss. A context manager; epoch lines stay."""

    def __init__(self, steps: int, history: History):
        self.steps, self.done, self.history = steps, len(history.steps), history
        self.last_line = time.monotonic()
        self.bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("training", total=steps, completed=self.done, loss="")

    def __enter__(self) -> "TrainingProgress":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def step(self) -> None:
        """Advance by a step. The loss shown is the last one that was read from the device."""
        self.done += 1
        loss = f"{self.history.steps[-1].loss:.4f}" if self.history.steps else "not read yet"
        self.bar.update(self.task, completed=self.done, loss=loss)
        if not console.is_terminal and time.monotonic() - self.last_line > PLAIN_INTERVAL:
            console.print(f"step {self.done}/{self.steps}  loss {loss}")
            self.last_line = time.monotonic()

    def epoch(self, line: str) -> None:
        """Print a line that stays."""
        console.print(line)
        self.last_line = time.monotonic()
