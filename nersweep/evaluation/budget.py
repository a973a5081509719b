"""What a search is worth: the best of k trials, expected from the trials that were made."""

import math

import numpy as np

RESAMPLES = 2000
Floats = np.ndarray


def expected_best(values: Floats) -> Floats:
    """Return E_k for k = 1 … B, the expected maximum of k of B trials drawn with replacement.

    E_k = Σ_i v_(i)·[(i/B)^k − ((i−1)/B)^k], with v_(1) ≤ … ≤ v_(B). values (…, B), in any unit;
    the result has their shape. Dodge et al. 2019, eq. 7.
    """
    count = values.shape[-1]
    shares = np.arange(count + 1) / count
    budgets = np.arange(1, count + 1)
    weights = np.diff(shares[:, None] ** budgets, axis=0)  # (B trials, B budgets)
    expected: Floats = np.sort(values, axis=-1) @ weights
    return expected


def expected_best_band(values: Floats) -> tuple[Floats, Floats]:
    """Return the 2.5% and 97.5% quantiles of E_k, k = 1 … B, over resampled trials.

    values (B,): of independent draws from one space. The bootstrap has a fixed seed. For k near B
    it is too narrow above, as no resample exceeds the best trial.
    """
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(expected_best(values[draws]), (0.025, 0.975), axis=0)
    return low, high


def expected_gain(values: Floats) -> tuple[int, float]:
    """Return (n, g): n = ⌊B/2⌋ more trials are expected to raise the maximum by at most g.

    g = v_(B) − Σ_i v_(i)·C(i−1, m−1)/C(B, m) with m = B − n: the maximum less the mean maximum of
    all m of the B trials, which estimates without bias what the last n trials brought. The next n
    bring no more on average: the expected maximum of k independent draws is concave in k. values
    (B,): of independent draws from one space, B ≥ 2, in any unit.
    """
    ordered = np.sort(values)
    more = len(values) // 2
    size = len(values) - more
    before = 0.0
    for i, value in enumerate(ordered):
        before += value * math.comb(i, size - 1) / math.comb(len(values), size)
    return more, float(ordered[-1] - before)
