"""What training has done so far."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from nersweep.model.tagger import Predictions


@dataclass
class Fitted:
    """So far; the best epoch is the one with the highest development F1, the first of them."""

    best_epoch: int = 0
    dev: dict[str, Any] = field(default_factory=dict)  # scores of the best epoch
    dev_predictions: Predictions | None = None
    weights: dict[str, Tensor] = field(default_factory=dict)  # of that epoch, in float32
    epochs: list[dict[str, Any]] = field(
        default_factory=list
    )  # of each: epoch, loss, dev scores, absent, padding
    steps: list[dict[str, Any]] = field(
        default_factory=list
    )  # of each: step, loss, lr, grad_norm, terms of the loss
    pieces: int = 0  # that the encoder has seen in the epoch under way
    slots: int = 0  # the same with padding
    train_seconds: float = 0.0
    cpu_seconds: float = (
        0.0  # of all cores in that time: what else the machine does changes it little
    )
    eval_seconds: float = 0.0
