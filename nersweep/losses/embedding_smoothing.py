"""Label smoothing towards the classes that are alike."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from nersweep.losses.base import TokenLoss, real_tokens, require


class EmbeddingSmoothingLoss(TokenLoss):
    """Cross entropy against a target that gives a class the more of the smoothing, the more it resembles the gold one:
    (1-smoothing)·onehot + smoothing·softmax(inverse_temperature · cosine of the label embeddings).

    smoothing in [0, 1], no unit; 0 gives cross entropy. inverse_temperature ≥ 0, no unit; 0 smooths evenly, as does
    a cosine that is the same for all. over: the classes of that softmax. "others" leaves out the gold class, whose
    target is then 1-smoothing exactly; "all" has the gold class in it, with its cosine of 1, so that it gets a part of
    the smoothing back: at inverse temperature 10 nearly all of it, where the others are far.

    embeddings (C, D): the label embeddings, frozen: copied, and neither trained nor saved. Without them, the label
    embeddings are the centroids of the classes' features, and `forward` must be given `features` (..., H), one row
    for each target. In training mode each call first moves the centroids of the classes in it, over real tokens only:
    centroid = momentum·centroid + (1-momentum)·mean, momentum in [0, 1), no unit; the first sight of a class sets its
    centroid. A class not yet seen has cosine 0 to all. The centroids are saved with the module. No gradient flows
    through the target: trained through it, the embeddings collapse.

    With centroids `splits` is False: a micro-batch would move the targets of the next. With `weight`, each class's
    term has that class's weight, as in `LabelSmoothingLoss`. Other arguments, shapes and reductions are those of
    `TokenLoss`. Raises ValueError for a number outside its range, another `over`, embeddings that are not a finite
    matrix, and in `forward` where there are neither embeddings nor features. No form of it is standard; "others" with
    evenly spread cosines is Szegedy et al. 2016, section 7, up to the size of smoothing.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits", "targets", "step_targets", "features")

    def __init__(
        self,
        smoothing: float = 0.1,
        inverse_temperature: float = 10.0,
        over: Literal["others", "all"] = "others",
        momentum: float = 0.9,
        embeddings: Tensor | None = None,
        weight: Tensor | None = None,
        reduction: str = "mean",
    ):
        super().__init__(weight, reduction)
        require(0 <= smoothing <= 1, "smoothing", smoothing, "in [0, 1] (0 is cross entropy)")
        even = "≥ 0 (0 smooths evenly)"
        require(
            0 <= inverse_temperature < math.inf, "inverse_temperature", inverse_temperature, even
        )
        require(over in ("others", "all"), "over", over, "one of others, all")
        require(0 <= momentum < 1, "momentum", momentum, "in [0, 1) (0 keeps the last batch only)")
        self.learns = embeddings is None
        if embeddings is not None:
            embeddings = torch.as_tensor(embeddings, dtype=torch.float32).detach().clone()
            require(
                embeddings.dim() == 2,
                "embeddings",
                tuple(embeddings.shape),
                "a matrix with one row per class",
            )
            require(bool(embeddings.isfinite().all()), "embeddings", embeddings.tolist(), "finite")
        self.smoothing = smoothing
        self.inverse_temperature = inverse_temperature
        self.over = over
        self.momentum = momentum
        self.register_buffer(
            "embeddings", embeddings, persistent=self.learns
        )  # (C, D); 0 in a class not yet seen

    @property
    def splits(self) -> bool:
        return not self.learns

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        step_targets: Tensor | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        if self.learns:
            require(features is not None, "features", features, "given where embeddings are not")
            self.learn(*real_tokens(features.detach(), targets), logits.shape[-1])
        return super().forward(logits, targets, step_targets)

    def learn(self, features: Tensor, targets: Tensor, real: Tensor, classes: int) -> None:
        """Makes the centroids on first sight; in training mode moves those of the classes in targets (N,), where they
        are real (N,), towards the means of their features (N, H)."""
        old = (
            features.new_zeros(classes, features.shape[-1])
            if self.embeddings is None
            else self.embeddings
        )
        old = old.to(features.device)  # (C, H)
        if self.training:
            onehot = (
                functional.one_hot(targets, classes).to(features.dtype) * real[:, None]
            )  # (N, C)
            counts = onehot.sum(0)[:, None]  # (C, 1)
            with torch.autocast(
                features.device.type, enabled=False
            ):  # a matrix product, as sums by index vary on CUDA
                means = onehot.T @ features / counts.clamp(min=1)  # (C, H)
            seen = old.any(-1, keepdim=True)
            moved = torch.where(seen, self.momentum * old + (1 - self.momentum) * means, means)
            old = torch.where(counts > 0, moved.to(old.dtype), old)
        self.embeddings = old

    def per_token(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.weighted(logits, targets, None)

    def weighted(self, logits: Tensor, targets: Tensor, weight: Tensor | None) -> Tensor:
        embeddings = self.embeddings.to(logits.dtype)
        cosine = functional.cosine_similarity(embeddings[:, None], embeddings, dim=-1)  # (C, C)
        scores = self.inverse_temperature * cosine
        if self.over == "others":
            scores.fill_diagonal_(torch.finfo(scores.dtype).min)
        onehot = functional.one_hot(targets, logits.shape[-1])  # (N, C)
        target = (1 - self.smoothing) * onehot + self.smoothing * scores.softmax(-1)[targets]
        return functional.cross_entropy(logits, target, weight, reduction="none")

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        saved = state_dict.get(f"{prefix}embeddings")
        if (
            self.embeddings is None and saved is not None
        ):  # their shape is known from the features only
            self.embeddings = torch.empty_like(saved)
        super()._load_from_state_dict(state_dict, prefix, *rest)
