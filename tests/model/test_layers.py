"""Frozen parameters do not move, and all others do."""

import copy
from dataclasses import replace

import pytest
import torch
from families import DECODERS, LABELS, SENTENCES, random_encoder

from nersweep.batches.windows import tokenise
from nersweep.config.schema import EngineConfig, TrainConfig
from nersweep.faults import UserError
from nersweep.losses import CrossEntropyLoss
from nersweep.model.encoders.layers import freeze, layers_of
from nersweep.model.heads.token import TokenHead
from nersweep.model.tagger import Tagger
from nersweep.training.engine import Body, engine_for
from nersweep.training.loop import fit

CPU = torch.device("cpu")
CONFIG = TrainConfig(epochs=1, batch_size=2, lr=1e-2, warmup=0.0, precision="fp32")
FAMILIES = {
    "bert": {},
    "electra": {"embedding_size": 8},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "xlm": {"emb_dim": 16, "n_layers": 2, "n_heads": 4},
    "mistral": DECODERS["mistral"],
    "gpt2": DECODERS["gpt2"],
}


def trained(encoder, engine=None):
    """Train an encoder for two steps; returns the names of parameters that have moved."""
    config = replace(CONFIG, engine=engine or EngineConfig())
    encoder.on(CPU, engine=config.engine)
    split = tokenise(
        SENTENCES, LABELS, encoder.tokenizer, encoder.max_length, reading=encoder.reading
    )
    before = copy.deepcopy(encoder.model.state_dict())
    tagger = Tagger(encoder, TokenHead(encoder, LABELS), CrossEntropyLoss())
    fitted = fit(tagger, split, split, LABELS, config, 1, CPU, lambda _: None)
    moved = set()
    for name, value in encoder.model.state_dict().items():
        if not torch.equal(value, before[name]):
            moved.add(name)
    return moved, fitted


@pytest.mark.parametrize("family", FAMILIES)
def test_the_lower_layer_and_what_runs_before_it_are_frozen(family):
    encoder = random_encoder(family, **FAMILIES[family])
    freeze(encoder.model, 1, encoder.run_probe)
    moved, fitted = trained(encoder, EngineConfig(used_rows=True))
    named = dict(encoder.model.named_parameters())
    lowest = {id(x) for part in layers_of(encoder.model)[0] for x in part.parameters()}
    for name, parameter in named.items():
        is_table = any(word in name for word in ("embed", "wte", "wpe"))
        if id(parameter) in lowest or is_table:
            assert name not in moved and not parameter.requires_grad, name
    upper = {id(x) for part in layers_of(encoder.model)[1] for x in part.parameters()}
    still = [
        name for name, x in named.items() if id(x) in upper and name not in moved
    ]  # a key's bias has no gradient but rounding
    assert all("key" in name or "k_lin" in name or "pos_" in name for name in still), still
    assert moved == {name for name in named if named[name].requires_grad} - set(still)
    assert not {f"encoder.model.{name}" for name in named if not named[name].requires_grad} & (
        fitted.weights.keys()
    )


def test_a_body_on_static_memory_moves_the_same_parameters():
    moved, losses = [], []
    for grid in (False, True):
        encoder = random_encoder("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        freeze(encoder.model, 1, encoder.run_probe)
        on = encoder.on
        encoder.on = lambda *x, on=on, encoder=encoder, grid=grid, **y: (
            on(*x, **y),
            setattr(encoder, "grid", grid),
        )
        names, fitted = trained(encoder, EngineConfig(used_rows=False, graphs=False))
        moved.append(names)
        losses.append([step.loss for step in fitted.steps])
    assert moved[0] == moved[1] and losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_body_with_frozen_parameters_is_not_kept_for_another_encoder():
    for frozen in (False, True):
        encoder = random_encoder("bert")
        if frozen:
            freeze(encoder.model, 0, encoder.run_probe)
        encoder.on(CPU, engine=EngineConfig(used_rows=False))
        encoder.grid = True
        assert Body(encoder, graphs=True).kept != frozen
    body = encoder.model.base_model
    body.requires_grad_(False)
    body.pooler = torch.nn.Linear(16, 16)  # which features do not need
    for _ in range(2):
        assert not isinstance(engine_for(encoder, EngineConfig(used_rows=False)), Body)
        body.pooler.requires_grad_(False)


def test_embeddings_alone_can_be_frozen():
    encoder = random_encoder("bert")
    freeze(encoder.model, 0, encoder.run_probe)
    frozen = {name for name, x in encoder.model.named_parameters() if not x.requires_grad}
    assert frozen == {name for name, _ in encoder.model.named_parameters() if "embeddings" in name}


def test_layers_that_are_shared_cannot_be_frozen():
    encoder = random_encoder("albert", embedding_size=8)
    with pytest.raises(UserError, match=r"^model\.freeze=1: must be null: the layers of albert"):
        freeze(encoder.model, 1, encoder.run_probe)
    with pytest.raises(UserError, match=r"^model\.freeze=3: must be ≤ 2"):
        freeze(random_encoder("bert").model, 3, encoder.run_probe)


@pytest.mark.parametrize("family", ["bert", "mistral"])
def test_activations_computed_again_give_the_same_gradients(family):
    gradients = []
    for recompute in (False, True):
        encoder = random_encoder(family, **FAMILIES[family])
        if recompute:
            encoder.recompute()
        encoder.on(CPU).train()
        split = tokenise(
            SENTENCES, LABELS, encoder.tokenizer, encoder.max_length, reading=encoder.reading
        )
        torch.manual_seed(4)  # of dropout
        encoder.features(split.batch([0, 1, 2], packed=True)).square().sum().backward()
        gradients.append([x.grad for x in encoder.model.base_model.parameters()])
    for plain, again in zip(*gradients, strict=True):
        assert plain is again is None or torch.allclose(plain, again, rtol=1e-4, atol=1e-5)


def test_a_model_that_keeps_all_activations_says_so():
    encoder = random_encoder("bert")
    encoder.model.supports_gradient_checkpointing = False
    with pytest.raises(UserError, match=r"^model\.recompute=true"):
        encoder.recompute()
