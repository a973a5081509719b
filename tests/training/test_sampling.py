"""Which sentences a step sees: a function of seed and epoch alone, and of importance if asked."""

import numpy as np
import pytest
import torch

from nersweep.batches.windows import tokenise
from nersweep.data.corpus import Corpus, Sentence
from nersweep.labels import LabelSet
from nersweep.model.encoders.scratch import Scratch
from nersweep.training.sampling import absent_shares, epoch_batches, importance_of

TYPES = LabelSet(["LOC", "PER"])
# Ten words: two of PER and one of LOC, then none, then one of LOC.
TYPED = [
    ("B-PER", "I-PER", "B-LOC", "O"),
    ("O", "O", "O", "O"),
    ("B-LOC", "O"),
]


def test_order_is_a_function_of_seed_and_epoch_alone():
    torch.manual_seed(1)
    once = epoch_batches(100, 32, seed=1, epoch=2)
    torch.manual_seed(2)
    assert epoch_batches(100, 32, seed=1, epoch=2) == once
    assert [len(b) for b in once] == [32, 32, 32, 4] and sorted(i for b in once for i in b) == list(
        range(100)
    )
    assert (
        epoch_batches(100, 32, seed=1, epoch=3) != once != epoch_batches(100, 32, seed=2, epoch=2)
    )


def test_the_order_is_that_of_a_plain_shuffle():
    steps = epoch_batches(100, 32, seed=1, epoch=2)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(1_000_003 + 2)).tolist()
    assert [i for step in steps for i in step] == order


@pytest.fixture
def split():
    data = [Sentence(("a",), ("O",))]
    scratch = Scratch(
        hidden=16, layers=1, heads=2, dropout=0.0, max_length=16, min_count=1, pieces="characters"
    )
    tokenizer = scratch.tokenizer(Corpus("x", "x", data, data, data))
    return tokenise(
        [Sentence(("a",) * len(tags), tags) for tags in TYPED], TYPES, tokenizer, max_length=16
    )


def test_importance_grows_with_the_words_of_rare_types(split):
    # Two of ten words are PER and two LOC: r = -log2(2/10) = log2(5).
    r = np.log2(5)
    assert importance_of(
        "entity_balanced", split.labels, split.sentence_words, TYPES
    ) == pytest.approx(np.sqrt([1 + 3 * r, 1, 1 + r]))


R = np.log2(5)  # of PER and of LOC: each is two of ten words


@pytest.mark.parametrize(
    ("sampler", "threshold", "expected"),
    [
        ("sC", None, [4, 1, 2]),
        ("sCRD", None, [(1 + 3 * R) / 2, 1, (1 + R) / np.sqrt(2)]),  # the second: 1/2, at least 1
        ("nsCRD", None, [(1 + R * np.sqrt(2) + R) / 2, 1, (1 + R) / np.sqrt(2)]),
        # LOC is in two of three sentences, PER in one
        ("repeat_factor", None, [np.sqrt(2), 1, 1]),
        ("repeat_factor", 1, [np.sqrt(3), 1, np.sqrt(1.5)]),
        ("repeat_factor", 0.4, [np.sqrt(1.2), 1, 1]),
        ("repeat_factor", 0.001, [1, 1, 1]),  # of LVIS: every type here is frequent
    ],
)
def test_each_sampler_weighs_sentences_by_its_formula(split, sampler, threshold, expected):
    weights = importance_of(sampler, split.labels, split.sentence_words, TYPES, threshold)
    assert weights == pytest.approx(expected)


def test_a_type_without_a_word_changes_no_importance(split):
    more = LabelSet(["LOC", "PER", "XYZ"])  # whose label ids are those of TYPES
    for sampler in ("entity_balanced", "sC", "sCRD", "nsCRD", "repeat_factor"):
        one, other = (
            importance_of(sampler, split.labels, split.sentence_words, types)
            for types in (TYPES, more)
        )
        assert one == pytest.approx(other), sampler


def test_the_random_sampler_weighs_nothing(split):
    assert importance_of("random", split.labels, split.sentence_words, TYPES) is None


def test_entity_balanced_batches_draw_sentences_by_their_importance():
    importance = np.array([1.0, 3.0])
    drawn = np.concatenate(
        [epoch_batches(2, 2, 1, epoch, importance) for epoch in range(4000)]
    ).flatten()
    assert np.mean(drawn) == pytest.approx(0.75, abs=0.02)
    batches = epoch_batches(100, 32, 1, 1, np.arange(1.0, 101))
    assert [len(b) for b in batches] == [32, 32, 32, 4]
    assert batches == epoch_batches(100, 32, 1, 1, np.arange(1.0, 101))


def test_absent_shares_are_of_steps_without_a_word_of_the_type(split):
    assert absent_shares([[0, 1], [2], [1], [1, 0, 2]], split, TYPES) == {"LOC": 0.25, "PER": 0.5}
