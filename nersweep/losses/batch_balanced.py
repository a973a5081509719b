"""Focal loss, balanced by the class counts of the optimiser step."""

import math

import torch
from torch import Tensor

from nersweep.losses.base import IGNORE, TokenLoss, gold_log_probabilities, require


def effective_weights(counts: Tensor, beta: float) -> Tensor:
    """Class weights (1-beta) / (1-beta^n_c), the inverse effective number of samples, with mean 1 over the classes
    that occur.

    counts (C,), ≥ 0, tokens per class -> (C,) in float32; a class with count 0 takes no part in the mean and weighs 1.
    beta in [0, 1), no unit: 0 is uniform, towards 1 it nears the inverse count. With the counts of the training split
    it makes any loss a class-balanced one: `FocalLoss(weight=effective_weights(counts, 0.999))`.

    Computed in float64 as -expm1(n·log1p(-(1-beta))), so that a beta near 1 keeps its digits. Raises ValueError for a
    beta outside [0, 1) and for counts that are negative, not finite or not a vector. Cui et al. 2019, eq. 2.
    """
    require(0 <= beta < 1, "beta", beta, "in [0, 1) (0 is uniform, near 1 is the inverse count)")
    counts = torch.as_tensor(counts).double()  # (C,)
    require(counts.dim() == 1, "counts", tuple(counts.shape), "a vector with one count per class")
    require(
        bool((counts.isfinite() & (counts >= 0)).all()), "counts", counts.tolist(), "finite and ≥ 0"
    )
    return weights_of(counts, beta)


def weights_of(counts: Tensor, beta: float) -> Tensor:
    """`effective_weights` of counts (C,) in float64 that are as they must be, which is not looked at."""
    occurs, rest = counts > 0, 1 - beta
    raw = (
        rest / -(counts * counts.new_full((), -rest).log1p()).expm1()
    )  # (C,), infinite or NaN where nothing occurs
    mean = raw.where(occurs, 0).sum() / occurs.sum()
    return (raw / mean).where(occurs, 1).float()


class BatchBalancedFocalLoss(TokenLoss):
    """Focal loss, -(1-p_y)^gamma · log p_y, times the `effective_weights` of the gold class, which come from the class
    counts of the optimiser step.

    gamma ≥ 0, no unit; 0 gives cross entropy. beta in [0, 1), no unit; 0 gives focal loss. The weights have mean 1
    over the classes that are present in the step; absent classes take no part. There is no `weight`; other arguments,
    shapes and reductions are those of `TokenLoss`. A micro-batch needs `step_targets`: without them the counts are its
    own. Raises ValueError for a gamma or beta outside its range. Cui et al. 2019, eq. 2 and section 4.3, with softmax
    for sigmoid, and with counts of the step where the paper has counts of the training set.
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
        targets, counts = step_targets.flatten(), step_targets.new_zeros(classes)
        counts = counts.scatter_add(
            0, targets.clamp(min=0), (targets != IGNORE).to(counts.dtype)
        )  # (C,)
        return weights_of(counts.double(), self.beta)

    def per_token(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p, log_rest = gold_log_probabilities(logits, targets)  # log p_y and log(1-p_y), (N,)
        return -(self.gamma * log_rest).exp() * log_p
