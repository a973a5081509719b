"""Cross entropy."""

from torch import Tensor
from torch.nn import functional

from nersweep.losses.base import TokenLoss


class CrossEntropyLoss(TokenLoss):
    """Cross entropy: -log p_y, with p = softmax(logits); with `weight`, weighted cross entropy.

    Arguments, shapes and reductions are those of `TokenLoss`. Differs from `nn.CrossEntropyLoss` in
    giving 0 where no token counts.
    """

    def per_token(self, logits: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(logits, targets, reduction="none")  # (N,)
