"""Class-balanced weights, and focal loss balanced by the class counts of the optimiser step."""

import math

import torch
from torch import Tensor

from nersweep.losses.base import IGNORE, TokenLoss, gold_log_probabilities, require


def effective_number(counts: Tensor, beta: float) -> Tensor:
    """Return (1 - β^n) / (1 - β): what n overlapping samples of a class are worth, at most 1/(1-β).

    counts (C,) in float64, ≥ 0; beta in [0, 1). Computed as -expm1(n·log1p(-(1-β))) / (1-β), so
    that a beta near 1 keeps its digits. Cui et al. 2019, eq. 1.
    """
    rest = 1 - beta
    log_beta = counts.new_full((), -rest).log1p()  # -inf for beta 0
    return ((counts * log_beta).expm1() / -rest).where(counts > 0, 0)  # (C,)


def effective_weights(counts: Tensor, beta: float) -> Tensor:
    """Return class weights (1 - β) / (1 - β^n_c) with mean 1 over the classes that occur.

    counts (C,), tokens per class, ≥ 0 -> (C,) in float32. A class with count 0 weighs 1 and takes
    no part in the mean. beta in [0, 1), no unit: 0 is uniform; towards 1 the weights near the
    inverse counts. With counts of the training split any token loss becomes a class-balanced one:
    `FocalLoss(weight=effective_weights(counts, 0.999))`.

    Raises UserError for a beta outside [0, 1) and for counts that are negative, not finite or not a
    vector. Cui et al. 2019, eq. 2.
    """
    require(0 <= beta < 1, "beta", beta, "in [0, 1) (0 is uniform, near 1 is the inverse count)")
    counts = torch.as_tensor(counts).double()  # (C,)
    require(counts.dim() == 1, "counts", tuple(counts.shape), "a vector with one count per class")
    valid = bool((counts.isfinite() & (counts >= 0)).all())
    require(valid, "counts", counts.tolist(), "finite and ≥ 0")
    return weights_of(counts, beta)


def weights_of(counts: Tensor, beta: float) -> Tensor:
    """Return `effective_weights` for counts (C,) in float64, unchecked: no wait for a GPU."""
    occurs = counts > 0  # (C,)
    raw = 1 / effective_number(counts, beta)  # (C,), infinite for classes that do not occur
    mean = raw.where(occurs, 0).sum() / occurs.sum()
    return (raw / mean).where(occurs, 1).float()


class BatchBalancedFocalLoss(TokenLoss):
    """Focal loss, -(1-p_y)^γ · log p_y, weighted by the effective numbers of the optimiser step.

    The weight of a gold class is its `effective_weights` with the class counts of the step: mean 1
    over the classes in the step; absent classes take no part. gamma ≥ 0, no unit; 0 gives cross
    entropy. beta in [0, 1), no unit; 0 gives focal loss. There is no `weight`; other arguments,
    shapes and reductions are those of `TokenLoss`. A micro-batch needs `step_targets`: without them
    the counts are its own.

    Raises UserError for a gamma or beta outside its range. Cui et al. 2019, eq. 2 and section 4.3,
    with softmax for sigmoid and counts of the step for counts of the training set.
    """

    def __init__(self, gamma: float = 2.0, beta: float = 0.999, reduction: str = "mean"):
        super().__init__(reduction=reduction)
        require(math.isfinite(gamma) and gamma >= 0, "gamma", gamma, "≥ 0 (0 is cross entropy)")
        require(
            0 <= beta < 1, "beta", beta, "in [0, 1) (0 is focal loss, near 1 is the inverse count)"
        )
        self.gamma = gamma
        self.beta = beta

    def class_weights(self, step_targets: Tensor, classes: int) -> Tensor:
        targets = step_targets.flatten()  # (N,)
        real = (targets != IGNORE).to(targets.dtype)  # (N,)
        counts = targets.new_zeros(classes).scatter_add(0, targets.clamp(min=0), real)  # (C,)
        return weights_of(counts.double(), self.beta)

    def per_token(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p, log_rest = gold_log_probabilities(logits, targets)  # log p_y and log(1-p_y), (N,)
        return -(self.gamma * log_rest).exp() * log_p  # (N,)
