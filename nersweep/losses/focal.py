"""Focal loss."""

import math

from torch import Tensor

from nersweep.losses.base import TokenLoss, gold_log_probabilities, require


class FocalLoss(TokenLoss):
    """Focal loss: cross entropy scaled by (1-p_y)^gamma, so that confident tokens count less.

    -(1-p_y)^gamma · log p_y. gamma ≥ 0, no unit; 0 gives cross entropy. `weight` is the paper's
    α_t. Arguments, shapes and reductions are those of `TokenLoss`; "token_mean" is nearest to the
    paper's normalisation, which divides by a count and not by the weights.

    Raises UserError for a negative or non-finite gamma. Lin et al. 2017, eq. 4-5, with softmax for
    sigmoid.
    """

    def __init__(self, gamma: float = 2.0, weight: Tensor | None = None, reduction: str = "mean"):
        super().__init__(weight, reduction)
        require(math.isfinite(gamma) and gamma >= 0, "gamma", gamma, "≥ 0 (0 is cross entropy)")
        self.gamma = gamma

    def per_token(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p, log_rest = gold_log_probabilities(logits, targets)  # log p_y and log(1-p_y), (N,)
        return -(self.gamma * log_rest).exp() * log_p  # (N,)
