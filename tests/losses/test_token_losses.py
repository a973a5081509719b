"""What holds for every token loss, and what identifies each."""

import inspect
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

import nersweep.losses
from nersweep.losses import (
    BatchBalancedFocalLoss,
    CrossEntropyLoss,
    EmbeddingSmoothingLoss,
    FocalLoss,
    GCELoss,
    LabelSmoothingLoss,
    LogitAdjustedLoss,
    Poly1Loss,
    SelfAdjustingDiceLoss,
)
from nersweep.losses.base import TokenLoss
from nersweep.losses.batch_balanced import effective_weights
from nersweep.weights import Effective

LOSSES = [
    value
    for _, value in sorted(vars(nersweep.losses).items())
    if inspect.isclass(value) and issubclass(value, TokenLoss) and not inspect.isabstract(value)
]
REDUCTIONS = ("mean", "token_mean", "sum")
WEIGHT = torch.tensor([0.2, 1.0, 2.5, 1.3])
COUNTS = torch.tensor([50.0, 8.0, 4.0, 3.0])
EMBEDDINGS = torch.tensor([[1.0, 0.0, 0.5], [0.2, 1.0, 0.0], [0.4, 0.9, -0.3], [-1.0, 0.1, 0.3]])
NEEDED = {"counts": COUNTS, "embeddings": EMBEDDINGS}


def takes(loss_class, name: str) -> bool:
    return name in inspect.signature(loss_class).parameters


def make(loss_class, **options) -> TokenLoss:
    """A loss with these options and what else its class needs; `weight` goes to the classes that
    take one."""
    needed = {name: value for name, value in NEEDED.items() if takes(loss_class, name)}
    if not takes(loss_class, "weight"):
        options.pop("weight", None)
    return loss_class(**needed | options)


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


@pytest.fixture(
    params=[loss for loss in LOSSES if takes(loss, "weight")], ids=lambda loss: loss.__name__
)
def weighted_class(request):
    return request.param


# Formulas, in float64 numpy: p is the softmax, one row per token.


def softmax(logits):
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def smoothed_to_likeness(p, p_y, onehot, w):
    unit = EMBEDDINGS.double().numpy()
    unit = unit / np.linalg.norm(unit, axis=-1, keepdims=True)
    others = np.exp(10 * unit @ unit.T) * (1 - np.eye(4))
    target = 0.9 * onehot + 0.1 * onehot @ (others / others.sum(-1, keepdims=True))
    return -(target * w * np.log(p)).sum(-1)


def adjusted_to_prior(p, p_y, onehot, w):
    joint = p * COUNTS.double().numpy()
    return -(onehot @ w) * np.log((joint * onehot).sum(-1) / joint.sum(-1))


def self_adjusted_dice(p, p_y, onehot, w):
    f = (1 - p) * p
    return (onehot @ w) * (1 - (2 * f * onehot + 1) / (f + onehot + 1)).sum(-1)


# The loss of each token, from p (N, C), p_y (N,), the gold class as onehot (N, C), and the weight
# of each class (C,).
FORMULAS = {
    CrossEntropyLoss: lambda p, p_y, onehot, w: -(onehot @ w) * np.log(p_y),
    FocalLoss: lambda p, p_y, onehot, w: -(onehot @ w) * (1 - p_y) ** 2 * np.log(p_y),
    BatchBalancedFocalLoss: lambda p, p_y, onehot, w: -(onehot @ w) * (1 - p_y) ** 2 * np.log(p_y),
    LabelSmoothingLoss: lambda p, p_y, onehot, w: (
        -((0.9 * onehot + 0.1 / p.shape[1]) * w * np.log(p)).sum(-1)
    ),
    EmbeddingSmoothingLoss: smoothed_to_likeness,
    LogitAdjustedLoss: adjusted_to_prior,
    Poly1Loss: lambda p, p_y, onehot, w: (onehot @ w) * (1 - p_y - np.log(p_y)),
    GCELoss: lambda p, p_y, onehot, w: (onehot @ w) * (1 - p_y**0.7) / 0.7,
    SelfAdjustingDiceLoss: self_adjusted_dice,
}


