"""Token losses in the Hugging Face Trainer."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nersweep.losses.base import IGNORE, TokenLoss, require

LOSS = (
    "a sum over tokens with weights known in advance, as the Trainer passes one micro-batch of a "
    "step at a time; use this loss in plain PyTorch or in nersweep's own loop"
)
REDUCTION = (
    "token_mean, or mean without weights; the Trainer passes the number of a step's tokens, not "
    "their weights"
)


class TrainerLoss(nn.Module):
    """A token loss for the Hugging Face Trainer.

    Used as `Trainer(..., compute_loss_func=TrainerLoss(FocalLoss()))`. The value is Σ w_y·l over
    the real tokens at hand / num_items_in_batch, the number of real tokens of the whole optimiser
    step: however gradient accumulation splits a step, its micro-batches add up to the step's token
    mean. The same holds over several processes while `average_tokens_across_devices` is on, its
    default.

    Called as `loss(outputs, labels, num_items_in_batch)`: outputs, a mapping with "logits" or an
    object that has them, (..., C), raw scores; labels (...), class ids, -100 ignored;
    num_items_in_batch, a number or a tensor, None for the number of real tokens at hand. Where that
    is 0, exactly 0 with a zero gradient. The loss moves to the device of the logits.

    loss: a `TokenLoss` whose sum over a micro-batch needs nothing of the rest of the step, with
    reduction "token_mean", or "mean" without weights, which is the same. Raises UserError for
    another loss or reduction, such as a dice loss, weights from the step's class counts, or
    division by the step's weights, which the Trainer does not pass; and when called without labels.
    Source: the transformers documentation of `Trainer`, argument compute_loss_func.
    """

    def __init__(self, loss: TokenLoss):
        super().__init__()
        fixed = isinstance(loss, TokenLoss) and type(loss).class_weights is TokenLoss.class_weights
        require(fixed and loss.splits, "loss", type(loss).__name__, LOSS)
        unweighted_mean = loss.reduction == "mean" and loss.weight is None
        valid = loss.reduction == "token_mean" or unweighted_mean
        require(valid, "reduction", loss.reduction, REDUCTION)
        self.loss = loss

    def forward(
        self, outputs: Any, labels: Tensor, num_items_in_batch: Tensor | float | None = None
    ) -> Tensor:
        allowed = 'a tensor; the Trainer takes them from the inputs\' "labels"'
        require(labels is not None, "labels", labels, allowed)
        logits = outputs["logits"] if isinstance(outputs, Mapping) else outputs.logits  # (..., C)
        labels = labels.to(logits.device)  # (...)
        tokens = (labels != IGNORE).sum()
        step_tokens = tokens
        if num_items_in_batch is not None:
            # Under DataParallel the Trainer gives the number once for each of n devices, and
            # multiplies the loss by n.
            step_tokens = torch.as_tensor(num_items_in_batch, device=logits.device).sum()
        mean: Tensor = self.loss.to(logits.device)(logits, labels)
        return mean * tokens / step_tokens.clamp(min=1)
