"""A model computes and learns the same from packed windows as from padded ones."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForTokenClassification

from nersweep.batches.batch import Batch
from nersweep.batches.windows import tokenise
from nersweep.config.schema import EngineConfig, TrainConfig
from nersweep.data.corpus import Corpus, Sentence
from nersweep.labels import LabelSet
from nersweep.losses import CrossEntropyLoss
from nersweep.model.dropout import Masks
from nersweep.model.encoders.encoder import Encoder, label_names
from nersweep.model.encoders.scratch import Scratch
from nersweep.model.heads.token import TokenHead
from nersweep.model.packing import ATTENTION, Layout, attend
from nersweep.model.tagger import Tagger
from nersweep.training.loop import fit

LABELS = LabelSet(["PER"])
SCRATCH = Scratch(
    hidden=16, layers=1, heads=2, dropout=0.0, max_length=32, min_count=1, pieces="characters"
)
SENTENCES = [
    Sentence(tuple("abcdefghij"[i % 10] for i in range(n)), ("O",) * n)
    for n in (3, 70, 1, 20, 16, 21)
]
CORPUS = Corpus("letters", "here", SENTENCES, SENTENCES, SENTENCES)

# Weights drawn this wide, so that attention is far from uniform and its form shows.
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
}
COMMON = SIZES | {"max_position_embeddings": 64, "initializer_range": 0.3, "pad_token_id": 0}
SPECIAL = {"bos_token_id": 2, "eos_token_id": 3}
MODERNBERT = SPECIAL | {"cls_token_id": 2, "sep_token_id": 3, "local_attention": 8}
DISTILBERT = {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 32}
BIDIRECTIONAL = {
    "bert": {},
    "roberta": SPECIAL,
    "xlm-roberta": SPECIAL,
    "distilbert": DISTILBERT,
    "electra": {"embedding_size": 8},
    "albert": {"embedding_size": 8},
    "ernie": {},
    "modernbert": MODERNBERT,
}
CAUSAL = {
    "llama": SPECIAL,
    "mistral": SPECIAL | {"sliding_window": 4, "num_key_value_heads": 2, "head_dim": 4},
    "qwen3": SPECIAL | {"num_key_value_heads": 2, "head_dim": 4},
}
PACKED = BIDIRECTIONAL | CAUSAL


def random_encoder(family: str, **settings: object) -> Encoder:
    tokenizer = SCRATCH.tokenizer(CORPUS)
    chosen = COMMON | (PACKED | {"deberta-v2": {}})[family] | settings
    config = AutoConfig.for_model(
        family, vocab_size=len(tokenizer), **chosen, **label_names(LABELS.names)
    )
    torch.manual_seed(1)
    return Encoder(AutoModelForTokenClassification.from_config(config), tokenizer).eval()


NO_DROPOUT = {
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "dropout": 0.0,
    "attention_dropout": 0.0,
}


def packed(windows: list[torch.Tensor]) -> Batch:
    """A batch whose words are all pieces of these windows."""
    sizes = np.array([len(window) for window in windows])
    total = int(sizes.sum())
    return Batch(torch.cat(windows)[None], torch.arange(total), sizes, total, packed=True)


def random_windows(encoder: Encoder, sizes: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(4, len(encoder.tokenizer), (size,), generator=generator) for size in sizes
    ]


@pytest.mark.parametrize("family", PACKED)
def test_packed_and_padded_windows_have_the_same_features_and_gradients(family):
    encoder = random_encoder(family, **NO_DROPOUT)
    assert encoder.packs()
    split = tokenise(SENTENCES, LABELS, encoder.tokenizer, encoder.max_length)
    order = [3, 1, 0, 5, 2, 4]
    assert (
        len(split.batch(order, packed=True).sizes) > len(order) + 1
    )  # one sentence is cut, and T is rounded up
    direction = torch.randn(len(split.labels), 16, generator=torch.Generator().manual_seed(2))
    features, gradients = {}, {}
    for attention in (ATTENTION, "eager"):
        encoder.model.set_attn_implementation(attention)
        batch = split.batch(order, packed=attention == ATTENTION)
        features[attention] = encoder.eval().features(batch).detach()
        encoder.train().zero_grad()
        (encoder.features(batch) * direction).sum().backward()
        gradients[attention] = {
            n: p.grad.clone() for n, p in encoder.named_parameters() if p.grad is not None
        }
    scale = features["eager"].abs().max()
    assert (features[ATTENTION] - features["eager"]).abs().max() <= 1e-5 * scale
    assert gradients[ATTENTION].keys() == gradients["eager"].keys()
    assert (
        len(gradients["eager"]) >= len(list(encoder.model.base_model.parameters())) - 2
    )  # a pooler has none
    largest = max(gradient.abs().max() for gradient in gradients["eager"].values())
    for name, gradient in gradients["eager"].items():
        # The gradient of a key's bias is 0 but for rounding, at the scale of its summands.
        scale = largest if name.endswith(("key.bias", "k_lin.bias")) else gradient.abs().max()
        assert (gradients[ATTENTION][name] - gradient).abs().max() <= 1e-5 * scale, name


def test_attention_that_cannot_be_replaced_stays_and_is_reported():
    encoder = random_encoder("deberta-v2", relative_attention=True, pos_att_type=["c2p", "p2c"])
    before = encoder.model.config._attn_implementation
    assert before != ATTENTION and not encoder.packs()
    assert encoder.model.config._attn_implementation == before
    assert not encoder.on(torch.device("cpu")).packed


def test_the_check_leaves_the_mode_as_it_was():
    for training in (True, False):
        encoder = random_encoder("bert").train(training)
        assert encoder.packs() and all(module.training == training for module in encoder.modules())


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_twenty_steps_of_training_have_the_losses_of_padded_ones(family):
    rng = np.random.default_rng(3)
    words = [rng.choice(list("abcdefghij"), size=size) for size in rng.integers(2, 45, size=40)]
    tags = {letter: LABELS.names[i % 3] for i, letter in enumerate("abcdefghij")}
    sentences = [Sentence(tuple(x), tuple(tags[letter] for letter in x)) for x in words]
    config = TrainConfig(epochs=4, batch_size=8, lr=1e-3, warmup=0.0, precision="fp32")
    losses = {}
    for packing in (True, False):
        encoder = random_encoder(family, **NO_DROPOUT)
        encoder.on(torch.device("cpu"), engine=EngineConfig(packing=packing))
        assert encoder.packed == packing
        split = tokenise(sentences, LABELS, encoder.tokenizer, encoder.max_length)
        tagger = Tagger(encoder, TokenHead(encoder, LABELS), CrossEntropyLoss())
        fitted = fit(tagger, split, split, LABELS, config, 1, torch.device("cpu"), lambda _: None)
        losses[packing] = [step.loss for step in fitted.steps]
    assert len(losses[False]) == 20 and losses[False][-1] < 0.8 * losses[False][0]
    assert losses[True] == pytest.approx(losses[False], rel=1e-5)


@pytest.mark.parametrize("family", ["bert", "modernbert", "mistral"])
def test_a_window_does_not_see_its_neighbours(family):
    encoder = random_encoder(family)
    assert encoder.packs()
    windows = random_windows(encoder, (9, 30, 12, 16, 3))
    changed = [*windows[:2], windows[2].flip(0), *windows[3:]]
    before, after = (
        encoder.features(packed(w)).split([9, 30, 12, 16, 3]) for w in (windows, changed)
    )
    for i in (0, 1, 3, 4):
        assert torch.equal(before[i], after[i])
    assert not torch.allclose(before[2], after[2], atol=1e-2)


@pytest.mark.parametrize("family", CAUSAL)
def test_a_causal_model_sees_only_earlier_pieces(family):
    encoder = random_encoder(family)
    assert encoder.packs()
    windows = random_windows(encoder, (5, 20))
    changed = [windows[0], windows[1].clone()]
    changed[1][9] = changed[1][9] % (len(encoder.tokenizer) - 5) + 5  # another piece
    moved = (
        (encoder.features(packed(windows)) - encoder.features(packed(changed))).abs().amax(1)[5:]
    )
    assert (moved[:9] == 0).all() and (moved[9:12] > 0).all()
    # Two layers of a window of 4 reach 3 pieces each.
    assert (moved[16:] == 0).all() == (family == "mistral")


@pytest.mark.parametrize("family", ["roberta", "xlm-roberta"])
def test_positions_counted_from_elsewhere_are_noticed(family):
    encoder = random_encoder(family)
    encoder.behaviour = encoder.behaviour._replace(first_position=0)
    before = encoder.model.config._attn_implementation
    assert not encoder.packs()
    assert encoder.model.config._attn_implementation == before


@pytest.mark.parametrize("family", ["modernbert", "mistral", "llama"])
def test_attention_of_another_form_is_noticed(family, monkeypatch):
    encoder = random_encoder(family)
    places = Layout.places
    monkeypatch.setattr(
        Layout, "places", lambda self, heads, *_: places(self, heads, None, False, torch.float32)
    )
    assert not encoder.packs()


@pytest.mark.parametrize("causal, window", [(False, None), (True, None), (False, 5), (True, 5)])
def test_attention_is_a_softmax_over_the_visible_pieces(causal, window):
    sizes, heads, groups, size = np.array([3, 20, 16, 1, 17]), 4, 2, 8
    total = int(sizes.sum())
    generator = torch.Generator().manual_seed(3)
    q, k, v = (
        torch.randn(1, n, total, size, generator=generator).double()
        for n in (heads, groups, groups)
    )
    layout = Layout(sizes, torch.device("cpu"))
    result, _ = attend(
        nn.Module(), q, k, v, None, 0.5, layout, sliding_window=window, is_causal=causal
    )
    owner = np.repeat(np.arange(len(sizes)), sizes)
    for t in range(total):
        visible = [u for u in range(total) if owner[u] == owner[t] and (not causal or u <= t)]
        visible = [u for u in visible if window is None or abs(u - t) < window]
        for head in range(heads):
            weights = (k[0, head // 2, visible] @ q[0, head, t] * 0.5).softmax(0)
            assert torch.allclose(
                result[0, t, head], weights @ v[0, head // 2, visible], atol=1e-12
            )


def test_dropped_attention_is_right_on_average_and_dropped_for_training_alone():
    sizes, draws = np.array([5, 18]), 2000
    generator = torch.Generator().manual_seed(4)
    q, k, v = (torch.randn(1, 2, 23, 4, generator=generator) for _ in range(3))
    layout, masks = Layout(sizes, torch.device("cpu")), Masks(5)
    whole, _ = attend(nn.Module(), q, k, v, None, 0.5, layout)
    drawn = torch.stack(
        [attend(nn.Module(), q, k, v, None, 0.5, layout, masks, 0.5)[0] for _ in range(draws)]
    )
    error = (drawn.mean(0) - whole) / (
        drawn.std(0) / draws**0.5
    )  # of 184 values, in standard errors
    assert drawn.std(0).min() > 0 and error.abs().max() < 5 and 0.8 < error.std() < 1.2

    encoder = random_encoder("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.5)
    assert encoder.packs()
    batch = packed(random_windows(encoder, (9, 30)))
    once, again = (encoder.train().features(batch) for _ in range(2))
    assert not torch.allclose(once, again, atol=1e-2)
    assert torch.equal(encoder.eval().features(batch), encoder.features(batch))
