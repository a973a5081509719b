"""Intervals, tests and effect sizes for runs over seeds: pure functions of arrays.

A run's counts are entities of the test set per sentence: correct, predicted, gold. Every row of a
table (a setting) has the same seeds and the same sentences, so two rows are compared pair by pair.
Scores may be fractions or points.

What generalises to what: `sign_flip`, `hedges_g`, `superiority`, `almost_stochastic_order` and
`interval_of_mean` sample seeds, and generalise to other seeds on this test set;
`approximate_randomisation` samples sentences, and generalises to other sentences for these very
models; the bootstrap samples both. None covers other data sets or other hyperparameters, and all
take runs to be independent given their row. What too few runs cannot determine is NaN; malformed
input raises ValueError.

Papers are cited with their equation or section only where that is certain.
"""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]
Interval = tuple[Floats, Floats]  # low and high

LEVEL = 0.95  # of every interval
EXACT = 20  # seeds up to which all sign flips are enumerated: a million
DRAWS = 99_999  # of a Monte Carlo test; 100,000 with the observed one
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


def resampled_f1(counts: ArrayLike, replicates: int = 2000, seed: int = 0) -> Floats:
    """Return micro F1 of every run on resampled test sets, the basis of the two intervals below.

    counts (..., runs, sentences, 3) -> (replicates, ..., runs). Sentences are drawn with
    replacement. A replicate is the same draw of sentences for all runs, and for every call with as
    many sentences, replicates and the same seed: sentences are crossed with runs, and the
    difference of two rows is the difference of their results. Pass all rows at once; it is one
    matrix product. Raises ValueError for impossible counts, or gold that differs between runs.
    """
    counts = _checked(counts)
    *rows, sentences, _ = counts.shape
    columns = np.moveaxis(counts, -2, 0).reshape(sentences, -1)
    columns = columns.astype(np.float32)  # sums are exact below 2^24
    rng = np.random.default_rng(seed)
    scores = []
    for start in range(0, replicates, STEP):
        weights = _times_drawn(rng, min(STEP, replicates - start), sentences).astype(np.float32)
        scores.append(f1((weights @ columns).reshape(-1, *rows, 3)))
    return np.concatenate(scores)


def bootstrap_interval(resampled: Floats, seed: int = 0, level: float = LEVEL) -> Interval:
    """Return the percentile interval of a mean over seeds, resampling seeds and sentences jointly.

    resampled (replicates, ..., seeds): `resampled_f1`, or the difference of two -> low and high,
    (...). Owen 2007, "The pigeonhole bootstrap".

    Too narrow for few seeds that differ by more than chance in the sentences: draws from n seeds
    spread √((n−1)/n) as wide as they should, without the tails of Student's t. `student_interval`
    corrects this. A single seed is drawn every time, so the interval is over sentences only.
    Neither interval knows that sentences of one document are not independent: see
    evaluation/inference.
    """
    replicates, *_, seeds = resampled.shape
    draws = _times_drawn(np.random.default_rng((seed, 1)), replicates, seeds) / seeds
    return _percentiles(np.einsum("r...s,rs->r...", resampled, draws), level)


def student_interval(
    resampled: Floats, observed: Floats, seed: int = 0, level: float = LEVEL
) -> Interval:
    """Return an interval as `bootstrap_interval` does, but valid from two seeds on.

    Sentences are resampled, and the mean over seeds is shifted by t·s/√n: t is drawn from Student's
    distribution with n − 1 degrees of freedom, s is the standard deviation of observed (...,
    seeds), the scores on the test set itself. Percentiles of the sum, as in the fiducial interval
    of Behrens and Fisher. Takes the scores over seeds to be normal. NaN with one seed.

    It errs on the wide side: chance in the sentences is a part of s too, and counts twice. With two
    seeds it is so wide that it says little, which is what two seeds can say.
    """
    seeds = resampled.shape[-1]
    if observed.shape != resampled.shape[1:]:
        expected = resampled.shape[1:]
        raise ValueError(f"observed of shape {observed.shape}: must be {expected}, as a replicate")
    error = np.full(observed.shape[:-1], np.nan)
    if seeds > 1:
        error = observed.std(-1, ddof=1) / np.sqrt(seeds)
    # t once from each equal part of its distribution.
    parts = np.random.default_rng((seed, 1)).permutation(len(resampled))
    t = special.stdtrit(max(seeds - 1, 1), (parts + 0.5) / len(parts))
    return _percentiles(resampled.mean(-1) + np.multiply.outer(t, error), level)


