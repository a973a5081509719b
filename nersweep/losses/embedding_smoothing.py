"""Label smoothing towards the classes that are alike."""

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from nersweep.losses.base import TokenLoss, real_tokens, require


class EmbeddingSmoothingLoss(TokenLoss):
    """Cross entropy with label smoothing that favours classes similar to the gold one.

    The target is (1-smoothing)·onehot + smoothing·softmax(inverse_temperature · cosine of the label
    embeddings). smoothing in [0, 1], no unit; 0 gives cross entropy. inverse_temperature ≥ 0, no
    unit; 0 smooths evenly, as does a cosine that is the same for all. over: the classes of that
    softmax. "others" leaves out the gold class, whose target is then 1-smoothing exactly; "all"
    includes it, with its cosine of 1, so that it gets a part of the smoothing back: at inverse
    temperature 10 nearly all of it, if the others are far.

    embeddings (C, D): the label embeddings, frozen: copied, and neither trained nor saved. Without
    them, the label embeddings are the centroids of the classes' features, and `forward` needs
    `features` (..., H), one row for each target. In training mode each call first moves the
    centroids of the classes in it, over real tokens only:
    centroid = momentum·centroid + (1-momentum)·mean, momentum in [0, 1), no unit; the first tokens
    of a class set its centroid. A class without tokens so far has cosine 0 to all. The centroids
    are saved with the module. No gradient flows through the target: trained through it, the
    embeddings collapse.

    With centroids `splits` is False: a micro-batch would move the targets of the next. With
    `weight`, each class's term has that class's weight, as in `LabelSmoothingLoss`. Other
    arguments, shapes and reductions are those of `TokenLoss`.

    Raises UserError for a number outside its range, another `over`, embeddings that are not a
    finite matrix and, in `forward`, without embeddings and features. No form of it is standard;
    "others" with evenly spread cosines is Szegedy et al. 2016, section 7, up to the size of
    smoothing.
    """

    needs = ("logits", "targets", "step_targets", "features")
    embeddings: Tensor | None

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
        valid = 0 <= inverse_temperature < math.inf
        require(valid, "inverse_temperature", inverse_temperature, "≥ 0 (0 smooths evenly)")
        require(over in ("others", "all"), "over", over, "one of others, all")
        require(0 <= momentum < 1, "momentum", momentum, "in [0, 1) (0 keeps the last batch only)")
        if embeddings is not None:
            embeddings = torch.as_tensor(embeddings, dtype=torch.float32).detach().clone()
            shape = tuple(embeddings.shape)
            require(len(shape) == 2, "embeddings", shape, "a matrix with one row per class")
            require(bool(embeddings.isfinite().all()), "embeddings", embeddings.tolist(), "finite")
        self.smoothing = smoothing
        self.inverse_temperature = inverse_temperature
        self.over = over
        self.momentum = momentum
        self.learns = embeddings is None
        self.splits = not self.learns
        # (C, D), the row of a class without tokens so far is 0.
        self.register_buffer("embeddings", embeddings, persistent=self.learns)

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        step_targets: Tensor | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        if self.learns:
            if features is None:
                require(False, "features", None, "given where embeddings are not")
            else:
                self.learn(*real_tokens(features.detach(), targets), logits.shape[-1])
        return super().forward(logits, targets, step_targets)

    def learn(self, features: Tensor, targets: Tensor, real: Tensor, classes: int) -> None:
        """Create the centroids at the first call, and move them in training mode.

        They move towards the mean features (N, H) of the classes in targets (N,), over the real
        tokens (N,).
        """
        if self.embeddings is None:
            centroids = features.new_zeros(classes, features.shape[-1])  # (C, H)
        else:
            centroids = self.embeddings.to(features.device)  # (C, H)
        if self.training:
            onehot = functional.one_hot(targets, classes).to(features.dtype)  # (N, C)
            onehot = onehot * real[:, None]
            counts = onehot.sum(0)[:, None]  # (C, 1)
            # A matrix product in full precision, as sums by index vary on CUDA.
            with torch.autocast(features.device.type, enabled=False):
                means = onehot.T @ features / counts.clamp(min=1)  # (C, H)
            old = centroids.any(-1, keepdim=True)  # (C, 1)
            moved = self.momentum * centroids + (1 - self.momentum) * means  # (C, H)
            moved = torch.where(old, moved, means).to(centroids.dtype)
            centroids = torch.where(counts > 0, moved, centroids)
        self.embeddings = centroids

    def per_token(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.weighted(logits, targets, None)

    def weighted(self, logits: Tensor, targets: Tensor, weight: Tensor | None) -> Tensor:
        assert self.embeddings is not None  # forward has set it
        embeddings = self.embeddings.to(logits.dtype)  # (C, D)
        cosine = functional.cosine_similarity(embeddings[:, None], embeddings, dim=-1)  # (C, C)
        scores = self.inverse_temperature * cosine  # (C, C)
        if self.over == "others":
            scores.fill_diagonal_(torch.finfo(scores.dtype).min)
        onehot = functional.one_hot(targets, logits.shape[-1])  # (N, C)
        smooth = scores.softmax(-1)[targets]  # (N, C)
        target = (1 - self.smoothing) * onehot + self.smoothing * smooth  # (N, C)
        return functional.cross_entropy(logits, target, weight, reduction="none")  # (N,)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        saved = state_dict.get(f"{prefix}embeddings")
        if self.embeddings is None and saved is not None:  # their shape comes from the features
            self.embeddings = torch.empty_like(saved)
        super()._load_from_state_dict(state_dict, prefix, *rest)
