"""What training has done so far: records of steps and epochs, and their only reader and writer."""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from pydantic import TypeAdapter

from nersweep.evaluation.metrics import Scores
from nersweep.machine.typed import validate

if TYPE_CHECKING:  # reports read histories without torch
    from torch import Tensor

    from nersweep.model.tagger import Predictions


@dataclass
class StepRecord:
    """An optimiser step, counted from 1. terms: of the loss, by name, if it has several."""

    step: int
    loss: float
    lr: float
    grad_norm: float
    terms: dict[str, float] | None = None

    def to_json(self) -> dict[str, Any]:
        values: dict[str, Any] = STEP.dump_python(self, exclude_defaults=True)
        return values


@dataclass
class Histogram:
    """Words by bins of g = 1 − p_y, each (O, entities) × bins.

    words: their number; norms: their sum of g; pulls: their sum of |∂L/∂z_y|, if it was measured.
    """

    words: list[list[float]]
    norms: list[list[float]]
    pulls: list[list[float]] | None = None


@dataclass
class Gradients:
    """Histograms of some steps of training, and of the development split."""

    train: Histogram
    dev: Histogram


@dataclass
class EpochRecord:
    """An epoch, counted from 1. loss: the mean of its steps; dev: scores after it.

    absent: by type, the share of its steps without it; padding: the share of slots that hold none.
    cross_entropy: on dev, whatever the loss: the mean −log p of the true class of a word, in nats,
    and of a CRF its marginal's; None if an older version made the record.
    """

    epoch: int
    loss: float
    dev: Scores
    absent: dict[str, float]
    padding: float
    gradients: Gradients
    cross_entropy: float | None = None

    def to_json(self) -> dict[str, Any]:
        values: dict[str, Any] = EPOCH.dump_python(self, exclude_defaults=True)
        return values


STEP = TypeAdapter(StepRecord)
EPOCH = TypeAdapter(EpochRecord)


def record_of(line: str) -> StepRecord | EpochRecord:
    """Return the record of a line of metrics.jsonl. Raises ValueError if it holds none."""
    values = json.loads(line)
    is_epoch = isinstance(values, dict) and "epoch" in values
    return validate(EPOCH, values) if is_epoch else validate(STEP, values)


@dataclass
class Trace:
    """The part of a history that is plain numbers. best_epoch: of the highest metric, the first."""

    best_epoch: int = 0
    epochs: list[EpochRecord] = field(default_factory=list)
    steps: list[StepRecord] = field(default_factory=list)
    train_seconds: float = 0.0
    cpu_seconds: float = 0.0  # of all cores in training; hardly depends on the machine's load
    eval_seconds: float = 0.0

    @property
    def best(self) -> EpochRecord | None:
        return self.epochs[self.best_epoch - 1] if self.best_epoch else None


TRACE = TypeAdapter(Trace)


@dataclass
class History(Trace):
    """What training has done so far, with what the best epoch has left.

    dev_predictions: of the best epoch; weights: of the best epoch, in float32.
    """

    dev_predictions: "Predictions | None" = None
    weights: dict[str, "Tensor"] = field(default_factory=dict)

    def dump(self) -> str:
        """Return all but the arrays as JSON."""
        return json.dumps(TRACE.dump_python(self, exclude_defaults=True))

    @classmethod
    def load(
        cls, text: str | bytes, dev_predictions: "Predictions | None", weights: dict[str, "Tensor"]
    ) -> Self:
        """Return the history of what `dump` gave, with its arrays."""
        trace = validate(TRACE, json.loads(text))
        return cls(**vars(trace), dev_predictions=dev_predictions, weights=weights)
