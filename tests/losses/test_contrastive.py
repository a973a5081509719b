"""The contrastive losses, on features."""

import math

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nersweep.losses import SupConLoss

FORMS = {"supcon": SupConLoss, "margin": lambda **options: SupConLoss(form="margin", **options)}


def some(tokens: int = 20, width: int = 6, classes: int = 4, dtype=torch.float64, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(tokens, width, generator=generator, dtype=dtype)
    return features, torch.randint(0, classes, (tokens,), generator=generator)


def value_and_gradient(loss, features, targets):
    features = features.detach().clone().requires_grad_()
    value = loss(features, targets)
    value.backward()
    return value.detach(), features.grad


@pytest.fixture(params=FORMS)
def make(request):
    return FORMS[request.param]


def supcon(features, y, temperature, outside):
    z = features / np.linalg.norm(features, axis=1, keepdims=True)
    losses = []
    for i in range(len(y)):
        positives = [p for p in range(len(y)) if p != i and y[p] == y[i]]
        if y[i] == outside or not positives:
            continue
        total = sum(math.exp(z[i] @ z[a] / temperature) for a in range(len(y)) if a != i)
        losses.append(
            -np.mean([math.log(math.exp(z[i] @ z[p] / temperature) / total) for p in positives])
        )
    return np.mean(losses)


def margin_form(features, y, margin, outside):
    z = features / np.linalg.norm(features, axis=1, keepdims=True)
    losses = []
    for j in range(len(y)):
        for i in range(j):
            if y[i] == y[j] == outside:
                continue
            distance = np.linalg.norm(z[i] - z[j])
            losses.append(distance**2 / 2 if y[i] == y[j] else max(0, margin - distance) ** 2 / 2)
    return np.mean(losses)


@pytest.mark.parametrize("outside", [0, 2, -1])
@pytest.mark.parametrize("size", [0.1, 0.5, 2.0])
def test_value_is_that_of_the_double_loop(size, outside):
    for seed in range(3):
        features, targets = some(seed=seed)
        targets[0] = 4  # an anchor without a positive
        x, y = features.numpy(), targets.tolist()
        value = SupConLoss(temperature=size, outside=outside)(features, targets)
        assert value.item() == pytest.approx(supcon(x, y, size, outside), rel=1e-9)
        value = SupConLoss(form="margin", margin=size, outside=outside)(features, targets)
        assert value.item() == pytest.approx(margin_form(x, y, size, outside), rel=1e-9)


def test_three_tokens_by_hand():
    features, targets = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]]), torch.tensor([1, 1, 0])
    # Each anchor: exp(1) for its positive, exp(0) for O.
    assert SupConLoss(temperature=1.0)(features, targets).item() == pytest.approx(
        math.log(1 + math.exp(-1))
    )
    # Distance 0 to the positive, √2 from O to each.
    expected = 2 * (2 - math.sqrt(2)) ** 2 / 2 / 3
    assert SupConLoss(form="margin", margin=2.0)(features, targets).item() == pytest.approx(
        expected
    )


def test_gradient_is_that_of_the_value(make):
    features, targets = some(tokens=8)
    targets[:3] = torch.tensor([-100, 1, 1])
    assert torch.autograd.gradcheck(lambda x: make()(x, targets), features.requires_grad_())


def test_the_scale_of_features_changes_nothing(make):
    features, targets = some()
    scale = torch.linspace(0.01, 100, len(features), dtype=features.dtype)[:, None]
    assert make()(features * scale, targets).item() == pytest.approx(
        make()(features, targets).item()
    )


def test_tokens_outside_are_negatives_only():
    features, targets = some()
    inside = targets != 0
    with_, without = (
        SupConLoss()(features, targets),
        SupConLoss()(features[inside], targets[inside]),
    )
    assert with_ > without > 0  # they push, and are pushed
    _, gradient = value_and_gradient(SupConLoss(), features, targets)
    assert gradient[~inside].any()
    assert SupConLoss()(features, torch.zeros_like(targets)) == 0  # they do not attract each other
    assert SupConLoss(outside=-1)(features, torch.zeros_like(targets)) > 0


