"""What losses share: the tokens that count, reductions, precision, what a loss needs of a head."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nersweep.faults import Fault, UserError

IGNORE = -100
REDUCTIONS = ("mean", "token_mean", "sum", "none")

# The terms of a training loss by name, each with its factor: the loss is the sum of their products.
Terms = dict[str, tuple[float | Tensor, Tensor]]


def require(holds: bool, name: str, value: object, requirement: str) -> None:
    """Raise UserError unless `holds`: the argument called `name` must be `requirement`."""
    if not holds:
        raise UserError(Fault(name, value, f"must be {requirement}"))


def non_negative_vector(values: Tensor, name: str, elements: str) -> Tensor:
    """Return a vector after checking it. Raises UserError unless it is finite, ≥ 0 and 1-D."""
    require(values.dim() == 1, name, tuple(values.shape), f"a vector with one {elements} per class")
    valid = values.isfinite() & (values >= 0)  # (C,)
    require(bool(valid.all()), name, values.tolist(), "finite and ≥ 0")
    return values


def real_tokens(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Flatten logits (..., C) and targets (...), and mark the real tokens: those not -100.

    Returns logits (N, C) in float32 at least, gold classes (N,), and which tokens are real (N,).
    Ignored tokens stay in, with logits 0 and class 0, for the loss to leave out: a shape that
    depended on the numbers would make a GPU wait.
    """
    targets = targets.flatten()  # (N,)
    real = targets != IGNORE  # (N,)
    logits = logits.reshape(len(targets), logits.shape[-1])  # (N, C)
    logits = logits.masked_fill(~real[:, None], 0)
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return logits.to(dtype), targets.where(real, 0), real


def gold_log_probabilities(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return log p_y and log(1-p_y) of each token: logits (N, C), targets (N,) -> two of (N,).

    The second is the log-sum of the other classes' probabilities: 1 - exp(log p_y) is 0 once p_y
    rounds to 1, and its powers below 1 then have a NaN gradient.
    """
    log_p = logits.log_softmax(-1)  # (N, C)
    log_p_y = log_p.gather(-1, targets[:, None]).squeeze(-1)  # (N,)
    return log_p_y, log_p.scatter(-1, targets[:, None], -torch.inf).logsumexp(-1)


class Loss(nn.Module, ABC):
    """A module whose value is a number to minimise.

    needs: the names of the arguments of `forward`, out of what a head gives: logits (N, C), targets
    (N,), lengths (S,) of the sentences in words, features (N, H) under the logits, crf; and of the
    whole optimiser step step_targets and step_lengths.
    splits: whether the values of a step's micro-batches add up to the step's value. A step of a
    loss that does not split goes through it as a whole.
    """

    needs: tuple[str, ...] = ("logits", "targets")
    splits: bool = True

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the value, a scalar."""

    def terms(self, available: Mapping[str, object]) -> Terms:
        """Return what is trained and logged, from everything that a head gives."""
        return {"ner": (1.0, self(**{name: available[name] for name in self.needs}))}


class TokenLoss(Loss):
    """A loss per token, reduced over the real tokens: those whose target is not -100.

    Called like `nn.CrossEntropyLoss`, as `loss(logits, targets)`: logits (..., C), raw scores;
    targets (...), class ids, -100 ignored; weight (C,), ≥ 0, one factor per gold class. Computes in
    float32 at least.

    reduction: "mean" is Σ w_y·l / Σ w_y over real tokens, as in torch; "token_mean" is Σ w_y·l / N
    with N real tokens; "sum" is Σ w_y·l; "none" has the shape of targets, with 0 where ignored.
    Where nothing counts (no real token, or only weights of 0) the value is exactly 0 with a zero
    gradient, where torch gives NaN.

    step_targets: the targets of the whole optimiser step, of any shape, when logits and targets are
    one of its micro-batches. The denominator is then the step's, so that the values of the
    micro-batches add up to the value of the step.

    Raises UserError for an unknown reduction and for weights that are negative, not finite or not a
    vector.
    """

    needs: tuple[str, ...] = ("logits", "targets", "step_targets")
    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean"):
        super().__init__()
        require(reduction in REDUCTIONS, "reduction", reduction, "one of " + ", ".join(REDUCTIONS))
        if weight is not None:
            weight = torch.as_tensor(weight, dtype=torch.float32)  # (C,)
            weight = non_negative_vector(weight, "weight", "weight")
        self.reduction = reduction
        self.register_buffer("weight", weight, persistent=False)

    @abstractmethod
    def per_token(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the unweighted loss of each token: logits (N, C) in float32 or float64, targets
        (N,) in [0, C) -> (N,)."""

    def weighted(self, logits: Tensor, targets: Tensor, weight: Tensor | None) -> Tensor:
        """Return the loss of each token (N,) times the weight (C,) of its gold class."""
        losses = self.per_token(logits, targets)  # (N,)
        return losses if weight is None else losses * weight[targets]

    def class_weights(self, step_targets: Tensor, classes: int) -> Tensor | None:
        """Return the weights (C,) for an optimiser step with these targets (...)."""
        return self.weight

    def forward(
        self, logits: Tensor, targets: Tensor, step_targets: Tensor | None = None
    ) -> Tensor:
        step = targets if step_targets is None else step_targets
        weight = self.class_weights(step, logits.shape[-1])  # (C,)
        shape = targets.shape
        logits, targets, real = real_tokens(logits, targets)  # (N, C), (N,), (N,)
        factors = None if weight is None else weight.to(logits.dtype)
        losses = self.weighted(logits, targets, factors).where(real, 0)  # (N,)
        if self.reduction == "none":
            return losses.view(shape)
        if self.reduction == "sum":
            return losses.sum()
        counts = step != IGNORE
        if weight is None or self.reduction == "token_mean":
            total = counts.sum()
        else:
            total = weight[step.where(counts, 0)].where(counts, 0).sum()
        # 0 with a zero gradient where nothing counts.
        return losses.sum() / torch.where(total > 0, total, torch.inf)
