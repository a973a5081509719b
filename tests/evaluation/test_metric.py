"""Metrics by name, against seqeval, and against nervaluate's rules entity by entity."""

import random

import numpy as np
import pytest
from seqeval.metrics import classification_report, f1_score
from seqeval.scheme import IOB2

from nersweep.evaluation.counts import count_documents, from_dense
from nersweep.evaluation.metric import F1, metric_of
from nersweep.evaluation.metrics import relaxed_matches, score
from nersweep.labels import LabelSet, spans, tags_from_spans

LABELS = LabelSet(["LOC", "ORG", "PER"])
RNG = random.Random(3)


def random_tags(length):
    """The tags of a sentence with many entities, in IOB2."""
    entities, end = [], 0
    while end < length:
        start = end + RNG.choice([0, 0, 1, 2])
        end = start + RNG.randint(1, 4)
        if end <= length:
            entities.append((start, end, RNG.choice(LABELS.types)))
    return tags_from_spans(entities, length)


def split(sentences):
    """Gold tags and predicted tags, some of them malformed."""
    gold = [random_tags(RNG.randint(1, 14)) for _ in range(sentences)]
    predicted = []
    for tags in gold:
        guess = [RNG.choice(LABELS.names) if RNG.random() < 0.25 else tag for tag in tags]
        predicted.append(guess if RNG.random() < 0.7 else random_tags(len(tags)))
    return gold, predicted


def arrays(gold, predicted):
    ids = [np.concatenate([LABELS.encode(tags) for tags in group]) for group in (gold, predicted)]
    return ids[0], ids[1], np.array([len(tags) for tags in gold])


def nervaluate(gold, predicted):
    """Correct entities of exact, partial and ent_type, as the source of nervaluate 1.2 says."""
    totals = np.zeros(3)
    for view in range(3):
        matched = set()
        for start, end, type_ in predicted:
            overlapping = []
            for number, (first, last, _) in enumerate(gold):
                if number not in matched and start < last and first < end:
                    overlapping.append(number)
            equal = [n for n in overlapping if gold[n][:2] == (start, end)]
            alike = [n for n in overlapping if gold[n][2] == type_]
            if view < 2 and equal:
                totals[view] += 1
                matched.add(equal[0])
            elif view == 2 and alike:
                totals[view] += 1
                gaps = [abs(gold[n][0] - start) + abs(gold[n][1] - end) for n in alike]
                matched.add(alike[gaps.index(min(gaps))])
            elif overlapping:  # partial, or incorrect
                totals[view] += 0.5 * (view == 1)
                matched.add(overlapping[0])
    return totals


@pytest.mark.parametrize("seed", range(5))
def test_exact_partial_and_ent_type_are_those_of_nervaluate(seed):
    RNG.seed(seed)
    gold, predicted = split(80)
    totals, guessed, true = np.zeros(3), 0, 0
    for tags, guess in zip(gold, predicted, strict=True):
        totals += nervaluate(spans(tags), spans(guess))
        guessed, true = guessed + len(spans(guess)), true + len(spans(tags))
    assert totals[0] < totals[1] and totals[0] < guessed  # there is something to tell apart
    scores = score(*arrays(gold, predicted), LABELS)
    for view, correct in zip(("exact", "partial", "ent_type"), totals, strict=True):
        rates = correct / guessed, correct / true
        for measure, value in (
            ("precision", rates[0]),
            ("recall", rates[1]),
            ("f1", 2 * rates[0] * rates[1] / sum(rates)),
            ("f2", 5 * rates[0] * rates[1] / (4 * rates[0] + rates[1])),
        ):
            assert metric_of(f"{view}/{measure}", LABELS.types).of(scores) == pytest.approx(value)


def test_a_prediction_takes_one_entity():
    """One long prediction over two entities finds one of them, two over one find it once."""
    two, one = np.array([[0, 2, 1], [2, 4, 2]]), np.array([[0, 4, 2]])
    assert relaxed_matches(two, one).tolist() == [[0, 1, 0], [0, 0, 1]]  # the type decides
    assert relaxed_matches(one, two).tolist() == [[0, 1, 0]]  # the first has another type
    assert relaxed_matches(one, one).tolist() == [[1, 2, 1]]
    assert not relaxed_matches(two[:0], one).size


