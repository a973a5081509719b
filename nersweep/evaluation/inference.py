"""From runs to a verdict: one simultaneous interval and its dual p for each setting.

The differences of R settings from a baseline vary for two reasons: seeds, and documents. Write d_s
for the difference of a setting's run with seed s from the baseline's, in points, d̄ for its mean
over n seeds, and u_{s,c} for the difference of the influences of cluster c (evaluation/influence).

1. Documents. K = C·cov_c(ū_r, ū_q) is the covariance of the d̄ over test sets. It contains what
   seeds and documents do together, W_r = Σ_s C·var_c(u_s − ū) / (n − 1) / n, which the seeds'
   variance contains too. A is K scaled so that A_rr = max(K_rr − W_rr, K_rr/4).
2. Seeds. s_r² = Σ (d_s − d̄)²/(n − 1). With few seeds it is a poor estimate, so settings lend each
   other: m = (ν0·s0² + (n−1)·s²) / (ν0 + n−1), see `moderate`, and s̃² = max(m, (m + s²)/2). ν =
   min(ν0 + n−1, max(n−1, N/(1 + (R−1)/4))) degrees of freedom, N = Σ_r (n_r − 1): differences from
   one baseline correlate by ½ and their variances by ¼. From 8 seeds on, s² and n − 1.
3. Joint draws, δ = d̄ + τ_r·(L_B z)_r + (L_A z′)_r, where L L′ is the covariance, B_rq = ½·s̃_r·s̃_q/n
   (B_rr = s̃_r²/n), z and z′ are standard normal, τ² = ν/χ²_ν. Of χ²_ν the part that is a setting's
   own is drawn by setting, the rest once. se_r² = s̃_r²/n + A_rr.
4. The interval d̄_r ± q·se_r, with q the 1 − α quantile of max_r |δ_r − d̄_r|/se_r, holds for all
   settings at once; p_r is the share of draws whose maximum is at least |d̄_r|/se_r. They are dual:
   p_r < α exactly where 0 lies outside the interval.

Which seeds. A setting is paired with the baseline over the seeds they share if these are at least
two, and at least half of the seeds of the one that has fewer. Otherwise all seeds of both are used,
unpaired: the variance is s_r²/n_r + s_0²/n_0 with Welch's degrees of freedom, and stands for n =
2·n_r·n_0/(n_r + n_0) seeds. Settings may have different numbers of seeds.

Moderated variances: Smyth 2004. Simultaneous intervals against a control: Dunnett 1955. How often
they hold, and where this departs from the plain formulas: docs/statistics.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np
from scipy import special

from nersweep.evaluation.influence import Floats, Sample

ALPHA = 0.05  # of all statements together
DRAWS = 99_999  # 100,000 with the observed one
OWN = 7  # degrees of freedom from which a setting relies on its own variance: 8 seeds
PLANNING_DRAWS = 19_999
MOST_SEEDS = 1000  # the largest number of seeds that planning considers
ENDLESS = 10**9


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
    contrasts; infinite and NaN where nothing can be said: fewer than two seeds, or one cluster.
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
class Outlook:
    """What further seeds would do for a setting, if its difference stays what it is.

    more_seeds: how many would decide it, 0 if it is decided; None if no number up to MOST_SEEDS
    would. limit: the half width of its interval with endless seeds, in points, the least that this
    test set can see; NaN where one seed tells nothing about it.
    """

    more_seeds: int | None
    limit: float


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


@dataclass(frozen=True, eq=False)
class Difference:
    """What the runs say before settings lend each other: see the module for the symbols.

    variance: of the mean over seeds, s²/size; NaN with fewer than two seeds. size: seeds that it
    stands for. influence: ū by cluster. interaction: W.
    """

    name: str
    mean: float
    variance: float
    freedom: float
    size: float
    seeds: int
    paired: bool
    influence: Floats
    interaction: float

    @property
    def documents(self) -> float:
        """K, the variance over test sets; infinite with one cluster."""
        return cluster_variance(self.influence)

    @property
    def is_zero(self) -> bool:
        """True if the two settings made the same predictions with every seed."""
        alike = not self.influence.any() and self.interaction == 0
        return alike and self.mean == 0 and self.variance == 0

    @property
    def testable(self) -> bool:
        return self.freedom > 0 and len(self.influence) > 1 and not self.is_zero


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
    tested = [difference for difference in differences if difference.testable]
    family = Family(tested, draws)
    maxima = np.sort(family.statistics().max(1, initial=0))
    quantile = critical(maxima, alpha)
    contrasts: list[Contrast] = []
    for difference in differences:
        if difference.testable:
            row = tested.index(difference)
            contrasts.append(family.contrast(row, maxima, quantile, resolution))
        else:
            contrasts.append(untested(difference))
    standings = rank(samples, differences, family, alpha)
    return Inference(tuple(contrasts), standings, alpha, resolution, quantile)


def mean_intervals(
    samples: Sequence[Sample], alpha: float = ALPHA, draws: int = DRAWS
) -> list[tuple[float, float]]:
    """Return the interval of each setting's mean, in points, from seeds and documents.

    Each holds on its own with probability 1 − α. One seed gives that of documents alone, and one
    cluster the whole scale. Errors are those of `infer`.
    """
    check(samples, 1.0, alpha, draws)
    means: list[Difference] = []
    for sample in samples:
        scores = np.array(list(sample.scores.values()))
        influences = np.array(list(sample.influences.values()))
        n, influence, interaction = len(scores), influences.mean(0), 0.0
        spread = np.nan
        if n > 1:
            spread, interaction = scores.var(ddof=1) / n, interaction_of(influences)
        means.append(
            Difference(
                sample.name, scores.mean(), spread, n - 1, n, n, True, influence, interaction
            )
        )
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


def difference_of(sample: Sample, baseline: Sample) -> Difference:
    """Return a setting's difference from the baseline, paired where the seeds allow it."""
    shared = sorted(sample.scores.keys() & baseline.scores.keys())
    fewer = min(len(sample.scores), len(baseline.scores))
    if len(shared) >= 2 and 2 * len(shared) >= fewer:
        pairs = np.array([sample.scores[seed] - baseline.scores[seed] for seed in shared])
        gaps = np.array([sample.influences[seed] - baseline.influences[seed] for seed in shared])
        n = len(shared)
        spread = pairs.var(ddof=1) / n
        interaction = interaction_of(gaps)
        influence = gaps.mean(0)
        return Difference(
            sample.name, pairs.mean(), spread, n - 1, n, n, True, influence, interaction
        )
    means: list[float] = []
    variances: list[float] = []
    influences: list[Floats] = []
    interaction = 0.0
    sizes = np.array([len(sample.scores), len(baseline.scores)])
    for runs in (sample, baseline):
        scores = np.array(list(runs.scores.values()))
        gaps = np.array(list(runs.influences.values()))
        means.append(scores.mean())
        influences.append(gaps.mean(0))
        if len(scores) > 1:
            variances.append(scores.var(ddof=1) / len(scores))
            interaction += interaction_of(gaps)
    mean, influence = means[0] - means[1], influences[0] - influences[1]
    variance, freedom = np.nan, 0.0
    if len(variances) == 2:
        variance = sum(variances)
        freedom = float(sizes.sum() - 2)
        if variance > 0:
            freedom = variance**2 / float((np.square(variances) / (sizes - 1)).sum())
    size = 2 * float(sizes.prod() / sizes.sum())
    return Difference(
        sample.name, mean, variance, freedom, size, int(sizes[0]), False, influence, interaction
    )


