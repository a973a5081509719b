"""Generalised cross entropy."""

from torch import Tensor

from nersweep.losses.base import TokenLoss, require


class GCELoss(TokenLoss):
    """Generalised cross entropy, (1 - p_y^q) / q: robust to wrong labels.

    It lies between cross entropy (q towards 0) and 1-p_y (q = 1, half the mean absolute error).
    q in (0, 1], no unit. A token's gradient is that of cross entropy times p_y^q, so that a token
    that looks mislabelled counts less. Arguments, shapes and reductions are those of `TokenLoss`.

    Raises UserError for a q outside (0, 1]. Zhang & Sabuncu 2018, eq. 6, without the truncation of
    section 3.3.
    """

    def __init__(self, q: float = 0.7, weight: Tensor | None = None, reduction: str = "mean"):
        super().__init__(weight, reduction)
        require(0 < q <= 1, "q", q, "in (0, 1] (towards 0 it is cross entropy, 1 is 1-p)")
        self.q = q

    def per_token(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p = logits.log_softmax(-1).gather(-1, targets[:, None]).squeeze(-1)  # log p_y, (N,)
        # expm1 keeps its digits where q is small or p_y near 1.
        return -(self.q * log_p).expm1() / self.q  # (N,)
