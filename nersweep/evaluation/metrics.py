"""Score predictions: entity precision, recall and F1 as the CoNLL evaluation script counts them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from nersweep.labels import LabelSet

REPORT_COLUMNS = ("precision", "recall", "f1-score", "support")


class Flat:
    """Scores that can be shown under flat names. A base of dataclasses of numbers."""

    def flat(self, prefix: str = "") -> dict[str, float]:
        """Return the scores under names such as dev/f1, dev/strict/f1, dev/types/PER/f1."""
        return flatten(asdict(self), prefix)  # type: ignore[call-overload]


def flatten(scores: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """Join the keys of nested scores by a slash, of numbers alone.

    Types have a level of their own: a type strict must not meet the strict scores.
    """
    flat: dict[str, float] = {}
    for name, value in scores.items():
        path = f"{prefix}/{name}" if prefix else name
        if isinstance(value, Mapping):
            flat |= flatten(value, path)
        elif isinstance(value, int | float):
            flat[path] = value
    return flat


@dataclass(frozen=True)
class Rates(Flat):
    """F1, precision and recall in [0, 1]; each is 0 if its denominator is."""

    f1: float
    precision: float
    recall: float

    @classmethod
    def from_counts(cls, correct: float, predicted: float, gold: float, **others: Any) -> Self:
        """Compute the rates of entity counts. others: further fields of a subclass."""
        return cls(
            f1=2 * correct / (predicted + gold) if predicted + gold else 0.0,
            precision=correct / predicted if predicted else 0.0,
            recall=correct / gold if gold else 0.0,
            **others,
        )


@dataclass(frozen=True)
class TypeScores(Rates):
    """Rates over some of the entities. support: how many of these are gold."""

    support: int


@dataclass(frozen=True)
class Scores(Rates):
    """Scores of one split in [0, 1]: micro rates over entities.

    macro_f1: the mean over types that have gold entities. accuracy: over words. strict: the micro
    rates in strict mode. types: the scores of each type. counts: as `tally` gives them for one
    document, from which any other metric follows; None in results of an older version.
    """

    macro_f1: float
    accuracy: float
    strict: Rates
    types: dict[str, TypeScores]
    counts: list[list[list[int]]] | None = None


def entities(
    ids: np.ndarray, lengths: np.ndarray, labels: LabelSet, strict: bool = False
) -> np.ndarray:
    """Return the entities of label ids as rows (start, end, type).

    ids: (words,) of all sentences; lengths: (sentences,), in words. end is exclusive; type counts
    from 1 in the order of `labels.types`. As in conlleval and in seqeval's default mode, an I- that
    continues nothing starts an entity. In strict mode, seqeval's with IOB2, only a B- does.
    """
    types = labels.type_ids[ids]
    first = np.zeros(len(ids) + 1, dtype=bool)  # is the word the first of a sentence, or past all
    first[np.cumsum(lengths)] = first[0] = True
    before = np.concatenate([[0], types[:-1]])
    before[first[:-1]] = 0
    starts = (types > 0) & (labels.begins[ids] | (before != types))
    continues = (types[1:] == types[:-1]) & ~starts[1:] & ~first[1:-1]
    ends = (types > 0) & ~np.concatenate([continues, [False]])
    rows = np.stack([np.flatnonzero(starts), np.flatnonzero(ends) + 1, types[starts]], axis=1)
    return rows[labels.begins[ids][rows[:, 0]]] if strict else rows


def gold_entities(
    ids: np.ndarray,
    lengths: np.ndarray,
    labels: LabelSet,
    spans: np.ndarray | None,
    gold_spans: np.ndarray | None,
    strict: bool = False,
) -> np.ndarray:
    """Return the gold entities that predictions are scored against, rows as in `entities`.

    Those of the label ids; if predictions are spans, and so may overlap, all that the data have.
    """
    if spans is None or gold_spans is None:
        return entities(ids, lengths, labels, strict)
    return gold_spans


def is_among(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return which rows (start, end, type) are among others, (rows,)."""
    width = 1 + max(int(x.max(initial=0)) for x in (rows, others))

    def keys(rows: np.ndarray) -> np.ndarray:
        start, end, type_ = rows.T
        return np.asarray((start * width + end) * width + type_)

    return np.isin(keys(rows), keys(others))


