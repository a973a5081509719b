"""The entity precision–recall curve of a run over τ, the shift of rare labels after training.

A model that ranks entities better has a better curve; one whose threshold alone moved has the same.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nersweep.evaluation.counts import DocumentCounts, from_dense
from nersweep.evaluation.influence import Floats

if TYPE_CHECKING:
    from nersweep.evaluation.thresholds import Decoding

TAUS = (-3, -2, -1.5, -1, -0.75, -0.5, -0.3, -0.2, -0.1, 0)
TAUS += tuple(-tau for tau in reversed(TAUS[:-1]))  # closer where most runs have their best F1


def count_curve(
    decoding: "Decoding", prior: NDArray[np.float64], documents: NDArray[np.int64]
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
        value, gradient = self.value(counts.sum(0))
        influence: Floats = (counts * (100 * gradient)).sum((1, 2))
        return 100 * value, influence

    def value(self, sums: Floats) -> tuple[float, Floats]:
        """Return the value in [0, 1] of summed counts (τ, 3), and its gradient (τ, 3)."""
        gradient = np.zeros_like(sums)
        used = np.flatnonzero(sums[:, 1] > 0)
        correct, predicted, gold = sums[used].T
        if not len(gold) or not gold[0] > 0:
            return 0.0, gradient
        end = int((correct / gold).argmax()) + 1
        correct, predicted, gold = correct[:end], predicted[:end], gold[:end]
        precision, recall = correct / predicted, correct / gold
        if self.precision is None:
            value, by_precision, by_recall = area(precision, recall)
        else:
            value, by_precision, by_recall = recall_at(self.precision, precision, recall)
        by_correct = by_precision / predicted + by_recall / gold
        by_predicted, by_gold = -by_precision * precision / predicted, -by_recall * recall / gold
        gradient[used[:end]] = np.stack([by_correct, by_predicted, by_gold], axis=1)
        return value, gradient


def area(precision: Floats, recall: Floats) -> tuple[float, Floats, Floats]:
    """Return the area under a curve of points (n,), and its derivatives by precision and recall.

    ∑ (R_i − R_{i−1}) (P_i + P_{i−1}) / 2 with R_{−1} = 0 and P_{−1} = P_0.
    """
    widths = np.diff(recall, prepend=0)
    heights = (precision + np.append(precision[:1], precision[:-1])) / 2
    by_precision = (widths + np.append(widths[1:], 0)) / 2
    by_precision[0] += widths[0] / 2
    return float(widths @ heights), by_precision, heights - np.append(heights[1:], 0)


def recall_at(target: float, precision: Floats, recall: Floats) -> tuple[float, Floats, Floats]:
    """Return the last recall on a curve at a precision, and its derivatives by both, (n,)."""
    by_precision, by_recall = np.zeros_like(precision), np.zeros_like(recall)
    reached = np.flatnonzero(precision >= target)
    if not len(reached):
        return 0.0, by_precision, by_recall
    last = int(reached[-1])
    if last == len(recall) - 1:
        by_recall[last] = 1
        return float(recall[last]), by_precision, by_recall
    fall, rise = precision[last] - precision[last + 1], recall[last + 1] - recall[last]
    share = (precision[last] - target) / fall  # of the way to the next point
    by_recall[[last, last + 1]] = 1 - share, share
    by_precision[[last, last + 1]] = (1 - share) * rise / fall, share * rise / fall
    return float(recall[last] + share * rise), by_precision, by_recall
