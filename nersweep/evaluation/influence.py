"""The value of a metric on a test set, and what each document adds to it.

Counts are entities correct, predicted and gold, by cluster and type: (..., clusters, types, 3). A
cluster is a document, or a sentence where the data have no documents. All values are in points.

A smooth metric of summed counts, F(Σ_c n_c), has the influence u_c = ∇F · n_c. It says how F
changes, to first order, with the weight of cluster c. Here F does not depend on the size of the
test set, so Σ_c u_c = 0, and the variance of F over test sets of C clusters is estimated by
C · var_c(u_c): the infinitesimal jackknife (Efron 1982, chapter 6).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class Metric(Protocol):
    """A metric with an influence: any smooth function of the summed counts."""

    def measure(self, counts: Floats) -> tuple[float, Floats]:
        """Return the value in points, and the influence of each cluster (clusters,).

        counts: (clusters, types, 3) of one run.
        """
        ...


@dataclass(frozen=True)
class Rate:
    """F-β, precision or recall, in points: 100·correct / (a·predicted + (1 − a)·gold).

    a = 1/(1 + β²). beta: 1 for F1, 0 for precision, infinity for recall; not negative. types: the
    numbers of the types that count, None for all. macro: the mean of the types' rates, over those
    that have gold entities, instead of the rate of their summed counts.

    u_c = 100·(correct_c − F·(a·predicted_c + (1 − a)·gold_c)) / Σ(a·predicted + (1 − a)·gold),
    F in [0, 1]; for F1 it is 100·(2·correct_c − F·(predicted_c + gold_c)) / Σ(predicted + gold).
    A rate whose denominator is 0 is 0, and so is its influence.
    """

    beta: float = 1.0
    types: tuple[int, ...] | None = None
    macro: bool = False

    def measure(self, counts: Floats) -> tuple[float, Floats]:
        """Return the value, and the influence of each cluster: see `Metric`."""
        if self.types is not None:
            counts = counts[:, list(self.types)]
        if not self.macro:
            counts = counts.sum(1, keepdims=True)
        weight = 1 / (1 + self.beta**2)
        correct = counts[..., 0]
        total = weight * counts[..., 1] + (1 - weight) * counts[..., 2]
        size = total.sum(0)  # (types,)
        rates = np.zeros_like(size)
        np.divide(correct.sum(0), size, out=rates, where=size > 0)
        influence = np.zeros_like(total)
        np.divide(correct - rates * total, size, out=influence, where=size > 0)
        types = max(np.count_nonzero(counts[..., 2].sum(0)), 1)  # without gold a rate is 0
        return float(100 * rates.sum() / types), 100 * influence.sum(1) / types


@dataclass(frozen=True)
class Sample:
    """The runs of one setting. scores: by seed, in points. influences: by seed, (clusters,).

    overlap: if each run has splits of its own, drawn from one corpus, the sentences that it scores
    for one that it trains on; else 0. Such runs have no common documents, and scores alone count.
    """

    name: str
    scores: Mapping[int, float]
    influences: Mapping[int, Floats]
    overlap: float = 0.0

    def drawn(self, overlap: float) -> "Sample":
        """Return the sample as one of runs with splits of their own."""
        return replace(self, influences=dict.fromkeys(self.scores, np.zeros(2)), overlap=overlap)

    def is_extreme(self, seeds: Iterable[int]) -> bool:
        """True if all of these runs score 0 or 100, which no weight of a document changes."""
        return all(self.scores[seed] in (0, 100) for seed in seeds)

    def first(self, seeds: list[int]) -> "Sample":
        """Return the sample with these seeds alone, as far as it has them."""
        kept = [seed for seed in seeds if seed in self.scores]
        scores = {seed: self.scores[seed] for seed in kept}
        influences = {seed: self.influences[seed] for seed in kept}
        return replace(self, scores=scores, influences=influences)


def measure(name: str, counts: Mapping[int, ArrayLike], metric: Metric) -> Sample:
    """Measure the runs of a setting.

    counts: by seed, (clusters, types, 3). Raises ValueError for another shape or impossible counts.
    """
    scores: dict[int, float] = {}
    influences: dict[int, Floats] = {}
    for seed, values in counts.items():
        array = np.asarray(values, dtype=np.float64)
        if array.ndim != 3 or array.shape[-1] != 3 or not array.size:
            allowed = "must be (clusters, types, 3), with at least one cluster and type"
            raise ValueError(f"{name}, seed {seed}: counts of shape {array.shape}; {allowed}")
        correct, predicted, gold = np.moveaxis(array, -1, 0)
        if not ((correct >= 0) & (correct <= predicted) & (correct <= gold)).all():
            allowed = "must be 0 ≤ correct ≤ predicted and gold"
            raise ValueError(f"{name}, seed {seed}: counts of correct, predicted, gold; {allowed}")
        scores[seed], influences[seed] = metric.measure(array)
    return Sample(name, scores, influences)


def cluster_counts(counts: ArrayLike, clusters: ArrayLike) -> Floats:
    """Sum counts of sentences (S, ..., 3) over the sentences of each cluster: (C, ..., 3).

    clusters: the cluster of each sentence (S,), numbered from 0.
    """
    counts, clusters = np.asarray(counts, dtype=np.float64), np.asarray(clusters)
    if clusters.shape != counts.shape[:1]:
        raise ValueError(f"{len(counts)} sentences, but {len(clusters)} clusters: must be as many")
    sums: Floats = np.zeros((int(clusters.max()) + 1, *counts.shape[1:]))
    np.add.at(sums, clusters, counts)
    return sums
