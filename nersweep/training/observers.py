"""Observers of training, without influence on it: losses, gradient norms, padding, time."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nersweep.faults import Fault, UserError
from nersweep.losses.base import Terms
from nersweep.model.heads.base import Head
from nersweep.training.gradients import GradientHistogram
from nersweep.training.history import History, StepRecord
from nersweep.training.sampling import MicroBatch

COUNT_EVERY = 10  # steps between two whose gradient norms are counted
READ_EVERY = 50  # steps between two looks at the loss: each look waits for the device


class Diverged(UserError):
    """Raised when the loss or its gradient is no longer finite."""

    def __init__(self, message: str):
        super().__init__(Fault("", must=message))


class Backward(NamedTuple):
    """A micro-batch after its backward pass."""

    step: int  # steps done before
    batch: MicroBatch
    emissions: Tensor  # (W, outputs), with their gradient
    terms: Terms
    loss: Tensor


class Observer:
    """Watches training: with or without it, the trained numbers are the same."""

    def see_backward(self, backward: Backward) -> None:
        """Look at a micro-batch after its backward pass."""

    def see_step(self, lr: float, norm: Tensor) -> None:
        """Look at an optimiser step: its learning rate, and its gradient's norm before clipping."""

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint must keep of it."""
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state."""


class LossReader(Observer):
    """Moves losses and gradient norms from the device into the history, many steps at a time."""

    def __init__(self, history: History, record: Callable[[StepRecord], None]):
        self.history, self.record = history, record
        self.loss: float | Tensor = 0.0  # of the step under way, and its terms
        self.terms: dict[str, Tensor] = {}
        self.unread: list[tuple[float, list[str], Tensor]] = []

    def see_backward(self, backward: Backward) -> None:
        device = backward.emissions.device
        self.loss = self.loss + backward.loss.detach().to(device, non_blocking=True)
        for name, (_, value) in backward.terms.items():
            value = value.detach().to(device, non_blocking=True)
            self.terms[name] = self.terms[name] + value if name in self.terms else value

    def see_step(self, lr: float, norm: Tensor) -> None:
        assert isinstance(self.loss, Tensor)
        row = torch.stack([norm, self.loss, *self.terms.values()])
        self.unread.append((lr, list(self.terms), row))
        self.loss, self.terms = 0.0, {}
        if len(self.unread) == READ_EVERY:
            self.read()

    def read(self) -> None:
        """Record all steps that are not in the history yet. Raises Diverged."""
        if not self.unread:
            return
        values = iter(torch.cat([row for _, _, row in self.unread]).tolist())
        for lr, names, _ in self.unread:
            norm, loss = next(values), next(values)
            terms = {name: next(values) for name in names}
            self.check(lr, norm, loss)
            step = StepRecord(len(self.history.steps) + 1, loss, lr, norm)
            if len(terms) > 1:
                step.terms = terms
            self.history.steps.append(step)
            self.record(step)
        self.unread.clear()

    def check(self, lr: float, norm: float, loss: float) -> None:
        if np.isfinite(loss) and np.isfinite(norm):
            return
        steps = self.history.steps
        last = f"{steps[-1].loss:.4g}" if steps else "none"
        raise Diverged(
            f"the loss is {loss:.4g} and its gradient's norm {norm:.4g} at step {len(steps) + 1} "
            f"with learning rate {lr:.3g}; last good loss: {last}; "
            "a lower train.lr or train.max_grad_norm may help"
        )


class Padding(Observer):
    """Counts the pieces that the encoder sees in an epoch, with and without padding."""

    def __init__(self) -> None:
        self.pieces = self.slots = 0

    def see_backward(self, backward: Backward) -> None:
        for batch in backward.batch.inputs:
            self.pieces += batch.pieces
            self.slots += batch.input_ids.numel()

    def read(self) -> float:
        """Return the share of padding in [0, 1), and count from 0 again."""
        share = 1 - self.pieces / self.slots
        self.pieces = self.slots = 0
        return share

    def state(self) -> dict[str, Tensor]:
        return {"padding": torch.tensor([self.pieces, self.slots])}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self.pieces, self.slots = state["padding"].tolist()


class GradientNorms(Observer):
    """Counts the words of every tenth training step by their gradient norm."""

    def __init__(self, head: Head, device: torch.device):
        self.head, self.histogram = head, GradientHistogram(device)

    def see_backward(self, backward: Backward) -> None:
        if backward.step % COUNT_EVERY:
            return
        gold, gradient = backward.batch.gold, backward.emissions.grad
        probabilities = self.head.probabilities(backward.emissions.detach(), gold.lengths)
        pull = None if gradient is None else gradient * len(backward.batch.step.labels)
        self.histogram.add(probabilities, self.head.targets(gold, self.head.labels), pull)

    def state(self) -> dict[str, Tensor]:
        return {"gradient_norms": self.histogram.sums}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self.histogram.sums.copy_(state["gradient_norms"])


class Clock:
    """Adds the seconds of training and of evaluation to the history."""

    def __init__(self, history: History):
        self.history = history
        self.start()

    def start(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def stop_training(self) -> float:
        """Add the seconds since the start, and start again. Returns them."""
        seconds = time.perf_counter() - self.wall
        self.history.train_seconds += seconds
        self.history.cpu_seconds += time.process_time() - self.cpu
        self.start()
        return seconds

    def stop_evaluation(self) -> None:
        self.history.eval_seconds += time.perf_counter() - self.wall
