"""What losses share: which tokens count, by what a sum is divided, the numbers' precision, and what a loss asks of a
head."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

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


def real_tokens(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of logits (..., C) and targets (...), all tokens: logits (N, C) in float32 at least, gold classes (N,), and which
    are real (N,), those whose target is not -100. The others, with logits and class 0, are for the loss to leave out:
    without them the shapes would depend on the numbers, which a GPU would have to be waited for."""
    targets = targets.flatten()
    real = targets != IGNORE
    logits = logits.reshape(len(targets), logits.shape[-1]).masked_fill(~real[:, None], 0)
    return logits.to(torch.promote_types(logits.dtype, torch.float32)), targets.where(real, 0), real


def gold_log_probabilities(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """log p_y and log(1-p_y) of each token: logits (N, C), targets (N,) -> two of (N,).

    The second is the log-sum of the other classes' probabilities: 1 - exp(log p_y) is 0 once p_y rounds to 1, and its
    powers below 1 then have a NaN for a gradient.
    """
    log_p = logits.log_softmax(-1)  # (N, C)
    log_p_y = log_p.gather(-1, targets[:, None]).squeeze(-1)  # (N,)
    return log_p_y, log_p.scatter(-1, targets[:, None], -torch.inf).logsumexp(-1)


class Loss(nn.Module, ABC):
    """What every loss is: a module whose value is a number to go down.

    needs: the names of what `forward` takes, of those that a head gives: logits (N, C), targets (N,), lengths (S,) of
    the sentences in words, features (N, H) under the logits, crf; and of the whole optimiser step step_targets and
    step_lengths.
    splits: whether the values of a step's micro-batches add up to the step's value. A step of a loss that does not
    split goes through it as a whole.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits", "targets")
    splits: bool = True

    @abstractmethod
    def forward(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        """The value, a scalar."""

    def terms(self, given: Mapping[str, object]) -> Terms:
        """What is trained and logged, of everything that a head gives."""
        return {"ner": (1.0, self(**{name: given[name] for name in self.needs}))}


class TokenLoss(Loss):
    """A loss per token, reduced over the real tokens: those whose target is not -100.

    Called like `nn.CrossEntropyLoss`, as `loss(logits, targets)`: logits (..., C), raw scores; targets (...), class
    ids, -100 ignored; weight (C,), non-negative, one factor per gold class. Computes in float32 at least.

    reduction: "mean" is Σ w_y·l / Σ w_y over real tokens, as in torch; "token_mean" is Σ w_y·l / N, N the number of
    real tokens; "sum"; "none" has the shape of targets, with 0 where ignored. Where nothing counts (no real token, or
    only weights of 0) the value is exactly 0 with a zero gradient, where torch gives NaN.

    When logits and targets are one micro-batch of an optimiser step, `step_targets` takes the targets of the whole
    step, of any shape: the denominator is then the step's, and the micro-batches' values add up to the step's value.

    Raises ValueError for an unknown reduction and for weights that are negative, not finite or not a vector.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits", "targets", "step_targets")

    def __init__(self, weight: Tensor | None = None, reduction: str = "mean"):
        super().__init__()
        require(reduction in REDUCTIONS, "reduction", reduction, "one of " + ", ".join(REDUCTIONS))
        if weight is not None:
            weight = torch.as_tensor(weight, dtype=torch.float32)
            require(
                weight.dim() == 1,
                "weight",
                tuple(weight.shape),
                "a vector with one weight per class",
            )
            require(
                bool((weight.isfinite() & (weight >= 0)).all()),
                "weight",
                weight.tolist(),
                "finite and ≥ 0",
            )
        self.reduction = reduction
        self.register_buffer("weight", weight, persistent=False)

    @abstractmethod
    def per_token(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each token, unweighted: logits (N, C) in float32 or float64, targets (N,) in [0, C) -> (N,)."""

    def weighted(self, logits: Tensor, targets: Tensor, weight: Tensor | None) -> Tensor:
        """The loss of each token times the weight (C,) of its gold class."""
        losses = self.per_token(logits, targets)
        return losses if weight is None else losses * weight[targets]

    def class_weights(self, step_targets: Tensor, classes: int) -> Tensor | None:
        """The weights (C,) that hold for an optimiser step with these targets (...)."""
        return self.weight

    def forward(
        self, logits: Tensor, targets: Tensor, step_targets: Tensor | None = None
    ) -> Tensor:
        step = targets if step_targets is None else step_targets
        weight = self.class_weights(step, logits.shape[-1])
        shape, (logits, targets, real) = (
            targets.shape,
            real_tokens(logits, targets),
        )  # (N, C), (N,), (N,)
        losses = self.weighted(
            logits, targets, None if weight is None else weight.to(logits.dtype)
        ).where(real, 0)
        if self.reduction == "none":
            return losses.view(shape)
        if self.reduction == "sum":
            return losses.sum()
        counts = step != IGNORE
        count_tokens = weight is None or self.reduction == "token_mean"
        total = (
            counts.sum() if count_tokens else weight[step.where(counts, 0)].where(counts, 0).sum()
        )
        return losses.sum() / torch.where(
            total > 0, total, torch.inf
        )  # 0 with a zero gradient where nothing counts
