"""GHM-C: cross entropy with a harmonised density of gradient norms."""

import torch
from torch import Tensor

from nersweep.losses.base import Loss, gold_log_probabilities, real_tokens, require


class GHMCLoss(Loss):
    """GHM-C: Σ β·(-log p_y) / N over the N real tokens, with β = N / (tokens in the token's bin × non-empty bins).

    Tokens are binned by the norm of their gradient, g = 1-p_y, taken as a constant: `bins` equal bins on [0, 1], the
    last one closed at 1. Every bin with tokens in it has the same weight in all, so that a token of a crowded bin (the
    easy ones, and the outliers near g = 1) counts less. Called as `loss(logits, targets)`: logits (..., C), raw scores;
    targets (...), class ids, -100 ignored. A scalar; without real tokens 0 with a zero gradient. Takes no class
    weights; computes in float32 at least.

    bins ≥ 1. momentum m in [0, 1), no unit: the tokens in a bin are a moving average over calls, S = m·S + (1-m)·R with
    R the bin's tokens of this call, divided by 1 - m^t after t calls, without which the first values are too large, by
    1/(1-m) at first. It moves with each call in training mode that has real tokens, and is saved with the module; in
    evaluation mode a call takes the average that it would have left, and leaves it as it was. Which bins are non-empty
    this call alone tells. momentum=0 and bins=1 give the mean cross entropy.

    A step cannot be split: the counts are those of the whole step.

    Raises ValueError for arguments out of range. Li, Liu & Wang 2019 (Gradient Harmonized Single-stage Detector),
    eq. 4-8, by the paper's unit regions and moving average, with softmax for sigmoid. Ours are the division by 1 - m^t,
    and the non-empty bins where the paper counts all.
    """

    splits = False

    def __init__(self, bins: int = 10, momentum: float = 0.75):
        super().__init__()
        require(bins >= 1, "bins", bins, "≥ 1")
        require(0 <= momentum < 1, "momentum", momentum, "in [0, 1) (0 is no moving average)")
        self.bins, self.momentum = bins, momentum
        self.register_buffer("average", torch.zeros(bins))  # S
        self.register_buffer(
            "weight_of_calls", torch.zeros(())
        )  # 1 - m^t, as the moving average of 1

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits, gold, real = real_tokens(logits, targets)  # (N, C), (N,), (N,)
        log_p, log_rest = gold_log_probabilities(logits, gold)  # log p_y and log(1-p_y), (N,)
        bin_of = (log_rest.detach().exp() * self.bins).long().clamp(max=self.bins - 1)  # (N,)
        tokens = torch.zeros_like(self.average, dtype=torch.long).scatter_add(
            0, bin_of, real.long()
        )
        average = self.momentum * self.average + (1 - self.momentum) * tokens.to(
            self.average.dtype
        )  # (bins,)
        weight_of_calls = self.momentum * self.weight_of_calls + (1 - self.momentum)
        if self.training:
            self.average.copy_(torch.where(real.any(), average, self.average))
            self.weight_of_calls.copy_(
                torch.where(real.any(), weight_of_calls, self.weight_of_calls)
            )
        share = (weight_of_calls / (average[bin_of] * (tokens > 0).sum())).where(
            real, 0
        )  # (N,), β/N
        return -(share.to(log_p.dtype) * log_p).sum()
