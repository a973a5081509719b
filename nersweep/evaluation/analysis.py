"""What the analysis of a run holds: kinds of errors, entities that training had, grammar,
calibration, and what thresholds and a temperature chosen after training would have given.

Reports read it, so it imports no torch.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

import numpy as np

from nersweep.data.corpus import Sentence, entity_rows
from nersweep.evaluation import stats
from nersweep.evaluation.metrics import Flat, Rates, TypeScores, entities, entity_counts, is_among
from nersweep.labels import LabelSet

T = TypeVar("T")


@dataclass(frozen=True)
class Errors:
    """Wrong entities by kind.

    Of predicted ones: boundary, if some gold entity of the type overlaps; type, if only ones of
    other types do; spurious, if none does. Of gold ones: missed, if no prediction overlaps.
    """

    boundary: int
    type: int
    spurious: int
    missed: int


KINDS = tuple(field.name for field in fields(Errors))


@dataclass(frozen=True)
class WordGroups(Generic[T]):
    """A value over all words, and one over those that are an entity's, in gold or as predicted."""

    all: T
    entities: T


@dataclass(frozen=True)
class SplitAnalysis(Flat):
    """Analysis of one split.

    illegal_transitions: the share of words whose label IOB2 forbids. calibration_error: expected,
    in [0, 1]. seen: scores over the entities whose words are an entity of training; unseen: over
    the others. cross_entropy: the mean −log p of the true class of a word, in nats; of a CRF, p is
    the word's marginal. auc: the area under the curve of entities, in [0, 1], and its summed counts
    (τ, 3). shared: the share of sentences that training has, word for word; unshared_f1: F1 over
    the others, NaN without entities there. A further score needs the default NaN: results of an
    older version lack it.
    """

    illegal_transitions: float
    calibration_error: WordGroups[float]
    errors: Errors
    seen: TypeScores
    unseen: TypeScores
    cross_entropy: float = np.nan
    auc: float = np.nan
    curve: list[list[int]] | None = None
    shared: float = np.nan
    unshared_f1: float = np.nan


@dataclass(frozen=True)
class Diagram:
    """A reliability diagram: words by bins of confidence, and their means; None in an empty bin."""

    counts: list[int]
    confidence: list[float | None]
    accuracy: list[float | None]


@dataclass(frozen=True)
class Diagrams:
    dev: WordGroups[Diagram]
    test: WordGroups[Diagram]


@dataclass(frozen=True)
class Threshold:
    """The τ with the best F1 on dev, and the rates with it.

    at_bound: whether a wider search might have found a better one; None if unknown.
    """

    tau: float
    dev: Rates
    test: Rates
    at_bound: bool | None = None


@dataclass(frozen=True)
class TypeThresholds:
    """Offsets of the types beside τ, with the best F1 on dev, and the rates with both."""

    offsets: dict[str, float]
    dev: Rates
    test: Rates


@dataclass(frozen=True)
class Confidence(Flat):
    """How far probabilities can be trusted: two scores of `SplitAnalysis`."""

    cross_entropy: float
    calibration_error: WordGroups[float]


@dataclass(frozen=True)
class Temperature:
    """The temperature with the least cross entropy on dev, and the scores at it."""

    value: float
    dev: Confidence
    test: Confidence


NO_RATES = Rates(np.nan, np.nan, np.nan)
NO_TYPE_THRESHOLDS = TypeThresholds({}, NO_RATES, NO_RATES)
NO_CONFIDENCE = Confidence(np.nan, WordGroups(np.nan, np.nan))
NO_TEMPERATURE = Temperature(np.nan, NO_CONFIDENCE, NO_CONFIDENCE)


@dataclass(frozen=True)
class Analysis:
    """Analysis of a run. type_thresholds and temperature: None in results of an older version."""

    dev: SplitAnalysis
    test: SplitAnalysis
    calibration: Diagrams
    threshold: Threshold
    type_thresholds: TypeThresholds | None = None
    temperature: Temperature | None = None

    def split(self, name: str) -> SplitAnalysis:
        return {"dev": self.dev, "test": self.test}[name]

    def after(self, split: str) -> dict[str, float]:
        """Return the scores of dev or test with what was chosen after training, by flat names.

        These are threshold/tau, threshold/f1, type_thresholds/f1, temperature/value, and so on; NaN
        where unknown.
        """
        types = self.type_thresholds or NO_TYPE_THRESHOLDS
        temperature = self.temperature or NO_TEMPERATURE
        scores = {"threshold/tau": self.threshold.tau, "temperature/value": temperature.value}
        for part, name in (
            (self.threshold, "threshold"),
            (types, "type_thresholds"),
            (temperature, "temperature"),
        ):
            scores |= (part.dev if split == "dev" else part.test).flat(name)
        return scores


def training_entities(
    sentences: Sequence[Sentence], labels: LabelSet, has_spans: bool
) -> set[tuple[str, ...]]:
    """Return the words of each entity of the training split, of whatever type.

    has_spans: whether the head has spans, so that those count too which tags cannot hold.
    """
    ids: list[int] = []
    for sentence in sentences:
        ids += labels.encode(sentence.tags)
    lengths = np.array([len(sentence.tags) for sentence in sentences], dtype=np.int64)
    rows = entity_rows(sentences, labels) if has_spans else None
    if rows is None:
        rows = entities(np.array(ids, dtype=np.int64), lengths, labels)
    return set(surfaces(sentences, rows))