def interval_of_mean(values: ArrayLike) -> tuple[float, float]:
    """Return the 95% interval of Student's t for the mean of values (n,): mean ± t·s/√n.

    Takes values to be normal. Over seeds it holds for this very test set: use it if there are no
    counts per sentence. NaN for one value.
    """
    values = _series(values, "values")
    if len(values) < 2:
        return np.nan, np.nan
    t = special.stdtrit(len(values) - 1, (1 + LEVEL) / 2)
    half = t * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def sign_flip(differences: ArrayLike, seed: int = 0) -> float:
    """Return the two-sided p of the paired sign-flip test for differences (n,).

    The share of all 2^n assignments of signs whose sum is at least as far from 0 as the observed
    one; from n = 21 on of 99,999 random ones, (b + 1) / (m + 1). Under the null hypothesis a
    difference is symmetric about 0, which holds if the rows are exchangeable. Fisher 1935.

    Sums that differ by less than 1e-9 are equal, so that ties count as ties: in floats
    .3 − .1 − .2 is not 0. Integers are exact. Scores may be fractions or points; scale values
    measured in billionths first.
    """
    differences = _series(differences, "differences")
    n, least = len(differences), abs(differences.sum()) - 1e-9
    if n <= EXACT:
        sums = np.zeros(1)
        for difference in differences:
            sums = np.concatenate([sums + difference, sums - difference])
        return float(np.mean(np.abs(sums) >= least))
    signs = 1 - 2 * np.random.default_rng(seed).integers(2, size=(DRAWS, n), dtype=np.int8)
    extreme = np.count_nonzero(np.abs(signs @ differences) >= least)
    return (extreme + 1) / (DRAWS + 1)


def smallest_p(n: int) -> float:
    """Return the least p that `sign_flip` can give with n ≥ 1 differences: 2^(1−n).

    .0625 with 5 and at most 5% from 6 on. Above 20 the random assignments bound it, 1e-5.
    """
    if n < 1:
        raise ValueError(f"n={n}: must be ≥ 1")
    return float(2.0 ** (1 - n)) if n <= EXACT else 1 / (DRAWS + 1)


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
    significantly. Raises ValueError as `resampled_f1` does.
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


def holm(p: ArrayLike) -> Floats:
    """Return p values (m,) adjusted for multiple tests: the i-th smallest times m − i + 1.

    Each is at least the one before and at most 1. Rejecting what is below α keeps the chance of any
    false rejection ≤ α, however the tests depend on each other. NaN is a test that was not
    performed: it stays NaN and does not count. Raises ValueError outside [0, 1]. Holm 1979.
    """
    p = np.array(p, dtype=np.float64)
    if p.ndim != 1 or (p < 0).any() or (p > 1).any():
        allowed = "a list of numbers from 0 to 1, NaN for tests not performed"
        raise ValueError(f"p={p.tolist()}: must be {allowed}")
    order = np.argsort(p, kind="stable")[: np.count_nonzero(~np.isnan(p))]  # NaN sorts last
    factors = np.arange(len(order), 0, -1)
    p[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1)
    return p


def hedges_g(a: ArrayLike, b: ArrayLike) -> float:
    """Return the difference of means of a (n,) and b (m,) in small-sample standard deviations.

    g = J·(mean a − mean b) / s, s² pooled over both rows, J = Γ(k/2) / (√(k/2)·Γ((k−1)/2)) with
    k = n + m − 2, about 1 − 3/(4k − 1). Hedges 1981.

    s is the spread over seeds, not that of the paired differences: g says how many seed sds lie
    between the rows, as `power` expects. Sharing seeds leaves s alone; J is exact for independent
    runs of equal variance. If both rows are constant, 0 for equal means and else ±inf. NaN unless
    both have two runs. Rough with few runs: for g near 0 and five seeds a row its standard error is
    about √(2/5) = .6.
    """
    a, b = _series(a, "a"), _series(b, "b")
    if min(len(a), len(b)) < 2:
        return np.nan
    k = len(a) + len(b) - 2
    sd = np.sqrt((a.var() * len(a) + b.var() * len(b)) / k)
    difference = a.mean() - b.mean()
    noise = 1e-12 * np.abs(np.concatenate([a, b])).max()  # the mean of equal numbers is inexact
    if sd <= noise:
        return float(np.sign(difference) * np.inf) if abs(difference) > noise else 0.0
    correction = np.exp(special.gammaln(k / 2) - special.gammaln((k - 1) / 2)) / np.sqrt(k / 2)
    return float(correction * difference / sd)


def superiority(a: ArrayLike, b: ArrayLike) -> float:
    """Return the chance that a run of a (n,) beats one of b (m,), ties half: over all n·m pairs.

    .5 is no difference. Vargha & Delaney 2000 (A); McGraw & Wong 1992 (common language effect
    size).
    """
    a, b = _series(a, "a"), _series(b, "b")
    return float((1 + np.sign(a[:, None] - b)).mean() / 2)


