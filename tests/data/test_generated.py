"""What the generator is asked for can be measured in the sentences it returns."""

import math
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache

import pytest

from nersweep.data.corpus import Corpus, Sentence
from nersweep.data.generated import Generated
from nersweep.labels import spans, tags_from_spans

DEFAULTS = {
    "imbalance": 20,
    "o_share": 0.83,
    "ambiguity": 0.15,
    "unseen": 0.5,
    "label_noise": 0.0,
    "train": 1000,
    "dev": 250,
    "test": 250,
    "seed": 1,
}
SETTINGS = [
    {},
    {"imbalance": 1, "o_share": 0.5, "ambiguity": 0.0, "unseen": 0.0},
    {"imbalance": 5, "o_share": 0.7, "ambiguity": 1.0, "unseen": 1.0, "seed": 2},
    {"imbalance": 50, "o_share": 0.6, "ambiguity": 0.3, "unseen": 0.8, "seed": 3},
    {"imbalance": 8, "o_share": 0.97, "ambiguity": 0.5, "unseen": 0.25, "seed": 4},
    {"imbalance": 2, "o_share": 0.5, "ambiguity": 1.0, "unseen": 0.1, "seed": 5},
]
settings = pytest.mark.parametrize("changes", SETTINGS, ids=str)


@cache
def _cached(**knobs: float) -> Corpus:
    return Generated(**knobs).load()


def corpus(**changed: float) -> Corpus:
    return _cached(**DEFAULTS | changed)


def mentions(sentences: Sequence[Sentence]) -> list[tuple[str, str]]:
    """(surface form, type) of every entity."""
    return [
        (" ".join(s.words[start:end]), type_)
        for s in sentences
        for start, end, type_ in spans(s.tags)
    ]


@settings
def test_type_frequencies_are_a_geometric_progression_with_the_set_ratio(changes):
    ratio = (DEFAULTS | changes)["imbalance"]
    for sentences in corpus(**changes).splits().values():
        counts = sorted(Counter(type_ for _, type_ in mentions(sentences)).values(), reverse=True)
        assert len(counts) == 5
        for rank, count in enumerate(counts):
            expected = counts[0] * ratio ** (-rank / 4)
            assert count == pytest.approx(expected, abs=1)  # whole mentions


@settings
def test_share_of_o_words(changes):
    for sentences in corpus(**changes).splits().values():
        tags = [tag for sentence in sentences for tag in sentence.tags]
        assert tags.count("O") / len(tags) == pytest.approx(
            (DEFAULTS | changes)["o_share"], abs=0.001
        )


@settings
def test_share_of_mentions_whose_name_has_several_types(changes):
    data = corpus(**changes)
    types = defaultdict(set)
    for sentences in data.splits().values():
        for name, type_ in mentions(sentences):
            types[name].add(type_)
    for sentences in data.splits().values():
        names = [name for name, _ in mentions(sentences)]
        share = sum(len(types[name]) > 1 for name in names) / len(names)
        assert share == pytest.approx((DEFAULTS | changes)["ambiguity"], abs=0.6 / len(names))


@settings
def test_share_of_mentions_unseen_in_training_also_among_ambiguous_names(changes):
    data, share = corpus(**changes), (DEFAULTS | changes)["unseen"]
    training = {name for name, _ in mentions(data.train)}
    types = defaultdict(set)
    for name, type_ in mentions([*data.train, *data.dev, *data.test]):
        types[name].add(type_)
    for sentences in (data.dev, data.test):
        for ambiguous in (False, True):
            names = [name for name, _ in mentions(sentences) if (len(types[name]) > 1) == ambiguous]
            assert sum(name not in training for name in names) == pytest.approx(
                share * len(names), abs=1
            )


@settings
def test_a_seen_mention_has_a_type_that_its_name_has_in_training(changes):
    data = corpus(**changes)
    train = set(mentions(data.train))
    training = {name for name, _ in train}
    assert all(
        (name, type_) in train
        for name, type_ in mentions([*data.dev, *data.test])
        if name in training
    )