def test_strict_and_lenient_metrics_are_those_of_seqeval():
    RNG.seed(9)
    gold, predicted = split(100)
    scores = score(*arrays(gold, predicted), LABELS)
    for view, mode in (("", {}), ("strict/", {"mode": "strict", "scheme": IOB2})):
        report = classification_report(gold, predicted, output_dict=True, zero_division=0, **mode)
        for name, value in (
            ("f1", f1_score(gold, predicted, **mode)),
            ("macro_f1", report["macro avg"]["f1-score"]),
            ("PER/f1", report["PER"]["f1-score"]),
            ("ORG/recall", report["ORG"]["recall"]),
            ("LOC/precision", report["LOC"]["precision"]),
        ):
            assert metric_of(view + name, LABELS.types).of(scores) == pytest.approx(value)
    assert metric_of("strict/f1", ()).of(scores) != F1.of(scores)


@pytest.mark.parametrize(
    "name", ["f1", "strict/PER/f2", "exact/recall", "partial/f0.5", "ent_type/macro_f1", "ORG/f1"]
)
def test_documents_sum_to_the_value_of_the_scores(name):
    RNG.seed(4)
    gold, predicted = split(60)
    documents = np.arange(60) // 7
    ids = arrays(gold, predicted)
    counts = count_documents(*ids, LABELS, None, documents, marked=True)
    metric = metric_of(name, LABELS.types)
    value, influence = metric.rate.measure(metric.counts(counts, "here"))
    assert value == pytest.approx(100 * metric.of(score(*ids, LABELS)))
    assert len(influence) == 9 and influence.sum() == pytest.approx(0, abs=1e-9)


def test_types_named_like_scores_keep_scores_of_their_own():
    labels = LabelSet(["PER", "strict", "seen", "f1", "types"])
    gold = np.array([labels.ids[f"B-{type_}"] for type_ in labels.types])
    predicted = np.where(gold == labels.ids["B-PER"], labels.ids["B-strict"], gold)
    scores = score(gold, predicted, np.array([len(gold)]), labels)
    flat = scores.flat("dev")
    assert len(flat) == len(scores.flat()) == 8 + 4 * len(labels.types)
    assert flat["dev/f1"] == flat["dev/strict/f1"] == 0.8
    assert flat["dev/types/strict/f1"] == pytest.approx(2 / 3)  # found once, predicted twice
    assert flat["dev/types/seen/f1"] == 1 and flat["dev/types/PER/f1"] == 0
    for name, value in {"types/strict/f1": 2 / 3, "seen/f1": 1, "types/types/f1": 1}.items():
        assert metric_of(name, labels.types).of(scores) == pytest.approx(value)
    assert metric_of("strict/f1", labels.types).of(scores) == 0.8


def test_labels_are_for_people():
    names = ("f1", "strict/f1", "PER/recall", "macro_f1", "partial/f0.5", "strict/PER/f2")
    labels = [metric_of(name, LABELS.types).label for name in names]
    assert labels == ["F1", "strict F1", "PER recall", "macro F1", "partial F0.5", "strict PER F2"]


@pytest.mark.parametrize(
    "name",
    ["", "F1", "f", "f0", "f-1", "g1", "GPE/f1", "PER", "PER/macro_f1", "accuracy", "loose/f1",
     "exact/PER/f1", "partial/macro_f1", "strict/", "strict/exact/f1", "dev/f1"],
)  # fmt: skip
def test_other_names_are_refused_in_a_line_that_lists_what_exists(name, faults_of):
    (fault,) = faults_of(lambda: metric_of(name, LABELS.types))
    assert (fault.setting, fault.value) == ("metric", name)
    for word in ("strict", "ent_type", "LOC, ORG, PER", "macro_f1"):
        assert word in fault.remedy


@pytest.mark.parametrize(
    ("name", "modes", "types", "lacking"),
    [
        ("strict/f1", 1, ("PER",), "the view strict"),
        ("partial/f1", 2, ("PER",), "the view partial"),
        ("PER/f1", 3, (), "PER"),
        ("macro_f1", 3, (), "each type"),
    ],
)
def test_counts_of_an_older_version_are_refused_if_they_lack_something(
    name, modes, types, lacking, faults_of
):
    counts = from_dense(types, True, np.ones((2, 1, modes, 3), dtype=np.int64))
    assert F1.counts(counts, "archive").tolist() == [[[1, 1, 1]]] * 2
    metric = metric_of(name, ("PER",))
    (fault,) = faults_of(lambda: metric.counts(counts, "archive"))
    assert lacking in fault.must and fault.must.startswith("archive has no")
