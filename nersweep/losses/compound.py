"""Weighted sums of losses."""

import math
from collections.abc import Mapping

from torch import Tensor, nn

from nersweep.losses.base import Loss, Terms, require

OPTIONAL = {"step_targets", "step_lengths"}  # what a loss takes only in a micro-batch


class CompoundLoss(Loss):
    """Compound loss: Σ w_i·L_i, each term under its own name.

    terms: name -> loss. weights: name -> w_i, finite and ≥ 0, no unit; 1 for a term that is not named. A term with
    weight 0 is left out: it is never computed, and needs nothing.

    Called as `loss(logits, targets, **more)` with what else the terms need, by name (lengths, features, ...); each term
    is given what it needs of it. -100, precision and the value without real tokens are the terms' own. Class weights
    are given to the terms. A step can be split where it can be for every term.

    Raises ValueError for a weight out of range or of no term, where no term is left, and when called without something
    that a term needs; only step_targets and step_lengths may be missing.
    """

    needs = ()  # of an object, those of its terms

    def __init__(self, terms: Mapping[str, Loss], weights: Mapping[str, float] | None = None):
        super().__init__()
        weights = weights or {}
        for name, weight in weights.items():
            require(
                name in terms,
                f"weights.{name}",
                weight,
                "the weight of a term: " + ", ".join(terms),
            )
            number = isinstance(weight, int | float) and not isinstance(weight, bool)
            require(
                number and math.isfinite(weight) and weight >= 0,
                f"weights.{name}",
                weight,
                "a finite number ≥ 0",
            )
        self.weights = {name: float(weights.get(name, 1)) for name in terms}
        self.parts = nn.ModuleDict(
            {name: loss for name, loss in terms.items() if self.weights[name]}
        )
        require(len(self.parts) > 0, "weights", self.weights, "above 0 for at least one term")
        self.needs = tuple(
            dict.fromkeys(need for loss in self.parts.values() for need in loss.needs)
        )
        self.splits = all(loss.splits for loss in self.parts.values())

    def terms(self, given: Mapping[str, object]) -> Terms:
        terms: Terms = {}
        for name, loss in self.parts.items():
            arguments = {}
            for need in loss.needs:
                if need in given:
                    arguments[need] = given[need]
                else:
                    require(need in OPTIONAL, need, None, f"given by name, as {name} needs it")
            terms[name] = self.weights[name], loss(**arguments)
        return terms

    def forward(self, logits: Tensor, targets: Tensor, **more: object) -> Tensor:
        terms = self.terms({"logits": logits, "targets": targets, **more})
        return sum(weight * value for weight, value in terms.values())