def test_every_token_loss_has_its_formula_here():
    assert set(LOSSES) == FORMULAS.keys()


@pytest.mark.parametrize("of", FORMULAS, ids=lambda loss: loss.__name__)
def test_value_is_that_of_the_formula(of):
    logits, targets = some(dtype=torch.float64)
    p, onehot, w = softmax(logits.numpy()), np.eye(4)[targets.numpy()], WEIGHT.double().numpy()
    if of is BatchBalancedFocalLoss:  # all four classes are present
        w = 1 / (1 - 0.999 ** onehot.sum(0))
    expected = FORMULAS[of](p, (p * onehot).sum(-1), onehot, w).sum() / (onehot @ w).sum()
    assert make(of, weight=WEIGHT)(logits, targets).item() == pytest.approx(expected, rel=1e-6)


def test_gradient_is_that_of_the_value(loss_class):
    logits, targets = some(tokens=5, dtype=torch.float64)
    targets[1] = -100
    for reduction in REDUCTIONS:
        loss = make(loss_class, weight=WEIGHT, reduction=reduction)
        assert torch.autograd.gradcheck(
            lambda x, loss=loss: loss(x, targets), logits.requires_grad_()
        )


def test_ignored_tokens_change_nothing(loss_class):
    logits, targets = some()
    padded = torch.cat([logits, torch.full((6, 4), torch.nan)]).reshape(5, 6, 4)
    padded_targets = torch.cat([targets, torch.full((6,), -100)]).reshape(5, 6)
    for reduction in REDUCTIONS:
        loss = make(loss_class, weight=WEIGHT, reduction=reduction)
        value, gradient = value_and_gradient(loss, logits, targets)
        other, other_gradient = value_and_gradient(loss, padded, padded_targets)
        assert torch.equal(other, value)
        assert torch.equal(other_gradient.reshape(-1, 4)[:24], gradient)
        assert not other_gradient.reshape(-1, 4)[24:].any()


def test_reductions_of_one_loss(loss_class):
    logits, targets = some()
    targets[3] = -100
    real = targets != -100
    losses = {
        r: make(loss_class, weight=WEIGHT, reduction=r)(logits, targets)
        for r in (*REDUCTIONS, "none")
    }
    weight = make(loss_class, weight=WEIGHT).class_weights(targets[real], 4)
    assert losses["none"].shape == targets.shape and losses["none"][3] == 0
    assert losses["sum"].item() == pytest.approx(losses["none"].sum().item())
    assert losses["token_mean"].item() == pytest.approx(losses["sum"].item() / real.sum().item())
    assert losses["mean"].item() == pytest.approx(
        losses["sum"].item() / weight[targets[real]].sum().item()
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_without_real_tokens_value_and_gradient_are_zero(loss_class, weight, reduction):
    logits, targets = some()
    targets[:] = -100
    value, gradient = value_and_gradient(
        make(loss_class, weight=weight, reduction=reduction), logits, targets
    )
    assert value == 0 and gradient is not None and not gradient.any()


@pytest.mark.parametrize(
    "weight", [torch.zeros(4), torch.tensor([0.0, 1, 1, 1])], ids=["all zero", "gold zero"]
)
def test_a_mean_in_which_no_gold_class_has_weight_is_zero(weighted_class, weight):
    logits, targets = some()
    value, gradient = value_and_gradient(
        make(weighted_class, weight=weight), logits, torch.zeros_like(targets)
    )
    assert value == 0 and gradient is not None and not gradient.any()


@pytest.mark.parametrize("scale", [1e3, -1e3])
def test_extreme_logits_stay_finite(loss_class, scale):
    logits = torch.eye(4) * scale
    for targets in (torch.arange(4), torch.arange(4).flip(0)):
        value, gradient = value_and_gradient(make(loss_class), logits, targets)
        assert value.isfinite() and gradient.isfinite().all()


@pytest.mark.parametrize("focal", [FocalLoss, BatchBalancedFocalLoss])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 5.0])
def test_focal_stays_finite_where_the_gold_class_is_certain(gamma, focal):
    for scale in (0.0, 1e2, 1e3):
        value, gradient = value_and_gradient(focal(gamma), torch.eye(4) * scale, torch.arange(4))
        assert value.isfinite() and gradient.isfinite().all()


