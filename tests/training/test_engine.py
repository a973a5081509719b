"""Each part of the engine can be switched off, and what is learned stays the same."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from nersweep.batches.batch import Tokenised
from nersweep.batches.windows import tokenise
from nersweep.config.schema import EngineConfig, TrainConfig
from nersweep.data.corpus import Corpus, Sentence
from nersweep.labels import LabelSet
from nersweep.losses import CrossEntropyLoss
from nersweep.model.encoders.encoder import Encoder
from nersweep.model.encoders.scratch import Scratch
from nersweep.model.heads.token import TokenHead
from nersweep.model.tagger import Tagger
from nersweep.model.used_rows import UsedRows
from nersweep.training import engine as engine_module
from nersweep.training import optimiser
from nersweep.training.engine import Body, Engine, engine_for, identity_of
from nersweep.training.history import StepRecord
from nersweep.training.loop import fit

LABELS = LabelSet(["LOC", "PER"])
CPU = torch.device("cpu")
WORDS = {"Ada": "B-PER", "Lovelace": "I-PER", "Pau": "B-LOC", "in": "O", "saw": "O", "the": "O"}
OFF = EngineConfig(packing=False, masks=False, chunked_adamw=False, used_rows=False)
STATIC, ROWS = EngineConfig(used_rows=False, graphs=False), EngineConfig(graphs=False)


def sentence(i: int) -> Sentence:
    words = [list(WORDS)[(i * 7 + k * k) % len(WORDS)] for k in range(2 + i % 9)]
    return Sentence(tuple(words), tuple(WORDS[word] for word in words))


SENTENCES = [sentence(i) for i in range(24)]
CORPUS = Corpus("names", "here", SENTENCES, SENTENCES, SENTENCES)
CONFIG = TrainConfig(epochs=3, batch_size=8, lr=3e-3, precision="fp32")


def assembled(engine: EngineConfig, dropout: float = 0.0, dtype=torch.float32) -> Encoder:
    """Return an encoder as a run assembles it, without weight decay."""
    torch.manual_seed(1)
    scratch = Scratch(
        32, layers=2, heads=2, dropout=dropout, max_length=32, min_count=9, pieces="words"
    )
    encoder = scratch.build(LABELS.names, CORPUS)
    split = tokenise(SENTENCES, LABELS, encoder.tokenizer, encoder.max_length)
    if engine.used_rows:
        encoder.use_rows(split.pieces)
    return encoder.on(CPU, dtype, engine)


def trained(engine: EngineConfig) -> tuple[list[float], dict[str, torch.Tensor]]:
    encoder = assembled(engine)
    split = tokenise(SENTENCES, LABELS, encoder.tokenizer, encoder.max_length)
    tagger = Tagger(encoder, TokenHead(encoder, LABELS), CrossEntropyLoss())
    records = []
    fit(tagger, split, split, LABELS, replace(CONFIG, engine=engine), 1, CPU, records.append)
    losses = [record.loss for record in records if isinstance(record, StepRecord)]
    assert len(losses) == 9 and losses[-1] < 0.8 * losses[0]
    return losses, {name: x.clone() for name, x in encoder.state_dict().items()}


@pytest.mark.parametrize(
    "engine",
    [EngineConfig(packing=False), EngineConfig(used_rows=False), OFF],
    ids=["packing", "used rows", "all"],
)
def test_without_it_the_losses_are_the_same_up_to_rounding(engine):
    assert trained(engine)[0] == pytest.approx(trained(EngineConfig())[0], rel=1e-5)


def test_adamw_in_chunks_is_adamw_of_whole_parameters_to_the_last_digit(monkeypatch):
    monkeypatch.setattr(optimiser, "CHUNK", 64)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        losses, weights = trained(EngineConfig())
        expected, whole = trained(EngineConfig(chunked_adamw=False))
    finally:
        torch.set_num_threads(threads)
    assert losses == expected
    assert weights.keys() == whole.keys()
    for name, value in weights.items():
        assert torch.equal(value, whole[name]), name


def test_each_switch_switches_its_part():
    on = assembled(EngineConfig(), dropout=0.1, dtype=torch.bfloat16)
    off = assembled(OFF, dropout=0.1, dtype=torch.bfloat16)
    assert on.packed and on.masks and isinstance(on.input_table(), UsedRows)
    assert not off.packed and off.masks is None and type(off.input_table()) is nn.Embedding
    slots = [
        optimiser.AdamW(
            [{"params": list(on.parameters()), "lr": 1.0, "weight_decay": 0.0}], chunked
        )
        for chunked in (True, False)
    ]
    assert {slot.chunk for slot in slots[0].slots} == {optimiser.CHUNK}
    assert all(slot.chunk == slot.parameter.numel() for slot in slots[1].slots)


def test_features_under_masks_have_the_mean_and_the_spread_of_torchs_dropout():
    draws, moments = 400, []
    for masks in (True, False):
        engine = EngineConfig(masks=masks)
        encoder = assembled(engine, dropout=0.2, dtype=torch.bfloat16).train()
        split = tokenise(SENTENCES, LABELS, encoder.tokenizer, encoder.max_length)
        batch = split.batch([0, 5], packed=True)
        with torch.no_grad():
            drawn = torch.stack([encoder.features(batch).float() for _ in range(draws)])
        moments.append((drawn.mean(0), drawn.std(0)))
    (mean, std), (other_mean, other_std) = moments
    error = (mean - other_mean) / ((std**2 + other_std**2) / draws).sqrt()  # in standard errors
    assert std.min() > 0 and error.abs().max() < 5 and 0.7 < error.std() < 1.3
    assert (std.square().mean() / other_std.square().mean()).item() == pytest.approx(1, abs=0.05)


def on_a_grid(**settings: float) -> Encoder:
    encoder = assembled(STATIC, **settings)
    encoder.grid = True
    return encoder


def step(engine: Engine, split: Tokenised, chosen: list[int]) -> Tensor:
    """Return features, and back-propagate a gradient of ones."""
    features = engine.features([split.batch(chosen, packed=True)])
    features.sum().backward()
    engine.backward()
    return features.detach()


def test_a_body_that_is_kept_runs_the_next_encoder_with_its_own_values():
    first, second = on_a_grid(), on_a_grid()
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.mul_(1.1)
    split = tokenise(SENTENCES, LABELS, first.tokenizer, first.max_length)
    before = [parameter.clone() for parameter in second.parameters()]
    body = Body(first, graphs=False)
    memory = [flat.whole.data_ptr() for flat in body.flats]
    expected = step(body, split, [0, 5])
    body.release()
    body.adopt(second)
    assert [flat.whole.data_ptr() for flat in body.flats] == memory
    for parameter, value in zip(second.parameters(), before, strict=True):
        assert torch.equal(parameter, value)
    assert not torch.equal(step(body, split, [0, 5]), expected)
    assert torch.equal(step(Body(first, graphs=False), split, [0, 5]), expected)
    for flat in body.flats:
        torch.nn.init.zeros_(flat.whole)
    assert not any(parameter.any() for parameter in second.model.base_model.parameters())


def test_what_an_encoder_leaves_is_its_own():
    encoder = on_a_grid()
    body = Body(encoder, graphs=False)
    weights = {name: x.clone() for name, x in encoder.state_dict().items()}
    body.release()
    with torch.no_grad():
        for flat in body.flats:
            flat.whole.fill_(7.0)
    for name, x in encoder.state_dict().items():
        assert torch.equal(x, weights[name])


def test_only_like_encoders_are_one():
    identities = [identity_of(on_a_grid()), identity_of(on_a_grid())]
    assert identities[0] == identities[1]
    ahead, recomputing = on_a_grid(), on_a_grid()
    ahead.ahead, recomputing.recomputes = [1], True
    others = on_a_grid(dropout=0.1), on_a_grid(dtype=torch.bfloat16), assembled(ROWS)
    for other in (*others, ahead, recomputing):
        assert identity_of(other) != identities[0]


def test_parameters_that_features_do_not_need_stay_out(monkeypatch):
    encoder = on_a_grid()
    encoder.model.base_model.pooler = nn.Linear(32, 32)
    body = Body(encoder, graphs=False)
    named = dict(encoder.model.base_model.named_parameters())
    inside = {name for names in body.names for name in names}
    assert named.keys() - inside == {"pooler.weight", "pooler.bias"}


def test_a_shape_is_recorded_at_its_second_batch_and_kept_for_the_next_run(monkeypatch):
    calls = []
    monkeypatch.setattr(Body, "recorded", lambda _, work: calls.append(work.__name__) or work)
    monkeypatch.setattr(engine_module, "KEPT", {})
    encoder, config = on_a_grid(), replace(STATIC, graphs=True)
    split = tokenise(SENTENCES, LABELS, encoder.tokenizer, encoder.max_length)
    body = engine_for(encoder, config)
    for chosen in ([0, 5], range(24), [0, 5], [5, 0]):
        step(body, split, list(chosen))
        body.flats[0].whole.grad = None
    assert calls == ["run_forward", "run_backward"]
    assert (len(body.shapes), len(body.passes)) == (2, 1)
    body.release()
    assert engine_for(on_a_grid(dropout=0.1), config) is not body
    body.adopt(encoder)
    body.release()
    assert engine_for(on_a_grid(), config) is body
    step(body, split, list(range(24)))
    assert len(calls) == 4
    assert engine_for(on_a_grid(), config) is not body  # which is in use


def test_only_recorded_shapes_count_and_are_kept(monkeypatch):
    monkeypatch.setattr(Body, "recorded", lambda _, work: work)
    monkeypatch.setattr(engine_module, "MOST_GRAPHS", 2)
    encoder = on_a_grid()
    split = tokenise(SENTENCES, LABELS, encoder.tokenizer, encoder.max_length)
    batches = {}
    for count in range(1, 25):
        shape, _ = encoder.grid_values(split.batch(range(count), packed=True))
        batches.setdefault(shape, list(range(count)))
    assert len(batches) > 3
    body = Body(encoder, graphs=True)
    for chosen in batches.values():
        step(body, split, chosen)
    assert (len(body.shapes), len(body.passes)) == (len(batches), 0)
    for chosen in batches.values():
        step(body, split, chosen)
    assert list(body.passes) == list(batches)[:2]


def test_an_encoder_has_its_own_storage_after_a_training_that_fails():
    encoder = on_a_grid()
    split = tokenise(SENTENCES, LABELS, encoder.tokenizer, encoder.max_length)
    tagger = Tagger(encoder, TokenHead(encoder, LABELS), CrossEntropyLoss())
    shared = []

    def fail(_):
        for parameter in encoder.model.base_model.parameters():
            shared.append(parameter.untyped_storage().nbytes() > parameter.nbytes)
        raise KeyboardInterrupt

    config = replace(CONFIG, engine=STATIC)
    with pytest.raises(KeyboardInterrupt):
        fit(tagger, split, split, LABELS, config, 1, CPU, fail)
    assert all(shared) and shared
    for parameter in encoder.model.base_model.parameters():
        assert parameter.untyped_storage().nbytes() == parameter.nbytes


def test_gradients_lie_as_their_parameters_do():
    # Otherwise torch adds them one by one.
    encoder = on_a_grid()
    body = Body(encoder, graphs=False)
    split = tokenise(SENTENCES, LABELS, encoder.tokenizer, encoder.max_length)
    features = encoder.features(split.batch([0, 5], packed=True))
    for gradient, own in zip(
        torch.autograd.grad(features.sum(), body.parameters),
        [view for flat in body.flats for view in flat.gradients],
        strict=True,
    ):
        assert gradient.stride() == own.stride() and gradient.dtype == own.dtype
