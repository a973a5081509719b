"""Saved taggers: each head comes back and predicts the same, in another process too."""

import json

import numpy as np
import pytest
import torch
from forked import FORKED
from safetensors.torch import load_file, save_file
from transformers import AutoModelForTokenClassification, pipeline

from nersweep.config.build import build
from nersweep.data.corpus import Corpus, Sentence
from nersweep.faults import UserError
from nersweep.labels import LabelSet
from nersweep.losses import CrossEntropyLoss
from nersweep.model import saved
from nersweep.model.encoders.pretrained import Pretrained
from nersweep.model.encoders.scratch import Scratch
from nersweep.model.tagger import Tagger
from nersweep.model.tagger import predict as predict_all

CPU = torch.device("cpu")
LABELS = LabelSet(["LOC", "PER"])
SENTENCES = [
    Sentence(("Ada", "saw", "Pau"), ("B-PER", "O", "B-LOC")),
    Sentence(("Kim",) * 20, ("B-PER",) * 20),
]
CORPUS = Corpus("small", "here", SENTENCES, SENTENCES, SENTENCES)
TEMPERATURE = 1.75
WORDS = [["Ada", "Kim", "saw", "Lyon"], ["Pau"], ["Kim", "Ada"] * 9]
HEADS = {
    "argmax": {"_target_": "nersweep.model.heads.token.TokenHead", "decode": "argmax"},
    "viterbi": {"_target_": "nersweep.model.heads.token.TokenHead", "decode": "viterbi"},
    "crf": {"_target_": "nersweep.model.heads.crf.CRFHead", "constrained": True},
    "free crf": {"_target_": "nersweep.model.heads.crf.CRFHead", "constrained": False},
    "span": {"_target_": "nersweep.model.heads.span.SpanHead"},
}


def predict(folder, answers):
    """In a process of its own."""
    answers.put(saved.SavedTagger(folder).predict(WORDS))


def save(folder, config, dtype=torch.float32):
    """A tagger with random weights, large enough that it predicts something."""
    torch.manual_seed(3)
    recipe = build("head", config, config)
    scratch = Scratch(
        hidden=16, layers=1, heads=2, dropout=0.0, max_length=12, min_count=1, pieces="words"
    )
    encoder = scratch.build(recipe.target.outputs(LABELS), CORPUS)
    tagger = Tagger(encoder, recipe.make(encoder=encoder, labels=LABELS), CrossEntropyLoss()).eval()
    for parameter in (encoder.model.get_input_embeddings().weight, encoder.model.classifier.weight):
        torch.nn.init.normal_(parameter)
    for parameter in tagger.head.parameters():
        torch.nn.init.normal_(parameter)
    saved.save(folder, tagger, recipe, LABELS, dtype, shifts_of(recipe.target), TEMPERATURE)
    return tagger


def shifts_of(head):
    """Thresholds that leave one type each."""
    shifts = {}
    for name, type_ in (("tau", "LOC"), ("types", "PER")):
        shifts[name] = np.array([-1e4 * x.endswith(type_) for x in head.outputs(LABELS)])
    return shifts


@pytest.mark.parametrize("head", HEADS)
def test_a_saved_head_predicts_the_same_in_a_new_process(head, tmp_path):
    tagger = save(tmp_path, HEADS[head])
    again = saved.SavedTagger(tmp_path)
    assert {n: p.tolist() for n, p in again.tagger.named_parameters()} == {
        n: p.tolist() for n, p in tagger.named_parameters()
    }
    here = again.predict(WORDS)
    assert [len(tags) for tags, _ in here] == [4, 1, 18] and any(spans for _, spans in here)
    answers = FORKED.Queue()
    other = FORKED.Process(target=predict, args=(tmp_path, answers))
    other.start()
    assert answers.get(timeout=60) == here
    other.join()


