"""Show the progress of training."""

import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nersweep.terminal import console

PLAIN_INTERVAL = 15.0  # seconds between two lines where there is no terminal


class TrainingProgress:
    """Steps done of all steps, with the latest loss. A context manager; `epoch` lines stay on the screen."""

    def __init__(self, steps: int, done: int):
        self.steps, self.done, self.loss = steps, done, "not read yet"
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
        self.task = self.bar.add_task("training", total=steps, completed=done, loss=self.loss)

    def __enter__(self) -> "TrainingProgress":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def step(self) -> None:
        self.done += 1
        self.bar.update(self.task, completed=self.done)
        if not console.is_terminal and time.monotonic() - self.last_line > PLAIN_INTERVAL:
            console.print(f"step {self.done}/{self.steps}  loss {self.loss}")
            self.last_line = time.monotonic()

    def show_loss(self, loss: float) -> None:
        self.loss = f"{loss:.4f}"
        self.bar.update(self.task, loss=self.loss)

    def epoch(self, line: str) -> None:
        console.print(line)
        self.last_line = time.monotonic()
