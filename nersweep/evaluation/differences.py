"""The differences of settings from a baseline, with what they say of documents.

Write d_s for the difference of a setting's run with seed s from the baseline's, in points, d̄ for
its mean over n seeds, and u_{s,c} for the difference of the influences of cluster c
(evaluation/influence). K = C·var_c(ū) is the variance of d̄ over test sets of C clusters. It
contains what seeds and documents do together, W = Σ_s C·var_c(u_s − ū) / (n − 1) / n, which the
variance over seeds contains too.

Which seeds. A setting is paired with the baseline over the seeds they share if these are at least
two, and at least half of the seeds of the one that has fewer. Otherwise all seeds of both are used,
unpaired: the variance is s_r²/n_r + s_0²/n_0 with Welch's degrees of freedom, and stands for n =
2·n_r·n_0/(n_r + n_0) seeds. Settings may have different numbers of seeds.

Drawn splits. Where each run has splits of its own, drawn from one corpus, s² contains what
documents and training data do. As the draws overlap, more of them do not make the mean ever more
exact: its variance is (1/n + ρ)·s², ρ = n_test/n_train (Nadeau & Bengio 2003), that of
1/(1/n + ρ) independent runs. A is 0.
"""

from dataclasses import dataclass

import numpy as np

from nersweep.evaluation.influence import Floats, Sample


@dataclass(frozen=True, eq=False)
class Difference:
    """What the runs say of a setting before settings lend each other: see the module.

    variance: of the mean over seeds, s²/size; NaN with fewer than two seeds. size: independent
    seeds that it stands for. influence: ū by cluster. interaction: W. extreme: all runs of both
    settings score 0 or 100. overlap: ρ of drawn splits, else 0.
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
    extreme: bool = False
    overlap: float = 0.0

    @property
    def documents(self) -> float:
        """K, the variance over test sets; infinite where unknown.

        That is with one cluster, and where all runs score 0, or all 100: other predictions may
        score that too, and other documents tell them apart. 0 for drawn splits, NaN for one.
        """
        if self.extreme and self.mean == 0:
            return np.inf
        if self.overlap:
            return 0.0 if self.seeds > 1 else np.nan
        return cluster_variance(self.influence)

    @property
    def is_zero(self) -> bool:
        """True if the two settings have the same counts with every seed."""
        alike = not self.influence.any() and self.interaction == 0
        alike = alike and self.mean == 0 and self.variance == 0
        return alike and bool(np.isfinite(self.documents))

    @property
    def testable(self) -> bool:
        return self.freedom > 0 and bool(np.isfinite(self.documents)) and not self.is_zero


def difference_of(sample: Sample, baseline: Sample) -> Difference:
    """Return a setting's difference from the baseline, paired where the seeds allow it."""
    shared = sorted(sample.scores.keys() & baseline.scores.keys())
    fewer = min(len(sample.scores), len(baseline.scores))
    if len(shared) >= 2 and 2 * len(shared) >= fewer:
        pairs = np.array([sample.scores[seed] - baseline.scores[seed] for seed in shared])
        gaps = np.array([sample.influences[seed] - baseline.influences[seed] for seed in shared])
        n = len(shared)
        size = worth(n, sample.overlap)
        spread = pairs.var(ddof=1) / size
        interaction = interaction_of(gaps)
        influence = gaps.mean(0)
        extreme = sample.is_extreme(shared) and baseline.is_extreme(shared)
        return Difference(
            sample.name, pairs.mean(), spread, n - 1, size, n, True, influence, interaction,
            extreme, sample.overlap,
        )  # fmt: skip
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
            variances.append(scores.var(ddof=1) / worth(len(scores), sample.overlap))
            interaction += interaction_of(gaps)
    mean, influence = means[0] - means[1], influences[0] - influences[1]
    variance, freedom = np.nan, 0.0
    if len(variances) == 2:
        variance = sum(variances)
        freedom = float(sizes.sum() - 2)
        if variance > 0:
            freedom = variance**2 / float((np.square(variances) / (sizes - 1)).sum())
    size = worth(2 * float(sizes.prod() / sizes.sum()), sample.overlap)
    extreme = sample.is_extreme(sample.scores) and baseline.is_extreme(baseline.scores)
    return Difference(
        sample.name, mean, variance, freedom, size, int(sizes[0]), False, influence, interaction,
        extreme, sample.overlap,
    )  # fmt: skip


def worth(seeds: float, overlap: float) -> float:
    """Return the number of independent runs that so many are worth: 1/(1/n + ρ)."""
    return 1 / (1 / seeds + overlap) if overlap else seeds


def mean_of(sample: Sample) -> Difference:
    """Return a setting's mean, as its difference from 0."""
    scores = np.array(list(sample.scores.values()))
    influences = np.array(list(sample.influences.values()))
    n, spread, interaction = len(scores), np.nan, 0.0
    size = worth(n, sample.overlap)
    if n > 1:
        spread, interaction = scores.var(ddof=1) / size, interaction_of(influences)
    return Difference(
        sample.name, scores.mean(), spread, n - 1, size, n, True, influences.mean(0), interaction,
        overlap=sample.overlap,
    )  # fmt: skip


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
