"""Dice loss."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from nersweep.losses.base import Loss, gold_log_probabilities, real_tokens, require


class DiceLoss(Loss):
    """Dice loss: the mean over classes of 1 - (2Σ p·y + s) / (Σ p + Σ y + s), 1 minus a soft F1.

    p = softmax(logits), y the gold class as onehot; the sums are over the real tokens, those whose
    target is not -100. Called as `loss(logits, targets)`: logits (..., C), raw scores; targets
    (...), class ids. A scalar in [0, 1], or ≥ 0 with `log`; without real tokens 0 with a zero
    gradient. Takes no class weights; computes in float32 at least.

    smooth: s ≥ 0, in tokens; with 0, a class without gold tokens and without probability has loss
    0, not 0/0.
    square: Σ p² for Σ p (and Σ y², which is Σ y).
    exclude: classes left out of the mean, by id, or by name if `labels`, all class names in order,
    is given.
    absent: "skip" leaves the classes without gold tokens out of the mean too; under "include" such
    a class has Σ p / (Σ p + s).
    log: minus the logarithm of the coefficient instead of one minus it; then s > 0, since a class
    without gold tokens is -log 0.

    A step cannot be split: the sums are those of the whole step.

    Raises UserError for an s out of range, for another `absent`, and for an excluded name or id
    that is no class: when called if the number of classes comes from the logits or `labels` is
    missing. Milletari et al. 2016, section 3, which squares and does not smooth; Li et al. 2020,
    section 3.3, the form over sets, there of one class; the mean over all classes is ours.
    """

    splits = False

    def __init__(
        self,
        smooth: float = 1.0,
        square: bool = False,
        exclude: Sequence[int | str] = (),
        absent: Literal["include", "skip"] = "include",
        log: bool = False,
        labels: Sequence[str] | None = None,
    ):
        super().__init__()
        require(math.isfinite(smooth) and smooth >= 0, "smooth", smooth, "≥ 0 and finite")
        with_log = "> 0 with log, as the logarithm of 0 is not finite"
        require(smooth > 0 or not log, "smooth", smooth, with_log)
        require(absent in ("include", "skip"), "absent", absent, "include or skip")
        if labels is not None:
            exclude = named_ids(exclude, list(labels))
            class_ids(exclude, len(labels))
        self.smooth = smooth
        self.square = square
        self.exclude = exclude
        self.absent = absent
        self.log = log

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits, gold, real = real_tokens(logits, targets)  # (N, C), (N,), (N,)
        real = real[:, None]  # (N, 1)
        classes = logits.shape[-1]
        exclude = class_ids(self.exclude, classes)
        p = logits.softmax(-1) * real  # (N, C)
        y = functional.one_hot(gold, classes).to(logits.dtype) * real  # (N, C)
        # |p - y|, with 1 - p_y from its logarithm: exact where p_y rounds to 1.
        p_rest = gold_log_probabilities(logits, gold)[1].exp()[:, None] * real  # (N, 1)
        difference = p.scatter(-1, gold[:, None], p_rest)  # (N, C)
        if self.square:  # Σ (p-y)² is Σ p² + Σ y - 2Σ p·y
            apart, whole = difference.square().sum(0), (p.square() + y).sum(0)  # (C,), (C,)
        else:  # Σ |p-y| is Σ p + Σ y - 2Σ p·y
            apart, whole = difference.sum(0), (p + y).sum(0)  # (C,), (C,)
        if self.log:  # the coefficient is 1 / (1 + apart/overlap)
            losses = (apart / (2 * (p * y).sum(0) + self.smooth)).log1p()  # (C,)
        else:
            whole = whole + self.smooth
            losses = apart / torch.where(whole > 0, whole, torch.inf)  # (C,)
        counts = y.any(0) if self.absent == "skip" else torch.ones_like(losses, dtype=torch.bool)
        for c in exclude:
            counts[c].fill_(False)
        return (losses * counts).sum() / counts.sum().clamp(min=1)


def named_ids(classes: Sequence[int | str], labels: Sequence[str]) -> list[int | str]:
    """Return classes with names replaced by ids. Raises UserError for a name that is no label."""
    unknown = [name for name in classes if isinstance(name, str) and name not in labels]
    require(not unknown, "exclude", unknown, "among the labels: " + ", ".join(labels))
    return [labels.index(name) if isinstance(name, str) else name for name in classes]


def class_ids(exclude: Sequence[int | str], classes: int) -> list[int]:
    """Return ids in [0, classes). Raises UserError for anything else, names included."""
    ids = [c for c in exclude if isinstance(c, int) and 0 <= c < classes]
    unknown = [c for c in exclude if c not in ids]
    allowed = f"class ids in [0, {classes}), or names with labels given"
    require(not unknown, "exclude", unknown, allowed)
    return ids