def cluster_variance(influence: Floats) -> float:
    """Return C·var(u), the variance over test sets of C clusters; infinite for one cluster."""
    clusters = len(influence)
    return float(clusters * influence.var(ddof=1)) if clusters > 1 else np.inf


def interaction_of(influences: Floats) -> float:
    """Return W for influences (seeds, clusters): Σ_s C·var(u_s − ū) / (n − 1) / n."""
    n, clusters = influences.shape
    if clusters < 2:
        return 0.0
    spread = clusters * (influences - influences.mean(0)).var(1, ddof=1)
    return float(spread.sum() / (n - 1) / n)


def moderate(variances: Floats, freedom: Floats) -> tuple[Floats, Floats, Floats]:
    """Estimate the prior of variances (..., R): s̃² (..., R), ν0 and s0² (...).

    freedom: degrees of freedom of each, > 0, (R,). Each s² is s0²·F(freedom, ν0). The
    moments of e = log s² − ψ(d/2) + log(d/2) give ψ′(ν0/2) = var(e) − mean ψ′(d/2) and log s0² =
    mean(e) + ψ(ν0/2) − log(ν0/2): Smyth 2004, section 6.2. Where var(e) is too small, ν0 is
    infinite and s0² the pooled variance, as in limma. s̃² = (ν0·s0² + d·s²)/(ν0 + d).

    A variance of 0 counts as 1e-5 of the median of the others, as in limma; if all are 0 they stay.
    One variance alone stays what it is, with ν0 = 0.
    """
    if variances.shape[-1] < 2 or not variances.any():
        zeros = np.zeros(variances.shape[:-1])
        return variances.copy(), zeros, zeros
    positive = np.where(variances > 0, variances, np.nan)
    floor = 1e-5 * np.nanmedian(positive, axis=-1, keepdims=True)
    half = freedom / 2
    e = np.log(np.maximum(variances, floor)) - special.digamma(half) + np.log(half)
    excess = e.var(-1, ddof=1) - special.polygamma(1, half).mean()
    pooled = (freedom * variances).sum(-1) / freedom.sum()
    prior = 2 * inverse_trigamma(np.where(excess > 0, excess, 1.0))
    location = np.exp(e.mean(-1) + special.digamma(prior / 2) - np.log(prior / 2))
    prior, location = np.where(excess > 0, [prior, location], [np.full_like(prior, np.inf), pooled])
    weight = 1 / (1 + freedom / prior[..., None])  # of the prior, 1 for ν0 = ∞
    moderated = weight * location[..., None] + (1 - weight) * variances
    return moderated, prior, location


