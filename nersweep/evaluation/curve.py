"""The entity precision–recall curve of a run over τ, the shift of rare labels after training.

A model that ranks entities better has a better curve; one whose threshold alone moved has the same.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nersweep.evaluation.counts import DocumentCounts, from_dense
from nersweep.evaluation.influence import Floats
from nersweep.evaluation.thresholds import Decoding

TAUS = (-3, -2, -1.5, -1, -0.75, -0.5, -0.3, -0.2, -0.1, 0)
TAUS += tuple(-tau for tau in reversed(TAUS[:-1]))  # closer where most runs have their best F1


def count_curve(
    decoding: Decoding, prior: NDArray[np.float64], documents: NDArray[np.int64]
) -> DocumentCounts:
    """Count the entities of each document at each τ of TAUS, which stand where types do.

    prior: as `thresholds.prior_shift` gives it. documents: (sentences,), numbers from 0.
    """
    of_word = np.repeat(documents, decoding.lengths)
    counts = np.zeros((int(documents.max(initial=-1)) + 1, len(TAUS), 1, 3), dtype=np.int64)
    for number, tau in enumerate(TAUS):
        for column, rows in enumerate(decoding.entities(tau * prior)):
            np.add.at(counts[:, number, 0, column], of_word[rows[:, 0]], 1)
    return from_dense(tuple(f"{tau:g}" for tau in TAUS), None, counts)


@dataclass(frozen=True)
class CurveRate:
    """The area under the curve, or the recall at a precision, in points.

    precision: in (0, 1), None for the area. The curve joins the points of τ by lines, from the
    lowest τ with a prediction to that of the highest recall; left of it precision is constant. The
    recall is that of the curve's last point of at least the precision; 0 if it has none.
    """

    precision: float | None = None

    def measure(self, counts: Floats) -> tuple[float, Floats]:
        """Return the value, and each cluster's influence. counts: (clusters, τ, 3)."""
        sums = torch.from_numpy(counts.sum(0)).requires_grad_()
        value = 100 * self.value(sums)
        (gradient,) = torch.autograd.grad(value, sums)
        influence: Floats = (counts * gradient.numpy()).sum((1, 2))
        return float(value.detach()), influence

    def value(self, sums: Tensor) -> Tensor:
        """Return the value in [0, 1] of summed counts (τ, 3)."""
        correct, predicted, gold = sums[sums[:, 1] > 0].unbind(1)
        if not len(gold) or not gold[0] > 0:
            return 0 * sums.sum()
        end = int((correct / gold).argmax()) + 1
        precision, recall = (correct / predicted)[:end], (correct / gold)[:end]
        if self.precision is None:
            heights = (precision[1:] + precision[:-1]) / 2
            return recall[0] * precision[0] + (recall.diff() * heights).sum()
        reached = torch.nonzero(precision >= self.precision).ravel()
        if not len(reached):
            return 0 * sums.sum()
        last = int(reached[-1])
        if last == end - 1:
            return recall[last]
        share = (precision[last] - self.precision) / (precision[last] - precision[last + 1])
        return recall[last] + share * (recall[last + 1] - recall[last])
