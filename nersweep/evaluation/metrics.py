"""Label ids to scores: entity precision, recall and F1 as the CoNLL evaluation script counts them."""

from typing import Any

import numpy as np

from nersweep.labels import LabelSet


def entities(
    ids: np.ndarray, lengths: np.ndarray, labels: LabelSet, strict: bool = False
) -> np.ndarray:
    """The entities in label ids (words,) of sentences with so many words each: rows (start, end, type), end exclusive,
    type from 1 in the order of `labels.types`.

    As in conlleval and seqeval's default mode, an I- that continues nothing starts an entity; in strict mode, seqeval's
    with IOB2, only B- does.
    """
    types = labels.type_ids[ids]
    opens = np.zeros(
        len(ids) + 1, dtype=bool
    )  # is this word the first of a sentence (or past the last)
    opens[np.cumsum(lengths)] = opens[0] = True
    before = np.concatenate([[0], types[:-1]])
    before[opens[:-1]] = 0
    starts = (types > 0) & (labels.begins[ids] | (before != types))
    goes_on = np.concatenate([(types[1:] == types[:-1]) & ~starts[1:] & ~opens[1:-1], [False]])
    found = np.stack(
        [np.flatnonzero(starts), np.flatnonzero((types > 0) & ~goes_on) + 1, types[starts]], axis=1
    )
    return found[labels.begins[ids][found[:, 0]]] if strict else found


def entity_counts(gold: np.ndarray, predicted: np.ndarray, words: int, types: int) -> np.ndarray:
    """Of entities as rows (start, end, type) over so many words: per type those that are correct, predicted, and gold,
    (types, 3)."""
    keys = [
        (rows[:, 0] * (words + 1) + rows[:, 1]) * (types + 1) + rows[:, 2]
        for rows in (gold, predicted)
    ]
    correct = gold[np.isin(keys[0], keys[1], assume_unique=True)]
    by_type = [
        np.bincount(rows[:, 2], minlength=types + 1)[1:] for rows in (correct, predicted, gold)
    ]
    return np.stack(by_type, axis=1)


def rates(correct: float, predicted: float, gold: float) -> dict[str, float]:
    """Precision, recall and F1, each 0 where its denominator is."""
    return {
        "f1": 2 * correct / (predicted + gold) if predicted + gold else 0.0,
        "precision": correct / predicted if predicted else 0.0,
        "recall": correct / gold if gold else 0.0,
    }


def score(
    gold: np.ndarray,
    predicted: np.ndarray,
    lengths: np.ndarray,
    labels: LabelSet,
    spans: np.ndarray | None = None,
) -> dict[str, Any]:
    """All scores of one split, in [0, 1]: micro f1, precision and recall over entities; macro_f1, the mean over types
    that have gold entities; accuracy over words; strict, the micro scores in strict mode; types, the scores of each
    type with its support (gold entities).

    gold and predicted: label ids (words,). spans: the predicted entities, rows as in `entities`, where they are not
    those of the predicted labels.
    """

    def counts(strict: bool) -> np.ndarray:
        found = entities(predicted, lengths, labels, strict) if spans is None else spans
        return entity_counts(
            entities(gold, lengths, labels, strict), found, len(gold), len(labels.types)
        )

    by_type = counts(strict=False)
    types = {
        name: rates(*row.tolist()) | {"support": int(row[2])}
        for name, row in zip(labels.types, by_type, strict=True)
    }
    supported = [scores["f1"] for scores in types.values() if scores["support"]]
    return {
        **rates(*by_type.sum(0).tolist()),
        "macro_f1": float(np.mean(supported)) if supported else 0.0,
        "accuracy": float((gold == predicted).mean()),
        "strict": rates(*counts(strict=True).sum(0).tolist()),
        "types": types,
    }


def flatten(scores: dict[str, Any], prefix: str) -> dict[str, float]:
    """Scores under the names that the tracker shows: dev/f1, dev/strict/f1, dev/PER/f1."""
    flat = {}
    for name, value in scores.items():
        if isinstance(value, dict):
            flat |= flatten(value, prefix if name == "types" else f"{prefix}/{name}")
        else:
            flat[f"{prefix}/{name}"] = value
    return flat


def confusion(gold: np.ndarray, predicted: np.ndarray, labels: LabelSet) -> np.ndarray:
    """Words by gold label (rows) and predicted label (columns)."""
    return np.bincount(gold * len(labels) + predicted, minlength=len(labels) ** 2).reshape(
        len(labels), -1
    )
