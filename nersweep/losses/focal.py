"""Focal loss."""

import torch
from torch import Tensor
from torch.nn import functional

from nersweep.losses.base import TokenLoss, finite, require


class FocalLoss(TokenLoss):
    """Focal loss: -(1-p_y)^gamma · log p_y, cross entropy scaled so that confident tokens count less.

    gamma ≥ 0, no unit; 0 gives cross entropy. `weight` is the paper's α_t. Arguments, shapes and reductions are those
    of `TokenLoss`; "token_mean" is the normalisation nearest to the paper's, which divides by a count and not by
    the weights. Raises ValueError for a negative or non-finite gamma. Lin et al. 2017, eq. 4-5, with softmax for
    sigmoid.
    """

    def __init__(self, gamma: float = 2.0, weight: Tensor | None = None, reduction: str = "mean"):
        super().__init__(weight, reduction)
        require(finite(gamma) and gamma >= 0, "gamma", gamma, "≥ 0 (0 is cross entropy)")
        self.gamma = gamma

    def per_token(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p = logits.log_softmax(-1)  # (N, C)
        # log(1-p_y) as the log-sum of the other classes: 1 - exp(log p_y) has a NaN gradient for gamma < 1 at p_y = 1.
        log_rest = log_p.scatter(-1, targets[:, None], -torch.inf).logsumexp(-1)  # (N,)
        return (self.gamma * log_rest).exp() * functional.nll_loss(
            log_p, targets, self.weight_as(logits), reduction="none"
        )
