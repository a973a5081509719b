"""Tversky loss."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from nersweep.losses.base import Loss, gold_log_probabilities, real_tokens, require


class TverskyLoss(Loss):
    """Tversky loss: the mean over classes of (1 - (TP + s) / (TP + a·FP + b·FN + s))^gamma.

    For a class, TP = Σ p·y, FP = Σ p·(1-y) and FN = Σ (1-p)·y over the real tokens, those whose
    target is not -100; p = softmax(logits), y the gold class as onehot. Called as
    `loss(logits, targets)`: logits (..., C), raw scores; targets (...), class ids. A scalar in
    [0, 1]; without real tokens 0 with a zero gradient. Takes no class weights; computes in float32
    at least.

    a, b: ≥ 0, not both 0, no unit; the price of a false positive and of a false negative: a larger
    a favours precision, a larger b recall. a = b = ½ is `DiceLoss` with smooth = 2s.
    gamma: > 0, no unit; above 1 classes that are far off count more, below 1 those nearly right.
    smooth: s ≥ 0, in tokens; with 0, a class without gold tokens and without probability has loss
    0, not 0/0.

    A step cannot be split: the sums are those of the whole step.

    Raises UserError for arguments out of range. Salehi et al. 2017, section 2.2, whose α and β are
    a and b, with softmax over all classes for two; gamma from Abraham & Khan 2019, where it is 1/γ,
    and whose sum over classes is our mean.
    """

    splits = False

    def __init__(self, a: float = 0.3, b: float = 0.7, gamma: float = 1.0, smooth: float = 1.0):
        super().__init__()
        require(math.isfinite(a) and a >= 0, "a", a, "≥ 0 and finite")
        require(math.isfinite(b) and b >= 0, "b", b, "≥ 0 and finite")
        require(a > 0 or b > 0, "a", a, "> 0 where b is 0")
        valid = math.isfinite(gamma) and gamma > 0
        require(valid, "gamma", gamma, "> 0 and finite (1 is the plain form)")
        require(math.isfinite(smooth) and smooth >= 0, "smooth", smooth, "≥ 0 and finite")
        self.a = a
        self.b = b
        self.gamma = gamma
        self.smooth = smooth

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits, gold, real = real_tokens(logits, targets)  # (N, C), (N,), (N,)
        real = real[:, None]  # (N, 1)
        p = logits.softmax(-1) * real  # (N, C)
        y = functional.one_hot(gold, logits.shape[-1]).to(logits.dtype) * real  # (N, C)
        # 1 - p_y from its logarithm: exact where p_y rounds to 1.
        p_rest = gold_log_probabilities(logits, gold)[1].exp()[:, None]  # (N, 1)
        wrong = self.a * (p * (1 - y)).sum(0) + self.b * (p_rest * y).sum(0)  # (C,)
        whole = (p * y).sum(0) + wrong + self.smooth  # (C,)
        # 1 minus the index, without a subtraction.
        losses = wrong / torch.where(whole > 0, whole, torch.inf)  # (C,)
        # x^gamma with gamma < 1 has an infinite slope at 0, which a perfect prediction reaches.
        tiny = torch.finfo(losses.dtype).tiny
        return torch.where(losses >= tiny, losses.clamp(min=tiny) ** self.gamma, 0).mean()
