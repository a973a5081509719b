"""What a diagnosis counts, against small cases by hand and against all possible batches."""

from itertools import combinations, product
from math import comb, prod

import numpy as np
import pytest

from nersweep.data.corpus import Corpus, Sentence
from nersweep.diagnosis import imbalance
from nersweep.diagnosis.imbalance import Words, measure

# Which of five sentences has which of three classes; the last class is in one sentence alone.
PRESENCE = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 0, 0]], dtype=bool)


def sentence(text):
    """ "Ann/B-PER sings" """
    pairs = [word.partition("/") for word in text.split()]
    return Sentence(tuple(word for word, _, _ in pairs), tuple(tag or "O" for _, _, tag in pairs))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
def test_absence_is_the_share_of_all_batches_without_the_class(size):
    batches = list(combinations(PRESENCE, min(size, 5)))
    without = sum(~np.any(batch, axis=0) for batch in batches)
    assert imbalance.absent(PRESENCE, size) == pytest.approx(without / comb(5, min(size, 5)))


def test_absence_of_sampled_batches_averages_all_draws_by_their_probability():
    importance = np.array([1.0, 2.0, 1.0, 4.0, 2.0])
    chances = importance / 10
    expected = np.zeros(3)
    for draw in product(range(5), repeat=3):
        expected += prod(chances[list(draw)]) * ~PRESENCE[list(draw)].any(0)
    assert imbalance.absent_if_drawn(PRESENCE, importance, 3) == pytest.approx(expected)


def test_the_batch_that_is_enough_is_the_smallest():
    sizes = [size for size in range(1, 6) if imbalance.absent(PRESENCE, size).max() <= 0.5]
    assert (
        imbalance.batch_enough(PRESENCE) == min(sizes) == 3
    )  # one sentence of five has the class: absent from 2/5


def test_ratio_and_entropy_leave_out_absent_classes():
    assert imbalance.ratio(np.array([30, 0, 4, 10])) == 7.5
    assert imbalance.normalised_entropy(np.array([5, 5, 0, 5])) == pytest.approx(1)
    quarter = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))  # bits, of one bit at most
    assert imbalance.normalised_entropy(np.array([1, 3])) == pytest.approx(quarter)
    assert imbalance.ratio(np.array([0, 7])) == imbalance.normalised_entropy(np.array([0, 7])) == 1


def test_a_small_corpus_by_hand():
    train = [
        "Ann/B-PER sings in Paris/B-LOC",
        "Ann/B-PER Lee/I-PER left",
        "Paris/B-PER slept",
        "Paris/B-LOC fell",
        "it rains",
        "it rains",
        "Ann/B-LOC falls",
        "Ann falls",
    ]
    dev = ["ANN/B-PER and Paris/B-PER met Bo/B-PER", "it rains"]
    test = ["Bo/B-PER or Bo/B-LOC or Ann/B-PER Lee/I-PER"]
    corpus = Corpus("small", "here", *(list(map(sentence, split)) for split in (train, dev, test)))
    classes = ("O", "B-LOC", "B-PER", "I-PER")
    words = {}
    for split, sentences in corpus.splits().items():
        ids = np.array([classes.index(tag) for s in sentences for tag in s.tags])
        words[split] = Words(ids, np.cumsum([0, *(len(s.words) for s in sentences)]))
    result = measure(corpus, classes, words, batch_size=2, importance=np.ones(8))

    assert result.train.tolist() == [12, 3, 3, 1]
    assert result.counts["dev"].tolist() == [4, 0, 3, 0] and result.counts["test"].tolist() == [
        2,
        1,
        2,
        1,
    ]
    assert (result.o_share, result.ratio, result.entity_ratio) == (12 / 19, 12, 3)
    assert result.rarest == ("I-PER", 1)
    assert result.most_absent == ("I-PER", pytest.approx(7 / 8 * 6 / 7))
    assert result.batch_enough == 4
    # ANN and Bo are new as they are written; with the case aside, Bo alone.
    assert result.unseen["dev"] == imbalance.Unseen(2 / 3, 2 / 3, 1 / 3)
    assert result.unseen["test"] == imbalance.Unseen(2 / 3, 1 / 2, 2 / 3)
    assert result.entity_words == {1: 5, 2: 1}
    assert (
        result.other_type == 2 / 6
    )  # Paris is a person once in three, Ann is as often a place as a person
    assert result.untagged == 1 / 6  # Ann in "Ann falls", of three places of Ann and of Paris
    assert (result.repeated, result.repeated_differing) == (2, 1)
    assert result.copied == {"dev": 1 / 2, "test": 0}


def test_a_class_that_never_occurs_is_not_reported_as_absent():
    corpus = Corpus("small", "here", *([sentence("a b/B-X")] for _ in range(3)))
    words = Words(np.array([0, 1]), np.array([0, 2]))
    result = measure(
        corpus, ("O", "B-X", "I-X"), dict.fromkeys(("train", "dev", "test"), words), 1, np.ones(1)
    )
    assert np.isnan(result.absent[2]) and np.isnan(result.absent_balanced[2])
    assert result.most_absent[1] == 0 and result.batch_enough == 1 and result.rarest == ("B-X", 1)


def test_the_shuffled_epochs_of_a_run_agree_with_the_expectation():
    from nersweep.training.sampling import epoch_batches

    presence = np.zeros((64, 1), dtype=bool)
    presence[::8] = True  # eight sentences
    batches = [batch for epoch in range(400) for batch in epoch_batches(64, 8, 1, epoch)]
    observed = 1 - np.mean([presence[list(batch)].any() for batch in batches])
    assert observed == pytest.approx(imbalance.absent(presence, 8)[0], abs=0.03)
