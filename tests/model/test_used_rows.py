"""Training the rows in use is training the whole table."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForTokenClassification

from nersweep.batches.batch import Tokenised
from nersweep.batches.windows import tokenise
from nersweep.data.corpus import Corpus, Sentence
from nersweep.labels import LabelSet
from nersweep.model.encoders.encoder import Encoder, label_names
from nersweep.model.encoders.scratch import Scratch
from nersweep.model.used_rows import UsedRows
from nersweep.training.optimiser import AdamW

LABELS = LabelSet(["PER"])
SCRATCH = Scratch(
    hidden=16, layers=1, heads=2, dropout=0.0, max_length=32, min_count=1, pieces="words"
)
TEXTS = ["Ada met Bob", "Bob met nobody at noon", "nobody"]
OTHERS = ["Cleo saw Dan", "Dan slept"]


def sentence(text: str) -> Sentence:
    words = tuple(text.split())
    return Sentence(words, tuple("B-PER" if word[0].isupper() else "O" for word in words))


SENTENCES = [sentence(text) for text in TEXTS]
OTHER = [sentence(text) for text in OTHERS]
CORPUS = Corpus("small", "here", SENTENCES + OTHER, OTHER, OTHER)


def encoder_and_split() -> tuple[Encoder, Tokenised]:
    torch.manual_seed(0)
    encoder = SCRATCH.build(LABELS.names, CORPUS)
    return encoder, tokenise(SENTENCES, LABELS, encoder.tokenizer, encoder.max_length)


def train(encoder: Encoder, split: Tokenised, packed: bool, steps: int = 8) -> None:
    optimiser = AdamW([{"params": list(encoder.parameters()), "lr": 3e-3, "weight_decay": 0.0}])
    for step in range(steps):
        chosen = [step % 3, 1]
        rows = encoder.classify(encoder.features(split.batch(chosen, packed)))
        functional.cross_entropy(rows, split.gold(chosen).labels).backward()
        optimiser.step(1.0, 1.0)


@pytest.mark.parametrize("packed", [True, False])
def test_training_the_rows_in_use_gives_the_weights_of_training_all(packed):
    whole, split = encoder_and_split()
    compact, _ = encoder_and_split()
    before = copy.deepcopy(whole.model.get_input_embeddings().weight.detach())
    compact.use_rows(split.pieces)
    assert (
        len(compact.model.get_input_embeddings().weight) == len(np.unique(split.pieces)) + 1
    )  # and that of padding
    for encoder in (whole, compact):
        assert encoder.packs() if packed else True
        train(encoder, split, packed)
    compact.restore_rows()
    expected, result = whole.state_dict(), compact.state_dict()
    assert result.keys() == expected.keys()
    for name, value in expected.items():
        if not name.endswith("key.bias"):  # has no effect, and a gradient of nothing but rounding
            assert (result[name] - value).norm() <= 1e-6 * value.norm(), name
    table, used = compact.model.get_input_embeddings().weight, np.unique(split.pieces)
    unused = np.setdiff1d(np.arange(len(table)), used)
    assert len(unused) > 10 and torch.equal(table[unused], before[unused])
    assert ((table - before)[used].abs().amax(1) > 1e-3).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_restored_rows_are_the_trained_ones_and_others_are_as_before(dtype):
    torch.manual_seed(1)
    table = nn.Embedding(20, 4, padding_idx=0)
    before = table.weight.detach().clone()
    rows = UsedRows(table, np.array([7, 3, 19, 7]))
    assert rows.used.tolist() == [0, 3, 7, 19]
    rows.to(dtype)
    with torch.no_grad():
        rows.weight[1:] += 1
    trained = rows.weight.detach().float()
    assert torch.equal(table.weight, before)  # until it is restored
    restored = rows.restored()
    assert restored is table and restored.weight.dtype == torch.float32
    assert torch.equal(restored.weight[[3, 7, 19]], trained[1:])
    others = [i for i in range(20) if i not in (0, 3, 7, 19)]
    assert torch.equal(restored.weight[others], before[others])


def test_rows_are_looked_up_as_in_the_table():
    table = nn.Embedding(20, 4)
    rows = UsedRows(table, np.array([7, 3, 19]))
    pieces = torch.tensor([[3, 19], [7, 3]])
    assert rows.used.tolist() == [3, 7, 19]  # no padding row where the table has none
    assert torch.equal(rows(pieces), table(pieces))


@pytest.mark.parametrize("padding", [0, 5])
def test_the_padding_row_stays(padding):
    table = nn.Embedding(20, 4, padding_idx=padding)
    nn.init.normal_(table.weight)  # a pretrained padding row is not zero
    before = table.weight.detach().clone()
    rows = UsedRows(table, np.array([7, 3]))
    optimiser = AdamW([{"params": [rows.weight], "lr": 0.1, "weight_decay": 0.0}])
    for _ in range(3):
        rows(torch.tensor([3, padding, 7, padding])).square().sum().backward()
        optimiser.step(1.0, 1.0)
    after = rows.restored().weight
    assert torch.equal(after[padding], before[padding])
    assert not torch.equal(after[3], before[3]) and not torch.equal(after[7], before[7])


def test_pieces_that_are_not_in_use_are_themselves_again_once_restored():
    # Until then they look like the first row in use. To predict with rows taken out, name all
    # pieces of the text, as a run does for its splits, or restore the rows first, as saving does.
    encoder, split = encoder_and_split()
    unseen = tokenise(OTHER, LABELS, encoder.tokenizer, encoder.max_length).batch(
        [0, 1], packed=False
    )
    encoder.eval()
    before = encoder.features(unseen)
    encoder.use_rows(split.pieces)
    rows = encoder.model.get_input_embeddings()
    assert torch.equal(
        rows(torch.tensor([encoder.tokenizer.convert_tokens_to_ids("Cleo")]))[0], rows.weight[0]
    )
    encoder.restore_rows()
    assert torch.equal(encoder.features(unseen), before)


def test_a_saved_model_has_every_row(tmp_path):
    encoder, split = encoder_and_split()
    encoder.use_rows(split.pieces)
    train(encoder, split, packed=False, steps=2)
    trained = encoder.model.get_input_embeddings()
    used, rows = trained.used, trained.weight.detach().clone()
    encoder.save(tmp_path)
    again = type(encoder.model).from_pretrained(tmp_path).get_input_embeddings()
    assert again.num_embeddings == len(encoder.tokenizer) and torch.equal(again.weight[used], rows)


def test_rows_taken_out_have_a_gradient_of_few_rows_on_cpu():
    rows = UsedRows(nn.Embedding(20, 4), np.arange(10))
    rows(torch.tensor([3, 3, 5])).sum().backward()
    assert rows.weight.grad.is_sparse and rows.weight.grad.coalesce().indices().tolist() == [[3, 5]]


@pytest.mark.parametrize("family", ["gemma", "biogpt"])
def test_a_table_that_scales_what_it_looks_up_stays_whole(family):
    tokenizer = SCRATCH.tokenizer(CORPUS)
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    ids = {
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "head_dim": 8,
        "num_key_value_heads": 2,
    }
    config = AutoConfig.for_model(
        family, vocab_size=len(tokenizer), **sizes, **ids, **label_names(LABELS.names)
    )
    torch.manual_seed(1)
    encoder = Encoder(AutoModelForTokenClassification.from_config(config), tokenizer, 32).eval()
    split = tokenise(SENTENCES, LABELS, tokenizer, 32)
    batch = split.batch([0, 1], packed=False)
    before = encoder.features(batch)
    encoder.use_rows(split.pieces)
    assert torch.equal(encoder.features(batch), before)
