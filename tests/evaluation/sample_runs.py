"""Runs for tests of the inference."""

import numpy as np

from nersweep.evaluation.influence import Rate, Sample, measure

SEEDS = range(1, 6)


def of_scores(name: str, scores, first: int = 1, clusters: int = 2) -> Sample:
    """Return runs without influence of documents."""
    seeds = range(first, first + len(scores))
    influences = {seed: np.zeros(clusters) for seed in seeds}
    return Sample(name, dict(zip(seeds, map(float, scores), strict=True)), influences)


def generated(name: str, seed: int, chance: float, seeds=SEEDS, clusters: int = 60) -> Sample:
    rng = np.random.default_rng(99)
    gold = rng.integers(1, 9, size=(clusters, 1))
    common = rng.random((clusters, 1))
    counts = {}
    for number in seeds:
        noise = 0.1 * np.random.default_rng((seed, number)).normal(size=(clusters, 1))
        correct = np.clip(np.round(gold * (chance + 0.2 * common + noise)), 0, gold)
        counts[number] = np.stack([correct, gold, gold], -1)
    return measure(name, counts, Rate())
