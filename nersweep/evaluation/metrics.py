"""Score predictions: entity precision, recall and F1 as the CoNLL evaluation script counts them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from nersweep.labels import LabelSet

REPORT_COLUMNS = ("precision", "recall", "f1-score", "support")


class Flat:
    """Scores that can be shown under flat names. A base of dataclasses of numbers."""

    def flat(self, prefix: str = "") -> dict[str, float]:
        """Return the scores under names such as dev/f1, dev/strict/f1, dev/PER/f1."""
        return flatten(asdict(self), prefix)  # type: ignore[call-overload]


def flatten(scores: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """Join the keys of nested scores by a slash. The level `types` adds nothing to the names."""
    flat: dict[str, float] = {}
    for name, value in scores.items():
        path = f"{prefix}/{name}" if prefix else name
        if isinstance(value, Mapping):
            flat |= flatten(value, prefix if name == "types" else path)
        else:
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
    rates in strict mode. types: the scores of each type.
    """

    macro_f1: float
    accuracy: float
    strict: Rates
    types: dict[str, TypeScores]


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


def correct_entities(gold: np.ndarray, predicted: np.ndarray, words: int, types: int) -> np.ndarray:
    """Return the gold entities that are predicted.

    gold and predicted: rows (start, end, type) over so many words.
    """

    def keys(rows: np.ndarray) -> np.ndarray:
        start, end, type_ = rows.T
        return np.asarray((start * (words + 1) + end) * (types + 1) + type_)

    return gold[np.isin(keys(gold), keys(predicted), assume_unique=True)]


def entity_counts(gold: np.ndarray, predicted: np.ndarray, words: int, types: int) -> np.ndarray:
    """Count correct, predicted and gold entities by type, (types, 3).

    gold and predicted: rows (start, end, type) over so many words.
    """

    def by_type(rows: np.ndarray) -> np.ndarray:
        return np.bincount(rows[:, 2], minlength=types + 1)[1:]

    correct = correct_entities(gold, predicted, words, types)
    return np.stack([by_type(correct), by_type(predicted), by_type(gold)], axis=1)


def score(
    gold: np.ndarray,
    predicted: np.ndarray,
    lengths: np.ndarray,
    labels: LabelSet,
    spans: np.ndarray | None = None,
) -> Scores:
    """Score one split.

    gold and predicted: label ids (words,). lengths: (sentences,), in words. spans: the predicted
    entities, rows as in `entities`, if they are not those of the predicted labels.
    """

    def counts(strict: bool) -> np.ndarray:
        true = entities(gold, lengths, labels, strict)
        rows = entities(predicted, lengths, labels, strict) if spans is None else spans
        return entity_counts(true, rows, len(gold), len(labels.types))

    by_type = counts(strict=False)
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
        strict=Rates.from_counts(*counts(strict=True).sum(0).tolist()),
        types=types,
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
