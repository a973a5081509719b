"""Logit-adjusted cross entropy."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from nersweep.losses.base import TokenLoss, non_negative_vector, require


class LogitAdjustedLoss(TokenLoss):
    """Cross entropy on logits + tau·log prior, so that a rare class must win by a larger margin.

    counts (C,), ≥ 0: training tokens per class; prior = counts / Σ counts. A class with count 0
    counts as seen once: with a prior of 0 nothing would hold the other classes down. tau ≥ 0, no
    unit; 0 gives cross entropy, 1 is balanced softmax (Ren et al. 2020, eq. 4). Predictions come
    from the plain logits, which at tau 1 are trained to be log p(x|y), free of the prior. Other
    arguments, shapes and reductions are those of `TokenLoss`.

    Raises UserError for a negative or non-finite tau and for counts that are negative, not finite
    or not a vector. Menon et al. 2021, eq. 10.
    """

    counts: Tensor

    def __init__(
        self,
        counts: Sequence[float] | Tensor,
        tau: float = 1.0,
        weight: Tensor | None = None,
        reduction: str = "mean",
    ):
        super().__init__(weight, reduction)
        require(math.isfinite(tau) and tau >= 0, "tau", tau, "≥ 0 (0 is cross entropy)")
        counts = torch.as_tensor(counts, dtype=torch.float32)  # (C,)
        counts = non_negative_vector(counts, "counts", "count")
        self.tau = tau
        self.register_buffer("counts", counts.where(counts > 0, 1), persistent=False)

    def per_token(self, logits: Tensor, targets: Tensor) -> Tensor:
        # Up to a constant, which the softmax cancels.
        log_prior = self.counts.to(logits.dtype).log()  # (C,)
        adjusted = logits + self.tau * log_prior  # (N, C)
        return functional.cross_entropy(adjusted, targets, reduction="none")  # (N,)