def inverse_trigamma(values: Floats) -> Floats:
    """Return y with ψ′(y) = values, values > 0, by Newton's method on 1/ψ′ from a table.

    Smyth 2004, appendix.
    """
    table = np.geomspace(1e-6, 1e8, 2000)
    logs = np.log(special.polygamma(1, table))  # descending
    y = np.exp(np.interp(-np.log(values), -logs, np.log(table)))
    for _ in range(2):
        trigamma = special.polygamma(1, y)
        y = y + trigamma * (1 - trigamma / values) / special.polygamma(2, y)
    return np.asarray(y)


def posterior_freedom(prior: Floats, freedom: Floats) -> Floats:
    """Return ν (..., R): see the module. prior: ν0 (...); freedom: n − 1, (..., R)."""
    rows = freedom.shape[-1]
    pooled = freedom.sum(-1, keepdims=True) / (1 + (rows - 1) / 4)
    nu = np.minimum(prior[..., None] + freedom, np.maximum(freedom, pooled))
    return np.where(freedom >= OWN, freedom, nu)


def seed_variances(variances: Floats, freedom: Floats) -> tuple[Floats, Floats]:
    """Return s̃² (..., R) as the module defines it, and ν0 (...)."""
    if (freedom >= OWN).all():
        return variances, np.zeros(variances.shape[:-1])
    moderated, prior, _ = moderate(variances, freedom)
    moderated = np.maximum(moderated, (moderated + variances) / 2)
    return np.where(freedom >= OWN, variances, moderated), prior


