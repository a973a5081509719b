"""Intervals, tests and effect sizes for runs over seeds: pure functions of arrays.

A run's counts are entities of the test set per sentence: correct, predicted, gold. Every row of a table (a setting) has
the same seeds and the same sentences, so that two rows are compared pair by pair. Scores may be fractions or points.

What speaks of whom: `sign_flip`, `hedges_g`, `superiority`, `almost_stochastic_order` and `interval_of_mean` see seeds,
and speak of other seeds on this test set; `approximate_randomisation` sees sentences, and speaks of these very models
on other sentences; the bootstrap sees both. None sees other data sets or other hyperparameters, and all take runs to
be independent given their row. What so few runs cannot tell is NaN; malformed input is a ValueError.

Papers are named with their equation or section only where that is certain.
"""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from scipy import special

LEVEL = 0.95  # of every interval
EXACT = 20  # seeds up to which all sign flips are tried: a million
DRAWS = 99_999  # of a Monte Carlo test; with the observed one 100,000
STEP = 200  # replicates at a time: what holds the memory down


def f1(counts: np.ndarray) -> np.ndarray:
    """Micro F1 in [0, 1], 2·correct / (predicted + gold), 0 where nothing is predicted or gold. counts (..., 3) of
    correct, predicted, gold -> (...). Raises ValueError for another last dimension."""
    counts = np.asarray(counts, dtype=np.float64)
    if counts.shape[-1:] != (3,):
        raise ValueError(
            f"counts of shape {counts.shape}: must be (..., 3), correct, predicted, gold"
        )
    total = counts[..., 1] + counts[..., 2]
    return np.divide(2 * counts[..., 0], total, out=np.zeros_like(total), where=total > 0)


def resampled_f1(counts: np.ndarray, replicates: int = 2000, seed: int = 0) -> np.ndarray:
    """Micro F1 of every run on test sets drawn anew, sentences with replacement: what the two intervals below are made
    of. counts (..., runs, sentences, 3) -> (replicates, ..., runs).

    A replicate is the same draw of sentences for all runs, and for every call with as many sentences, replicates and
    the same seed: sentences are crossed with runs, and the difference of two rows is the difference of their
    results. Give all rows at once; it is one matrix product. Raises ValueError for counts that cannot be, or gold
    that is not the same for all runs.
    """
    counts = _checked(counts)
    *rows, sentences, _ = counts.shape
    columns = (
        np.moveaxis(counts, -2, 0).reshape(sentences, -1).astype(np.float32)
    )  # sums are exact below 2^24
    rng, found = np.random.default_rng(seed), []
    for start in range(0, replicates, STEP):
        weights = _times_drawn(rng, min(STEP, replicates - start), sentences).astype(np.float32)
        found.append(f1((weights @ columns).reshape(-1, *rows, 3)))
    return np.concatenate(found)


