"""What all token losses share: which tokens count, by what the sum is divided, and the numbers' precision."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

IGNORE = -100
REDUCTIONS = ("mean", "token_mean", "sum", "none")


def require(holds: bool, name: str, value: object, requirement: str) -> None:
    """Raises ValueError "name=value: must be requirement" unless `holds`. The name is the argument's own."""
    if not holds:
        raise ValueError(f"{name}={value}: must be {requirement}")


def finite(value: float) -> bool:
    return math.isfinite(value)


class TokenLoss(nn.Module, ABC):
    """A loss per token, reduced over the real tokens: those whose target is not -100.

    Called like `nn.CrossEntropyLoss`, as `loss(logits, targets)`: logits (..., C), raw scores; targets (...), class
    ids, -100 ignored; weight (C,), non-negative, one factor per gold class. Computes in float32 at least.

    reduction: "mean" is Σ w_y·l / Σ w_y over real tokens, as in torch; "token_mean" is Σ w_y·l / N, N the number of
    real tokens; "sum"; "none" has the shape of targets, with 0 where ignored. Where nothing counts (no real token, or
    only weights of 0) the value is exactly 0 with a zero gradient, where torch gives NaN.

    When logits and targets are one micro-batch of an optimiser step, `step_targets` takes the targets of the whole
    step, of any shape: the denominator is then the step's, and the micro-batches' values add up to the step's value.

    Raises ValueError for an unknown reduction and for weights that are negative, not finite or not a vector.
    """

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean"):
        super().__init__()
        require(reduction in REDUCTIONS, "reduction", reduction, "one of " + ", ".join(REDUCTIONS))
        if weight is not None:
            weight = torch.as_tensor(weight, dtype=torch.float32)
            require(weight.dim() == 1, "weight", tuple(weight.shape), "a vector with one weight per class")
            require(bool((weight.isfinite() & (weight >= 0)).all()), "weight", weight.tolist(), "finite and ≥ 0")
        self.reduction = reduction
        self.register_buffer("weight", weight, persistent=False)

    def weight_as(self, logits: Tensor) -> Tensor | None:
        """The class weights in the type of the logits, which torch's functions ask for."""
        return None if self.weight is None else self.weight.to(logits.dtype)

    @abstractmethod
    def per_token(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Weighted loss of each token: logits (N, C) in float32 or float64, targets (N,) in [0, C) -> (N,)."""

    def forward(self, logits: Tensor, targets: Tensor, step_targets: Tensor | None = None) -> Tensor:
        real = targets != IGNORE  # (...)
        chosen = logits[real]  # (N, C)
        chosen = chosen.to(torch.promote_types(chosen.dtype, torch.float32))
        losses = self.per_token(chosen, targets[real])  # (N,)
        if self.reduction == "none":
            return losses.new_zeros(targets.shape).masked_scatter(real, losses)
        if self.reduction == "sum":
            return losses.sum()
        return losses.sum() / self.denominator(targets if step_targets is None else step_targets)

    def denominator(self, targets: Tensor) -> Tensor:
        """Σ w_y for "mean", N for "token_mean", over the real ones among targets (...); infinite where that is 0, which
        makes value and gradient 0."""
        real = targets[targets != IGNORE]  # (N,)
        if self.weight is None or self.reduction == "token_mean":
            total = torch.tensor(real.numel(), device=targets.device)
        else:
            total = self.weight[real].sum()
        return torch.where(total > 0, total, torch.inf)
