"""Class weights from label counts.

Counts are those of the training split as the loss sees it: one per word. K is the number of classes
that occur, N = Σ n_c. A class that never occurs enters no normaliser and gets weight 1.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from nersweep.faults import Fault, UserError
from nersweep.losses.batch_balanced import effective_number

Floats = NDArray[np.float64]
Normalize = Literal["mean", "entity_mean", "token_mean", "none"]


@dataclass(frozen=True, kw_only=True)
class ClassWeights(ABC):
    """A weighting scheme: called with the counts (C,) of the classes, O first -> weights (C,).

    names, those of the classes, are needed for weights given by hand. In this order:
    1. The scheme gives raw weights.
    2. normalize scales them to a mean of 1 over the occurring classes ("mean"), over the occurring
       entity classes ("entity_mean"), over tokens (Σ n_c·w_c / N, "token_mean"), or not at all.
    3. o_weight leaves O as computed ("computed"), sets it to 1 ("one") or to at most 1 ("cap").
    4. cap > 0 is an upper bound for every weight; null is none.

    Raises UserError for a cap outside its range.
    """

    normalize: Normalize = "mean"
    o_weight: Literal["computed", "one", "cap"] = "computed"
    cap: float | None = None

    def __post_init__(self) -> None:
        if self.cap is not None and not 0 < self.cap < math.inf:
            raise UserError(Fault("cap", self.cap, "must be > 0, or null for no cap"))

    @abstractmethod
    def raw(self, counts: Floats, names: Sequence[str]) -> Floats:
        """Return weights (C,) before they are scaled."""

    def __call__(self, counts: ArrayLike, names: Sequence[str] = ()) -> Floats:
        counts = np.asarray(counts, dtype=np.float64)  # (C,)
        weights = self.raw(counts, names)  # (C,)
        scale = self.scale(weights, counts) or 1.0  # all weights may be 0
        weights = np.where(counts > 0, weights / scale, weights)
        if self.o_weight == "one":
            weights[0] = 1.0
        elif self.o_weight == "cap":
            weights[0] = min(weights[0], 1.0)
        return weights if self.cap is None else np.minimum(weights, self.cap)

    def scale(self, weights: Floats, counts: Floats) -> float:
        """Return what the weights are divided by."""
        if self.normalize == "none":
            return 1.0
        if self.normalize == "token_mean":
            return float(weights @ counts / counts.sum())
        occurs = counts > 0  # (C,)
        occurs[0] &= self.normalize == "mean"
        return float(weights[occurs].mean())


@dataclass(frozen=True, kw_only=True)
class Manual(ClassWeights):
    """Weights given by hand: one per class, or a mapping from names; a class not named weighs 1.

    normalize is "none" by default. Raises UserError for a negative or non-finite weight and,
    once the classes are known, for an unknown name and for a list of another length.
    """

    values: Sequence[float] | Mapping[str, float]
    normalize: Normalize = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.values:
            raise self.error("must weigh at least one class")
        values = self.values.items() if isinstance(self.values, Mapping) else enumerate(self.values)
        for name, value in values:
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (is_number and 0 <= value < math.inf):
                raise self.error(f"the weight of {name} must be a finite number ≥ 0")

    def raw(self, counts: Floats, names: Sequence[str]) -> Floats:
        classes = ", ".join(names)
        if not isinstance(self.values, Mapping):
            if len(self.values) != len(names):
                given = f"{len(self.values)} weights for {len(names)} classes"
                raise self.error(f"{given}, which are {classes}")
            return np.array(self.values, dtype=np.float64)
        unknown = ", ".join(str(name) for name in self.values if name not in names)
        if unknown:
            raise self.error(f"no class {unknown}; there are {classes}")
        weights = np.ones(len(names))
        for name, value in self.values.items():
            weights[names.index(name)] = value
        return weights

    def error(self, must: str) -> UserError:
        """Return the fault of these values, shown without quotes: {O: 0.5, B-PER: 2}."""
        plain = dict(self.values) if isinstance(self.values, Mapping) else list(self.values)
        return UserError(Fault("values", str(plain).replace("'", ""), must))


@dataclass(frozen=True, kw_only=True)
class CountWeights(ClassWeights):
    """Weights as a function of counts. smoothing ≥ 0 is added to each count above 0.

    Raises UserError for a smoothing outside its range.
    """

    smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.smoothing < math.inf:
            raise UserError(Fault("smoothing", self.smoothing, "must be finite and ≥ 0"))

    def raw(self, counts: Floats, names: Sequence[str]) -> Floats:
        occurs = counts > 0
        weights = np.ones(len(counts))
        weights[occurs] = self.formula(counts[occurs] + self.smoothing)
        return weights

    @abstractmethod
    def formula(self, counts: Floats) -> Floats:
        """Return the weights (K,) of the classes that occur, from their counts (K,), all > 0."""


class Inverse(CountWeights):
    """N / (K·n_c)."""

    def formula(self, counts: Floats) -> Floats:
        weights: Floats = counts.sum() / (len(counts) * counts)
        return weights


class InverseSqrt(CountWeights):
    """√(N / (K·n_c))."""

    def formula(self, counts: Floats) -> Floats:
        weights: Floats = np.sqrt(counts.sum() / (len(counts) * counts))
        return weights


@dataclass(frozen=True, kw_only=True)
class Effective(CountWeights):
    """(1-β) / (1-β^n_c), the inverse effective number of samples. Cui et al. 2019, eq. 2.

    beta in [0, 1), no unit: 0 is uniform; towards 1 the weights near the inverse counts; a lower
    beta is a weaker re-weighting. Raises UserError for a beta outside [0, 1).
    """

    beta: float = 0.999

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.beta < 1:
            allowed = "must be in [0, 1) (0 is uniform, near 1 is the inverse count)"
            raise UserError(Fault("beta", self.beta, allowed))

    def formula(self, counts: Floats) -> Floats:
        return 1 / effective_numbers(counts, self.beta)


def effective_numbers(counts: ArrayLike, beta: float) -> Floats:
    """Return the effective number of samples of each class, for counts (C,) -> (C,)."""
    return effective_number(torch.tensor(counts, dtype=torch.float64), beta).numpy()