def power(sd: float, difference: float, n: int, alpha: float = 0.05) -> float:
    """Return the chance that a two-sided t test of two rows with n ≥ 2 runs each is significant.

    difference: the true difference of means, both normal with this sd > 0, independent.
    P(|T| > t), T noncentral t with 2n − 2 degrees of freedom and noncentrality
    difference/sd·√(n/2), t the 1 − alpha/2 quantile of the central one. Cohen 1988, chapter 2.
    Raises ValueError for arguments outside their range.
    """
    if not (0 < sd < np.inf and np.isfinite(difference) and n >= 2 and 0 < alpha < 1):
        arguments = f"sd={sd}, difference={difference}, n={n}, alpha={alpha}"
        raise ValueError(f"{arguments}: sd must be > 0, n ≥ 2, alpha between 0 and 1, all finite")
    freedom, shift = 2 * n - 2, abs(difference) / sd * np.sqrt(n / 2)
    t = special.stdtrit(freedom, 1 - alpha / 2)
    return float(1 - special.nctdtr(freedom, shift, t) + special.nctdtr(freedom, shift, -t))


def seeds_needed(sd: float, difference: float, target: float = 0.8, alpha: float = 0.05) -> int:
    """Return the least n per row with which `power` reaches the target, in (0, 1).

    difference: not 0. An sd measured with few seeds is itself uncertain, and n grows with its
    square: after five seeds the true sd lies between .6 and 2.9 times the measured one (95%, χ²
    with 4 degrees of freedom). Raises ValueError for arguments outside their range.
    """
    if difference == 0 or not 0 < target < 1:
        arguments = f"difference={difference}, target={target}"
        raise ValueError(f"{arguments}: must not be 0; must be between 0 and 1")
    high = 2
    while power(sd, difference, high, alpha) < target:
        high *= 2
    return 2 + bisect_left(range(2, high), target, key=lambda n: power(sd, difference, n, alpha))


def violation_ratio(a: ArrayLike, b: ArrayLike) -> Floats:
    """Return how far a (..., n) is from being stochastically larger than b (..., m), in [0, 1].

    ε = ∫_V (A⁻¹ − B⁻¹)² / ∫ (A⁻¹ − B⁻¹)², A⁻¹ and B⁻¹ the quantile functions of the samples on
    (0, 1), V where A⁻¹ < B⁻¹. 0 if a dominates, 1 if b does; ε(a, b) + ε(b, a) = 1, so .5 if both
    are the same. del Barrio, Cuesta-Albertos & Matrán 2018; Dror et al. 2019.

    Quantile functions are constant between multiples of 1/n and of 1/m: the integrals are sums,
    without a grid.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    n, m = a.shape[-1], b.shape[-1]
    edges = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)  # in units of 1/(n·m)
    gaps = np.sort(a)[..., edges[:-1] // m] - np.sort(b)[..., edges[:-1] // n]
    parts = gaps**2 * np.diff(edges)
    whole = parts.sum(-1)
    violated = (parts * (gaps < 0)).sum(-1)
    ratio: Floats = np.full_like(whole, 0.5)
    np.divide(violated, whole, out=ratio, where=whole > 0)
    return ratio


def almost_stochastic_order(
    a: ArrayLike, b: ArrayLike, alpha: float = 0.05, replicates: int = 2000, seed: int = 0
) -> float:
    """Return the upper confidence bound of `violation_ratio` of a (n,) over b (m,), in [0, 1].

    Below .5, a is larger more often than not; the lower, the surer. Dror et al. 2019, as used by
    Ulmer et al. 2022.

    The test takes a violation below ε₀ as shown if √(nm/(n+m))·(ε̂ − ε₀) < σ̂·Φ⁻¹(α). σ̂² is the
    bootstrap variance of √(nm/(n+m))·(ε* − ε̂), so the root cancels, and the least such ε₀ is
    ε̂ − sd(ε*)·Φ⁻¹(α), clipped to [0, 1].

    Asymptotic, and it shows with few seeds: if all of a lies above all of b, so does every
    resample, sd(ε*) is 0 and the bound 0 however few they are. Two equal rows do that, one way,
    with chance 1/C(2n, n): 1/6 with two seeds, 1/20 with three, 1/252 with five. Below five it
    proves nothing. Raises ValueError for an alpha outside (0, 1).
    """
    a, b = _series(a, "a"), _series(b, "b")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha}: must be between 0 and 1")
    rng = np.random.default_rng(seed)
    resampled_a = a[rng.integers(len(a), size=(replicates, len(a)))]
    resampled_b = b[rng.integers(len(b), size=(replicates, len(b)))]
    sd = violation_ratio(resampled_a, resampled_b).std()
    bound = violation_ratio(a, b) - sd * special.ndtri(alpha)
    return float(np.clip(bound, 0, 1))


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


def _series(values: ArrayLike, name: str) -> Floats:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        allowed = "a list of at least one finite number"
        raise ValueError(f"{name} of shape {values.shape}: must be {allowed}")
    return values


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


def _times_drawn(rng: np.random.Generator, replicates: int, n: int) -> NDArray[np.int64]:
    """Return how often each of n is drawn in n draws with replacement: (replicates, n)."""
    draws = rng.integers(n, size=(replicates, n)) + n * np.arange(replicates)[:, None]
    return np.bincount(draws.ravel(), minlength=replicates * n).reshape(replicates, n)


def _percentiles(values: Floats, level: float) -> Interval:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
