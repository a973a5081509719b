"""Class weights from label counts.

Counts are of the training split as the loss sees it: one per word. K is the number of classes that occur, N = Σ n_c.
A class that never occurs is left out of every normaliser and gets weight 1.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True, kw_only=True)
class ClassWeights(ABC):
    """counts (C,) of classes, O first -> weights (C,) in float64; names, of the classes, are for weights given by hand.
    In this order:

    the scheme gives raw weights; normalize scales them to a mean of 1 over the occurring classes ("mean"), over the
    occurring entity classes ("entity_mean"), over tokens (Σ n_c·w_c / N, "token_mean"), or not at all ("none");
    o_weight leaves O as computed ("computed"), sets it to 1 ("one") or to at most 1 ("cap"); cap > 0 is an upper bound
    for every weight, null for none.

    Raises ValueError for a cap outside its range.
    """

    normalize: Literal["mean", "entity_mean", "token_mean", "none"] = "mean"
    o_weight: Literal["computed", "one", "cap"] = "computed"
    cap: float | None = None

    def __post_init__(self):
        if self.cap is not None and not 0 < self.cap < np.inf:
            raise ValueError(f"cap={self.cap}: must be > 0, or null for no cap")

    @abstractmethod
    def raw(self, counts: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Weights (C,) before they are scaled."""

    def __call__(self, counts: np.ndarray, names: Sequence[str] = ()) -> np.ndarray:
        counts = np.asarray(counts, dtype=np.float64)
        weights = self.raw(counts, names)
        scale = self.scale(weights, counts)
        weights = np.where(counts > 0, weights / (scale or 1.0), weights)  # all weights may be 0
        if self.o_weight == "one":
            weights[0] = 1.0
        elif self.o_weight == "cap":
            weights[0] = min(weights[0], 1.0)
        return weights if self.cap is None else np.minimum(weights, self.cap)

    def scale(self, weights: np.ndarray, counts: np.ndarray) -> float:
        if self.normalize == "none":
            return 1.0
        if self.normalize == "token_mean":
            return float(weights @ counts / counts.sum())
        chosen = counts > 0
        chosen[0] &= self.normalize == "mean"
        return float(weights[chosen].mean())


@dataclass(frozen=True, kw_only=True)
class Manual(ClassWeights):
    """Weights given by hand: a list with one per class, or a mapping from names, where a class that is not named
    weighs 1. normalize is "none" by default.

    Raises ValueError for a weight that is negative or not finite, and, once the classes are known, for a name that is
    none of theirs and for a list of another length.
    """

    values: Sequence[float] | Mapping[str, float]
    normalize: Literal["mean", "entity_mean", "token_mean", "none"] = "none"

    def __post_init__(self):
        super().__post_init__()
        if not self.values:
            raise ValueError(f"values={self.shown()}: must weigh at least one class")
        named = isinstance(self.values, Mapping)
        for name, value in self.values.items() if named else enumerate(self.values):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (number and 0 <= value < math.inf):
                raise ValueError(
                    f"values={self.shown()}: the weight of {name} must be a finite number ≥ 0"
                )

    def raw(self, counts: np.ndarray, names: Sequence[str]) -> np.ndarray:
        if not isinstance(self.values, Mapping):
            if len(self.values) != len(names):
                raise ValueError(
                    f"values={self.shown()}: {len(self.values)} weights for {len(names)} classes, which are "
                    + ", ".join(names)
                )
            return np.array(self.values, dtype=np.float64)
        unknown = [str(name) for name in self.values if name not in names]
        if unknown:
            raise ValueError(
                f"values={self.shown()}: no class {', '.join(unknown)}; there are {', '.join(names)}"
            )
        return np.array([self.values.get(name, 1.0) for name in names], dtype=np.float64)

    def shown(self) -> str:
        named = isinstance(self.values, Mapping)
        return str(dict(self.values) if named else list(self.values)).replace("'", "")


@dataclass(frozen=True, kw_only=True)
class CountWeights(ClassWeights):
    """Weights as a function of counts. smoothing ≥ 0 is added to the count of every class that occurs.

    Raises ValueError for a smoothing outside its range.
    """

    smoothing: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.smoothing < np.inf:
            raise ValueError(f"smoothing={self.smoothing}: must be ≥ 0")

    def raw(self, counts: np.ndarray, names: Sequence[str]) -> np.ndarray:
        weights = np.ones(len(counts))
        weights[counts > 0] = self.formula(counts[counts > 0] + self.smoothing)
        return weights

    @abstractmethod
    def formula(self, counts: np.ndarray) -> np.ndarray:
        """Counts (K,) of the classes that occur, all > 0 -> weights (K,)."""


class Inverse(CountWeights):
    """N / (K·n_c)."""

    def formula(self, counts: np.ndarray) -> np.ndarray:
        return counts.sum() / (len(counts) * counts)


class InverseSqrt(CountWeights):
    """sqrt(N / (K·n_c))."""

    def formula(self, counts: np.ndarray) -> np.ndarray:
        return np.sqrt(counts.sum() / (len(counts) * counts))


@dataclass(frozen=True, kw_only=True)
class Effective(CountWeights):
    """(1-β) / (1-β^n_c), the inverse effective number of samples. Cui et al. 2019, eq. 2.

    beta in [0, 1): 0 is uniform, towards 1 it nears the inverse count; a lower beta is weaker re-weighting. Computed as
    expm1(n·log1p(-(1-β))), so that a beta near 1 keeps its digits. Raises ValueError for a beta outside [0, 1).
    """

    beta: float = 0.999

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.beta < 1:
            raise ValueError(
                f"beta={self.beta}: must be in [0, 1) (0 is uniform, near 1 is the inverse count)"
            )

    def formula(self, counts: np.ndarray) -> np.ndarray:
        rest = 1 - self.beta
        with np.errstate(divide="ignore"):  # log1p(-1) = -inf at beta = 0, and exp(-inf) = 0
            return rest / -np.expm1(counts * np.log1p(-rest))