def judged(gold: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the kind of error of each predicted and of each gold entity; "" if it is right.

    gold and predicted: rows (start, end, type). Predicted ones that are not right are boundary,
    type or spurious; gold ones may be missed. See `Errors`.
    """
    true = {tuple(row) for row in gold.tolist()}
    right = np.array([tuple(row) in true for row in predicted.tolist()], dtype=bool)
    any_type, same_type = overlapped(predicted, gold)
    kinds = np.select([right, same_type, any_type], ["", "boundary", "type"], "spurious")
    return kinds, np.where(overlapped(gold, predicted)[0], "", "missed")


def errors(gold: np.ndarray, predicted: np.ndarray) -> Errors:
    """Count the wrong entities of rows (start, end, type)."""
    kinds = Counter(np.concatenate(judged(gold, predicted)).tolist())
    return Errors(**{kind: kinds[kind] for kind in KINDS})


def overlapped(spans: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each span whether one of the others overlaps it, and whether one of its type."""
    words = max((int(rows[:, 1].max()) for rows in (spans, others) if len(rows)), default=0)

    def touched(rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
        starts = np.bincount(rows[:, 0], minlength=words + 1)
        edges = starts - np.bincount(rows[:, 1], minlength=words + 1)
        covered = np.cumsum(np.cumsum(edges) > 0)  # words up to this one that some row covers
        covered = np.concatenate([[0], covered])
        return np.asarray(covered[targets[:, 1]] > covered[targets[:, 0]])

    same = np.zeros(len(spans), dtype=bool)
    for type_id in np.unique(spans[:, 2]):
        mine = spans[:, 2] == type_id
        same[mine] = touched(others[others[:, 2] == type_id], spans[mine])
    return touched(others, spans), same


def surfaces(sentences: Sequence[Sentence], spans: np.ndarray) -> list[tuple[str, ...]]:
    """Return the words of each span. spans: rows (start, end, type) over all sentences' words."""
    words: list[str] = []
    for sentence in sentences:
        words += sentence.words
    return [tuple(words[start:end]) for start, end, _ in spans.tolist()]


def by_familiarity(
    gold: np.ndarray,
    predicted: np.ndarray,
    sentences: Sequence[Sentence],
    training_entities: set[tuple[str, ...]],
    types: int,
) -> dict[str, TypeScores]:
    """Score the entities that training had as "seen", and the others as "unseen".

    gold and predicted: rows (start, end, type). training_entities: the words of the entities of the
    training split, of whatever type.
    """
    words = sum(len(sentence.words) for sentence in sentences)

    def is_known(rows: np.ndarray) -> np.ndarray:
        return np.array([x in training_entities for x in surfaces(sentences, rows)], dtype=bool)

    seen_gold, seen_predicted = is_known(gold), is_known(predicted)
    scores: dict[str, TypeScores] = {}
    for name, seen in (("seen", True), ("unseen", False)):
        rows = gold[seen_gold == seen], predicted[seen_predicted == seen]
        counts = entity_counts(*rows, words, types).sum(0).tolist()
        scores[name] = TypeScores.from_counts(*counts, support=counts[2])
    return scores


def f1_without(
    sentences: np.ndarray, gold: np.ndarray, predicted: np.ndarray, lengths: np.ndarray
) -> float:
    """Return F1 without some sentences; NaN if no entity is left.

    sentences: which to leave out, (S,). gold and predicted: rows (start, end, type). lengths: (S,),
    in words.
    """
    is_new = ~np.repeat(sentences, lengths)  # (W,)
    gold, predicted = gold[is_new[gold[:, 0]]], predicted[is_new[predicted[:, 0]]]
    correct = int(is_among(gold, predicted).sum())
    if not len(gold) + len(predicted):
        return np.nan
    return Rates.from_counts(correct, len(predicted), len(gold)).f1


def illegal_transitions(ids: np.ndarray, lengths: np.ndarray, labels: LabelSet) -> float:
    """Return the share of words whose label IOB2 forbids after the word before, or at a start."""
    start, step = labels.legal_transitions()
    legal = np.concatenate([[True], step[ids[:-1], ids[1:]]])
    first = (np.cumsum(lengths) - lengths)[lengths > 0]
    legal[first] = start[ids[first]]
    return float(1 - legal.mean())


def calibration(probabilities: np.ndarray, gold: np.ndarray) -> WordGroups[stats.Calibration]:
    """Compare the probability of the most probable class with how often it is right.

    probabilities (W, P, C); gold: classes (W, P). With two pointers each word counts twice.
    """
    predicted, confidence = probabilities.argmax(-1), probabilities.max(-1)
    inside = (gold > 0) | (predicted > 0)
    correct = predicted == gold
    return WordGroups(
        all=stats.calibration_error(confidence.ravel(), correct.ravel()),
        entities=stats.calibration_error(confidence[inside], correct[inside]),
    )


def diagram(bins: stats.Calibration) -> Diagram:
    """Return a calibration with None for the NaN of an empty bin."""

    def means(values: np.ndarray) -> list[float | None]:
        return [None if np.isnan(x) else x for x in values.tolist()]

    return Diagram(bins.counts.tolist(), means(bins.confidence), means(bins.accuracy))
