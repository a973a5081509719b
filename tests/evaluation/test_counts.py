"""Counts by document: what they sum to, and that they come back as they were written."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from nersweep.evaluation.counts import DocumentCounts, count_documents, from_dense, from_json
from nersweep.evaluation.metrics import score
from nersweep.labels import LabelSet, spans

LABELS = LabelSet(["LOC", "ORG", "PER"])
RNG = random.Random(1)


def random_split(documents, sentences):
    """Gold tags, predicted tags and the document of random sentences; gold is in IOB2."""
    gold, predicted, numbers = [], [], sorted(RNG.randrange(documents) for _ in range(sentences))
    for _ in numbers:
        length = RNG.randint(1, 12)
        types = [RNG.choice(["", "", *LABELS.types]) for _ in range(length)]
        tags = []
        for i, type_ in enumerate(types):
            inside = i > 0 and types[i - 1] == type_ and RNG.random() < 0.7
            tags.append(("I-" if inside else "B-") + type_ if type_ else "O")
        gold.append(tags)
        predicted.append([RNG.choice(LABELS.names) if RNG.random() < 0.3 else t for t in tags])
    return gold, predicted, np.array(numbers)


def arrays(gold, predicted):
    """The label ids of all words, and the lengths of the sentences."""
    ids = [np.concatenate([LABELS.encode(tags) for tags in group]) for group in (gold, predicted)]
    return ids[0], ids[1], np.array([len(tags) for tags in gold])


def by_hand(gold, predicted, numbers, documents):
    """Correct, predicted and gold entities, one by one."""
    counts = np.zeros((documents, len(LABELS.types), 3), dtype=int)
    for document, *tags in zip(numbers, gold, predicted, strict=True):
        true, guessed = (set(spans(each)) for each in tags)
        for column, group in enumerate((true & guessed, guessed, true)):
            for _, _, type_ in group:
                counts[document, LABELS.types.index(type_), column] += 1
    return counts


@pytest.mark.parametrize(("documents", "sentences"), [(1, 40), (9, 60), (200, 200)])
def test_entities_are_counted_in_their_document(documents, sentences):
    gold, predicted, numbers = random_split(documents, sentences)
    numbers[-1] = documents - 1
    ids = arrays(gold, predicted)
    counts = count_documents(*ids, LABELS, None, numbers, marked=True)
    assert (counts.documents, counts.types) == (documents, LABELS.types)
    assert (counts.lenient == by_hand(gold, predicted, numbers, documents)).all()
    scores = score(ids[0], ids[1], ids[2], LABELS)
    for mode, rates in ((counts.lenient, scores), (strict(counts), scores.strict)):
        correct, guessed, true = mode.sum((0, 1))
        assert (rates.precision, rates.recall) == (correct / guessed, correct / true)
    assert (strict(counts)[..., 2] == counts.lenient[..., 2]).all()  # gold is in IOB2


def test_predicted_spans_count_instead_of_the_tags():
    gold, predicted, numbers = random_split(3, 10)
    span = np.array([[0, 1, 2]])
    counts = count_documents(*arrays(gold, predicted), LABELS, span, numbers, marked=True)
    assert counts.lenient[..., 1].sum() == counts.lenient[numbers[0], 1, 1] == 1
    assert (strict(counts) == counts.lenient).all()


def strict(counts):
    return counts.dense()[:, :, 1]


def as_read(counts):
    return from_json(json.loads(json.dumps(counts.to_json())))


def test_counts_come_back_as_they_were_written():
    gold, predicted, numbers = random_split(9, 60)
    counts = count_documents(*arrays(gold, predicted), LABELS, None, numbers, marked=True)
    again = as_read(counts)
    assert (again.types, again.documents, again.marked) == (LABELS.types, counts.documents, True)
    assert (again.dense() == counts.dense()).all() and again.dense().shape[2] == 3
    empty = as_read(from_dense(("PER",), False, np.zeros((4, 1, 1, 3), dtype=np.int64)))
    assert empty.lenient.shape == (4, 1, 3) and not empty.lenient.any()
    assert empty.dense().shape == (4, 1, 1, 3) and empty.marked is False


def test_large_counts_and_unknown_types_come_back():
    lenient = np.array(
        [[[0, 0, 0]], [[70_000, 2**31 - 1, 70_001]]]
    )  # all of a split in one document
    again = as_read(from_dense((), None, lenient[:, :, None]))
    assert (again.lenient == lenient).all() and (again.types, again.marked) == ((), None)


def dense(*rows):
    return from_dense(("PER",), True, np.array(rows, dtype=np.int64)[:, None, None]).to_json()


GOOD = dense((1, 1, 2), (0, 0, 3))


@pytest.mark.parametrize(
    "values",
    [
        {**GOOD, "documents": 1},  # the second lies outside
        {**GOOD, "documents": -1},
        {**GOOD, "documents": 10**12},
        {**GOOD, "documents": "2"},
        {**GOOD, "modes": 2},
        {**GOOD, "modes": 0},
        {**GOOD, "marked": "yes"},
        {**GOOD, "counts": "AAAA"},
        {**GOOD, "counts": 3},
        {**GOOD, "counts": dense((2, 1, 2), (0, 0, 3))["counts"]},  # more correct than predicted
        {**GOOD, "counts": dense((0, -1, 2), (0, 0, 3))["counts"]},
        {name: value for name, value in GOOD.items() if name != "types"},
        [],
    ],
)
def test_other_values_are_refused(values):
    from_json(GOOD)
    with pytest.raises((ValueError, KeyError, TypeError)):
        from_json(values)


def test_a_cell_given_twice_is_refused():
    counts = from_json(GOOD)
    twice = replace(counts, cells=np.array([1, 1]))
    assert isinstance(twice, DocumentCounts)
    with pytest.raises(ValueError, match="outside"):
        as_read(twice)
