"""Label smoothing."""

from torch import Tensor
from torch.nn import functional

from nersweep.losses.base import TokenLoss, require


class LabelSmoothingLoss(TokenLoss):
    """Cross entropy against the target (1-smoothing)·onehot + smoothing/C, over C classes.

    smoothing in [0, 1), no unit; 0 gives cross entropy. This is torch's form, also with `weight`:
    the smooth term weights each class by its own weight. The form that spreads ε over the other
    classes only, ε/(C-1) each, is the same family: ε = smoothing·(C-1)/C. Arguments, shapes and
    reductions are those of `TokenLoss`.

    Raises UserError for a smoothing outside [0, 1). Szegedy et al. 2016, section 7.
    """

    def __init__(
        self, smoothing: float = 0.1, weight: Tensor | None = None, reduction: str = "mean"
    ):
        super().__init__(weight, reduction)
        require(0 <= smoothing < 1, "smoothing", smoothing, "in [0, 1) (0 is cross entropy)")
        self.smoothing = smoothing

    def per_token(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.weighted(logits, targets, None)

    def weighted(self, logits: Tensor, targets: Tensor, weight: Tensor | None) -> Tensor:
        return functional.cross_entropy(
            logits, targets, weight, reduction="none", label_smoothing=self.smoothing
        )  # (N,)
