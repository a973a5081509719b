"""Weighted sums of losses."""

import math
from functools import partial

import pytest
import torch

from nersweep.losses import (
    BoundaryIoULoss,
    CompoundLoss,
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    GHMCLoss,
    SupConLoss,
)
from nersweep.losses.base import Loss

LABELS = ("O", "B-X", "I-X")


class Never(Loss):
    """A loss that must not be computed, and that needs what nobody has."""

    needs = ("moon",)

    def forward(self, moon):
        raise AssertionError("computed")


def some(tokens: int = 12, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(tokens, 3, generator=generator, dtype=dtype)
    more = {
        "features": torch.randn(tokens, 5, generator=generator, dtype=dtype),
        "lengths": torch.tensor([tokens]),
    }
    return logits, torch.randint(0, 3, (tokens,), generator=generator), more


def four(**weights):
    terms = {
        "focal": FocalLoss(),
        "dice": DiceLoss(),
        "boundary": BoundaryIoULoss(LABELS),
        "contrastive": SupConLoss(),
    }
    return CompoundLoss(terms, weights)


def test_value_is_the_weighted_sum():
    logits, targets, more = some()
    values = {
        "focal": FocalLoss()(logits, targets),
        "dice": DiceLoss()(logits, targets),
        "boundary": BoundaryIoULoss(LABELS)(logits, targets, more["lengths"]),
        "contrastive": SupConLoss()(more["features"], targets),
    }
    weights = {"focal": 0.5, "dice": 2.0, "boundary": 3.0}  # contrastive is not named: 1
    expected = (
        0.5 * values["focal"] + 2 * values["dice"] + 3 * values["boundary"] + values["contrastive"]
    )
    loss = four(**weights)
    assert loss(logits, targets, **more).item() == pytest.approx(expected.item())
    terms = loss.terms({"logits": logits, "targets": targets, "crf": None, **more})
    assert {name: weight for name, (weight, _) in terms.items()} == weights | {"contrastive": 1.0}
    assert {name: value.item() for name, (_, value) in terms.items()} == pytest.approx(
        {name: value.item() for name, value in values.items()}
    )


def test_a_term_with_weight_zero_is_not_computed():
    logits, targets, _ = some()
    loss = CompoundLoss({"never": Never(), "dice": DiceLoss()}, {"never": 0.0, "dice": 2.0})
    assert loss(logits, targets).item() == pytest.approx(2 * DiceLoss()(logits, targets).item())
    assert loss.needs == ("logits", "targets")
    assert list(loss.terms({"logits": logits, "targets": targets})) == ["dice"]


def test_one_term_is_that_loss():
    logits, targets, _ = some()
    assert torch.equal(
        CompoundLoss({"a": FocalLoss()})(logits, targets), FocalLoss()(logits, targets)
    )


def test_needs_and_splits_are_those_of_the_terms():
    assert four().needs == ("logits", "targets", "step_targets", "lengths", "features")
    assert not four().splits
    assert CompoundLoss({"a": FocalLoss(), "b": CrossEntropyLoss()}).splits
    assert not CompoundLoss({"a": FocalLoss(), "b": DiceLoss()}).splits
    assert CompoundLoss({"a": FocalLoss(), "b": DiceLoss()}, {"b": 0.0}).splits


def test_micro_batches_of_terms_that_split_add_up_to_the_step():
    logits, targets, _ = some()
    targets[9:] = -100
    loss = CompoundLoss({"focal": FocalLoss(), "ce": CrossEntropyLoss()}, {"ce": 0.3})
    parts = zip(logits.chunk(3), targets.chunk(3), strict=True)
    total = sum(loss(x, y, step_targets=targets) for x, y in parts)
    assert total.item() == pytest.approx(loss(logits, targets).item())


def test_a_missing_argument_of_a_term_is_named(assert_refused_as):
    logits, targets, more = some()
    call = partial(four(), logits, targets)
    assert_refused_as(partial(call, lengths=more["lengths"]), "features=")
    assert_refused_as(call, "lengths=")


def test_the_terms_parameters_and_state_are_the_sums():
    loss = CompoundLoss({"ghm": GHMCLoss(), "focal": FocalLoss(weight=torch.ones(3))})
    assert set(loss.state_dict()) == {f"parts.ghm.{name}" for name in GHMCLoss().state_dict()}
    assert loss.double().parts["focal"].weight.dtype == torch.float64
    assert not loss.eval().parts["ghm"].training


def test_a_sum_of_sums():
    logits, targets, more = some()
    inner = CompoundLoss({"dice": DiceLoss(), "contrastive": SupConLoss()}, {"contrastive": 0.1})
    loss = CompoundLoss({"inner": inner, "focal": FocalLoss()}, {"inner": 2.0})
    assert loss.needs == ("logits", "targets", "features", "step_targets")
    expected = 2 * inner(logits, targets, features=more["features"]) + FocalLoss()(logits, targets)
    assert loss(logits, targets, features=more["features"]).item() == pytest.approx(expected.item())


def test_gradient_is_that_of_the_value():
    logits, targets, more = some(6)
    assert torch.autograd.gradcheck(lambda x: four()(x, targets, **more), logits.requires_grad_())


def test_without_real_tokens_value_and_gradient_are_zero():
    logits, targets, more = some()
    logits.requires_grad_()
    more["lengths"] = torch.tensor([0])
    value = four(dice=3.0)(logits, torch.full_like(targets, -100), **more)
    value.backward()
    assert value == 0 and not logits.grad.any()


def test_ignored_tokens_change_nothing():
    logits, targets, more = some()
    pad = torch.full((2, 3), torch.nan, dtype=logits.dtype)
    padded = more | {"features": torch.cat([more["features"], torch.full((2, 5), torch.nan)])}
    padded_targets = torch.cat([targets, torch.tensor([-100, -100])])
    assert torch.equal(
        four()(torch.cat([logits, pad]), padded_targets, **padded), four()(logits, targets, **more)
    )


@pytest.mark.parametrize("scale", [1e3, -1e3])
def test_extreme_logits_stay_finite(scale):
    logits = (torch.eye(3) * scale).requires_grad_()
    more = {"features": torch.eye(3) * scale, "lengths": torch.tensor([3])}
    value = four()(logits, torch.tensor([2, 1, 0]), **more)
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all()


def test_half_precision_agrees_with_float32_to_a_hundredth():
    logits, targets, more = some(100, dtype=torch.float32)
    value = four()(logits, targets, **more)
    with torch.autocast("cpu", torch.bfloat16):
        low = four()(logits.bfloat16(), targets, **more | {"features": more["features"].bfloat16()})
    assert low.dtype == torch.float32 and low.item() == pytest.approx(value.item(), rel=0.01)


@pytest.mark.parametrize(
    ("weights", "subject"),
    [
        ({"dcie": 1.0}, "weights.dcie=1.0"),
        ({"dice": -1.0}, "weights.dice=-1.0"),
        ({"dice": math.inf}, "weights.dice=inf"),
        ({"dice": math.nan}, "weights.dice=nan"),
        ({"dice": "much"}, "weights.dice=much"),
        ({"dice": True}, "weights.dice=True"),
        ({"dice": 0.0, "focal": 0}, "weights={'focal'"),
    ],
)
def test_weights_outside_their_range_are_refused_by_name(weights, subject, assert_refused_as):
    terms = {"focal": FocalLoss(), "dice": DiceLoss()}
    assert_refused_as(lambda: CompoundLoss(terms, weights), subject)


def test_a_sum_of_nothing_is_refused(assert_refused_as):
    assert_refused_as(lambda: CompoundLoss({}), "weights={}")
