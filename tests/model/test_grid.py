"""A grid of windows gives what packed windows give, whatever stands in its empty places."""

import numpy as np
import pytest
import torch
from test_packing import (
    LABELS,
    NO_DROPOUT,
    PACKED,
    SENTENCES,
    packed,
    random_encoder,
    random_windows,
)
from torch import nn

from nersweep.batches.windows import tokenise
from nersweep.config.schema import EngineConfig, TrainConfig
from nersweep.data.corpus import Sentence
from nersweep.losses import CrossEntropyLoss
from nersweep.losses.base import Loss
from nersweep.losses.dice import DiceLoss
from nersweep.model.grid import LENGTH, PIECES, WINDOWS, Grid, values_of
from nersweep.model.heads.token import TokenHead
from nersweep.model.packing import Layout, attend
from nersweep.model.tagger import Tagger, predict
from nersweep.training.engine import Body, engine_for
from nersweep.training.history import History
from nersweep.training.loop import fit

CPU = torch.device("cpu")
STATIC = EngineConfig(graphs=False)  # what a GPU runs, but for graphs


@pytest.mark.parametrize("family", PACKED)
def test_a_grid_has_the_features_and_gradients_of_groups(family):
    results = {}
    for grid in (True, False):
        encoder = random_encoder(family, **NO_DROPOUT)
        encoder.grid = grid
        assert encoder.packs()
        split = tokenise(SENTENCES, LABELS, encoder.tokenizer, encoder.max_length)
        direction = torch.randn(len(split.labels), 16, generator=torch.Generator().manual_seed(2))
        features = encoder.train().features(split.batch([3, 1, 0, 5, 2, 4], packed=True))
        (features * direction).sum().backward()
        gradients = [p.grad for p in encoder.parameters() if p.grad is not None]
        results[grid] = features.detach(), gradients
    (features, gradients), (expected, expected_gradients) = results.values()
    assert (features - expected).abs().max() <= 1e-5 * expected.abs().max()
    largest = max(gradient.abs().max() for gradient in expected_gradients)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        # The gradient of a key's bias is 0 but for rounding, at the scale of its summands.
        assert (gradient - other).abs().max() <= 1e-5 * max(other.abs().max(), 0.1 * largest)


@pytest.mark.parametrize("causal, window", [(False, None), (True, None), (False, 5), (True, 5)])
def test_a_grid_attends_as_groups_do(causal, window):
    sizes, heads, size = np.array([3, 20, 16, 1, 40]), 4, 8
    encoder = random_encoder("bert")
    shape, values = values_of(packed(random_windows(encoder, tuple(sizes))), 0)
    generator = torch.Generator().manual_seed(3)
    inputs = [
        torch.randn(1, n, shape.pieces, size, generator=generator).double() for n in (heads, 2, 2)
    ]
    layouts = Grid(shape, values), Layout(np.append(sizes, shape.pieces - sizes.sum()), CPU)
    results = []
    for layout in layouts:
        output, _ = attend(
            nn.Module(), *inputs, None, 0.5, layout, sliding_window=window, is_causal=causal
        )
        results.append(output[:, : sizes.sum()])
    assert torch.allclose(*results, atol=1e-12)


def test_shapes_are_round_and_windows_fill_them():
    encoder = random_encoder("bert")
    for sizes in ((7,), (30, 34), (64, 64), (3, 3, 3), (1,) * 128):
        batch = packed(random_windows(encoder, sizes))
        shape, values = values_of(batch, 5)
        assert shape.pieces % PIECES == shape.length % LENGTH == shape.windows % WINDOWS == 0
        grid = Grid(shape, values)
        assert sorted(grid.back.unique().tolist()) == sorted(grid.back.tolist())
        assert torch.equal(grid.rows[grid.back], torch.arange(shape.pieces, dtype=torch.int32))
        assert grid.positions.max() - 5 < max(sizes)  # padding stays within the positions there are
        assert grid.visible(None, causal=False).any(-1).all()


def trained(family: str, grid: bool, accumulation: int = 1, loss: Loss | None = None) -> History:
    """Train 20 steps; with a grid, the body runs apart from autograd, as on a GPU."""
    encoder = random_encoder(family, **NO_DROPOUT).on(CPU, engine=STATIC)
    encoder.grid = grid
    assert isinstance(engine_for(encoder, STATIC), Body) == grid
    rng = np.random.default_rng(3)
    sentences = []
    for size in rng.integers(2, 45, size=40):
        letters = rng.integers(10, size=size).tolist()
        tags = tuple(LABELS.names[i % 3] for i in letters)
        sentences.append(Sentence(tuple("abcdefghij"[i] for i in letters), tags))
    split = tokenise(sentences, LABELS, encoder.tokenizer, encoder.max_length)
    tagger = Tagger(encoder, TokenHead(encoder, LABELS), loss or CrossEntropyLoss())
    config = TrainConfig(epochs=4, batch_size=8, lr=1e-3, warmup=0.0, weight_decay=0.01)
    config.accumulation, config.engine = accumulation, STATIC
    return fit(tagger, split, split, LABELS, config, 1, CPU, lambda _: None)


def assert_alike(result: History, expected: History) -> None:
    losses = [step.loss for step in expected.steps]
    assert len(losses) == 20 and losses[-1] < 0.9 * losses[0]
    assert [step.loss for step in result.steps] == pytest.approx(losses, rel=1e-5)
    norms = [step.grad_norm for step in expected.steps]
    assert [step.grad_norm for step in result.steps] == pytest.approx(norms, rel=1e-4)
    assert result.weights.keys() == expected.weights.keys()
    for name, weight in expected.weights.items():
        # AdamW moves a key's bias, whose gradient is rounding alone, by up to lr.
        if not name.endswith(("key.bias", "k_lin.bias")):
            assert torch.allclose(result.weights[name], weight, atol=1e-4), name


@pytest.mark.parametrize("family", PACKED)
def test_twenty_steps_of_the_body_on_its_own_are_those_within_autograd(family):
    assert_alike(trained(family, grid=True), trained(family, grid=False))


@pytest.mark.parametrize("loss", [None, DiceLoss])
def test_and_so_are_steps_in_parts(loss):
    # A Dice loss cannot be split: the encoder takes the parts, and all wait for their gradient.
    results = [trained("bert", grid, 3, loss and loss()) for grid in (True, False)]
    assert_alike(*results)


def test_predictions_on_a_grid_are_those_in_groups():
    results = []
    for grid in (True, False):
        encoder = random_encoder("bert").on(CPU)
        encoder.grid = grid
        split = tokenise(SENTENCES * 30, LABELS, encoder.tokenizer, encoder.max_length)
        tagger = Tagger(encoder, TokenHead(encoder, LABELS), CrossEntropyLoss())
        results.append(predict(tagger, split, CPU))
    result, expected = results
    assert np.array_equal(result.labels, expected.labels)
    assert np.allclose(result.emissions, expected.emissions, atol=1e-5)
    assert np.allclose(result.probabilities, expected.probabilities, atol=1e-5)