@pytest.mark.parametrize("noise", [0.1, 0.5, 0.99])
def test_label_noise_corrupts_its_share_of_training_mentions_and_nothing_else(noise):
    clean, noisy = corpus(), corpus(label_noise=noise)
    assert (noisy.dev, noisy.test) == (clean.dev, clean.test)
    assert [s.words for s in noisy.train] == [s.words for s in clean.train]
    total, faults = 0, Counter()
    for before, after in zip(clean.train, noisy.train, strict=True):
        gold, read = spans(before.tags), spans(after.tags)
        total += len(gold)
        for start, end, type_ in set(gold) - set(read):
            same_place = any((a, b) == (start, end) for a, b, _ in read)
            overlapping = any(a < end and start < b and t == type_ for a, b, t in read)
            faults["type" if same_place else "boundary" if overlapping else "dropped"] += 1
        assert len(read) <= len(gold)
    assert faults.total() == round(noise * total)
    assert faults["type"] / faults.total() == pytest.approx(0.5, abs=0.02)
    assert faults["dropped"] / faults.total() == pytest.approx(0.25, abs=0.02)
    assert faults["boundary"] / faults.total() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("changes", [*SETTINGS, {"label_noise": 0.5}], ids=str)
def test_sentences_are_well_formed_iob2(changes):
    for sentences in corpus(**changes).splits().values():
        for sentence in sentences:
            assert 2 <= len(sentence.words) == len(sentence.tags)
            assert all(word and word == word.strip() and " " not in word for word in sentence.words)
            assert list(sentence.tags) == tags_from_spans(spans(sentence.tags), len(sentence.tags))


def test_sentence_lengths_and_entity_lengths_vary():
    data = corpus(train=2000)
    lengths = [len(sentence.words) for sentence in data.train]
    assert 12 <= sum(lengths) / len(lengths) <= 15
    assert min(lengths) <= 6 and max(lengths) >= 22
    assert {len(name.split()) for name, _ in mentions(data.train)} == {1, 2, 3, 4}


def test_capitals_do_not_give_entities_away():
    words = [pair for s in corpus().train for pair in list(zip(s.words, s.tags, strict=True))[1:]]
    entity = [word for word, tag in words if tag != "O"]
    other_capitalised = [word for word, tag in words if tag == "O" and word[0].isupper()]
    assert len(other_capitalised) > 0.4 * len(entity)
    assert sum(word.islower() for word in entity) > 0.05 * len(entity)


@pytest.mark.parametrize("size", [1, 2, 10])
@pytest.mark.parametrize("changes", [*SETTINGS, {"imbalance": 1e6}], ids=str)
def test_tiny_splits_keep_every_type_and_the_o_share(changes, size):
    data = corpus(**changes, train=size, dev=size, test=size)
    for sentences in data.splits().values():
        tags = [tag for sentence in sentences for tag in sentence.tags]
        assert len(sentences) == size
        assert len({type_ for _, type_ in mentions(sentences)}) == 5
        assert tags.count("O") / len(tags) == pytest.approx(
            (DEFAULTS | changes)["o_share"], abs=0.05
        )


def test_the_seed_decides_in_any_process():
    imports = "from nersweep.data.generated import Generated"
    code = f"{imports}; print(Generated(**{DEFAULTS}).load().checksum)"
    checksums = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("0", "1")
    }
    assert checksums == {corpus().checksum}
    assert corpus(seed=2).checksum != corpus().checksum


@pytest.mark.parametrize(
    ("knob", "value", "must"),
    [
        ("imbalance", 0.5, "must be ≥ 1 (1 is balanced)"),
        ("imbalance", math.inf, "must be ≥ 1"),
        ("o_share", 0.49, "must be a share from .5 to .97"),
        ("o_share", 0.98, "must be a share from .5 to .97"),
        ("ambiguity", -0.1, "must be a share from 0 to 1"),
        ("unseen", 1.1, "must be a share from 0 to 1"),
        ("unseen", math.nan, "must be a share from 0 to 1"),
        ("label_noise", 1, "must be a share from 0 up to 1, exclusive"),
        ("train", 0, "must be ≥ 1 sentence"),
        ("dev", -1, "must be ≥ 1 sentence"),
        ("seed", -1, "must be ≥ 0"),
    ],
)
def test_values_out_of_range_are_named(knob, value, must, faults_of):
    (fault,) = faults_of(lambda: Generated(**DEFAULTS | {knob: value}))
    assert (fault.setting, fault.value) == (knob, value) and fault.must.startswith(must)


def test_all_faults_are_named_together(faults_of):
    faults = faults_of(lambda: Generated(**DEFAULTS | {"imbalance": 0, "seed": -1}))
    assert [fault.setting for fault in faults] == ["imbalance", "seed"]
