"""Token losses in the Hugging Face Trainer."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nersweep.losses.base import IGNORE, TokenLoss, require

LOSS = (
    "a sum over tokens with weights known beforehand, as the Trainer shows it one micro-batch of a step at a time; use "
    "this one in plain PyTorch or in nersweep's own loop"
)
REDUCTION = "token_mean, or mean without weights; the Trainer tells the number of a step's tokens, not their weights"


class TrainerLoss(nn.Module):
    """A token loss as the Hugging Face Trainer calls it: `Trainer(..., compute_loss_func=TrainerLoss(FocalLoss()))`.

    The value is Σ w_y·l over the real tokens at hand / num_items_in_batch, which is the number of real tokens of the
    whole optimiser step: however gradient accumulation splits a step, its micro-batches add up to the step's token
    mean. So over several processes too, as long as `average_tokens_across_devices` is on, its default.

    Called as `loss(outputs, labels, num_items_in_batch)`: outputs, a mapping with "logits" or an object that has them,
    (..., C), raw scores; labels (...), class ids, -100 ignored; num_items_in_batch, a number or a tensor, None for the
    number of real tokens at hand. Where that is 0, exactly 0 with a zero gradient. The loss moves to the device of the
    logits.

    loss: a `TokenLoss` whose sum over a micro-batch needs nothing of the rest of the step, with reduction "token_mean",
    or "mean" without weights, which is the same. Raises ValueError for another loss or reduction, such as a dice loss,
    weights from the step's class counts, or division by the step's weights, which the Trainer does not tell; and when
    called without labels. Source: the transformers documentation of `Trainer`, argument compute_loss_func.
    """

    def __init__(self, loss: TokenLoss):
        super().__init__()
        fixed = isinstance(loss, TokenLoss) and type(loss).class_weights is TokenLoss.class_weights
        require(fixed and loss.splits, "loss", type(loss).__name__, LOSS)
        counts_tokens = loss.reduction == "token_mean" or (
            loss.reduction == "mean" and loss.weight is None
        )
        require(counts_tokens, "reduction", loss.reduction, REDUCTION)
        self.loss = loss

    def forward(
        self, outputs: Any, labels: Tensor | None, num_items_in_batch: Tensor | float | None = None
    ) -> Tensor:
        require(
            labels is not None,
            "labels",
            labels,
            'a tensor; the Trainer takes them from the inputs\' "labels"',
        )
        logits = outputs["logits"] if isinstance(outputs, Mapping) else outputs.logits
        labels = labels.to(logits.device)
        here = (labels != IGNORE).sum()
        # Under DataParallel the Trainer gives the number once for each of n devices, and multiplies the loss by n.
        step = (
            here
            if num_items_in_batch is None
            else torch.as_tensor(num_items_in_batch, device=logits.device).sum()
        )
        return self.loss.to(logits.device)(logits, labels) * here / step.clamp(min=1)
