"""What is told of a run once, after its last epoch: kinds of errors, entities that training had, grammar, calibration,
and what a threshold chosen after training would have given."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nersweep.batches.batch import Tokenised
from nersweep.data.corpus import Corpus, Sentence
from nersweep.evaluation import stats
from nersweep.evaluation.metrics import entities, entity_counts, rates
from nersweep.labels import LabelSet
from nersweep.model.heads.base import Head
from nersweep.model.tagger import Predictions

TAUS = np.arange(-20, 21) / 10  # that are tried
AT_ONCE = 256  # sentences that are decoded together
KINDS = ("boundary", "type", "spurious", "missed")  # of errors


def analyse(
    head: Head,
    counts: np.ndarray,
    corpus: Corpus,
    labels: LabelSet,
    splits: Mapping[str, Tokenised],
    predictions: Mapping[str, Predictions],
    device: torch.device,
) -> dict[str, Any]:
    """For dev and test what the functions below say. calibration: what a reliability diagram shows. threshold: the τ
    with the best F1 on dev, and the scores with it. counts (C,): of the head's classes in training."""
    known = set(
        surfaces(corpus.train, entities(splits["train"].labels, splits["train"].lengths(), labels))
    )
    gold = {
        name: entities(splits[name].labels, splits[name].lengths(), labels) for name in predictions
    }
    scores, diagrams = {}, {}
    for name, predicted in predictions.items():
        split, sentences = splits[name], corpus.splits()[name]
        spans = (
            entities(predicted.labels, split.lengths(), labels)
            if predicted.spans is None
            else predicted.spans
        )
        bins = calibration(
            predicted.probabilities, head.targets(split.gold(range(len(split))), labels)
        )
        scores[name] = {
            "illegal_transitions": illegal_transitions(predicted.labels, split.lengths(), labels),
            "calibration_error": {which: of.error for which, of in bins.items()},
            "errors": errors(gold[name], spans),
            **by_familiarity(gold[name], spans, sentences, known, len(labels.types)),
        }
        diagrams[name] = {which: diagram(of) for which, of in bins.items()}

    def at(tau: float, name: str) -> dict[str, float]:
        lengths, emissions = splits[name].lengths(), predictions[name].emissions
        return rates(
            *shifted_counts(
                head, tau, counts, labels, emissions, lengths, gold[name], device
            ).tolist()
        )

    tau = min(TAUS.tolist(), key=lambda tau: (-at(tau, "dev")["f1"], abs(tau), tau))
    return scores | {
        "calibration": diagrams,
        "threshold": {"tau": tau, **{name: at(tau, name) for name in predictions}},
    }


