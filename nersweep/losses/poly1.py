"""Poly-1 loss."""

import math

from torch import Tensor

from nersweep.losses.base import TokenLoss, gold_log_probabilities, require


class Poly1Loss(TokenLoss):
    """Poly-1 loss, -log p_y + epsilon·(1-p_y): cross entropy with its first coefficient changed.

    The coefficients are those of its expansion Σ_j (1-p_y)^j / j. epsilon ≥ -1, no unit; 0 gives
    cross entropy, -1 removes the first term, and below -1 the loss would rise with p_y near 1.
    Arguments, shapes and reductions are those of `TokenLoss`.

    Raises UserError for an epsilon below -1 or not finite. Leng et al. 2022, section 4.3; the range
    is that of section 4.2, -1/j for the j-th coefficient.
    """

    def __init__(self, epsilon: float = 1.0, weight: Tensor | None = None, reduction: str = "mean"):
        super().__init__(weight, reduction)
        valid = math.isfinite(epsilon) and epsilon >= -1
        require(valid, "epsilon", epsilon, "≥ -1 (0 is cross entropy)")
        self.epsilon = epsilon

    def per_token(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p, log_rest = gold_log_probabilities(logits, targets)  # log p_y and log(1-p_y), (N,)
        return -log_p + self.epsilon * log_rest.exp()  # (N,)