Cost = Callable[[list[int], list[int]], float]


def pairs(gold: np.ndarray, predicted: np.ndarray, cost: Cost) -> Iterator[tuple[int, int]]:
    """Pair predictions with the gold entities that they overlap, by number, each at most once.

    gold and predicted: rows (start, end, type), gold ones in order. From left to right, a
    prediction takes the free entity of least cost(entity, prediction), the first of equal ones.
    """
    ends = np.maximum.accumulate(gold[:, 1])  # entities may lie in others
    first = np.searchsorted(ends, predicted[:, 0], side="right").tolist()
    end = np.searchsorted(gold[:, 0], predicted[:, 1], side="left").tolist()
    entities, predictions = gold.tolist(), predicted.tolist()
    taken: set[int] = set()
    for number in np.lexsort((predicted[:, 1], predicted[:, 0])).tolist():
        best, least = -1, np.inf
        for candidate in range(first[number], end[number]):
            price = cost(entities[candidate], predictions[number])
            overlaps = entities[candidate][1] > predictions[number][0]
            if candidate not in taken and overlaps and price < least:
                best, least = candidate, price
        if best >= 0:
            taken.add(best)
            yield best, number


def other_boundaries(entity: list[int], prediction: list[int]) -> float:
    """Return 0 for the same boundaries, else 1."""
    return float(entity[:2] != prediction[:2])


def distance_within_type(entity: list[int], prediction: list[int]) -> float:
    """Return how far the boundaries lie apart, in words; more than any distance for other types."""
    if entity[2] != prediction[2]:
        return 1e9
    return abs(entity[0] - prediction[0]) + abs(entity[1] - prediction[1])


