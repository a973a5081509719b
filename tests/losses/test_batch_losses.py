"""What holds for the losses whose value is more than a sum over tokens: dice, Tversky and GHM-C."""

import math

import numpy as np
import pytest
import torch

from nersweep.losses import CrossEntropyLoss, DiceLoss, GHMCLoss, TverskyLoss

CLASSES = 4


def some(tokens: int = 24, dtype=torch.float32, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(tokens, CLASSES, generator=generator, dtype=dtype) * 2
    targets = torch.randint(0, CLASSES, (tokens,), generator=generator)
    return logits, targets


def value_and_gradient(loss, logits, targets):
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits, targets)
    value.backward()
    return value.detach(), logits.grad


def softmax(logits):
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# Formulas, in float64 numpy: p is the softmax (N, C), y the gold classes (N,).


def dice(p, y, s=1.0, square=False, exclude=(), skip=False, log=False):
    losses = []
    for c in range(p.shape[1]):
        gold = y == c
        if c in exclude or (skip and not gold.any()):
            continue
        whole = (p[:, c] ** 2 if square else p[:, c]).sum() + gold.sum() + s
        coefficient = (2 * p[gold, c].sum() + s) / whole
        losses.append(-np.log(coefficient) if log else 1 - coefficient)
    return np.mean(losses)


def tversky(p, y, a=0.3, b=0.7, gamma=1.0, s=1.0):
    losses = []
    for c in range(p.shape[1]):
        tp, fp, fn = p[y == c, c].sum(), p[y != c, c].sum(), (1 - p[y == c, c]).sum()
        losses.append((1 - (tp + s) / (tp + a * fp + b * fn + s)) ** gamma)
    return np.mean(losses)


def ghm(p, y, bins=10):
    """Of the first call: no average yet."""
    p_y = p[np.arange(len(y)), y]
    bin_of = [min(int((1 - x) * bins), bins - 1) for x in p_y]
    n, non_empty = len(y), len(set(bin_of))
    return sum(
        n / (bin_of.count(k) * non_empty) * -math.log(x) / n
        for k, x in zip(bin_of, p_y, strict=True)
    )