def bootstrap_interval(
    resampled: np.ndarray, seed: int = 0, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """The percentile interval of a mean over seeds, seeds and sentences drawn anew jointly: low and high, (...).
    resampled (replicates, ..., seeds): `resampled_f1`, or the difference of two. Owen 2007, "The pigeonhole bootstrap".

    Too narrow for few seeds that differ by more than chance in the sentences: draws from n seeds spread √((n−1)/n) as
    wide as they should, without the tails of Student's t. `student_interval` mends this. One seed is drawn every time:
    the interval is over sentences only. How often the two hold the true difference of two rows, in 1,000 generated sets
    like the test set of CoNLL-2003 (python benchmarks/coverage.py, which has the widths too):

        why seeds differ, sd in points   interval     2 seeds     3     5    10
        chance in single entities, .19   bootstrap       .988  .993  .984  .990
                                         Student         .999  .994  .983  .983
        better and worse runs, .20       bootstrap       .942  .953  .958  .961
                                         Student         .992  .976  .968  .962
        unstable training, .60           bootstrap       .768  .854  .903  .937
                                         Student         .969  .967  .959  .952
    """
    replicates, *_, seeds = resampled.shape
    drawn = _times_drawn(np.random.default_rng((seed, 1)), replicates, seeds) / seeds
    return _percentiles(np.einsum("r...s,rs->r...", resampled, drawn), level)


def student_interval(
    resampled: np.ndarray, observed: np.ndarray, seed: int = 0, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """As `bootstrap_interval`, honest from two seeds on: sentences are drawn anew, and the mean over seeds is moved by
    t·s/√n, t drawn from Student's distribution with n − 1 degrees of freedom, s the standard deviation of observed
    (..., seeds), the scores on the test set itself. Percentiles of the sum, as in the fiducial interval of
    Behrens and Fisher. Takes the scores over seeds to be normal. NaN with one seed.

    It errs to the wide side: chance in the sentences is a part of s too, and counts twice. With two seeds it is
    so wide as to say little, which is what two seeds can say.
    """
    seeds = resampled.shape[-1]
    if observed.shape != resampled.shape[1:]:
        raise ValueError(
            f"observed of shape {observed.shape}: must be {resampled.shape[1:]}, as a replicate"
        )
    error = (
        observed.std(-1, ddof=1) / np.sqrt(seeds)
        if seeds > 1
        else np.full(observed.shape[:-1], np.nan)
    )
    places = np.random.default_rng((seed, 1)).permutation(
        len(resampled)
    )  # t once from each equal part of its law
    t = special.stdtrit(max(seeds - 1, 1), (places + 0.5) / len(places))
    return _percentiles(resampled.mean(-1) + np.multiply.outer(t, error), level)


def interval_of_mean(values: np.ndarray) -> tuple[float, float]:
    """The 95% interval of Student's t for the mean of values (n,), n ≥ 2, taken to be normal: mean ± t·s/√n. Over
    seeds it speaks of this very test set: where there are no counts per sentence. NaN for one value."""
    values = _series(values, "values")
    if len(values) < 2:
        return np.nan, np.nan
    half = (
        special.stdtrit(len(values) - 1, (1 + LEVEL) / 2)
        * values.std(ddof=1)
        / np.sqrt(len(values))
    )
    return float(values.mean() - half), float(values.mean() + half)


def sign_flip(differences: np.ndarray, seed: int = 0) -> float:
    """Two-sided p of the paired sign-flip test: the share of all 2^n assignments of signs to differences (n,) whose sum
    is at least as far from 0 as the observed one; from n = 21 on of 99,999 random ones, (b + 1) / (m + 1). Under the
    null hypothesis a difference is symmetric about 0, which holds where the rows are exchangeable. Fisher 1935.

    Sums that differ by less than 1e-9 are equal, so that ties count as ties: floats say that .3 − .1 − .2 is not 0.
    Integers are exact. Scores may be fractions or points; what is measured in billionths must be scaled first.
    """
    differences = _series(differences, "differences")
    n, least = len(differences), abs(differences.sum()) - 1e-9
    if n <= EXACT:
        sums = np.zeros(1)
        for difference in differences:
            sums = np.concatenate([sums + difference, sums - difference])
        return float(np.mean(np.abs(sums) >= least))
    signs = 1 - 2 * np.random.default_rng(seed).integers(2, size=(DRAWS, n), dtype=np.int8)
    return (np.count_nonzero(np.abs(signs @ differences) >= least) + 1) / (DRAWS + 1)


def smallest_p(n: int) -> float:
    """The least p that `sign_flip` can give with n ≥ 1 differences: 2^(1−n), .0625 with 5; it is 5% or less from 6 on.
    Above 20 the random assignments set it, 1e-5."""
    if n < 1:
        raise ValueError(f"n={n}: must be ≥ 1")
    return 2.0 ** (1 - n) if n <= EXACT else 1 / (DRAWS + 1)


def approximate_randomisation(
    a: np.ndarray, b: np.ndarray, draws: int = 9_999, seed: int = 0
) -> float:
    """Two-sided p of the difference of mean micro F1 between two rows on these sentences: in each draw a coin says per
    sentence whether the rows swap its counts, and F1 is computed from the summed counts. (b + 1) / (m + 1), b the draws
    with a difference at least as large. Noreen 1989; for F1 as here, Yeh 2000.

    a, b: counts (seeds, sentences, 3), the same seeds and sentences. A sentence is swapped for all seeds at once, since
    what the seeds make of it is not independent; the statistic is the difference of the means over seeds of F1. It
    speaks of these models: two seeds of one loss can differ significantly. Raises ValueError as `resampled_f1` does.
    """
    if np.ndim(a) != 3 or np.shape(a) != np.shape(b):
        raise ValueError(
            f"counts of shapes {np.shape(a)} and {np.shape(b)}: must be (seeds, sentences, 3), both alike"
        )
    both = _checked(np.stack([a, b]))
    totals = both.sum(2)
    observed = abs(f1(totals[0]).mean() - f1(totals[1]).mean())
    gain = both[1] - both[0]  # (seeds, sentences, 3): what a gets, and b loses, by a swap
    gain = gain[:, (gain != 0).any((0, 2))]  # the other sentences change nothing
    columns = gain.transpose(1, 0, 2).reshape(-1, totals[0].size).astype(np.float32)
    rng, reached = np.random.default_rng(seed), 0
    for start in range(0, draws, STEP):
        swapped = rng.integers(
            2, size=(min(STEP, draws - start), len(columns)), dtype=np.int8
        ).astype(np.float32)
        moved = (swapped @ columns).reshape(len(swapped), -1, 3).astype(np.float64)
        difference = f1(totals[0] + moved).mean(1) - f1(totals[1] - moved).mean(1)
        reached += np.count_nonzero(
            np.abs(difference) >= observed - 1e-12
        )  # sums are integers: what is left is F1's
    return (reached + 1) / (draws + 1)


def holm(p: np.ndarray) -> np.ndarray:
    """p values (m,) adjusted for being m: the i-th smallest times m − i + 1, no less than the one before, at most 1.
    What is below α afterwards holds with the chance of any false one ≤ α, however the tests depend on each other.
    NaN is a test that was not made: it stays NaN and does not count. Raises ValueError outside [0, 1]. Holm 1979."""
    p = np.array(p, dtype=np.float64)
    if p.ndim != 1 or (p < 0).any() or (p > 1).any():
        raise ValueError(
            f"p={p.tolist()}: must be a list of numbers from 0 to 1, NaN where nothing was tested"
        )
    order = np.argsort(p, kind="stable")[: np.count_nonzero(~np.isnan(p))]  # NaN sorts last
    factors = np.arange(len(order), 0, -1)
    p[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1)
    return p


def hedges_g(a: np.ndarray, b: np.ndarray) -> float:
    """The difference of means of a (n,) and b (m,) in standard deviations, corrected for small samples:
    g = J·(mean a − mean b) / s, s² pooled over both rows, J = Γ(k/2) / (√(k/2)·Γ((k−1)/2)), k = n + m − 2, which is
    about 1 − 3/(4k − 1). Hedges 1981.

    s is the spread over seeds, not that of the paired differences: it says how many seed sds lie between the rows,
    as `power` wants it. Sharing seeds leaves s alone; J is exact for independent runs of equal variance. Where both
    rows are constant, 0 for equal means and else ±inf. NaN unless both have two runs. From few runs it is rough:
    for g near 0 and five seeds a row its standard error is about √(2/5) = .6.
    """
    a, b = _series(a, "a"), _series(b, "b")
    if min(len(a), len(b)) < 2:
        return np.nan
    k = len(a) + len(b) - 2
    sd = np.sqrt((a.var() * len(a) + b.var() * len(b)) / k)
    difference, noise = (
        a.mean() - b.mean(),
        1e-12 * np.abs(np.concatenate([a, b])).max(),
    )  # the mean of equals is off
    if sd <= noise:
        return float(np.sign(difference) * np.inf) if abs(difference) > noise else 0.0
    correction = np.exp(special.gammaln(k / 2) - special.gammaln((k - 1) / 2)) / np.sqrt(k / 2)
    return float(correction * difference / sd)


def superiority(a: np.ndarray, b: np.ndarray) -> float:
    """The chance that a run of a (n,) beats one of b (m,), ties half: the share of all n·m pairs. .5 is no difference.
    Vargha & Delaney 2000 (A); McGraw & Wong 1992 (common language effect size)."""
    a, b = _series(a, "a"), _series(b, "b")
    return float((1 + np.sign(a[:, None] - b)).mean() / 2)


def power(sd: float, difference: float, n: int, alpha: float = 0.05) -> float:
    """The chance that a two-sided t test of two rows with n ≥ 2 runs each sees a true difference of means, both normal
    with this sd > 0, independent: P(|T| > t), T noncentral t with 2n − 2 degrees of freedom and noncentrality
    difference/sd·√(n/2), t the 1 − alpha/2 quantile of the central one. Cohen 1988, chapter 2."""
    if not (0 < sd < np.inf and np.isfinite(difference) and n >= 2 and 0 < alpha < 1):
        asked = f"sd={sd}, difference={difference}, n={n}, alpha={alpha}"
        raise ValueError(f"{asked}: sd must be > 0, n ≥ 2, alpha between 0 and 1, all finite")
    freedom, shift = 2 * n - 2, abs(difference) / sd * np.sqrt(n / 2)
    t = special.stdtrit(freedom, 1 - alpha / 2)
    return float(1 - special.nctdtr(freedom, shift, t) + special.nctdtr(freedom, shift, -t))


def seeds_needed(sd: float, difference: float, target: float = 0.8, alpha: float = 0.05) -> int:
    """The least n per row with which `power` reaches the target, in (0, 1), for a difference other than 0. An sd
    measured with few seeds is itself uncertain, and n goes with its square: after five seeds the true one lies between
    .6 and 2.9 times the measured (95%, χ² with 4 degrees of freedom)."""
    if difference == 0 or not 0 < target < 1:
        raise ValueError(
            f"difference={difference}, target={target}: must not be 0; must be between 0 and 1"
        )
    high = 2
    while power(sd, difference, high, alpha) < target:
        high *= 2
    return 2 + bisect_left(range(2, high), target, key=lambda n: power(sd, difference, n, alpha))


def violation_ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How far a (..., n) is from being stochastically larger than b (..., m): ε = ∫_V (A⁻¹ − B⁻¹)² / ∫ (A⁻¹ − B⁻¹)²,
    A⁻¹ and B⁻¹ the quantile functions of the samples on (0, 1), V where A⁻¹ < B⁻¹. 0 where a dominates, 1 where b does;
    ε(a, b) + ε(b, a) = 1, so .5 where both are the same. del Barrio, Cuesta-Albertos & Matrán 2018; Dror et al. 2019.

    Quantile functions are constant between multiples of 1/n and of 1/m: the integrals are sums, without a grid.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    n, m = a.shape[-1], b.shape[-1]
    edges = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)  # in units of 1/(n·m)
    gaps = np.sort(a)[..., edges[:-1] // m] - np.sort(b)[..., edges[:-1] // n]
    parts = gaps**2 * np.diff(edges)
    whole = parts.sum(-1)
    return np.divide(
        (parts * (gaps < 0)).sum(-1), whole, out=np.full_like(whole, 0.5), where=whole > 0
    )


def almost_stochastic_order(
    a: np.ndarray, b: np.ndarray, alpha: float = 0.05, replicates: int = 2000, seed: int = 0
) -> float:
    """The upper confidence bound of `violation_ratio` of a (n,) over b (m,), in [0, 1]: below .5, a is larger more than
    not; the lower, the surer. Dror et al. 2019, as used by Ulmer et al. 2022.

    The test takes a violation below ε₀ as shown where √(nm/(n+m))·(ε̂ − ε₀) < σ̂·Φ⁻¹(α). σ̂² is the bootstrap variance of
    √(nm/(n+m))·(ε* − ε̂), so the root cancels, and the least such ε₀ is ε̂ − sd(ε*)·Φ⁻¹(α), clipped to [0, 1].

    Asymptotic, and it shows with few seeds: where all of a lies above all of b, so does every redraw, sd(ε*) is 0 and
    the bound 0 however few they are. Two equal rows do that, one way, with chance 1/C(2n, n): 1/6 with two seeds, 1/20
    with three, 1/252 with five. Below five it proves nothing.
    """
    a, b = _series(a, "a"), _series(b, "b")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha}: must be between 0 and 1")
    rng = np.random.default_rng(seed)
    redrawn = [
        values[rng.integers(len(values), size=(replicates, len(values)))] for values in (a, b)
    ]
    bound = violation_ratio(a, b) - violation_ratio(*redrawn).std() * special.ndtri(alpha)
    return float(np.clip(bound, 0, 1))


@dataclass(frozen=True)
class Calibration:
    """Of predictions by confidence: error, the expected calibration error in [0, 1], 0 of no predictions; per bin, for
    a reliability diagram, edges (bins + 1,), counts, and the means of confidence and accuracy, NaN in an empty bin."""

    error: float
    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> Calibration:
    """Σ_b n_b/n·|accuracy_b − confidence_b| over bins of equal width, open below and closed above. confidence (n,) in
    [0, 1], of the predicted class; correct (n,) of 0 and 1. Guo et al. 2017, eq. 3.

    It depends on the bins, and is above 0 for few predictions even where the model is calibrated."""
    confidence, correct = (np.asarray(values, dtype=np.float64) for values in (confidence, correct))
    same = confidence.ndim == 1 and confidence.shape == correct.shape
    if not same or bins < 1 or not ((confidence >= 0) & (confidence <= 1)).all():
        asked = f"confidences of shape {confidence.shape}, answers of {correct.shape}, bins={bins}"
        raise ValueError(
            f"{asked}: must be as many confidences, in [0, 1], as answers, and at least one bin"
        )
    edges = np.linspace(0, 1, bins + 1)
    places = np.maximum(np.searchsorted(edges, confidence) - 1, 0)  # 0 itself goes to the first
    counts = np.bincount(places, minlength=bins)
    sums = [np.bincount(places, values, minlength=bins) for values in (confidence, correct)]
    means = [
        np.divide(total, counts, out=np.full(bins, np.nan), where=counts > 0) for total in sums
    ]
    return Calibration(
        float(np.abs(sums[1] - sums[0]).sum() / max(1, len(confidence))), edges, counts, *means
    )


def _series(values: np.ndarray, name: str) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(
            f"{name} of shape {values.shape}: must be a list of at least one finite number"
        )
    return values


def _checked(counts: np.ndarray) -> np.ndarray:
    """counts (..., runs, sentences, 3) as float64, where they can be counts of the same sentences."""
    counts = np.asarray(counts, dtype=np.float64)
    if counts.ndim < 3 or counts.shape[-1] != 3 or not counts.size:
        raise ValueError(f"counts of shape {counts.shape}: must be (..., runs, sentences, 3)")
    correct, predicted, gold = np.moveaxis(counts, -1, 0)
    if not (
        (correct >= 0)
        & (correct <= predicted)
        & (correct <= gold)
        & (counts == np.floor(counts)).all(-1)
    ).all():
        raise ValueError(
            "counts of correct, predicted, gold: must be whole, and 0 ≤ correct ≤ predicted and gold"
        )
    if (gold != gold.reshape(-1, gold.shape[-1])[0]).any():
        raise ValueError(
            "gold counts differ between runs: must be of the same sentences in the same order"
        )
    return counts


def _times_drawn(rng: np.random.Generator, replicates: int, n: int) -> np.ndarray:
    """How often each of n is drawn in n draws with replacement: (replicates, n)."""
    drawn = rng.integers(n, size=(replicates, n)) + n * np.arange(replicates)[:, None]
    return np.bincount(drawn.ravel(), minlength=replicates * n).reshape(replicates, n)


def _percentiles(values: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