@pytest.mark.parametrize("head", HEADS)
def test_a_threshold_is_added_to_the_scores_before_decoding(head, tmp_path):
    save(tmp_path, HEADS[head])
    plain = saved.SavedTagger(tmp_path)
    assert saved.SavedTagger(tmp_path, thresholds="none").predict(WORDS) == plain.predict(WORDS)
    found = {}
    for name in ("none", "tau", "types"):
        predicted = saved.SavedTagger(tmp_path, thresholds=name).predict(WORDS)
        found[name] = [type_ for _, spans in predicted for _, _, type_ in spans]
    assert "PER" in found["none"]
    assert (set(found["tau"]), set(found["types"])) == ({"PER"}, {"LOC"})
    split = plain.tokenise(WORDS[:1])
    emissions = torch.from_numpy(predict_all(plain.tagger, split, CPU).emissions)
    shift = torch.tensor(shifts_of(type(plain.tagger.head))["tau"]).float()
    labels = plain.tagger.head.decode(emissions + shift, torch.tensor([4])).labels
    shifted = saved.SavedTagger(tmp_path, thresholds="tau")
    assert shifted.predict(WORDS[:1])[0][0] == [LABELS.names[i] for i in labels]


def test_thresholds_that_a_folder_lacks_are_refused(tmp_path):
    save(tmp_path, HEADS["argmax"])
    with pytest.raises(UserError, match="thresholds=best: must be one of none, tau, types for"):
        saved.SavedTagger(tmp_path, thresholds="best")
    facts = json.loads((tmp_path / saved.HEAD).read_text())
    older = {name: facts[name] for name in facts.keys() - {"thresholds", "temperature"}}
    (tmp_path / saved.HEAD).write_text(json.dumps(older))
    assert saved.SavedTagger(tmp_path).temperature == 1.0
    with pytest.raises(UserError, match=r"thresholds=tau: must be one of none .*older version"):
        saved.SavedTagger(tmp_path, thresholds="tau")


@pytest.mark.parametrize(
    "facts",
    [
        {"thresholds": {"tau": [0.0] * 4}},
        {"thresholds": {"tau": [0.0] * 4 + [float("inf")]}},
        {"thresholds": {"tau": "none"}},
        {"thresholds": 3},
        {"temperature": 0},
        {"temperature": float("nan")},
        {"temperature": "hot"},
    ],
)
def test_damaged_choices_are_refused(facts, tmp_path):
    save(tmp_path, HEADS["argmax"])
    whole = json.loads((tmp_path / saved.HEAD).read_text())
    (tmp_path / saved.HEAD).write_text(json.dumps(whole | facts))
    with pytest.raises(UserError, match="not the model folder of a run"):
        saved.SavedTagger(tmp_path)


@pytest.mark.parametrize("head", ["argmax", "span"])
def test_probabilities_are_at_the_temperature(head, tmp_path):
    save(tmp_path, HEADS[head])
    tagger = saved.SavedTagger(tmp_path, thresholds="types")
    probabilities = tagger.probabilities([*WORDS, []])
    pointers, classes = (2, 3) if head == "span" else (1, 5)
    assert [x.shape for x in probabilities] == [(n, pointers, classes) for n in (4, 1, 18, 0)]
    emissions = predict_all(tagger.tagger, tagger.tokenise(WORDS), CPU).emissions
    scores = np.exp(emissions.reshape(-1, pointers, classes).astype(float) / TEMPERATURE)
    expected = scores / scores.sum(-1, keepdims=True)
    assert np.concatenate(probabilities) == pytest.approx(expected, abs=1e-5)
    assert [x.shape for x in tagger.probabilities([[]])] == [(0, pointers, classes)]


@pytest.mark.parametrize("head", HEADS)
def test_an_entity_is_as_probable_as_the_least_of_its_labels(head, tmp_path):
    save(tmp_path, HEADS[head])
    tagger = saved.SavedTagger(tmp_path)
    classes = tagger.tagger.head.classes(LABELS)
    sentences = [[], *WORDS]
    probabilities, count = tagger.probabilities(sentences), 0
    for of_words, sentence in zip(probabilities, tagger.tag(sentences), strict=True):
        for start, end, type_, probability in sentence.entities:
            if head == "span":
                row = classes.index(type_)
                labels = [of_words[start, 0, row], of_words[end - 1, 1, row]]
            else:
                labels = []
                for word in range(start, end):
                    labels.append(of_words[word, 0, classes.index(sentence.tags[word])])
            assert probability == min(labels)
            count += 1
    assert count


@pytest.mark.parametrize("head", ["crf", "span"])
@pytest.mark.parametrize("load", [AutoModelForTokenClassification.from_pretrained, pipeline])
def test_transformers_refuses_a_head_that_it_lacks(load, head, tmp_path):
    save(tmp_path, HEADS[head])
    arguments = ("token-classification", str(tmp_path)) if load is pipeline else (str(tmp_path),)
    with pytest.raises(ValueError, match=f"model type `nersweep with head={head}"):
        load(*arguments)
    assert Pretrained(str(tmp_path)).build(["O", "B-X"]).model.config.model_type == "bert"