def test_half_precision_agrees_with_float32_to_a_hundredth(loss_class):
    logits, targets = some(tokens=200)
    loss = make(loss_class, weight=WEIGHT)
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
    loss = make(loss_class, weight=WEIGHT, reduction=reduction)
    value, gradient = value_and_gradient(loss, logits, targets)
    for parts in (2, 4):
        leaf = logits.clone().requires_grad_()
        pieces = [
            loss(x, y, step_targets=targets)
            for x, y in zip(leaf.chunk(parts), targets.chunk(parts), strict=True)
        ]
        for piece in pieces:
            piece.backward()
        assert sum(p.item() for p in pieces) == pytest.approx(value.item(), rel=1e-6)
        assert (leaf.grad - gradient).norm() <= 1e-6 * gradient.norm()


def test_uniform_weights_change_nothing(weighted_class):
    logits, targets = some()
    for scale in (
        1.0,
        7.0,
    ):  # the mean divides by the weights, so their size does not matter either
        weighted = make(weighted_class, weight=torch.full((4,), scale))(logits, targets)
        assert weighted.item() == pytest.approx(
            make(weighted_class)(logits, targets).item(), rel=1e-6
        )


def test_a_class_absent_from_the_batch_does_no_harm(loss_class):
    logits, targets = some()
    value, gradient = value_and_gradient(
        make(loss_class, weight=WEIGHT), logits, torch.where(targets == 2, 0, targets)
    )
    assert value.isfinite() and gradient.isfinite().all()


def test_weights_move_with_the_module_and_are_not_saved(weighted_class):
    loss = make(weighted_class, weight=WEIGHT).double()
    assert loss.weight.dtype == torch.float64 and not loss.state_dict()