def test_ignored_tokens_change_nothing(make):
    features, targets = some()
    padded = torch.cat([features, torch.full((4, 6), torch.nan, dtype=features.dtype)]).reshape(
        4, 6, 6
    )
    padded_targets = torch.cat([targets, torch.full((4,), -100)]).reshape(4, 6)
    value, gradient = value_and_gradient(make(), features, targets)
    other, other_gradient = value_and_gradient(make(), padded, padded_targets)
    assert torch.equal(other, value)
    assert torch.equal(other_gradient.reshape(-1, 6)[:20], gradient)
    assert not other_gradient.reshape(-1, 6)[20:].any()


@pytest.mark.parametrize(
    "targets", [[-100] * 4, [0] * 4, [1, -100, -100, -100]], ids=["none", "all O", "one token"]
)
def test_without_anything_to_compare_value_and_gradient_are_zero(make, targets):
    features, _ = some(tokens=4, dtype=torch.float32)
    value, gradient = value_and_gradient(make(), features, torch.tensor(targets))
    assert value == 0 and gradient is not None and not gradient.any()


def test_anchors_without_a_positive_are_left_out():
    features, _ = some(tokens=3, dtype=torch.float32)
    value, gradient = value_and_gradient(SupConLoss(), features, torch.tensor([0, 1, 2]))
    assert value == 0 and not gradient.any()


@pytest.mark.parametrize("targets", [[1, 1, 1, 1], [1, 2, 1, 2], [0, 1, 2, 3]])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3, -1e3])
def test_extreme_and_equal_features_stay_finite(make, scale, targets):
    for features in (
        torch.ones(4, 6) * scale,
        torch.eye(4, 6) * scale,
    ):  # equal, and zero vectors: a distance of 0
        value, gradient = value_and_gradient(make(), features, torch.tensor(targets))
        assert value.isfinite() and gradient.isfinite().all() and gradient.abs().max() < 1e4


def test_equal_features_of_two_classes_pay_the_whole_margin():
    features = torch.ones(2, 6)
    assert SupConLoss(form="margin", margin=1.0)(
        features, torch.tensor([1, 2])
    ).item() == pytest.approx(0.5)


def test_half_precision_agrees_with_float32_to_a_hundredth(make):
    features, targets = some(tokens=60, width=64, dtype=torch.float32)
    value, gradient = value_and_gradient(make(), features, targets)
    with torch.autocast("cpu", torch.bfloat16):
        same, _ = value_and_gradient(make(), features, targets)
        low, low_gradient = value_and_gradient(make(), features.bfloat16(), targets)
    assert same.item() == pytest.approx(value.item(), rel=1e-6)  # no product in half precision
    assert low.dtype == torch.float32
    assert low.item() == pytest.approx(value.item(), rel=0.01)
    assert (low_gradient - gradient).norm() < 0.01 * gradient.norm()


def test_memory_grows_with_the_anchors_times_the_tokens(make):
    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            result = function(*arguments, **(options or {}))
            for tensor in result if isinstance(result, tuple | list) else [result]:
                if isinstance(tensor, torch.Tensor):
                    self.numbers = max(self.numbers, tensor.numel())
            return result

    features, targets = some(tokens=2000, width=8, dtype=torch.float32)
    targets[:] = 0
    targets[:10] = 1
    with Largest() as largest:
        value_and_gradient(make(), features, targets)
    assert largest.numbers == 2000 * 10


@pytest.mark.parametrize(
    ("make", "subject"),
    [
        (lambda: SupConLoss(temperature=0.0), "temperature=0.0"),
        (lambda: SupConLoss(temperature=math.inf), "temperature=inf"),
        (lambda: SupConLoss(form="triplet"), "form=triplet"),
        (lambda: SupConLoss(margin=0.0), "margin=0.0"),
        (lambda: SupConLoss(margin=math.nan), "margin=nan"),
    ],
)
def test_arguments_outside_their_range_are_refused_by_name(make, subject, assert_refused_as):
    assert_refused_as(make, subject)
