"""GHM-C: cross entropy with a harmonised density of gradient norms."""

import torch
from torch import Tensor

from nersweep.losses.base import Loss, gold_log_probabilities, real_tokens, require


class GHMCLoss(Loss):
    """GHM-C: Σ β·(-log p_y) / N over N real tokens, β = N / (tokens in its bin × non-empty bins).

    Tokens are binned by the norm of their gradient, g = 1-p_y, taken as a constant: `bins` equal
    bins on [0, 1], the last one closed at 1. All non-empty bins have the same total weight, so that
    a token of a crowded bin (easy tokens, and outliers near g = 1) counts less. Called as
    `loss(logits, targets)`: logits (..., C), raw scores; targets (...), class ids, -100 ignored. A
    scalar; without real tokens 0 with a zero gradient. Takes no class weights; computes in float32
    at least.

    bins ≥ 1. momentum m in [0, 1), no unit: the tokens in a bin are a moving average over calls,
    S = m·S + (1-m)·R with R the bin's tokens in this call, divided by 1 - m^t after t calls;
    without that the first values would be too large, by 1/(1-m) at first. The average moves with
    each call in training mode that has real tokens, and is saved with the module; in evaluation
    mode a call uses the average that it would have left, and leaves it unchanged. Which bins are
    non-empty depends on this call alone. momentum=0 and bins=1 give the mean cross entropy.

    A step cannot be split: the counts are those of the whole step.

    Raises UserError for arguments out of range. Li, Liu & Wang 2019 (Gradient Harmonized
    Single-stage Detector), eq. 4-8, with the paper's unit regions and moving average, and softmax
    for sigmoid. Ours are the division by 1 - m^t, and the non-empty bins where the paper counts
    all.
    """

    splits = False
    average: Tensor
    weight_of_calls: Tensor

    def __init__(self, bins: int = 10, momentum: float = 0.75):
        super().__init__()
        require(bins >= 1, "bins", bins, "≥ 1")
        require(0 <= momentum < 1, "momentum", momentum, "in [0, 1) (0 is no moving average)")
        self.bins = bins
        self.momentum = momentum
        self.register_buffer("average", torch.zeros(bins))  # S
        self.register_buffer("weight_of_calls", torch.zeros(()))  # 1 - m^t, the average of ones

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits, gold, real = real_tokens(logits, targets)  # (N, C), (N,), (N,)
        log_p, log_rest = gold_log_probabilities(logits, gold)  # log p_y and log(1-p_y), (N,)
        bin_of = (log_rest.detach().exp() * self.bins).long().clamp(max=self.bins - 1)  # (N,)
        tokens = torch.zeros_like(self.average, dtype=torch.long)
        tokens = tokens.scatter_add(0, bin_of, real.long())  # (bins,), R
        keep, add = self.momentum, 1 - self.momentum
        average = keep * self.average + add * tokens.to(self.average.dtype)  # (bins,)
        weight_of_calls = keep * self.weight_of_calls + add
        if self.training:
            moves = real.any()
            self.average.copy_(torch.where(moves, average, self.average))
            self.weight_of_calls.copy_(torch.where(moves, weight_of_calls, self.weight_of_calls))
        share = weight_of_calls / (average[bin_of] * (tokens > 0).sum())  # (N,), β/N
        share = share.where(real, 0)
        return -(share.to(log_p.dtype) * log_p).sum()