@pytest.mark.parametrize(
    "loss",
    [
        FocalLoss(0.0, WEIGHT),
        LabelSmoothingLoss(0.0, WEIGHT),
        EmbeddingSmoothingLoss(0.0, over="others", embeddings=EMBEDDINGS, weight=WEIGHT),
        EmbeddingSmoothingLoss(0.0, over="all", embeddings=EMBEDDINGS, weight=WEIGHT),
        LogitAdjustedLoss(COUNTS, tau=0.0, weight=WEIGHT),
        LogitAdjustedLoss([7, 7, 7, 7], tau=1.5, weight=WEIGHT),
        Poly1Loss(0.0, WEIGHT),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_where_it_is_cross_entropy(loss):
    logits, targets = some()
    expected, gradient = value_and_gradient(CrossEntropyLoss(weight=WEIGHT), logits, targets)
    value, other = value_and_gradient(loss, logits, targets)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    assert torch.allclose(other, gradient, atol=1e-7)


def test_cross_entropy_is_torch_cross_entropy():
    logits, targets = some()
    targets[:3] = -100
    expected = functional.cross_entropy(logits, targets, WEIGHT)
    assert CrossEntropyLoss(WEIGHT)(logits, targets).item() == pytest.approx(
        expected.item(), rel=1e-6
    )


def test_label_smoothing_over_the_other_classes_is_the_same_family():
    # ε/(C-1) on each other class is `smoothing` = ε·C/(C-1).
    logits, targets = some(dtype=torch.float64)
    epsilon, log_p = 0.15, functional.log_softmax(logits, -1)
    onehot = functional.one_hot(targets, 4).double()
    other_form = -((1 - epsilon) * onehot + epsilon / 3 * (1 - onehot)).mul(log_p).sum(-1).mean()
    assert LabelSmoothingLoss(epsilon * 4 / 3)(logits, targets).item() == pytest.approx(
        other_form.item()
    )


def test_focal_loss_of_a_coin_toss():
    # p_y = ½: (1-½)^2 · log 2.
    assert FocalLoss(2.0)(torch.zeros(1, 2), torch.tensor([0])).item() == pytest.approx(
        0.25 * math.log(2)
    )


# Batch-balanced focal loss.


def test_effective_weights_of_one_and_two_tokens():
    # β = ½: (1-β)/(1-β) = 1 and (1-β)/(1-β²) = ⅔, whose mean is ⅚. The class that never
    # occurs weighs 1.
    assert effective_weights(torch.tensor([1, 0, 2]), 0.5).tolist() == pytest.approx(
        [1.2, 1.0, 0.8]
    )


def test_effective_weights_are_uniform_at_beta_zero_and_the_inverse_count_near_one():
    counts = torch.tensor([100, 10, 1])
    assert effective_weights(counts, 0.0).tolist() == [1.0, 1.0, 1.0]
    assert effective_weights(counts, 1e-9).tolist() == pytest.approx([1.0, 1.0, 1.0])
    near_one = effective_weights(counts, 1 - 1e-12)
    assert (near_one * counts).tolist() == pytest.approx([300 / 111] * 3, rel=1e-6)


def test_effective_weights_of_training_counts_are_those_of_the_weights_option():
    counts = [170_000, 6600, 0, 1155]
    for beta in (0.0, 0.9, 0.999, 0.99999):
        assert effective_weights(torch.tensor(counts), beta).tolist() == pytest.approx(
            Effective(beta=beta)(counts)
        )


def test_batch_balanced_with_beta_zero_is_focal_and_with_gamma_zero_weighted_cross_entropy():
    logits, targets = some()
    for reduction in (*REDUCTIONS, "none"):
        expected = FocalLoss(1.5, reduction=reduction)(logits, targets)
        assert torch.allclose(
            BatchBalancedFocalLoss(1.5, 0.0, reduction)(logits, targets), expected
        )
        expected = CrossEntropyLoss(effective_weights(targets.bincount(), 0.9), reduction)(
            logits, targets
        )
        assert torch.allclose(
            BatchBalancedFocalLoss(0.0, 0.9, reduction)(logits, targets), expected
        )


def test_the_weights_of_the_classes_present_have_mean_one_however_many_are_absent():
    _, targets = some()
    loss = BatchBalancedFocalLoss(beta=0.9)
    present = loss.class_weights(targets, 4)
    assert present.mean().item() == pytest.approx(1) and len(present.unique()) > 1
    for absent in (1, 50):
        assert torch.equal(loss.class_weights(targets, 4 + absent)[:4], present)


def test_absent_classes_leave_a_batch_balanced_value_as_it_is():
    logits, targets = some()
    wider = torch.cat(
        [logits, torch.full((24, 6), -1e3)], dim=-1
    )  # six classes without probability
    for reduction in REDUCTIONS:
        loss = BatchBalancedFocalLoss(beta=0.9, reduction=reduction)
        assert loss(wider, targets).item() == pytest.approx(loss(logits, targets).item(), rel=1e-6)


# Embedding smoothing.

TRAINED = [torch.tensor([0, 0, -100, 1]), torch.tensor([[2.0, 0], [0, 2], [math.nan, 9], [0, 1]])]


def learned(**options):
    """A loss in training mode that has seen class 0 at (2, 0) and (0, 2), class 1 at (0, 1), and
    class 2 never."""
    loss = EmbeddingSmoothingLoss(**options)
    loss(torch.zeros(4, 3), TRAINED[0], features=TRAINED[1])
    return loss


def target_of(loss, gold, classes=3):
    """The target that a loss compares each gold class with: its gradient is p - target. (N,)
    -> (N, C)"""
    logits = torch.zeros(len(gold), classes)
    loss.eval().reduction = "sum"
    features = torch.zeros(len(gold), 2)
    return 1 / classes - value_and_gradient(loss, logits, torch.tensor(gold), features=features)[1]


@pytest.mark.parametrize("scale", [0.0, 10.0])
def test_smoothing_to_orthogonal_embeddings_spreads_over_the_other_classes(scale):
    # ε/(C-1) on each other class is label smoothing with ε·C/(C-1).
    logits, targets = some(dtype=torch.float64)
    loss = EmbeddingSmoothingLoss(0.15, scale, embeddings=torch.eye(4), weight=WEIGHT)
    onehot = functional.one_hot(targets, 4).double()
    target = 0.85 * onehot + 0.05 * (1 - onehot)
    weighted = (
        -(target * WEIGHT.double() * functional.log_softmax(logits, -1)).sum()
        / WEIGHT.double()[targets].sum()
    )
    assert loss(logits, targets).item() == pytest.approx(weighted.item())
    plain = EmbeddingSmoothingLoss(0.15, scale, embeddings=torch.eye(4))(logits, targets)
    assert plain.item() == pytest.approx(LabelSmoothingLoss(0.15 * 4 / 3)(logits, targets).item())


def test_smoothing_over_all_classes_at_inverse_temperature_zero_is_label_smoothing():
    logits, targets = some()
    loss = EmbeddingSmoothingLoss(0.2, 0.0, "all", embeddings=EMBEDDINGS, weight=WEIGHT)
    expected = LabelSmoothingLoss(0.2, WEIGHT)(logits, targets)
    assert loss(logits, targets).item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_gold_classs_share_of_the_smoothing():
    # Cosines of class 0: 1 with itself, ½ and 0 with the others.
    embeddings = torch.tensor([[2.0, 0.0], [0.5, math.sqrt(0.75)], [0.0, 3.0]])
    e = math.e
    target = target_of(EmbeddingSmoothingLoss(0.3, 2.0, "others", embeddings=embeddings), [0])
    assert target[0].tolist() == pytest.approx([0.7, 0.3 * e / (e + 1), 0.3 / (e + 1)], abs=1e-6)
    target = target_of(EmbeddingSmoothingLoss(0.3, 2.0, "all", embeddings=embeddings), [0])
    assert target[0].tolist() == pytest.approx(
        [0.7 + 0.3 * e**2 / (e**2 + e + 1), *(0.3 * x / (e**2 + e + 1) for x in (e, 1))], abs=1e-6
    )


def test_the_first_sight_of_a_class_sets_its_centroid_and_later_ones_move_it():
    loss = learned(momentum=0.9)
    assert loss.embeddings.tolist() == [[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]
    loss(
        torch.zeros(1, 2, 3),
        torch.tensor([[0, 2]]),
        features=torch.tensor([[[3.0, 1.0], [5.0, 0.0]]]),
    )
    assert torch.allclose(loss.embeddings, torch.tensor([[1.2, 1.0], [0.0, 1.0], [5.0, 0.0]]))


def test_targets_come_from_the_cosines_of_the_centroids():
    # Of class 1: cosine 1/√2 with class 0, and 0 with class 2, which is not yet seen and
    # whose own others are equal.
    e = math.exp(2 / math.sqrt(2))
    target = target_of(learned(smoothing=0.3, inverse_temperature=2.0), [1, 2])
    assert target[0].tolist() == pytest.approx([0.3 * e / (e + 1), 0.7, 0.3 / (e + 1)], abs=1e-6)
    assert target[1].tolist() == pytest.approx([0.15, 0.15, 0.7], abs=1e-6)


def test_centroids_move_before_the_target_is_computed_and_stay_in_evaluation():
    given = EmbeddingSmoothingLoss(embeddings=torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]))
    logits, loss = torch.arange(12.0).reshape(4, 3).sin(), EmbeddingSmoothingLoss()
    first = loss(logits, TRAINED[0], features=TRAINED[1])
    assert first.item() == pytest.approx(given(logits, TRAINED[0]).item())
    before = loss.embeddings.clone()
    loss.eval()(logits, TRAINED[0], features=TRAINED[1] + 1)
    assert torch.equal(loss.embeddings, before)


def test_no_gradient_flows_through_the_target():
    logits, targets = some()
    features = torch.randn(24, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
    EmbeddingSmoothingLoss()(logits.requires_grad_(), targets, features=features).backward()
    assert features.grad is None and logits.grad.any()
    embeddings = EMBEDDINGS.clone().requires_grad_()
    loss = EmbeddingSmoothingLoss(embeddings=embeddings)
    loss(logits, targets).backward()
    assert embeddings.grad is None and not list(loss.parameters())
    with torch.no_grad():
        embeddings.zero_()
    assert torch.equal(loss.embeddings, EMBEDDINGS)


def test_centroids_are_saved_and_a_fresh_loss_takes_them():
    loss, fresh, logits = learned(), EmbeddingSmoothingLoss(), torch.arange(9.0).reshape(3, 3).cos()
    torch.nn.ModuleDict({"loss": fresh}).load_state_dict(
        torch.nn.ModuleDict({"loss": loss}).state_dict()
    )
    options = {"targets": torch.arange(3), "features": torch.eye(3)[:, :2]}
    assert torch.equal(fresh.embeddings, loss.embeddings)
    assert torch.equal(fresh.eval()(logits, **options), loss.eval()(logits, **options))
    assert torch.equal(fresh.train()(logits, **options), loss.train()(logits, **options))
    best = {name: value.clone() for name, value in loss.state_dict().items()}
    loss(logits, **options)
    loss.load_state_dict(best)  # into a loss that has centroids already
    assert torch.equal(loss.embeddings, best["embeddings"])
    assert not EmbeddingSmoothingLoss(embeddings=EMBEDDINGS).state_dict()


def test_half_precision_does_not_blur_the_centroids():
    logits, targets = some()
    features = torch.randn(24, 8, generator=torch.Generator().manual_seed(1)).bfloat16()
    loss, low = EmbeddingSmoothingLoss(), EmbeddingSmoothingLoss()
    value = loss(logits, targets, features=features.float())
    with torch.autocast("cpu", torch.bfloat16):
        assert low(logits, targets, features=features).item() == pytest.approx(
            value.item(), rel=1e-6
        )
    assert low.embeddings.dtype == torch.float32 and torch.allclose(low.embeddings, loss.embeddings)


def test_a_batch_without_real_tokens_moves_no_centroid():
    loss = learned()
    before = loss.embeddings.clone()
    targets = torch.full((2,), -100)
    value, gradient = value_and_gradient(
        loss, torch.zeros(2, 3), targets, features=torch.ones(2, 2)
    )
    assert value == 0 and not gradient.any() and torch.equal(loss.embeddings, before)


def test_a_step_is_split_where_the_embeddings_are_frozen_only():
    assert (
        EmbeddingSmoothingLoss(embeddings=EMBEDDINGS).splits and not EmbeddingSmoothingLoss().splits
    )


@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
def test_embedding_smoothing_without_embeddings_or_features_is_refused(mode, assert_refused_as):
    loss = EmbeddingSmoothingLoss().train(mode)
    assert_refused_as(lambda: loss(*some()), "features=None")


# Logit adjustment.


def test_at_its_optimum_the_logits_are_likelihoods_and_predict_as_if_classes_were_balanced():
    # Tokens of class y that look like x. Of x = 1, most are of class 0, and yet it is the
    # likelier look of class 1.
    tokens = torch.tensor([[90, 4], [10, 6]])  # (x, y)
    logits = (tokens / tokens.sum(0)).log().requires_grad_()  # log p(x|y)
    looks, targets = (
        torch.tensor(i) for i in zip(*((x, y) for x in (0, 1) for y in (0, 1)), strict=True)
    )
    looks, targets = (i.repeat_interleave(tokens.flatten()) for i in (looks, targets))
    (gradient,) = torch.autograd.grad(
        LogitAdjustedLoss(tokens.sum(0))(logits[looks], targets), logits
    )
    assert gradient.abs().max() < 1e-6
    (gradient,) = torch.autograd.grad(CrossEntropyLoss()(logits[looks], targets), logits)
    assert gradient.abs().max() > 0.01
    assert logits.argmax(-1).tolist() == [0, 1] and tokens.argmax(-1).tolist() == [0, 0]


def test_a_class_without_training_tokens_counts_as_seen_once():
    logits, targets = some()
    unseen, once = (LogitAdjustedLoss([50, n, 4, 3]) for n in (0, 1))
    value, gradient = value_and_gradient(unseen, logits, targets)
    assert value.isfinite() and gradient.isfinite().all()
    assert torch.equal(value, once(logits, targets))


def test_counts_may_be_a_list_an_array_or_a_tensor():
    logits, targets = some()
    expected = LogitAdjustedLoss(COUNTS)(logits, targets)
    for counts in (COUNTS.long(), COUNTS.long().tolist(), COUNTS.long().numpy()):
        assert torch.equal(LogitAdjustedLoss(counts)(logits, targets), expected)


# Poly-1 and generalised cross entropy.


def test_poly1_with_epsilon_minus_one_lacks_the_first_term_of_the_series():
    logits, targets = some(dtype=torch.float64)
    rest = 1 - logits.softmax(-1).gather(-1, targets[:, None]).squeeze(-1)
    series = sum(rest**j / j for j in range(2, 20_000))
    assert torch.allclose(Poly1Loss(-1.0, reduction="none")(logits, targets), series)


def test_gce_runs_from_cross_entropy_to_one_minus_p():
    logits, targets = some()
    value, gradient = value_and_gradient(GCELoss(1e-6), logits, targets)
    expected, expected_gradient = value_and_gradient(CrossEntropyLoss(), logits, targets)
    assert value.item() == pytest.approx(expected.item(), rel=1e-4)
    assert torch.allclose(gradient, expected_gradient, atol=1e-5)
    p_y = logits.softmax(-1).gather(-1, targets[:, None]).squeeze(-1)
    assert torch.allclose(GCELoss(1.0, reduction="none")(logits, targets), 1 - p_y, atol=1e-6)


# Self-adjusting dice.


@pytest.mark.parametrize(
    ("options", "gold", "other"),
    [
        # p = ½ for both of two classes: f = ½·½, or ½ at alpha=0.
        ({}, 1 - 1.5 / 2.25, 1 - 1 / 1.25),
        ({"alpha": 0.0}, 1 - 2 / 2.5, 1 - 1 / 1.5),
        ({"square": True}, 1 - 1.5 / (0.25**2 + 2), 1 - 1 / (0.25**2 + 1)),
        ({"smooth": 2.0}, 1 - 2.5 / 3.25, 1 - 2 / 2.25),
    ],
    ids=["plain", "alpha", "square", "smooth"],
)
def test_self_adjusting_dice_of_a_coin_toss(options, gold, other):
    value = SelfAdjustingDiceLoss(**options)(torch.zeros(1, 2), torch.tensor([0]))
    assert value.item() == pytest.approx(gold + other)


def test_alpha_is_the_power_of_the_other_classes_probability():
    # p = ¾, ¼ and alpha 2: f = (¼)²·¾ = 3/64 and (¾)²·¼ = 9/64.
    value = SelfAdjustingDiceLoss(alpha=2.0)(torch.tensor([[0.75, 0.25]]).log(), torch.tensor([0]))
    assert value.item() == pytest.approx((1 - (6 / 64 + 1) / (3 / 64 + 2)) + (1 - 1 / (9 / 64 + 1)))


def test_self_adjusting_dice_cannot_tell_two_classes_apart_at_alpha_one():
    p = torch.tensor([[0.9, 0.1]]).log()
    loss = SelfAdjustingDiceLoss()
    assert loss(p, torch.tensor([0])).item() == pytest.approx(loss(p, torch.tensor([1])).item())


@pytest.mark.parametrize("alpha", [0.0, 0.01, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("square", [False, True])
def test_self_adjusting_dice_stays_finite_where_a_class_is_certain(alpha, square):
    for smooth in (1e-6, 1.0):
        for scale in (0.0, 1e2, 1e3, -1e3):
            loss = SelfAdjustingDiceLoss(alpha, smooth, square)
            for targets in (torch.arange(4), torch.arange(4).flip(0)):
                value, gradient = value_and_gradient(loss, torch.eye(4) * scale, targets)
                assert value.isfinite() and gradient.isfinite().all()


@pytest.mark.parametrize(
    ("build", "subject"),
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
        (lambda: BatchBalancedFocalLoss(gamma=-1.0), "gamma=-1.0"),
        (lambda: BatchBalancedFocalLoss(gamma=math.inf), "gamma=inf"),
        (lambda: BatchBalancedFocalLoss(beta=1.0), "beta=1.0"),
        (lambda: BatchBalancedFocalLoss(beta=-0.1), "beta=-0.1"),
        (lambda: effective_weights(COUNTS, 1.0), "beta=1.0"),
        (lambda: effective_weights(-COUNTS, 0.9), "counts="),
        (lambda: effective_weights(torch.ones(2, 2), 0.9), "counts="),
        (lambda: EmbeddingSmoothingLoss(1.1), "smoothing=1.1"),
        (lambda: EmbeddingSmoothingLoss(-0.1), "smoothing=-0.1"),
        (lambda: EmbeddingSmoothingLoss(inverse_temperature=-1.0), "inverse_temperature=-1.0"),
        (lambda: EmbeddingSmoothingLoss(inverse_temperature=math.inf), "inverse_temperature=inf"),
        (lambda: EmbeddingSmoothingLoss(over="most"), "over=most"),
        (lambda: EmbeddingSmoothingLoss(momentum=1.0), "momentum=1.0"),
        (lambda: EmbeddingSmoothingLoss(momentum=-0.1), "momentum=-0.1"),
        (lambda: EmbeddingSmoothingLoss(embeddings=torch.ones(4)), "embeddings="),
        (lambda: EmbeddingSmoothingLoss(embeddings=torch.full((4, 2), math.nan)), "embeddings="),
        (lambda: LogitAdjustedLoss(COUNTS, tau=-1.0), "tau=-1.0"),
        (lambda: LogitAdjustedLoss(COUNTS, tau=math.nan), "tau=nan"),
        (lambda: LogitAdjustedLoss(-COUNTS), "counts="),
        (lambda: LogitAdjustedLoss([1.0, math.inf]), "counts="),
        (lambda: LogitAdjustedLoss(torch.ones(2, 2)), "counts="),
        (lambda: Poly1Loss(-1.5), "epsilon=-1.5"),
        (lambda: Poly1Loss(math.inf), "epsilon=inf"),
        (lambda: GCELoss(0.0), "q=0.0"),
        (lambda: GCELoss(1.1), "q=1.1"),
        (lambda: SelfAdjustingDiceLoss(alpha=-0.5), "alpha=-0.5"),
        (lambda: SelfAdjustingDiceLoss(alpha=math.nan), "alpha=nan"),
        (lambda: SelfAdjustingDiceLoss(smooth=0.0), "smooth=0.0"),
        (lambda: SelfAdjustingDiceLoss(smooth=math.inf), "smooth=inf"),
    ],
)
def test_arguments_outside_their_range_are_refused_by_name(build, subject, assert_refused_as):
    assert_refused_as(build, subject)
