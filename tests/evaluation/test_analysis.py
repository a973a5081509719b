"""What is told of a run once, against definitions spelled out slowly."""

import numpy as np
import pytest

from nersweep.data.corpus import Sentence
from nersweep.evaluation.analysis import (
    KINDS,
    Errors,
    by_familiarity,
    calibration,
    diagram,
    errors,
    f1_without,
    illegal_transitions,
    judged,
)
from nersweep.evaluation.metrics import TypeScores, entities
from nersweep.labels import LabelSet

LABELS = LabelSet(["LOC", "PER"])
LOC, PER = 1, 2


def spans(*rows):
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def test_a_wrong_entity_has_one_kind():
    gold = spans((0, 2, PER), (4, 5, LOC), (6, 8, LOC), (10, 12, PER))
    predicted = spans((0, 2, PER), (4, 5, PER), (7, 9, LOC), (13, 14, LOC))
    assert [kinds.tolist() for kinds in judged(gold, predicted)] == [
        ["", "type", "boundary", "spurious"],
        ["", "", "", "missed"],
    ]
    assert errors(gold, predicted) == Errors(1, 1, 1, 1)
    assert errors(gold, gold) == Errors(0, 0, 0, 0)
    assert errors(gold, spans()) == Errors(0, 0, 0, 4)
    assert errors(spans(), predicted) == Errors(0, 0, 4, 0)


def test_neighbours_do_not_overlap():
    assert errors(spans((0, 2, PER)), spans((2, 3, PER))) == Errors(0, 0, 1, 1)


def slow_errors(gold, predicted):
    """Pair by pair."""
    counts = dict.fromkeys(KINDS, 0)
    for one in predicted:
        if one in gold:
            continue
        over = [other for other in gold if one[0] < other[1] and other[0] < one[1]]
        same = [other for other in over if other[2] == one[2]]
        counts["boundary" if same else "type" if over else "spurious"] += 1
    counts["missed"] = sum(not any(a[0] < b[1] and b[0] < a[1] for b in predicted) for a in gold)
    return Errors(**counts)


@pytest.mark.parametrize("seed", range(30))
def test_errors_of_random_tags_are_those_of_all_pairs(seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 9, size=12)
    gold, predicted = (
        entities(rng.integers(len(LABELS), size=lengths.sum()), lengths, LABELS) for _ in range(2)
    )
    overlapping = (
        spans(*predicted.tolist(), (0, int(lengths.sum()), PER)) if seed % 2 else predicted
    )  # as a span head may say
    as_tuples = [[tuple(row) for row in rows.tolist()] for rows in (gold, overlapping)]
    assert errors(gold, overlapping) == slow_errors(*as_tuples)


def test_an_entity_counts_as_seen_by_its_words_alone():
    sentences = [Sentence(("New", "York", "and", "Ada"), ("B-LOC", "I-LOC", "O", "B-PER"))]
    gold, predicted = spans((0, 2, LOC), (3, 4, PER)), spans((0, 2, PER), (3, 4, PER))
    scores = by_familiarity(gold, predicted, sentences, {("New", "York")}, 2)
    assert scores["seen"] == TypeScores(0.0, 0.0, 0.0, support=1)
    assert scores["unseen"] == TypeScores(1.0, 1.0, 1.0, support=1)


def test_illegal_is_what_iob2_does_not_allow_at_the_start_and_after_another_label():
    tags = ["I-PER", "I-PER", "O", "B-PER", "I-LOC"], ["I-LOC"], ["B-LOC", "I-LOC"]
    ids = np.array([label for sentence in tags for label in LABELS.encode(sentence)])
    assert illegal_transitions(ids, np.array([5, 1, 2]), LABELS) == pytest.approx(3 / 8)


def test_words_outside_entities_hide_what_is_uncertain():
    # 8 words rightly O at .9; of 2 words predicted PER at .6 one is.
    probabilities = np.array([[[0.9, 0.1]]] * 8 + [[[0.4, 0.6]]] * 2)  # (W, P, C)
    result = calibration(probabilities, np.array([0] * 8 + [1, 0])[:, None])
    assert result.entities.error == pytest.approx(0.1)
    assert result.all.error == pytest.approx(0.8 * 0.1 + 0.2 * 0.1)
    bins = diagram(result.entities)
    assert [
        (n, c, a) for n, c, a in zip(bins.counts, bins.confidence, bins.accuracy, strict=True) if n
    ] == [(2, pytest.approx(0.6), 0.5)]
    assert bins.accuracy.count(None) == 14


def test_f1_without_some_sentences_is_that_of_the_others():
    gold = spans((0, 1, PER), (3, 5, LOC), (6, 7, PER))
    predicted = spans((0, 1, PER), (3, 4, LOC), (6, 7, PER), (7, 8, PER))

    def f1(*left_out):
        return f1_without(np.array(left_out), gold, predicted, np.array([3, 3, 2]))

    assert f1(True, False, False) == 2 * 1 / (3 + 2)
    assert f1(False, False, False) == 2 * 2 / (4 + 3)
    assert np.isnan(f1(True, True, True))
