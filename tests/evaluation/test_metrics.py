"""Scores equal seqeval's, in default and strict mode."""

import numpy as np
import pytest
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score
from seqeval.scheme import IOB2

from nersweep.data.columns import read_file
from nersweep.evaluation.metrics import (
    confusion,
    entities,
    entity_counts,
    other_boundaries,
    pairs,
    report_text,
    score,
)
from nersweep.labels import LabelSet, spans, tags_from_spans

LABELS = LabelSet(["LOC", "ORG", "PER"])


def cut(ids: np.ndarray, lengths: np.ndarray) -> list[list[str]]:
    return [LABELS.decode(part) for part in np.split(ids, np.cumsum(lengths)[:-1])]


def assert_same_as_seqeval(
    gold: np.ndarray, predicted: np.ndarray, lengths: np.ndarray, labels: LabelSet, tags
) -> None:
    ours = score(gold, predicted, lengths, labels)
    for values, mode in ((ours, {}), (ours.strict, {"mode": "strict", "scheme": IOB2})):
        for name, theirs in (
            ("f1", f1_score),
            ("precision", precision_score),
            ("recall", recall_score),
        ):
            assert getattr(values, name) == pytest.approx(
                theirs(*tags, zero_division=0, **mode), abs=1e-12
            )
    counts = entity_counts(
        entities(gold, lengths, labels),
        entities(predicted, lengths, labels),
        len(gold),
        len(labels.types),
    )
    if counts.any():  # else seqeval has no report
        text = classification_report(*tags, digits=4, zero_division=0)
        assert report_text(counts, labels.types) == text
    report = classification_report(*tags, output_dict=True, zero_division=0)
    for name, values in ours.types.items():
        theirs = report.get(name, {"precision": 0, "recall": 0, "f1-score": 0, "support": 0})
        assert [
            getattr(values, k) for k in ("precision", "recall", "f1", "support")
        ] == pytest.approx([theirs[k] for k in ("precision", "recall", "f1-score", "support")])


def test_scores_equal_seqeval_on_random_tags():
    rng = np.random.default_rng(1)
    for _ in range(100):
        lengths = rng.integers(1, 9, size=rng.integers(1, 12))
        weights = [4, 1, 1, 1, 1, 1, 1]
        gold = rng.choice(len(LABELS), size=lengths.sum(), p=np.divide(weights, 10))
        predicted = np.where(
            rng.random(lengths.sum()) < 0.6, gold, rng.choice(len(LABELS), size=lengths.sum())
        )
        # seqeval's strict mode wants well-formed gold; both must agree on it for any prediction.
        gold = np.array([LABELS.ids[t] for s in cut(gold, lengths) for t in repaired(s)])
        assert_same_as_seqeval(
            gold, predicted, lengths, LABELS, (cut(gold, lengths), cut(predicted, lengths))
        )


def repaired(tags: list[str]) -> list[str]:
    return tags_from_spans(spans(tags), len(tags))


def test_scores_equal_seqeval_on_real_tags_with_errors(local_data):
    sentences = read_file(local_data("conll2003") / "test.txt")
    labels = LabelSet(["LOC", "MISC", "ORG", "PER"])
    lengths = np.array([len(s.words) for s in sentences])
    gold = np.array([labels.ids[tag] for s in sentences for tag in repaired(list(s.tags))])
    rng = np.random.default_rng(3)
    predicted = np.where(
        rng.random(len(gold)) < 0.97, gold, rng.choice(len(labels), size=len(gold))
    )
    tags = [
        [labels.decode(part) for part in np.split(x, np.cumsum(lengths)[:-1])]
        for x in (gold, predicted)
    ]
    assert_same_as_seqeval(gold, predicted, lengths, labels, tags)


def test_a_prediction_without_beginning_counts_by_default_and_not_in_strict_mode():
    gold, predicted = (
        np.array([LABELS.ids[t] for t in ("B-PER", "I-PER")]),
        np.array([LABELS.ids["I-PER"]] * 2),
    )
    scores = score(gold, predicted, np.array([2]), LABELS)
    assert scores.f1 == 1 and scores.strict.f1 == 0


def test_an_entity_never_crosses_a_sentence_end():
    ids = np.array([LABELS.ids[t] for t in ("B-PER", "I-PER")])
    assert score(ids, ids, np.array([1, 1]), LABELS).types["PER"].support == 2
    assert score(ids, ids, np.array([2]), LABELS).types["PER"].support == 1


def test_macro_f1_is_the_mean_over_types_that_occur():
    gold = np.array([LABELS.ids[t] for t in ("B-PER", "B-LOC", "O")])
    predicted = np.array([LABELS.ids[t] for t in ("B-PER", "O", "O")])
    assert score(gold, predicted, np.array([3]), LABELS).macro_f1 == 0.5


def test_no_entities_and_no_predictions_score_zero():
    nothing = np.zeros(3, dtype=int)
    assert score(nothing, nothing, np.array([3]), LABELS).f1 == 0


def test_confusion_counts_words_by_gold_and_prediction():
    counts = confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), LABELS)
    assert counts.sum() == 3 and counts[0, 0] == counts[0, 1] == counts[1, 1] == 1


def test_flat_names_are_those_of_the_tracker():
    flat = score(np.array([1]), np.array([1]), np.array([1]), LABELS).flat("test")
    assert {
        "test/f1",
        "test/strict/f1",
        "test/types/LOC/recall",
        "test/types/LOC/support",
        "test/accuracy",
    } <= flat.keys()
    assert all(isinstance(value, int | float) for value in flat.values())


def test_spans_are_scored_against_all_gold_entities_and_labels_against_their_own():
    lengths = np.array([4, 2])
    nested = np.array([[0, 3, 2], [0, 1, 1], [1, 3, 3], [4, 6, 1]])
    gold = np.array(LABELS.encode(["B-ORG", "I-ORG", "I-ORG", "O", "B-LOC", "I-LOC"]))
    predicted = np.array([[0, 3, 2], [1, 3, 3], [3, 4, 1], [4, 6, 1]])
    scores = score(gold, gold, lengths, LABELS, predicted, nested)
    assert (scores.precision, scores.recall) == (3 / 4, 3 / 4)
    assert {name: rates.support for name, rates in scores.types.items()} == {
        "LOC": 2,
        "ORG": 1,
        "PER": 1,
    }
    assert score(gold, gold, lengths, LABELS, None, nested) == score(gold, gold, lengths, LABELS)


def test_relaxed_matches_of_nested_entities_equal_those_of_all_pairs():
    rng = np.random.default_rng(2)

    def random_rows():
        rows = set()
        for _ in range(rng.integers(0, 7)):
            start = int(rng.integers(0, 8))
            rows.add((start, int(rng.integers(start + 1, 10)), int(rng.integers(1, 3))))
        return np.array(sorted(rows), dtype=np.int64).reshape(-1, 3)

    for _ in range(300):
        gold, predicted = random_rows(), random_rows()
        found = {}
        for entity, number in pairs(gold, predicted, other_boundaries):
            found[number] = entity
        taken = set()
        for number, (start, end, _) in enumerate(predicted.tolist()):
            best = None
            for entity, (first, last, _) in enumerate(gold.tolist()):
                if first < end and start < last and entity not in taken:
                    cost = (first, last) != (start, end)
                    if best is None or cost < best[0]:
                        best = cost, entity
            assert found.get(number) == (best and best[1])
            if best:
                taken.add(best[1])