@lru_cache(maxsize=2)
def standard_normals(draws: int, columns: int) -> Floats:
    """Return standard normals (draws, columns), always the same ones. Do not write to them."""
    return np.random.default_rng(0).normal(size=(draws, columns))


def stretches(nu: Floats, freedom: Floats, draws: int) -> Floats:
    """Return draws of τ = √(ν/χ²_ν), (draws, R).

    χ²_ν is the sum of a setting's own χ² with `freedom` degrees and of a common one with the rest.
    """
    chi = own_chi_squares(tuple(freedom.tolist()), draws)
    rng = np.random.default_rng(1)
    common = nu - freedom
    for rest in np.unique(common[common > 0]):
        chi = chi + np.where(common == rest, rng.chisquare(rest, size=(draws, 1)), 0)
    return np.asarray(np.sqrt(nu / chi))


@lru_cache(maxsize=8)
def own_chi_squares(freedom: tuple[float, ...], draws: int) -> Floats:
    """Return draws of χ² with these degrees of freedom, (draws, R). Do not write to them."""
    return np.random.default_rng(2).chisquare(freedom, size=(draws, len(freedom)))


class Family:
    """Settings that are compared with one baseline, and joint draws of their differences."""

    def __init__(self, differences: Sequence[Difference], draws: int) -> None:
        self.differences = differences
        self.draws = draws
        self.means = np.array([difference.mean for difference in differences])
        self.sizes = np.array([difference.size for difference in differences])
        self.freedom = np.array([difference.freedom for difference in differences])
        own = self.sizes * [difference.variance for difference in differences]
        self.variances, self.prior = seed_variances(own, self.freedom)
        self.documents, self.root = self.document_covariance()

    def document_covariance(self) -> tuple[Floats, Floats]:
        """Return A_rr (R,) and a square root of A (R, R)."""
        count = len(self.differences)
        if not count:
            return np.zeros(0), np.zeros((0, 0))
        influences = np.array([difference.influence for difference in self.differences])
        covariance = influences.shape[1] * np.cov(influences).reshape(count, count)
        whole = covariance.diagonal()
        interactions = np.array([difference.interaction for difference in self.differences])
        documents = np.maximum(whole - interactions, whole / 4)
        scale = np.sqrt(np.divide(documents, whole, out=np.zeros(count), where=whole > 0))
        values, vectors = np.linalg.eigh(covariance * np.outer(scale, scale))
        return documents, vectors * np.sqrt(np.maximum(values, 0))

    def errors(self, seeds: int | None = None) -> Floats:
        """Return se_r (R,), with these seeds for all settings instead of those they have."""
        return np.sqrt(self.variances / (seeds or self.sizes) + self.documents)

    def covariance(self) -> Floats:
        """Return A + B, (R, R)."""
        errors = np.sqrt(self.variances / self.sizes)
        seeds = np.outer(errors, errors) * (1 + np.eye(len(errors))) / 2
        return np.asarray(seeds + self.root @ self.root.T)

    def deviations(self, seeds: int | None = None) -> Floats:
        """Return joint draws of δ − d̄, (draws, R): see the module."""
        count = len(self.differences)
        sizes = np.full(count, float(seeds)) if seeds else self.sizes
        freedom = sizes - 1 if seeds else self.freedom
        nu = posterior_freedom(self.prior, freedom)
        normals = standard_normals(self.draws, 2 * count + 1)
        # Half of the variance is the baseline's: its normal is drawn once, in the last column.
        drawn: Floats = np.sqrt(0.5) * (normals[:, :count] + normals[:, -1:])
        drawn *= np.sqrt(self.variances / sizes) * stretches(nu, freedom, self.draws)
        drawn += normals[:, count:-1] @ self.root.T
        return drawn

    def statistics(self, seeds: int | None = None) -> Floats:
        """Return draws of |δ − d̄|/se, (draws, R), and of 0 where se is 0."""
        errors = self.errors(seeds)
        deviations = np.abs(self.deviations(seeds))
        return np.divide(deviations, errors, out=np.zeros_like(deviations), where=errors > 0)

    def contrast(self, row: int, maxima: Floats, quantile: float, resolution: float) -> Contrast:
        """Return the contrast of a setting. maxima: draws of the greatest statistic, sorted."""
        difference, error = self.differences[row], float(self.errors()[row])
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
            float(self.variances[row] / difference.size),
            float(self.documents[row]),
            difference.freedom,
            verdict(low, high, resolution),
        )


