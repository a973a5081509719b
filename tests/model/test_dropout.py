"""Dropout masks: every element by itself, with the probability asked for, from the seed alone."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn

from nersweep.model.dropout import Dropout, Masks, dropout, use_masks

N = 1 << 20


def zeros(p: float, seed: int = 1, count: int = N) -> torch.Tensor:
    return (Masks(seed).draw(torch.Size([count]), p) == 0).double()


def correlation(x: torch.Tensor, y: torch.Tensor) -> float:
    """In standard errors of the correlation of independent values."""
    return float(torch.corrcoef(torch.stack([x, y]))[0, 1]) * len(x) ** 0.5


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_share_of_zeros_is_the_probability_and_the_rest_is_scaled(p):
    mask = Masks(1).draw(torch.Size([N]), p)
    assert mask.dtype == torch.bfloat16
    share = (mask == 0).double().mean()
    assert (
        abs(share - p) < 5 * (p * (1 - p) / N) ** 0.5 + 2**-16
    )  # 5 standard errors, and the step of 2^-15
    assert mask[mask != 0].unique().tolist() == torch.tensor([1 / (1 - p)]).bfloat16().tolist()


class EveryNumber:
    """In the place of random numbers, each of 16 bits once."""

    def random_raw(self, count: int) -> np.ndarray:
        assert count == 2**14
        return np.arange(2**16, dtype=np.uint16).view(np.uint64)


@pytest.mark.parametrize("steps", [0, 1, 3277, 2**14, 2**15 - 1])
def test_the_share_is_exact_in_steps_of_its_resolution(steps):
    masks = Masks(1)
    masks.bits = EveryNumber()
    assert (masks.draw(torch.Size([2**16]), steps / 2**15) == 0).sum() == 2 * steps


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_elements_are_independent(p):
    drawn = zeros(p)
    assert all(abs(correlation(drawn[:-lag], drawn[lag:])) < 5 for lag in (1, 2, 3, 4, 8, 64))
    # Four elements come from one number of 64 bits.
    four = drawn.view(-1, 4)
    assert all(abs(correlation(four[:, i], four[:, j])) < 5 for i, j in combinations(range(4), 2))
    assert all(
        abs(float(four[:, i].mean()) - p) < 5 * (p * (1 - p) / len(four)) ** 0.5 + 2**-16
        for i in range(4)
    )
    # All 16 patterns of four are as frequent as those of independent elements.
    patterns = (four @ torch.tensor([8.0, 4, 2, 1]).double()).long().bincount(minlength=16)
    ones = torch.tensor([bin(i).count("1") for i in range(16)])
    expected = p**ones * (1 - p) ** (4 - ones) * len(four)
    assert (patterns - expected).square().div(
        expected
    ).sum() < 50  # chi-squared of 15 degrees; beyond it p < 2e-5


def test_masks_are_a_function_of_the_seed_and_of_what_was_drawn():
    shapes = [torch.Size(shape) for shape in ((3, 5), (7,), (2, 64, 33))]
    one, again, other = Masks(3), Masks(3), Masks(4)
    drawn = [[masks.draw(shape, 0.5) for shape in shapes] for masks in (one, again, other)]
    for shape, a, b in zip(shapes, *drawn[:2], strict=True):
        assert a.shape == shape and torch.equal(a, b)
    assert abs(correlation(zeros(0.5, seed=3), zeros(0.5, seed=4))) < 5
    assert abs(correlation(*(Masks(3).draw(torch.Size([2, N // 2]), 0.5) == 0).double())) < 5
    masks = Masks(3)
    first, second = (masks.draw(torch.Size([1000]), 0.5) for _ in range(2))
    assert not torch.equal(first, second)
    assert not torch.equal(drawn[0][2], drawn[2][2])


def test_a_mask_drawn_in_chunks_is_the_mask_drawn_at_once(monkeypatch):
    whole = Masks(1).draw(torch.Size([1001]), 0.3)
    monkeypatch.setattr("nersweep.model.dropout.CHUNK", 64)
    assert torch.equal(Masks(1).draw(torch.Size([1001]), 0.3), whole)


def test_the_gradient_is_masked_as_the_value_is():
    x = torch.randn(40, 25, dtype=torch.bfloat16).requires_grad_()
    y = dropout(x, 0.25, Masks(7))
    above = torch.randn(40, 25).bfloat16()
    y.backward(above)
    mask = Masks(7).draw(x.shape, 0.25)
    assert y.dtype == x.grad.dtype == torch.bfloat16
    assert torch.equal(y, x * mask) and torch.equal(x.grad, above * mask)
    assert 0 < (x.grad == 0).sum() < x.numel()


@pytest.mark.parametrize("masks", [Masks(1), None])
def test_probability_zero_is_the_identity(masks):
    x = torch.randn(10)
    assert dropout(x, 0.0, masks) is x


def test_without_masks_it_is_torchs_dropout():
    x = torch.ones(1000)
    torch.manual_seed(1)
    once = dropout(x, 0.5, None)
    torch.manual_seed(1)
    assert torch.equal(once, nn.functional.dropout(x, 0.5)) and 0 < (once == 0).sum() < 1000


def test_dropout_is_the_identity_in_evaluation_and_draws_nothing():
    x, masks = torch.ones(8, 8, dtype=torch.bfloat16), Masks(1)
    module = Dropout(0.5, masks)
    assert module.eval()(x) is x
    assert torch.equal(module.train()(x), Masks(1).draw(x.shape, 0.5))


class Other(nn.Dropout):
    """What is no plain dropout is left alone."""


def test_masks_take_the_place_of_dropout_and_of_nothing_else():
    inner = nn.Sequential(nn.Dropout(0.3), nn.Tanh())
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.1), Other(0.2), nn.AlphaDropout(0.2), inner)
    before, names = list(model), list(model.state_dict())
    masks = Masks(1)
    use_masks(model, masks)
    assert [type(module) for module in model] == [
        nn.Linear,
        Dropout,
        Other,
        nn.AlphaDropout,
        nn.Sequential,
    ]
    assert all(model[i] is before[i] for i in (0, 2, 3, 4)) and type(inner[1]) is nn.Tanh
    assert (model[1].p, inner[0].p) == (0.1, 0.3) and model[1].masks is inner[0].masks is masks
    assert list(model.state_dict()) == names


@pytest.mark.parametrize("training", [True, False])
def test_masks_leave_a_model_in_its_mode(training):
    model = nn.Sequential(nn.Dropout(0.5)).train(training)
    use_masks(model, Masks(1))
    assert model[0].training == training
    assert torch.equal(model(torch.ones(100)), torch.ones(100)) != training