def judged(gold: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is wrong with each entity of rows (start, end, type), as one of KINDS, or "" where nothing is. Of predicted
    ones: boundary, where some gold entity of the type overlaps; type, where only ones of other types do; spurious,
    where none does. Of gold ones: missed, where no prediction overlaps."""
    true = {tuple(row) for row in gold.tolist()}
    right = np.array([tuple(row) in true for row in predicted.tolist()], dtype=bool)
    any_type, same_type = overlapped(predicted, gold)
    found = np.select([right, same_type, any_type], ["", "boundary", "type"], "spurious")
    return found, np.where(overlapped(gold, predicted)[0], "", "missed")


def errors(gold: np.ndarray, predicted: np.ndarray) -> dict[str, int]:
    """How many entities of rows (start, end, type) are wrong, by kind."""
    kinds = Counter(np.concatenate(judged(gold, predicted)).tolist())
    return {kind: kinds[kind] for kind in KINDS}


def overlapped(of: np.ndarray, by: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of these spans: does one of those overlap it, does one of its own type."""
    words = max((int(rows[:, 1].max()) for rows in (of, by) if len(rows)), default=0)

    def touched(rows: np.ndarray, spans: np.ndarray) -> np.ndarray:
        edges = np.bincount(rows[:, 0], minlength=words + 1) - np.bincount(
            rows[:, 1], minlength=words + 1
        )
        covered = np.concatenate(
            [[0], np.cumsum(np.cumsum(edges) > 0)]
        )  # words before this one that some row covers
        return covered[spans[:, 1]] > covered[spans[:, 0]]

    same = np.zeros(len(of), dtype=bool)
    for type_id in np.unique(of[:, 2]):
        mine = of[:, 2] == type_id
        same[mine] = touched(by[by[:, 2] == type_id], of[mine])
    return touched(by, of), same


def surfaces(sentences: Sequence[Sentence], spans: np.ndarray) -> list[tuple[str, ...]]:
    """The words of spans over the words of all these sentences."""
    words = [word for sentence in sentences for word in sentence.words]
    return [tuple(words[start:end]) for start, end, _ in spans.tolist()]


def by_familiarity(
    gold: np.ndarray,
    predicted: np.ndarray,
    sentences: Sequence[Sentence],
    known: set[tuple[str, ...]],
    types: int,
) -> dict[str, dict[str, float]]:
    """Scores over the entities, gold and predicted, whose words are those of an entity of the training split (of
    whatever type), and over the others."""
    words = sum(len(sentence.words) for sentence in sentences)
    is_known = [
        np.array([x in known for x in surfaces(sentences, rows)], dtype=bool)
        for rows in (gold, predicted)
    ]
    found = {}
    for name, which in (("seen", True), ("unseen", False)):
        kept = [rows[mask == which] for rows, mask in zip((gold, predicted), is_known, strict=True)]
        counts = entity_counts(*kept, words, types).sum(0).tolist()
        found[name] = rates(*counts) | {"support": int(counts[2])}
    return found


def illegal_transitions(ids: np.ndarray, lengths: np.ndarray, labels: LabelSet) -> float:
    """The share of words whose label IOB2 does not allow after the one before it, or at the sentence's start."""
    start, step = labels.legal_transitions()
    legal = np.concatenate([[True], step[ids[:-1], ids[1:]]])
    first = (np.cumsum(lengths) - lengths)[lengths > 0]
    legal[first] = start[ids[first]]
    return float(1 - legal.mean())


def calibration(
    probabilities: np.ndarray, targets: Sequence[Tensor]
) -> dict[str, stats.Calibration]:
    """How true the probabilities (W, P, C) of the most probable classes are: of all words, and of those that are an
    entity's, in truth or as predicted. With two pointers each word counts twice."""
    gold = np.stack([x.numpy() for x in targets], axis=1)  # (W, P)
    predicted, confidence = probabilities.argmax(-1), probabilities.max(-1)
    inside = (gold > 0) | (predicted > 0)
    return {
        "all": stats.calibration_error(confidence.ravel(), (predicted == gold).ravel()),
        "entities": stats.calibration_error(confidence[inside], (predicted == gold)[inside]),
    }


def diagram(of: stats.Calibration) -> dict[str, list[float | None]]:
    """As it is written down; None in an empty bin."""
    means = {"confidence": of.confidence, "accuracy": of.accuracy}
    shown = {
        name: [None if np.isnan(x) else x for x in values.tolist()]
        for name, values in means.items()
    }
    return {"counts": of.counts.tolist(), **shown}


def shifted_counts(
    head: Head,
    tau: float,
    counts: np.ndarray,
    labels: LabelSet,
    emissions: np.ndarray,
    lengths: np.ndarray,
    gold: np.ndarray,
    device: torch.device,
) -> np.ndarray:
    """Entities correct, predicted, gold, (3,), where -τ·log π_c is added to the score of each class c, π_c its share
    of the training words: above 0 rare classes are predicted more often. Menon et al. 2021, eq. 9, where τ is 1.
    emissions (words, outputs) of sentences of so many words each; gold: rows (start, end, type)."""
    shares = (
        np.maximum(counts, 1) / counts.sum()
    )  # a class that training lacks counts as if it were there once
    shift = -tau * np.tile(np.log(shares), head.pointers)
    shifted = torch.from_numpy(emissions + shift.astype(np.float32)).to(device)
    ends, predicted = np.concatenate([[0], np.cumsum(lengths)]), []
    for first in range(0, len(lengths), AT_ONCE):
        here = lengths[first : first + AT_ONCE]
        start, end = ends[first], ends[first + len(here)]
        decoded = head.decode(shifted[start:end], torch.from_numpy(here))
        spans = (
            entities(decoded.labels.cpu().numpy(), here, labels)
            if decoded.spans is None
            else decoded.spans.numpy()
        )
        predicted.append(spans + np.array([start, start, 0]))
    return entity_counts(gold, np.concatenate(predicted), len(emissions), len(labels.types)).sum(0)
