"""Class weights from label counts.

Counts are of the training split as the loss sees it: one per word. K is the number of classes that occur, N = Σ n_c.
A class that never occurs is left out of every normaliser and gets weight 1.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True, kw_only=True)
class ClassWeights(ABC):
    """counts (C,) with O at 0 -> weights (C,) in float64. In this order:

    smoothing ≥ 0 is added to the count of every class that occurs; the scheme gives raw weights; normalize scales them
    to a mean of 1 over the occurring classes ("mean"), over the occurring entity classes ("entity_mean"), over tokens
    (Σ n_c·w_c / N, "token_mean"), or not at all ("none"); o_weight leaves O as computed ("computed"), sets it to 1
    ("one") or to at most 1 ("cap"); cap > 0 is an upper bound for every weight, null for none.

    Raises ValueError for a smoothing or cap outside its range.
    """

    smoothing: float = 0.0
    normalize: Literal["mean", "entity_mean", "token_mean", "none"] = "mean"
    o_weight: Literal["computed", "one", "cap"] = "computed"
    cap: float | None = None

    def __post_init__(self):
        if not 0 <= self.smoothing < np.inf:
            raise ValueError(f"smoothing={self.smoothing}: must be ≥ 0")
        if self.cap is not None and not 0 < self.cap < np.inf:
            raise ValueError(f"cap={self.cap}: must be > 0, or null for no cap")

    @abstractmethod
    def raw(self, counts: np.ndarray) -> np.ndarray:
        """Counts (K,) of the classes that occur, all > 0 -> weights (K,)."""

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        counts = np.asarray(counts, dtype=np.float64)
        occurs = counts > 0
        weights = np.ones(len(counts))
        weights[occurs] = self.raw(counts[occurs] + self.smoothing)
        weights[occurs] /= self._scale(weights, counts, occurs)
        if self.o_weight == "one":
            weights[0] = 1.0
        elif self.o_weight == "cap":
            weights[0] = min(weights[0], 1.0)
        return weights if self.cap is None else np.minimum(weights, self.cap)

    def _scale(self, weights: np.ndarray, counts: np.ndarray, occurs: np.ndarray) -> float:
        if self.normalize == "none":
            return 1.0
        if self.normalize == "token_mean":
            return float(weights @ counts / counts.sum())
        chosen = occurs.copy()
        chosen[0] &= self.normalize == "mean"
        return float(weights[chosen].mean())


class Inverse(ClassWeights):
    """N / (K·n_c)."""

    def raw(self, counts: np.ndarray) -> np.ndarray:
        return counts.sum() / (len(counts) * counts)


class InverseSqrt(ClassWeights):
    """sqrt(N / (K·n_c))."""

    def raw(self, counts: np.ndarray) -> np.ndarray:
        return np.sqrt(counts.sum() / (len(counts) * counts))


@dataclass(frozen=True, kw_only=True)
class Effective(ClassWeights):
    """(1-β) / (1-β^n_c), the inverse effective number of samples. Cui et al. 2019, eq. 2.

    beta in [0, 1): 0 is uniform, towards 1 it nears the inverse count; a lower beta is weaker re-weighting. Computed as
    expm1(n·log1p(-(1-β))), so that a beta near 1 keeps its digits. Raises ValueError for a beta outside [0, 1).
    """

    beta: float = 0.999

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.beta < 1:
            raise ValueError(f"beta={self.beta}: must be in [0, 1) (0 is uniform, near 1 is the inverse count)")

    def raw(self, counts: np.ndarray) -> np.ndarray:
        rest = 1 - self.beta
        with np.errstate(divide="ignore"):  # log1p(-1) = -inf at beta = 0, and exp(-inf) = 0
            return rest / -np.expm1(counts * np.log1p(-rest))
