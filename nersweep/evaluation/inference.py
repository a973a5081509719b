"""From runs to a verdict: one simultaneous interval and its dual p for each setting.

The differences of R settings from a baseline (evaluation/differences) have a standard error and
joint draws (evaluation/family). With q the 1 − α quantile of max_r |δ_r − d̄_r|/se_r over the draws,
the intervals d̄_r ± q·se_r hold for all settings at once. p_r is the share of draws whose maximum is
at least |d̄_r|/se_r. They are dual: p_r < α exactly where 0 lies outside the interval.

Simultaneous intervals against a control: Dunnett 1955. How often they hold, and where this departs
from the plain formulas: docs/statistics.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy import special

from nersweep.evaluation.differences import Difference, difference_of, mean_of
from nersweep.evaluation.family import Family, critical
from nersweep.evaluation.influence import Floats, Sample

ALPHA = 0.05  # of all statements together
DRAWS = 99_999  # 100,000 with the observed one


class Verdict(StrEnum):
    """What an interval says about a setting against the baseline."""

    MUCH_BETTER = "better by more than the resolution"
    BETTER = "better"
    SAME = "practically the same"
    UNDECIDED = "undecided"
    WORSE = "worse"
    MUCH_WORSE = "worse by more than the resolution"


@dataclass(frozen=True)
class Contrast:
    """The difference of a setting from the baseline, in points.

    seeds: the pairs if paired, else the setting's runs. low, high, p: simultaneous with the other
    contrasts; infinite and NaN where nothing can be said: fewer than two seeds, one
    cluster, or only scores of 0 and 100.
    seed_variance and document_variance: the parts of se².
    """

    name: str
    difference: float
    standard_error: float
    low: float
    high: float
    p: float
    seeds: int
    paired: bool
    seed_variance: float
    document_variance: float
    freedom: float
    verdict: Verdict


@dataclass(frozen=True)
class Standing:
    """A setting among all, the baseline included; NaN where it has no interval.

    best: the probability that it is the best. regret: the points that choosing it is expected to
    cost, E[max θ − θ_r]. candidate: whether it may be the best, that is, no other is shown to
    be better; the best is a candidate with probability 1 − α.
    """

    name: str
    best: float
    regret: float
    candidate: bool


@dataclass(frozen=True)
class Inference:
    """contrasts: the settings but the baseline, in their order. standings: all, in their order."""

    contrasts: tuple[Contrast, ...]
    standings: tuple[Standing, ...]
    alpha: float
    resolution: float
    quantile: float

    @property
    def choice(self) -> str:
        """The setting of least expected regret; the baseline where nothing can be said."""
        known = [standing for standing in self.standings if np.isfinite(standing.regret)]
        return min(known or self.standings, key=lambda standing: standing.regret).name


def infer(
    samples: Sequence[Sample],
    resolution: float = 0.5,
    alpha: float = ALPHA,
    draws: int = DRAWS,
) -> Inference:
    """Compare settings with a baseline, the first sample.

    resolution: the least difference of interest, in points, > 0. alpha: the level of all intervals
    together, in (0, 1). The same input gives the same output. Raises ValueError for arguments out
    of range, for a sample without runs, and for samples of different clusters.
    """
    check(samples, resolution, alpha, draws)
    differences = [difference_of(sample, samples[0]) for sample in samples[1:]]
    family = Family([each for each in differences if each.testable], draws)
    contrasts, quantile = simultaneous(differences, family, resolution, alpha)
    standings = rank(samples, differences, family, alpha)
    return Inference(tuple(contrasts), standings, alpha, resolution, quantile)


def simultaneous(
    differences: Sequence[Difference], family: Family, resolution: float, alpha: float
) -> tuple[list[Contrast], float]:
    """Return the contrasts of differences, and q. family: those of them that can be tested."""
    maxima = np.sort(family.statistics().max(1, initial=0))
    quantile = critical(maxima, alpha)
    contrasts: list[Contrast] = []
    for difference in differences:
        if difference.testable:
            row = family.differences.index(difference)
            contrasts.append(contrast_of(family, row, maxima, quantile, resolution))
        else:
            contrasts.append(untested(difference))
    return contrasts, quantile


def mean_intervals(
    samples: Sequence[Sample], alpha: float = ALPHA, draws: int = DRAWS
) -> list[tuple[float, float]]:
    """Return the interval of each setting's mean, in points, from seeds and documents.

    Each holds on its own with probability 1 − α. One seed gives that of documents alone, and one
    cluster the whole scale. Errors are those of `infer`.
    """
    check(samples, 1.0, alpha, draws)
    means = [mean_of(sample) for sample in samples]
    tested = [mean for mean in means if mean.testable]
    family = Family(tested, draws)
    statistics, errors = family.statistics(), family.errors()
    intervals: list[tuple[float, float]] = []
    for mean in means:
        if mean.testable:
            row = tested.index(mean)
            half = critical(np.sort(statistics[:, row]), alpha) * float(errors[row])
        elif mean.is_zero:
            half = 0.0
        else:
            half = -float(special.ndtri(alpha / 2)) * float(np.sqrt(mean.documents))
        low, high = max(mean.mean - half, 0.0), min(mean.mean + half, 100.0)
        intervals.append((float(low), float(high)))
    return intervals


def check(samples: Sequence[Sample], resolution: float, alpha: float, draws: int) -> None:
    """Raise ValueError for arguments out of range, or samples that cannot be compared."""
    if not (resolution > 0 and 0 < alpha < 1 and draws > 0):
        arguments = f"resolution={resolution}, alpha={alpha}, draws={draws}"
        raise ValueError(f"{arguments}: must be > 0, between 0 and 1, > 0")
    clusters: set[int] = set()
    for sample in samples:
        clusters |= {len(influence) for influence in sample.influences.values()}
        if not sample.scores:
            raise ValueError(f"{sample.name}: must have at least one run")
    if len(clusters) != 1:
        raise ValueError(f"runs of {sorted(clusters)} clusters: must be of the same clusters")


def contrast_of(
    family: Family, row: int, maxima: Floats, quantile: float, resolution: float
) -> Contrast:
    """Return the contrast of a setting. maxima: draws of the greatest statistic, sorted."""
    difference, error = family.differences[row], float(family.errors()[row])
    mean = float(difference.mean)
    statistic = abs(mean) / error if error > 0 else np.inf * (mean != 0)
    extreme = len(maxima) - int(np.searchsorted(maxima, statistic))
    low, high = mean - quantile * error, mean + quantile * error
    return Contrast(
        difference.name,
        mean,
        error,
        low,
        high,
        (extreme + 1) / (len(maxima) + 1),
        difference.seeds,
        difference.paired,
        float(family.variances[row] / difference.size),
        float(family.documents[row]),
        difference.freedom,
        verdict(low, high, resolution),
    )


def verdict(low: float, high: float, resolution: float) -> Verdict:
    """Return what the interval from low to high says at a resolution."""
    if low > resolution:
        return Verdict.MUCH_BETTER
    if high < -resolution:
        return Verdict.MUCH_WORSE
    if low > 0:
        return Verdict.BETTER
    if high < 0:
        return Verdict.WORSE
    return Verdict.SAME if -resolution < low and high < resolution else Verdict.UNDECIDED


def untested(difference: Difference) -> Contrast:
    """Return the contrast of a setting without an interval, or equal to the baseline."""
    if difference.is_zero:
        return Contrast(
            difference.name, 0.0, 0.0, 0.0, 0.0, 1.0, difference.seeds, difference.paired,
            0.0, 0.0, difference.freedom, Verdict.SAME,
        )  # fmt: skip
    return Contrast(
        difference.name, float(difference.mean), np.inf, -np.inf, np.inf, np.nan,
        difference.seeds, difference.paired, difference.variance, difference.documents,
        difference.freedom, Verdict.UNDECIDED,
    )  # fmt: skip


def rank(
    samples: Sequence[Sample], differences: Sequence[Difference], family: Family, alpha: float
) -> tuple[Standing, ...]:
    """Return where each setting stands, from joint draws of differences with the baseline at 0."""
    names: list[str] = [samples[0].name]
    means: list[float] = [0.0]
    columns: list[int] = [-1]  # of the draws: −1 is the baseline, or what equals it
    for difference in differences:
        if difference.testable or difference.is_zero:
            names.append(difference.name)
            means.append(difference.mean)
            is_zero = difference.is_zero
            columns.append(-1 if is_zero else family.differences.index(difference))
    deviations = np.pad(family.deviations(), ((0, 0), (0, 1)))[:, columns]
    covariance = np.pad(family.covariance(), (0, 1))[np.ix_(columns, columns)]
    values = np.array(means) + deviations
    highest = values.max(1, keepdims=True)
    first = values == highest
    best = (first / first.sum(1, keepdims=True)).mean(0)
    regrets = (highest - values).mean(0)
    standings: list[Standing] = []
    for sample in samples:
        if sample.name in names and len(names) > 1:
            row = names.index(sample.name)
            candidate = may_be_best(row, np.array(means), deviations, covariance, alpha)
            standings.append(
                Standing(sample.name, float(best[row]), float(regrets[row]), candidate)
            )
        else:
            standings.append(Standing(sample.name, np.nan, np.nan, True))
    return tuple(standings)


def may_be_best(
    row: int, means: Floats, deviations: Floats, covariance: Floats, alpha: float
) -> bool:
    """Return False if another setting is shown to be better than this one.

    That is where max_q (d̄_q − d̄_r)/se_qr exceeds the 1 − α quantile of its deviation: the best
    setting passes with probability 1 − α, whichever it is. Hsu 1984.
    """
    own = covariance.diagonal()
    variances = own + own[row] - 2 * covariance[row]
    others = variances > 1e-12 * own.max()
    if not others.any():
        return True
    errors = np.sqrt(variances[others])
    gaps = (deviations[:, others] - deviations[:, [row]]) / errors
    quantile = critical(np.sort(gaps.max(1)), alpha)
    return bool(((means[others] - means[row]) / errors).max() <= quantile)
