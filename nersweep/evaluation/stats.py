"""Statistics of runs that need no inference over seeds: see evaluation/inference for that.

A run's counts are entities of the test set per sentence: correct, predicted, gold. Malformed input
raises ValueError. Papers are cited with their equation or section only where that is certain.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

STEP = 200  # replicates at a time, which bounds the memory


def f1(counts: ArrayLike) -> Floats:
    """Return micro F1 in [0, 1], 2·correct / (predicted + gold): counts (..., 3) -> (...).

    counts: correct, predicted, gold. 0 where nothing is predicted or gold. Raises ValueError for
    another last dimension.
    """
    counts = np.asarray(counts, dtype=np.float64)
    if counts.shape[-1:] != (3,):
        raise ValueError(f"counts of shape {counts.shape}: must be (..., correct, predicted, gold)")
    total = counts[..., 1] + counts[..., 2]
    scores: Floats = np.zeros_like(total)
    np.divide(2 * counts[..., 0], total, out=scores, where=total > 0)
    return scores


def approximate_randomisation(
    a: ArrayLike, b: ArrayLike, draws: int = 9_999, seed: int = 0
) -> float:
    """Return the two-sided p of the difference of mean micro F1 between two rows.

    In each draw a coin decides for each sentence whether the rows swap its counts, and F1 is
    computed from the summed counts. (b + 1) / (m + 1), b the draws with a difference at least as
    large. Noreen 1989; for F1 as here, Yeh 2000.

    a, b: counts (seeds, sentences, 3), the same seeds and sentences. A sentence is swapped for all
    seeds at once, since their results on it are not independent; the statistic is the difference of
    the means over seeds of F1. It holds for these models: two seeds of one loss can differ
    significantly. Raises ValueError for impossible counts, or gold that differs between runs.
    """
    if np.ndim(a) != 3 or np.shape(a) != np.shape(b):
        shapes = f"{np.shape(a)} and {np.shape(b)}"
        raise ValueError(f"counts of shapes {shapes}: must be (seeds, sentences, 3), both alike")
    both = _checked(np.stack([a, b]))
    totals = both.sum(2)  # (2, seeds, 3)
    observed = abs(f1(totals[0]).mean() - f1(totals[1]).mean())
    gain = both[1] - both[0]  # (seeds, sentences, 3): what a gains, and b loses, by a swap
    gain = gain[:, (gain != 0).any((0, 2))]  # the other sentences change nothing
    columns = gain.transpose(1, 0, 2).reshape(-1, totals[0].size).astype(np.float32)
    rng = np.random.default_rng(seed)
    extreme = 0
    for start in range(0, draws, STEP):
        size = min(STEP, draws - start), len(columns)
        swaps = rng.integers(2, size=size, dtype=np.int8).astype(np.float32)
        moved = (swaps @ columns).reshape(len(swaps), -1, 3).astype(np.float64)
        difference = f1(totals[0] + moved).mean(1) - f1(totals[1] - moved).mean(1)
        # Sums are integers: the tolerance is for the rounding of F1.
        extreme += int(np.count_nonzero(np.abs(difference) >= observed - 1e-12))
    return (extreme + 1) / (draws + 1)


@dataclass(frozen=True)
class Calibration:
    """Predictions by confidence. error: the expected calibration error in [0, 1], 0 without any.

    Per bin, for a reliability diagram: edges (bins + 1,), counts, and the means of confidence and
    accuracy, NaN in an empty bin.
    """

    error: float
    edges: Floats
    counts: NDArray[np.int64]
    confidence: Floats
    accuracy: Floats


def calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> Calibration:
    """Return the calibration, error = Σ_b n_b/n·|accuracy_b − confidence_b|.

    Over bins of equal width, open below and closed above. confidence (n,) in [0, 1], of the
    predicted class; correct (n,) of 0 and 1. It depends on the bins, and is above 0 for few
    predictions even if the model is calibrated. Raises ValueError for input of another shape or
    range. Guo et al. 2017, eq. 3.
    """
    confidence = np.asarray(confidence, dtype=np.float64)
    correct = np.asarray(correct, dtype=np.float64)
    same = confidence.ndim == 1 and confidence.shape == correct.shape
    if not same or bins < 1 or not ((confidence >= 0) & (confidence <= 1)).all():
        shapes = f"confidences of shape {confidence.shape}, answers of {correct.shape}, bins={bins}"
        allowed = "as many confidences, in [0, 1], as answers, and at least one bin"
        raise ValueError(f"{shapes}: must be {allowed}")
    edges = np.linspace(0, 1, bins + 1)
    bin_of = np.maximum(np.searchsorted(edges, confidence) - 1, 0)  # 0 itself goes to the first
    counts = np.bincount(bin_of, minlength=bins)
    confidences = np.bincount(bin_of, confidence, minlength=bins)  # sums
    answers = np.bincount(bin_of, correct, minlength=bins)
    error = np.abs(answers - confidences).sum() / max(1, len(confidence))
    empty = np.full(bins, np.nan)
    means = np.divide(confidences, counts, out=empty.copy(), where=counts > 0)
    accuracies = np.divide(answers, counts, out=empty.copy(), where=counts > 0)
    return Calibration(float(error), edges, counts, means, accuracies)


def cross_entropy(probabilities: NDArray[np.floating], targets: NDArray[np.integer]) -> float:
    """Return the mean −log p of the gold classes in nats, over words and pointers.

    probabilities (W, P, C), targets (W, P). A p below the smallest normal number of its type counts
    as that.
    """
    gold = np.take_along_axis(probabilities, targets[..., None], -1)
    least = np.finfo(gold.dtype).tiny
    return float(-np.log(np.maximum(gold, least), dtype=np.float64).mean())


def _checked(counts: ArrayLike) -> Floats:
    """Return counts (..., runs, sentences, 3) as float64 if they can be of the same sentences."""
    counts = np.asarray(counts, dtype=np.float64)
    if counts.ndim < 3 or counts.shape[-1] != 3 or not counts.size:
        raise ValueError(f"counts of shape {counts.shape}: must be (..., runs, sentences, 3)")
    correct, predicted, gold = np.moveaxis(counts, -1, 0)
    possible = (correct >= 0) & (correct <= predicted) & (correct <= gold)
    whole = (counts == np.floor(counts)).all(-1)
    if not (possible & whole).all():
        allowed = "whole, and 0 ≤ correct ≤ predicted and gold"
        raise ValueError(f"counts of correct, predicted, gold: must be {allowed}")
    if (gold != gold.reshape(-1, gold.shape[-1])[0]).any():
        allowed = "of the same sentences in the same order"
        raise ValueError(f"gold counts differ between runs: must be {allowed}")
    return counts
