"""Self-adjusting dice loss."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from nersweep.losses.base import TokenLoss, require


class SelfAdjustingDiceLoss(TokenLoss):
    """Self-adjusting dice loss: per token, Σ over classes of 1 - (2fy + smooth) / (f + y + smooth).

    f = (1-p)^alpha · p and y is the onehot target; square=True has f² for f in the denominator.
    alpha ≥ 0, no unit; 0 leaves p as it is. smooth > 0, no unit: without it a class that is not
    gold costs the same whatever its p, and 0/0 where p is 0. f is 0 at p = 1 as at p = 0 and
    highest at p = 1/(1+alpha): a token that is surely wrong costs no more than one that is surely
    right, and of two classes the loss with alpha=1 cannot tell which is gold. The authors advise
    square=True, alpha=0.01 for many classes. `weight` is that of the gold class, for the whole
    token. Arguments, shapes and reductions are those of `TokenLoss`.

    Raises UserError for a negative or non-finite alpha and for a smooth that is not above 0 or not
    finite. Li et al. 2020, section 3.4, for each class of a softmax where the paper has two
    classes.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        smooth: float = 1.0,
        square: bool = False,
        weight: Tensor | None = None,
        reduction: str = "mean",
    ):
        super().__init__(weight, reduction)
        valid = math.isfinite(alpha) and alpha >= 0
        require(valid, "alpha", alpha, "≥ 0 (0 is dice loss per token)")
        require(math.isfinite(smooth) and smooth > 0, "smooth", smooth, "> 0")
        self.alpha = alpha
        self.smooth = smooth
        self.square = square

    def per_token(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p = logits.log_softmax(-1)  # (N, C)
        diagonal = torch.eye(log_p.shape[-1], dtype=torch.bool, device=log_p.device)  # (C, C)
        # log(1-p) as the log-sum of the other classes: at p = 1, (1-p)^alpha with alpha < 1 has no
        # gradient.
        others = log_p[:, None].masked_fill(diagonal, -torch.inf)  # (N, C, C)
        log_rest = others.logsumexp(-1)  # (N, C)
        f = (self.alpha * log_rest + log_p).exp()  # (N, C)
        y = functional.one_hot(targets, log_p.shape[-1])  # (N, C)
        size = (f**2 if self.square else f) + y  # (N, C)
        # The two terms over one denominator.
        return ((size - 2 * f * y) / (size + self.smooth)).sum(-1)  # (N,)
