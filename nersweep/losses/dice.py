"""Dice loss."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from nersweep.losses.base import Loss, gold_log_probabilities, real_tokens, require


class DiceLoss(Loss):
    """Dice loss: the mean over classes of 1 - (2Σ p·y + s) / (Σ p + Σ y + s), one minus a soft F1 of each class.

    p = softmax(logits), y the gold class as onehot; the sums are over the real tokens, those whose target is not -100.
    Called as `loss(logits, targets)`: logits (..., C), raw scores; targets (...), class ids. A scalar in [0, 1], or
    ≥ 0 with `log`; without real tokens 0 with a zero gradient. Takes no class weights; computes in float32 at least.

    smooth: s ≥ 0, in tokens; with 0, a class without gold tokens and without probability has loss 0, not 0/0.
    square: Σ p² for Σ p (and Σ y², which is Σ y).
    exclude: classes left out of the mean, by id, or by name where `labels`, all class names in order, is given.
    absent: "skip" leaves the classes without gold tokens out of the mean too; under "include" such a class has
    Σ p / (Σ p + s).
    log: minus the logarithm of the coefficient for one minus it; then s > 0, as a class without gold tokens is -log 0.

    A step cannot be split: the sums are those of the whole step.

    Raises ValueError for an s out of range, for another `absent`, and for an excluded name or id that is no class; the
    latter when called, where the number of classes comes from the logits, and so does a name given without `labels`.
    Milletari et al. 2016, section 3, which squares and does not smooth; Li et al. 2020, section 3.3, the form over
    sets, there of one class; the mean over all classes is ours.
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
        require(
            smooth > 0 or not log,
            "smooth",
            smooth,
            "> 0 with log, as the logarithm of 0 is not finite",
        )
        require(absent in ("include", "skip"), "absent", absent, "include or skip")
        if labels is not None:
            unknown = [name for name in exclude if isinstance(name, str) and name not in labels]
            require(not unknown, "exclude", unknown, "among the labels: " + ", ".join(labels))
            exclude = [
                list(labels).index(name) if isinstance(name, str) else name for name in exclude
            ]
            self.check(exclude, len(labels))
        self.smooth, self.square, self.exclude, self.absent, self.log = (
            smooth,
            square,
            exclude,
            absent,
            log,
        )

    @staticmethod
    def check(exclude: Sequence[int | str], classes: int) -> None:
        unknown = [c for c in exclude if not isinstance(c, int) or not 0 <= c < classes]
        require(
            not unknown,
            "exclude",
            unknown,
            f"class ids in [0, {classes}), or names with labels given",
        )

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits, gold, real = real_tokens(logits, targets)  # (N, C), (N,), (N,)
        real = real[:, None]  # (N, 1)
        classes = logits.shape[-1]
        self.check(self.exclude, classes)
        p, y = (
            logits.softmax(-1) * real,
            functional.one_hot(gold, classes).to(logits.dtype) * real,
        )  # (N, C)
        # |p - y|, with 1 - p_y from its logarithm: exact where p_y rounds to 1.
        p_rest = gold_log_probabilities(logits, gold)[1].exp()[:, None] * real  # (N, 1)
        apart = p.scatter(-1, gold[:, None], p_rest)  # (N, C)
        if self.square:
            apart, whole = (
                apart.square().sum(0),
                (p.square() + y).sum(0),
            )  # Σ (p-y)² is Σ p² + Σ y - 2Σ p·y
        else:
            apart, whole = apart.sum(0), (p + y).sum(0)  # (C,), Σ |p-y| is Σ p + Σ y - 2Σ p·y
        if self.log:  # the coefficient is 1 / (1 + apart/overlap)
            losses = (apart / (2 * (p * y).sum(0) + self.smooth)).log1p()  # (C,)
        else:
            whole = whole + self.smooth
            losses = apart / torch.where(whole > 0, whole, torch.inf)  # (C,)
        counted = y.any(0) if self.absent == "skip" else torch.ones_like(losses, dtype=torch.bool)
        for c in self.exclude:
            counted[c].fill_(False)
        return (losses * counted).sum() / counted.sum().clamp(min=1)
