"""The optimiser is AdamW with clipping, whatever it does to be fast."""

import copy

import pytest
import torch
from torch import nn

from nersweep.training import optimiser
from nersweep.training.optimiser import AdamW

STEPS = 20
LR, DECAY, MAX_NORM = 1e-2, 0.1, 20.0
FACTORS = [min((i + 1) / 5, (STEPS - i) / 15) for i in range(STEPS)]  # rising, then falling


class Model(nn.Module):
    def __init__(self, sparse: bool = False):
        super().__init__()
        self.table = nn.Embedding(50, 8, padding_idx=0, sparse=sparse)
        self.layer = nn.Linear(8, 30)
        self.scale = nn.Parameter(torch.tensor(1.5))  # of no dimension
        self.idle = nn.Parameter(torch.randn(3))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.layer(self.table(ids)).tanh() * self.scale


def model(sparse: bool = False) -> Model:
    torch.manual_seed(0)
    return Model(sparse)


def groups(of: Model) -> list[dict]:
    """As in training: two learning rates, matrices decay and vectors do not."""
    return [
        {"params": [of.layer.weight, of.table.weight], "lr": LR, "weight_decay": DECAY},
        {"params": [of.layer.bias, of.scale, of.idle], "lr": LR / 2, "weight_decay": 0.0},
    ]


def backward(of: Model, i: int) -> None:
    """Gradients of which some are clipped and some not: their norm is between 7 and 130."""
    generator = torch.Generator().manual_seed(100 + i)
    ids = torch.randint(0, 40, (6, 5), generator=generator)
    target = torch.randn(6, 5, 30, generator=generator)
    for part in (slice(0, 3), slice(3, 6)):  # in two micro-batches
        loss = ((of(ids[part]) - target[part]).float().square().sum()) * (0.02 if i % 2 else 0.2)
        loss.backward()


def by_torch() -> tuple[Model, list[float]]:
    reference = model()
    theirs = torch.optim.AdamW(groups(reference))
    norms = []
    for i, factor in enumerate(FACTORS):
        for group, lr in zip(theirs.param_groups, (LR, LR / 2), strict=True):
            group["lr"] = lr * factor
        theirs.zero_grad()
        backward(reference, i)
        norms.append(float(nn.utils.clip_grad_norm_(reference.parameters(), MAX_NORM)))
        theirs.step()
    return reference, norms


def by_us(of: Model) -> list[float]:
    ours = AdamW(groups(of))
    norms = []
    for i, factor in enumerate(FACTORS):
        backward(of, i)
        norms.append(float(ours.step(factor, MAX_NORM)))
        assert all(p.grad is None for p in of.parameters())
    return norms


def assert_same(result: Model, expected: Model, tolerance: float = 1e-6) -> None:
    for (name, p), q in zip(result.named_parameters(), expected.parameters(), strict=True):
        assert (p - q).norm() <= tolerance * q.norm(), name


@pytest.mark.parametrize("chunk", [1 << 17, 7], ids=["whole", "in chunks"])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_it_is_adamw_with_clipped_gradients(sparse, chunk, monkeypatch):
    monkeypatch.setattr(optimiser, "CHUNK", chunk)
    reference, expected = by_torch()
    result = model(sparse)
    norms = by_us(result)
    assert min(expected) < MAX_NORM < max(expected)
    assert norms == pytest.approx(expected, rel=1e-5)
    assert_same(result, reference)
    before = model()
    assert torch.equal(result.idle, before.idle)
    moved = (result.table.weight - before.table.weight).abs().amax(1)
    assert (moved[1:] > 0).all()  # rows out of use decay
    assert torch.equal(result.table.weight[0], torch.zeros(8))  # and the padding row is zero


def test_rows_without_a_gradient_keep_moving_as_they_do_in_the_dense_table():
    # AdamW keeps averaging past gradients: a row that is looked up once moves in the next step.
    result = model(sparse=True)
    ours = AdamW([{"params": [result.table.weight], "lr": LR, "weight_decay": 0.0}])
    result(torch.tensor([3])).sum().backward()
    ours.step(1.0, MAX_NORM)
    once = result.table.weight.detach().clone()
    result(torch.tensor([4])).sum().backward()
    ours.step(1.0, MAX_NORM)
    moved = (result.table.weight - once).abs().amax(1)
    assert moved[3] > 0 and moved[4] > 0 and moved[5] == 0


def test_a_parameter_without_a_gradient_does_not_move():
    result = model()
    before = copy.deepcopy(result.state_dict())
    ours = AdamW(groups(result))
    result.scale.grad = torch.tensor(2.0)
    assert float(ours.step(1.0, MAX_NORM)) == 2.0
    for name, value in result.state_dict().items():
        assert torch.equal(value, before[name]) == (name != "scale")


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_bf16_weights_are_the_rounded_float32_masters(sparse):
    result = model(sparse).bfloat16()
    ours = AdamW(groups(result))
    for i, factor in enumerate(FACTORS):
        backward(result, i)
        ours.step(factor, MAX_NORM)
        masters = ours.weights_of(result)
        for name, p in result.named_parameters():
            assert masters[name].dtype == torch.float32 and p.dtype == torch.bfloat16
            assert torch.equal(p, masters[name].bfloat16())
    # The masters are finer than bf16, and follow float32 training up to the noise of gradients.
    assert any(not torch.equal(value, value.bfloat16().float()) for value in masters.values())
    reference, _ = by_torch()
    assert (
        masters["layer.weight"] - reference.layer.weight
    ).norm() < 0.1 * reference.layer.weight.norm()


def test_steps_too_small_for_bf16_add_up():
    weight, lost = (nn.Parameter(torch.ones(10, dtype=torch.bfloat16)) for _ in range(2))
    ours = AdamW([{"params": [weight], "lr": 1e-4, "weight_decay": 0.0}])
    theirs = torch.optim.AdamW([lost], lr=1e-4, weight_decay=0.0)
    for _ in range(200):
        weight.grad, lost.grad = (torch.ones(10, dtype=torch.bfloat16) for _ in range(2))
        ours.step(1.0, 100.0)
        theirs.step()
    assert torch.equal(lost, torch.ones_like(lost))
    # With a constant gradient every step is lr: 200 are .02, which bf16 rounds to 1/256.
    assert torch.allclose(weight.float(), torch.full((10,), 0.98), atol=1 / 512)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_that_were_copied_stay(dtype):
    result = model().to(dtype)
    result.register_buffer("places", torch.arange(4))
    ours = AdamW(groups(result))
    backward(result, 0)
    ours.step(1.0, MAX_NORM)
    weights = ours.weights_of(result)
    assert list(weights) == list(result.state_dict()) and torch.equal(
        weights["places"], torch.arange(4)
    )
    kept = {name: value.clone() for name, value in weights.items()}
    backward(result, 1)
    ours.step(1.0, MAX_NORM)
    assert all(torch.equal(weights[name], kept[name]) for name in kept)
    assert not any(value.requires_grad for value in weights.values())
    assert not torch.equal(ours.weights_of(result)["layer.weight"], kept["layer.weight"])
    again = model().float()
    again.register_buffer("places", torch.zeros(4, dtype=torch.long))
    again.load_state_dict(weights)
    assert torch.equal(again.layer.weight, kept["layer.weight"])
