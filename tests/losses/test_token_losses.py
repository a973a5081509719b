"""What holds for every token loss, and what identifies each."""

import inspect
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

import nersweep.losses
from nersweep.losses import CrossEntropyLoss, FocalLoss, LabelSmoothingLoss
from nersweep.losses.base import TokenLoss

LOSSES = [
    value
    for _, value in sorted(vars(nersweep.losses).items())
    if inspect.isclass(value) and issubclass(value, TokenLoss) and not inspect.isabstract(value)
]
REDUCTIONS = ("mean", "token_mean", "sum")
WEIGHT = torch.tensor([0.2, 1.0, 2.5, 1.3])


def some(tokens: int = 24, classes: int = 4, dtype=torch.float32, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(tokens, classes, generator=generator, dtype=dtype) * 2
    targets = torch.randint(0, classes, (tokens,), generator=generator)
    return logits, targets


def value_and_gradient(loss, logits, targets, **options):
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits, targets, **options)
    value.backward()
    return value.detach(), logits.grad


@pytest.fixture(params=LOSSES, ids=lambda loss: loss.__name__)
def loss_class(request):
    return request.param


# Formulas, in float64 numpy: p is the softmax, one row per token.


def softmax(logits):
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# The loss of each token, from p (N, C), p_y (N,), the gold class as onehot (N, C), and the weight of each class (C,).
FORMULAS = {
    CrossEntropyLoss: lambda p, p_y, onehot, w: -(onehot @ w) * np.log(p_y),
    FocalLoss: lambda p, p_y, onehot, w: -(onehot @ w) * (1 - p_y) ** 2 * np.log(p_y),
    LabelSmoothingLoss: lambda p, p_y, onehot, w: -((0.9 * onehot + 0.1 / p.shape[1]) * w * np.log(p)).sum(-1),
}


@pytest.mark.parametrize("of", FORMULAS, ids=lambda loss: loss.__name__)
def test_value_is_that_of_the_formula(of):
    logits, targets = some(dtype=torch.float64)
    p, onehot, w = softmax(logits.numpy()), np.eye(4)[targets.numpy()], WEIGHT.double().numpy()
    expected = FORMULAS[of](p, (p * onehot).sum(-1), onehot, w).sum() / (onehot @ w).sum()
    assert of(weight=WEIGHT)(logits, targets).item() == pytest.approx(expected, rel=1e-7)


def test_gradient_is_that_of_the_value(loss_class):
    logits, targets = some(tokens=5, dtype=torch.float64)
    targets[1] = -100
    for reduction in REDUCTIONS:
        loss = loss_class(weight=WEIGHT, reduction=reduction)
        assert torch.autograd.gradcheck(lambda x, loss=loss: loss(x, targets), logits.requires_grad_())


def test_ignored_tokens_change_nothing(loss_class):
    logits, targets = some()
    padded = torch.cat([logits, torch.full((6, 4), torch.nan)]).reshape(5, 6, 4)
    padded_targets = torch.cat([targets, torch.full((6,), -100)]).reshape(5, 6)
    for reduction in REDUCTIONS:
        loss = loss_class(weight=WEIGHT, reduction=reduction)
        value, gradient = value_and_gradient(loss, logits, targets)
        other, other_gradient = value_and_gradient(loss, padded, padded_targets)
        assert torch.equal(other, value)
        assert torch.equal(other_gradient.reshape(-1, 4)[:24], gradient)
        assert not other_gradient.reshape(-1, 4)[24:].any()


def test_reductions_of_one_loss(loss_class):
    logits, targets = some()
    targets[3] = -100
    real = targets != -100
    losses = {r: loss_class(weight=WEIGHT, reduction=r)(logits, targets) for r in (*REDUCTIONS, "none")}
    assert losses["none"].shape == targets.shape and losses["none"][3] == 0
    assert losses["sum"].item() == pytest.approx(losses["none"].sum().item())
    assert losses["token_mean"].item() == pytest.approx(losses["sum"].item() / real.sum().item())
    assert losses["mean"].item() == pytest.approx(losses["sum"].item() / WEIGHT[targets[real]].sum().item())


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_without_real_tokens_value_and_gradient_are_zero(loss_class, weight, reduction):
    logits, targets = some()
    targets[:] = -100
    value, gradient = value_and_gradient(loss_class(weight=weight, reduction=reduction), logits, targets)
    assert value == 0 and gradient is not None and not gradient.any()


@pytest.mark.parametrize("weight", [torch.zeros(4), torch.tensor([0.0, 1, 1, 1])], ids=["all zero", "gold zero"])
def test_a_mean_in_which_no_gold_class_has_weight_is_zero(loss_class, weight):
    logits, targets = some()
    value, gradient = value_and_gradient(loss_class(weight=weight), logits, torch.zeros_like(targets))
    assert value == 0 and gradient is not None and not gradient.any()


@pytest.mark.parametrize("scale", [1e3, -1e3])
def test_extreme_logits_stay_finite(loss_class, scale):
    logits = torch.eye(4) * scale
    for targets in (torch.arange(4), torch.arange(4).flip(0)):
        value, gradient = value_and_gradient(loss_class(), logits, targets)
        assert value.isfinite() and gradient.isfinite().all()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 5.0])
