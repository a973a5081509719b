"""What a search is worth: the best of k trials, expected from the trials that were made."""

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