def test_long_sentences_are_cut_into_the_windows_of_the_run(tmp_path):
    """The model could take more pieces than the run gave it."""
    save(tmp_path, HEADS["argmax"])
    facts = json.loads((tmp_path / saved.HEAD).read_text())
    assert facts["max_length"] == 12
    (tmp_path / saved.HEAD).write_text(json.dumps(facts | {"max_length": 8}))
    assert saved.SavedTagger(tmp_path).tagger.encoder.max_length == 8


def test_it_computes_in_the_precision_of_the_run(tmp_path):
    save(tmp_path, HEADS["argmax"], torch.bfloat16)
    assert saved.SavedTagger(tmp_path).tagger.encoder.model.dtype == torch.bfloat16
    assert (
        saved.SavedTagger(tmp_path, dtype=torch.float32).tagger.encoder.model.dtype == torch.float32
    )


def test_sentences_without_words(tmp_path):
    save(tmp_path, HEADS["span"])
    tagger = saved.SavedTagger(tmp_path)
    assert tagger.predict([]) == [] and tagger.predict([[]]) == [([], [])]
    assert tagger.predict([[], ["Ada"], []])[1] == tagger.predict([["Ada"]])[0]


@pytest.mark.parametrize("types", [["X", "Y"], ["LOC"]], ids=str)
@pytest.mark.parametrize("head", ["argmax", "crf"])
def test_weights_of_other_types_are_no_model_of_these(head, types, tmp_path):
    save(tmp_path, HEADS[head])
    facts = json.loads((tmp_path / saved.HEAD).read_text())
    (tmp_path / saved.HEAD).write_text(json.dumps(facts | {"types": types}))
    with pytest.raises(
        ValueError, match=r"not the model folder of a run \(its weights are not those of"
    ):
        saved.SavedTagger(tmp_path)


def test_a_model_that_lacks_its_classifier_is_refused(tmp_path):
    save(tmp_path, HEADS["argmax"])
    weights = load_file(tmp_path / "model.safetensors")
    rest = {name: value for name, value in weights.items() if not name.startswith("classifier")}
    save_file(rest, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        ValueError, match=r"not the model folder of a run \(its weights are not those of"
    ):
        saved.SavedTagger(tmp_path)


@pytest.mark.parametrize("head", HEADS)
def test_a_saved_model_names_the_option_of_its_head(head, tmp_path):
    save(tmp_path, HEADS[head])
    facts = json.loads((tmp_path / saved.HEAD).read_text())
    assert facts["head"]["option"] in ("token", "crf", "span")
    assert "nersweep" not in json.dumps(facts["head"])


@pytest.mark.parametrize(
    "option",
    ["os.system", "nersweep.losses.CrossEntropyLoss", "nersweep.model.heads.base.Head", "CRF", 3],
)
def test_a_head_that_is_none_of_ours_is_refused(option, tmp_path):
    save(tmp_path, HEADS["crf"])
    facts = json.loads((tmp_path / saved.HEAD).read_text())
    facts["head"]["option"] = option
    (tmp_path / saved.HEAD).write_text(json.dumps(facts))
    with pytest.raises(UserError, match="must be a class of nersweep"):
        saved.SavedTagger(tmp_path)


@pytest.mark.parametrize(
    "damage", ["no folder", "no head", "not json", "no weights", "other weights"]
)
def test_a_damaged_folder_is_reported_in_one_line(damage, tmp_path):
    save(tmp_path, HEADS["crf"])
    if damage == "no head":
        (tmp_path / saved.HEAD).unlink()
    elif damage == "not json":
        (tmp_path / saved.HEAD).write_text("{")
    elif damage == "no weights":
        (tmp_path / saved.HEAD_WEIGHTS).unlink()
    elif damage == "other weights":
        (tmp_path / saved.HEAD_WEIGHTS).write_bytes(b"pickle?")
    folder = tmp_path / "gone" if damage == "no folder" else tmp_path
    with pytest.raises(ValueError, match=r"not the model folder of a run \(.+\)$"):
        saved.SavedTagger(folder)