def test_focal_stays_finite_where_the_gold_class_is_certain(gamma):
    for scale in (0.0, 1e2, 1e3):
        value, gradient = value_and_gradient(FocalLoss(gamma), torch.eye(4) * scale, torch.arange(4))
        assert value.isfinite() and gradient.isfinite().all()


def test_half_precision_agrees_with_float32_to_a_hundredth(loss_class):
    logits, targets = some(tokens=200)
    loss = loss_class(weight=WEIGHT)
    value, gradient = value_and_gradient(loss, logits, targets)
    with torch.autocast("cpu", torch.bfloat16):
        low, low_gradient = value_and_gradient(loss, logits.bfloat16(), targets)
    assert low.dtype == torch.float32
    assert low.item() == pytest.approx(value.item(), rel=0.01)
    assert (low_gradient - gradient).norm() < 0.01 * gradient.norm()


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_micro_batches_add_up_to_the_step(loss_class, reduction):
    logits, targets = some(tokens=24)
    targets[20:] = -100  # parts of unequal worth
    loss = loss_class(weight=WEIGHT, reduction=reduction)
    value, gradient = value_and_gradient(loss, logits, targets)
    for parts in (2, 4):
        leaf = logits.clone().requires_grad_()
        pieces = [
            loss(x, y, step_targets=targets) for x, y in zip(leaf.chunk(parts), targets.chunk(parts), strict=True)
        ]
        for piece in pieces:
            piece.backward()
        assert sum(p.item() for p in pieces) == pytest.approx(value.item(), rel=1e-6)
        assert (leaf.grad - gradient).norm() <= 1e-6 * gradient.norm()


def test_uniform_weights_change_nothing(loss_class):
    logits, targets = some()
    for scale in (1.0, 7.0):  # the mean divides by the weights, so their size does not matter either
        weighted = loss_class(weight=torch.full((4,), scale))(logits, targets)
        assert weighted.item() == pytest.approx(loss_class()(logits, targets).item(), rel=1e-6)


def test_a_class_absent_from_the_batch_does_no_harm(loss_class):
    logits, targets = some()
    value, gradient = value_and_gradient(loss_class(weight=WEIGHT), logits, torch.where(targets == 2, 0, targets))
    assert value.isfinite() and gradient.isfinite().all()


def test_weights_move_with_the_module_and_are_not_saved(loss_class):
    loss = loss_class(weight=WEIGHT).double()
    assert loss.weight.dtype == torch.float64 and not loss.state_dict()


def test_gamma_zero_and_smoothing_zero_are_cross_entropy():
    logits, targets = some()
    expected, gradient = value_and_gradient(CrossEntropyLoss(weight=WEIGHT), logits, targets)
    for loss in (FocalLoss(0.0, WEIGHT), LabelSmoothingLoss(0.0, WEIGHT)):
        value, other = value_and_gradient(loss, logits, targets)
        assert value.item() == pytest.approx(expected.item(), rel=1e-6)
        assert torch.allclose(other, gradient, atol=1e-7)


def test_cross_entropy_is_torch_cross_entropy():
    logits, targets = some()
    targets[:3] = -100
    expected = functional.cross_entropy(logits, targets, WEIGHT)
    assert CrossEntropyLoss(WEIGHT)(logits, targets).item() == pytest.approx(expected.item(), rel=1e-6)


def test_label_smoothing_over_the_other_classes_is_the_same_family():
    # ε/(C-1) on each other class is `smoothing` = ε·C/(C-1).
    logits, targets = some(dtype=torch.float64)
    epsilon, log_p = 0.15, functional.log_softmax(logits, -1)
    onehot = functional.one_hot(targets, 4).double()
    other_form = -((1 - epsilon) * onehot + epsilon / 3 * (1 - onehot)).mul(log_p).sum(-1).mean()
    assert LabelSmoothingLoss(epsilon * 4 / 3)(logits, targets).item() == pytest.approx(other_form.item())


def test_focal_loss_of_a_coin_toss():
    # p_y = ½: (1-½)^2 · log 2.
    assert FocalLoss(2.0)(torch.zeros(1, 2), torch.tensor([0])).item() == pytest.approx(0.25 * math.log(2))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: FocalLoss(-1.0), "gamma=-1.0"),
        (lambda: FocalLoss(math.nan), "gamma=nan"),
        (lambda: FocalLoss(math.inf), "gamma=inf"),
        (lambda: LabelSmoothingLoss(1.0), "smoothing=1.0"),
        (lambda: LabelSmoothingLoss(-0.1), "smoothing=-0.1"),
        (lambda: CrossEntropyLoss(reduction="median"), "reduction=median"),
        (lambda: CrossEntropyLoss(torch.tensor([1.0, -1.0])), "weight="),
        (lambda: CrossEntropyLoss(torch.tensor([1.0, math.inf])), "weight="),
        (lambda: CrossEntropyLoss(torch.ones(2, 2)), "weight="),
    ],
)
def test_arguments_outside_their_range_are_refused_by_name(make, name):
    with pytest.raises(ValueError, match=f"^{name}"):
        make()
