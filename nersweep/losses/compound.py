"""Weighted sums of losses."""

import math
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from nersweep.faults import blame
from nersweep.losses.base import Loss, Terms, require

OPTIONAL = {"step_targets", "step_lengths"}  # what a loss takes only in a micro-batch


class CompoundLoss(Loss):
    """Compound loss: Σ w_i·L_i, each term under its own name.

    terms: name -> loss. weights: name -> w_i, finite and ≥ 0, no unit; 1 for a term not named. A
    term with weight 0 is left out: it is never computed and needs nothing.

    Called as `loss(logits, targets, **more)` with what else the terms need, by name (lengths,
    features, ...); each term gets what it needs of it. The terms decide about -100, precision and
    the value without real tokens, and take the class weights. A step can be split if every term's
    can.

    Raises UserError for a weight out of range or of no term, where no term is left and, when
    called, for something missing that a term needs; step_targets and step_lengths may be missing.
    """

    def __init__(self, terms: Mapping[str, Loss], weights: Mapping[str, float] | None = None):
        super().__init__()
        weights = weights or {}
        for name, weight in weights.items():
            setting = f"weights.{name}"
            require(name in terms, setting, weight, "the weight of a term: " + ", ".join(terms))
            is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
            valid = is_number and math.isfinite(weight) and weight >= 0
            require(valid, setting, weight, "a finite number ≥ 0")
        self.weights = {name: float(weights.get(name, 1)) for name in terms}
        losses = {name: loss for name, loss in terms.items() if self.weights[name]}
        require(len(losses) > 0, "weights", self.weights, "above 0 for at least one term")
        self.parts = nn.ModuleDict(losses)
        needs: dict[str, None] = {}  # a set that keeps its order
        for loss in losses.values():
            needs |= dict.fromkeys(loss.needs)
        self.needs = tuple(needs)
        self.splits = all(loss.splits for loss in losses.values())

    def terms(self, available: Mapping[str, object]) -> Terms:
        terms: Terms = {}
        for name, part in self.parts.items():
            arguments = {}
            for need in cast(Loss, part).needs:
                if need in available:
                    arguments[need] = available[need]
                else:
                    require(need in OPTIONAL, need, None, f"given by name, as {name} needs it")
            with blame(f"loss.terms.{name}", type(part), passing=(torch.OutOfMemoryError,)):
                terms[name] = self.weights[name], part(**arguments)
        return terms

    def forward(self, logits: Tensor, targets: Tensor, **more: object) -> Tensor:
        terms = self.terms({"logits": logits, "targets": targets, **more})
        total = torch.zeros((), device=logits.device)
        for weight, value in terms.values():
            total = total + weight * value
        return total