# name -> (a new loss, its formula)
CASES = {
    "dice": (DiceLoss, dice),
    "dice without smoothing": (lambda: DiceLoss(0.0), lambda p, y: dice(p, y, s=0.0)),
    "dice square": (lambda: DiceLoss(square=True), lambda p, y: dice(p, y, square=True)),
    "dice log": (lambda: DiceLoss(log=True), lambda p, y: dice(p, y, log=True)),
    "dice log square": (
        lambda: DiceLoss(0.3, square=True, log=True),
        lambda p, y: dice(p, y, 0.3, square=True, log=True),
    ),
    "dice exclude": (lambda: DiceLoss(exclude=[0]), lambda p, y: dice(p, y, exclude=[0])),
    "dice skip": (lambda: DiceLoss(absent="skip"), lambda p, y: dice(p, y, skip=True)),
    "tversky": (TverskyLoss, tversky),
    "tversky without smoothing": (
        lambda: TverskyLoss(smooth=0.0),
        lambda p, y: tversky(p, y, s=0.0),
    ),
    "tversky focal": (
        lambda: TverskyLoss(0.6, 0.2, 2.0),
        lambda p, y: tversky(p, y, 0.6, 0.2, 2.0),
    ),
    "tversky square root": (lambda: TverskyLoss(gamma=0.5), lambda p, y: tversky(p, y, gamma=0.5)),
    "ghm": (GHMCLoss, ghm),
    "ghm three bins": (lambda: GHMCLoss(3, 0.9), lambda p, y: ghm(p, y, 3)),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture
def make(case):
    return case[0]


def test_value_is_that_of_the_formula(case):
    make, formula = case
    for seed in range(3):
        logits, targets = some(dtype=torch.float64, seed=seed)
        targets[targets == 3] = seed  # a class without gold tokens
        expected = formula(softmax(logits.numpy()), targets.numpy())
        assert make().double()(logits, targets).item() == pytest.approx(expected, rel=1e-9)


def test_gradient_is_that_of_the_value(make):
    logits, targets = some(tokens=6, dtype=torch.float64)
    targets[1] = -100
    assert torch.autograd.gradcheck(lambda x: make().double()(x, targets), logits.requires_grad_())


def test_ignored_tokens_change_nothing(make):
    logits, targets = some()
    padded = torch.cat([logits, torch.full((6, CLASSES), torch.nan)]).reshape(5, 6, CLASSES)
    padded_targets = torch.cat([targets, torch.full((6,), -100)]).reshape(5, 6)
    value, gradient = value_and_gradient(make(), logits, targets)
    other, other_gradient = value_and_gradient(make(), padded, padded_targets)
    assert torch.equal(other, value)
    assert torch.equal(other_gradient.reshape(-1, CLASSES)[:24], gradient)
    assert not other_gradient.reshape(-1, CLASSES)[24:].any()


def test_without_real_tokens_value_and_gradient_are_zero(make):
    logits, targets = some()
    value, gradient = value_and_gradient(make(), logits, torch.full_like(targets, -100))
    assert value == 0 and gradient is not None and not gradient.any()


@pytest.mark.parametrize("scale", [1e2, 1e3, -1e3])
def test_extreme_logits_stay_finite(make, scale):
    logits = torch.eye(CLASSES) * scale
    for targets in (torch.arange(4), torch.arange(4).flip(0), torch.tensor([0, 0, 1, 1])):
        value, gradient = value_and_gradient(make(), logits, targets)
        assert value.isfinite() and gradient.isfinite().all()


def test_half_precision_agrees_with_float32_to_a_hundredth(make):
    logits, targets = some(tokens=200)
    low = (
        logits.bfloat16()
    )  # rounded alike on both sides, so that a token of GHM-C stays in its bin
    value, gradient = value_and_gradient(make(), low.float(), targets)
    with torch.autocast("cpu", torch.bfloat16):
        other, other_gradient = value_and_gradient(make(), low, targets)
    assert other.dtype == torch.float32
    assert other.item() == pytest.approx(value.item(), rel=0.01)
    assert (other_gradient - gradient).norm() < 0.01 * gradient.norm()


def test_a_class_absent_from_the_batch_does_no_harm(make):
    logits, targets = some()
    value, gradient = value_and_gradient(make(), logits, torch.where(targets == 2, 0, targets))
    assert value.isfinite() and gradient.isfinite().all()


def test_a_step_cannot_be_split(make):
    loss, (logits, targets) = make(), some()
    halves = sum(make()(x, y) for x, y in zip(logits.chunk(2), targets.chunk(2), strict=True))
    assert not loss.splits and halves.item() != pytest.approx(
        loss(logits, targets).item(), rel=0.01
    )


# Dice and Tversky


@pytest.mark.parametrize(
    "make", [DiceLoss, lambda: DiceLoss(square=True), lambda: DiceLoss(log=True), TverskyLoss]
)
def test_a_better_prediction_tends_to_zero_and_differs_from_a_perfect_one(make):
    targets = torch.arange(4)
    values = [make()(torch.eye(4) * scale, targets).item() for scale in (5.0, 10.0, 20.0, 30.0)]
    assert values == sorted(values, reverse=True) and 0 < values[-1] < 1e-11
    exact = make()(torch.eye(4, dtype=torch.float64) * 30, targets).item()
    assert values[-1] == pytest.approx(exact, rel=1e-5, abs=0)  # 1 - (1-x) would be 0 in float32


@pytest.mark.parametrize("smooth", [0.0, 0.5, 1.0])
def test_tversky_of_two_halves_is_dice_with_twice_the_smoothing(smooth):
    logits, targets = some(dtype=torch.float64)
    expected, gradient = value_and_gradient(DiceLoss(2 * smooth), logits, targets)
    value, other = value_and_gradient(TverskyLoss(0.5, 0.5, smooth=smooth), logits, targets)
    assert value.item() == pytest.approx(expected.item()) and torch.allclose(other, gradient)


@pytest.mark.parametrize("gamma", [0.01, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_tversky_of_a_perfect_prediction_is_zero_with_a_finite_gradient(gamma, smooth):
    value, gradient = value_and_gradient(
        TverskyLoss(0.3, 0.7, gamma, smooth), torch.eye(4) * 1e3, torch.arange(4)
    )
    assert value == 0 and gradient.isfinite().all()
    near, gradient = value_and_gradient(
        TverskyLoss(0.3, 0.7, gamma, smooth), torch.eye(4) * 87, torch.arange(4)
    )
    assert (
        near > 0 or gamma > 1
    ) and gradient.isfinite().all()  # exp(-87) is just a normal number, its square is 0


def test_tversky_a_prices_false_positives_and_b_false_negatives():
    # Two classes, p = ½ everywhere, all gold 0: class 0 has only false negatives, class 1
    # only false positives.
    logits, targets = torch.zeros(2, 2), torch.tensor([0, 0])
    # class 0: TP 1, FN 1 -> 3/(1+3) ; class 1: FP 1 -> 1 without smoothing.
    assert TverskyLoss(1.0, 3.0, smooth=0.0)(logits, targets).item() == pytest.approx(
        (3 / 4 + 1) / 2
    )
    assert TverskyLoss(3.0, 1.0, smooth=0.0)(logits, targets).item() == pytest.approx(
        (1 / 2 + 1) / 2
    )


def test_dice_of_a_coin_toss():
    # p = ½, gold 0 and 1: of each class 2Σ p·y = 1 and Σ p + Σ y = 2.
    assert DiceLoss(0.0)(torch.zeros(2, 2), torch.tensor([0, 1])).item() == pytest.approx(1 / 2)
    assert DiceLoss(1.0)(torch.zeros(2, 2), torch.tensor([0, 1])).item() == pytest.approx(1 / 3)


def test_dice_leaves_classes_out_by_name_as_by_id():
    logits, targets = some()
    labels = ["O", "B-X", "I-X", "B-Y"]
    by_name, by_id = DiceLoss(exclude=["O", "B-Y"], labels=labels), DiceLoss(exclude=[0, 3])
    assert torch.equal(by_name(logits, targets), by_id(logits, targets))
    assert torch.equal(
        DiceLoss(exclude=["O", 3], labels=labels)(logits, targets), by_id(logits, targets)
    )


def test_dice_of_no_class_is_zero():
    logits, targets = some()
    value, gradient = value_and_gradient(DiceLoss(exclude=range(4)), logits, targets)
    assert value == 0 and not gradient.any()


def test_dice_of_an_absent_class_without_probability_is_zero():
    logits = torch.tensor([[1e3, 0.0, 0.0], [0.0, 1e3, 0.0]])
    for smooth in (0.0, 1.0):
        value, gradient = value_and_gradient(DiceLoss(smooth), logits, torch.tensor([0, 1]))
        assert value == 0 and gradient.isfinite().all()


# GHM-C


def certain(*p_y):
    """Logits of two classes that give the gold class, 0, these probabilities; and the targets."""
    p = torch.tensor(p_y, dtype=torch.float64)
    return torch.stack([p.log(), (1 - p).log()], -1), torch.zeros(len(p), dtype=torch.long)


def test_ghm_with_one_bin_and_no_average_is_cross_entropy():
    logits, targets = some()
    loss = GHMCLoss(bins=1, momentum=0.0)
    for seed in range(2):  # and stays so
        logits, targets = some(seed=seed)
        expected, gradient = value_and_gradient(CrossEntropyLoss(), logits, targets)
        value, other = value_and_gradient(loss, logits, targets)
        assert value.item() == pytest.approx(expected.item(), rel=1e-6)
        assert torch.allclose(other, gradient, atol=1e-7)


def test_ghm_moving_average_over_three_steps():
    easy, hard = (
        -math.log(0.9),
        -math.log(0.2),
    )  # gradient norms 0.1 and 0.8: one in each of two bins
    loss = GHMCLoss(bins=2, momentum=0.5).double()
    # R = (3, 1), S = (1.5, 0.5), over 1 - 1/2: (3, 1)
    assert loss(*certain(0.9, 0.9, 0.9, 0.2)).item() == pytest.approx((3 * easy / 3 + hard) / 2)
    # R = (1, 1), S = (1.25, 0.75), over 1 - 1/4: (5/3, 1)
    assert loss(*certain(0.9, 0.2)).item() == pytest.approx((easy / (5 / 3) + hard) / 2)
    # R = (2, 0), S = (1.625, 0.375), over 1 - 1/8: (13/7, 3/7); one bin is non-empty
    assert loss(*certain(0.9, 0.9)).item() == pytest.approx(2 * easy / (13 / 7))
    # without tokens nothing moves; R = (0, 1), S = (0.8125, 0.6875), over 1 - 1/16
    assert loss(certain(0.9)[0], torch.tensor([-100])) == 0
    assert loss(*certain(0.2)).item() == pytest.approx(hard / (0.6875 / (15 / 16)))


def test_ghm_of_constant_counts_is_the_same_at_every_step():
    logits, targets = some()
    loss = GHMCLoss(momentum=0.9)
    values = [loss(logits, targets).item() for _ in range(10)]
    assert values == pytest.approx([values[0]] * 10, rel=1e-6)


def test_ghm_bins_with_tokens_weigh_alike():
    logits, targets = some(tokens=60, dtype=torch.float64)
    _, gradient = value_and_gradient(GHMCLoss().double(), logits, targets)
    g = 1 - logits.softmax(-1).gather(1, targets[:, None]).squeeze(1)
    weight = (
        -gradient.gather(1, targets[:, None]).squeeze(1) / g
    )  # the gradient at the gold logit is -weight·(1-p_y)
    bins = [
        weight[(g * 10).long() == k].sum().item() for k in range(10) if ((g * 10).long() == k).any()
    ]
    assert len(bins) > 5 and bins == pytest.approx([1 / len(bins)] * len(bins))


def test_ghm_last_bin_holds_one():
    # Gradient norms 1 and 0.95 are in one bin of ten, 0.85 in another.
    logits = torch.cat([torch.tensor([[0.0, 1e3]], dtype=torch.float64), certain(0.05, 0.15)[0]])
    expected = ((1000 - math.log(0.05)) / 2 - math.log(0.15)) / 2
    assert GHMCLoss()(logits, torch.zeros(3, dtype=torch.long)).item() == pytest.approx(expected)


def test_ghm_evaluation_leaves_the_average_as_it_was():
    loss, (logits, targets) = GHMCLoss(), some()
    assert loss.eval()(logits, targets).item() == pytest.approx(
        GHMCLoss(momentum=0.0)(logits, targets).item()
    )
    assert not any(state.any() for state in loss.state_dict().values())
    loss.train()(logits, targets)
    before = {name: state.clone() for name, state in loss.state_dict().items()}
    loss.eval()(*some(seed=1))
    assert all(torch.equal(loss.state_dict()[name], state) for name, state in before.items())


def test_ghm_average_is_saved():
    loss, other = GHMCLoss(), GHMCLoss()
    loss(*some())
    other.load_state_dict(loss.state_dict())
    assert torch.equal(loss(*some(seed=1)), other(*some(seed=1)))
    assert loss(*some(seed=2)) != GHMCLoss()(*some(seed=2))


@pytest.mark.parametrize(
    ("make", "subject"),
    [
        (lambda: DiceLoss(-1.0), "smooth=-1.0"),
        (lambda: DiceLoss(math.inf), "smooth=inf"),
        (lambda: DiceLoss(0.0, log=True), "smooth=0.0"),
        (lambda: DiceLoss(absent="omit"), "absent=omit"),
        (lambda: DiceLoss(exclude=["O", "Q"], labels=["O", "B-X"]), "exclude=['Q']"),
        (lambda: DiceLoss(exclude=["O"])(*some()), "exclude=['O']"),
        (lambda: DiceLoss(exclude=[0, 4, -1])(*some()), "exclude=[4, -1]"),
        (lambda: TverskyLoss(a=-0.1), "a=-0.1"),
        (lambda: TverskyLoss(b=math.nan), "b=nan"),
        (lambda: TverskyLoss(0.0, 0.0), "a=0.0"),
        (lambda: TverskyLoss(gamma=0.0), "gamma=0.0"),
        (lambda: TverskyLoss(smooth=-1.0), "smooth=-1.0"),
        (lambda: GHMCLoss(bins=0), "bins=0"),
        (lambda: GHMCLoss(momentum=1.0), "momentum=1.0"),
        (lambda: GHMCLoss(momentum=-0.1), "momentum=-0.1"),
    ],
)
def test_arguments_outside_their_range_are_refused_by_name(make, subject, assert_refused_as):
    assert_refused_as(make, subject)