def critical(maxima: Floats, alpha: float) -> float:
    """Return q: p = (1 + #{maxima ≥ t})/(1 + #maxima) is below alpha exactly where t > q.

    maxima: sorted. Infinite where there are too few draws for such a p.
    """
    most = int(np.ceil(alpha * (len(maxima) + 1) - 1))  # the count must be below it
    return float(maxima[len(maxima) - most]) if most > 0 else np.inf


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


def foresee(
    samples: Sequence[Sample],
    resolution: float = 0.5,
    alpha: float = ALPHA,
    draws: int = PLANNING_DRAWS,
) -> dict[str, Outlook]:
    """Return the outlook of each setting but the baseline, by name; all get as many seeds.

    Arguments and errors are those of `infer`.
    """
    check(samples, resolution, alpha, draws)
    differences = [difference_of(sample, samples[0]) for sample in samples[1:]]
    tested = [difference for difference in differences if difference.testable]
    planner = Planner(Family(tested, draws), resolution, alpha)
    outlooks: dict[str, Outlook] = {}
    for difference in differences:
        if difference.testable:
            row = tested.index(difference)
            outlooks[difference.name] = Outlook(planner.further_seeds(row), planner.limit(row))
        elif difference.is_zero:
            outlooks[difference.name] = Outlook(0, 0.0)
        elif np.isinf(difference.documents):
            outlooks[difference.name] = Outlook(None, np.inf)
        else:
            outlooks[difference.name] = Outlook(1, np.nan)
    return outlooks


class Planner:
    """What further seeds would show, if differences and variances stay what they are."""

    def __init__(self, family: Family, resolution: float, alpha: float) -> None:
        self.family = family
        self.resolution = resolution
        self.alpha = alpha
        self.quantiles: dict[int, float] = {}

    def quantile(self, seeds: int) -> float:
        """Return q with so many seeds for each setting."""
        if seeds not in self.quantiles:
            maxima = np.sort(self.family.statistics(seeds).max(1))
            self.quantiles[seeds] = critical(maxima, self.alpha)
        return self.quantiles[seeds]

    def limit(self, row: int) -> float:
        """Return the half width of a setting's interval with endless seeds."""
        return self.quantile(ENDLESS) * float(np.sqrt(self.family.documents[row]))

    def decides(self, row: int, seeds: int) -> bool:
        """Whether so many seeds would decide, the difference being what it is."""
        difference = float(self.family.means[row])
        half = self.quantile(seeds) * float(self.family.errors(seeds)[row])
        answer = verdict(difference - half, difference + half, self.resolution)
        return answer is not Verdict.UNDECIDED

    def further_seeds(self, row: int) -> int | None:
        """Return how many more seeds would decide; None if MOST_SEEDS would not."""
        now = self.family.differences[row].seeds
        if self.decides(row, now):
            return 0
        low, high = now, now + 1
        while not self.decides(row, high):
            if high >= MOST_SEEDS:
                return None
            low, high = high, min(2 * high, MOST_SEEDS)
        while high - low > 1:
            middle = (low + high) // 2
            if self.decides(row, middle):
                high = middle
            else:
                low = middle
        return high - now