def relaxed_matches(gold: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return what each gold entity counts as correct where boundaries or its type may be wrong.

    Returns (gold, 3), as nervaluate 1.2 counts: exact, 1 if a prediction of any type has its
    boundaries; partial, in halves, 2 for such a one and 1 if one overlaps; ent_type, 1 if one of
    its type overlaps. Predictions that are right take their entities first; if predictions
    overlap each other, nervaluate may not. gold and predicted: as for `pairs`.
    """
    correct = np.zeros((len(gold), 3), dtype=np.int64)
    right = is_among(gold, predicted)
    correct[right] = 1, 2, 1
    (others,) = np.nonzero(~right)
    gold, predicted = gold[others], predicted[~is_among(predicted, gold)]
    for entity, number in pairs(gold, predicted, other_boundaries):
        exact = bool((gold[entity, :2] == predicted[number, :2]).all())
        correct[others[entity], :2] = exact, 1 + exact
    for entity, number in pairs(gold, predicted, distance_within_type):
        correct[others[entity], 2] = gold[entity, 2] == predicted[number, 2]
    return correct


def tally(
    gold: np.ndarray,
    predicted: np.ndarray,
    lengths: np.ndarray,
    labels: LabelSet,
    spans: np.ndarray | None,
    documents: np.ndarray,
    gold_spans: np.ndarray | None = None,
) -> np.ndarray:
    """Count the entities of each document by type and mode, (documents, types, 3, 3).

    Modes: 0, lenient, as conlleval counts correct, predicted and gold; 1, the same in strict mode;
    2, the correct ones of `relaxed_matches`, summed by the type of the gold entity. gold and
    predicted: label ids (words,). lengths: (sentences,), in words. spans: the predicted entities,
    if they are not those of the predicted labels. documents: (sentences,), numbers from 0.
    gold_spans: all gold entities, if some overlap: they count where predicted ones may too.
    """
    types, number = len(labels.types), int(documents.max(initial=-1)) + 1
    cells = np.repeat(documents, lengths) * types - 1  # (words,)
    counts = np.zeros((number * types, 3, 3), dtype=np.int64)
    for mode, strict in enumerate((False, True)):
        true = gold_entities(gold, lengths, labels, spans, gold_spans, strict)
        rows = entities(predicted, lengths, labels, strict) if spans is None else spans
        groups = true[is_among(true, rows)], rows, true
        for column, group in enumerate(groups):
            np.add.at(counts[:, mode, column], cells[group[:, 0]] + group[:, 2], 1)
        if not strict:
            matches = relaxed_matches(true, rows)
            np.add.at(counts[:, 2], cells[true[:, 0]] + true[:, 2], matches)
    return counts.reshape(number, types, 3, 3)


def entity_counts(gold: np.ndarray, predicted: np.ndarray, words: int, types: int) -> np.ndarray:
    """Count correct, predicted and gold entities by type, (types, 3).

    gold and predicted: rows (start, end, type) over so many words.
    """

    def by_type(rows: np.ndarray) -> np.ndarray:
        return np.bincount(rows[:, 2], minlength=types + 1)[1:]

    correct = gold[is_among(gold, predicted)]
    return np.stack([by_type(correct), by_type(predicted), by_type(gold)], axis=1)


def score(
    gold: np.ndarray,
    predicted: np.ndarray,
    lengths: np.ndarray,
    labels: LabelSet,
    spans: np.ndarray | None = None,
    gold_spans: np.ndarray | None = None,
) -> Scores:
    """Score one split.

    gold and predicted: label ids (words,). lengths: (sentences,), in words. spans: the predicted
    entities, rows as in `entities`, if they are not those of the predicted labels. gold_spans: as
    in `tally`.
    """

    one_document = np.zeros(len(lengths), dtype=np.int64)
    counts = tally(gold, predicted, lengths, labels, spans, one_document, gold_spans).sum(0)
    by_type = counts[:, 0]
    types: dict[str, TypeScores] = {}
    supported: list[float] = []
    for name, row in zip(labels.types, by_type.tolist(), strict=True):
        types[name] = TypeScores.from_counts(*row, support=row[2])
        if row[2]:
            supported.append(types[name].f1)
    return Scores.from_counts(
        *by_type.sum(0).tolist(),
        macro_f1=float(np.mean(supported)) if supported else 0.0,
        accuracy=float((gold == predicted).mean()),
        strict=Rates.from_counts(*counts[:, 1].sum(0).tolist()),
        types=types,
        counts=counts.tolist(),
    )


def confusion(gold: np.ndarray, predicted: np.ndarray, labels: LabelSet) -> np.ndarray:
    """Count words by gold label (rows) and predicted label (columns)."""
    pairs = np.bincount(gold * len(labels) + predicted, minlength=len(labels) ** 2)
    return pairs.reshape(len(labels), -1)


def report_text(counts: np.ndarray, types: Sequence[str]) -> str:
    """Return a table of rates by type and on average, as seqeval's classification_report.

    counts: entities correct, predicted and gold by type, (types, 3). Types without any entity are
    left out. Averages: micro over entities, macro over types, weighted over types by support.
    """
    width = max(map(len, ["weighted avg", *types]))
    lines = [f"{'':>{width}} " + "".join(f" {name:>9}" for name in REPORT_COLUMNS), ""]
    table: list[tuple[float, float, float]] = []
    supports: list[int] = []

    def add(name: str, values: Sequence[float], support: int) -> None:
        cells = "".join(f" {value:>9.4f}" for value in values)
        lines.append(f"{name:>{width}} {cells} {support:>9}")

    for name, row in sorted(zip(types, counts.tolist(), strict=True)):
        if row[1] or row[2]:
            rates = Rates.from_counts(*row)
            table.append((rates.precision, rates.recall, rates.f1))
            supports.append(row[2])
            add(name, table[-1], row[2])
    lines.append("")
    total = sum(supports)
    micro = Rates.from_counts(*counts.sum(0).tolist())
    rows = np.array(table).reshape(-1, 3)
    macro = rows.sum(0) / max(len(rows), 1)
    weighted = (rows * np.array(supports).reshape(-1, 1)).sum(0) / max(total, 1)
    add("micro avg", (micro.precision, micro.recall, micro.f1), total)
    add("macro avg", macro.tolist(), total)
    add("weighted avg", weighted.tolist(), total)
    return "\n".join(lines) + "\n"
