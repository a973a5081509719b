"""Entities whose gold label may be wrong: most runs read the words otherwise, and are sure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from nersweep.evaluation.metrics import is_among
from nersweep.report.disagreements import Entity, by_sentence
from nersweep.report.predictions import TaggedSplit
from nersweep.report.records import Record
from nersweep.results.probabilities import read_probabilities

Row = tuple[int, int, int]  # start, end, type of an entity, over all words of a split


@dataclass(frozen=True)
class Suspect:
    """A place in a sentence where most runs predict other entities than gold, all alike.

    run: one of those that have scored the sentence; number: its place in their split, from 1.
    gold: the entities that they contradict; proposed: what they predict there; either may be empty.
    others: the other gold entities of the sentence. doubt: how surely the runs reject gold there,
    in (−2, 2): the least mean of `doubts` of a word. confidence: the mean probability of the
    proposed labels. agree: how many of the runs say so.
    """

    run: str
    number: int
    words: tuple[str, ...]
    others: tuple[Entity, ...]
    gold: tuple[Entity, ...]
    proposed: tuple[Entity, ...]
    doubt: float
    confidence: float
    agree: int
    runs: int


class Scored(NamedTuple):
    """A run's predictions. gold, predicted: the probabilities of these labels (W,)."""

    name: str
    split: TaggedSplit
    gold: np.ndarray
    predicted: np.ndarray


class Reading(NamedTuple):
    """Wrong gold entities that overlap wrong predicted ones, and these."""

    gold: tuple[Row, ...]
    predicted: tuple[Row, ...]

    @property
    def bounds(self) -> tuple[int, int]:
        """The first word of the first entity, and the end of the last."""
        rows = [*self.gold, *self.predicted]
        return min(start for start, _, _ in rows), max(end for _, end, _ in rows)


def find_suspects(records: Iterable[Record], limit: int) -> list[Suspect]:
    """Return the suspects of runs of any settings, the most doubtful first.

    Runs that are scored on the same sentences are taken together. Others, as of another fold, add
    theirs; a place in a sentence of the same words counts once. Left out are runs that predict no
    entity, and those that have kept no probabilities, as of an archive or of an older version. Of
    entities that overlap, those count that tags hold. Raises UserError if predictions cannot be
    read.
    """
    parts: dict[object, list[Scored]] = defaultdict(list)  # by types, sentences and gold tags
    for record in records:
        if record.folder is None or not record.counts[:, 1].any():
            continue
        split = replace(record.predictions(), spans=None, gold_spans=None)
        probabilities = read_probabilities(record.folder, record.split, len(split.words))
        if probabilities is not None:
            types = tuple(split.labels.types)
            content = types, tuple(split.words), tuple(split.gold_tags), split.lengths.tobytes()
            parts[content].append(Scored(record.result.name, split, *probabilities))
    suspects: list[Suspect] = []
    for part in parts.values():
        suspects += suspects_of(part)
    suspects.sort(key=lambda suspect: -suspect.doubt)
    first: list[Suspect] = []
    places: dict[tuple[str, ...], set[int]] = defaultdict(set)  # suspected words, by sentence
    for suspect in suspects:
        words: set[int] = set()
        for entity in (*suspect.gold, *suspect.proposed):
            words.update(range(entity.start, entity.end))
        if not words & places[suspect.words]:
            first.append(suspect)
        places[suspect.words] |= words
    return first[:limit]


def suspects_of(runs: Sequence[Scored]) -> list[Suspect]:
    """Return the suspects of runs that are scored on the same sentences."""
    votes: dict[Reading, list[Scored]] = defaultdict(list)
    for run in runs:
        for reading in readings(run.split):
            votes[reading].append(run)
    first = runs[0].split
    doubt = np.mean([doubts(run) for run in runs], axis=0)  # (W,)
    gold = by_sentence(first, first.gold, [""] * len(first.gold))
    suspects: list[Suspect] = []
    for reading, agreeing in votes.items():
        if 2 * len(agreeing) <= len(runs):
            continue
        words = np.arange(*reading.bounds)
        words = words[agreeing[0].split.ids[words] != first.gold_ids[words]]
        number = int(np.searchsorted(first.ends, words[0], side="right"))
        start, end = int(first.ends[number] - first.lengths[number]), int(first.ends[number])
        contradicted = within(first, reading.gold, start)
        suspects.append(
            Suspect(
                runs[0].name,
                number + 1,
                tuple(first.words[start:end]),
                tuple(entity for entity in gold[number] if entity not in contradicted),
                contradicted,
                within(first, reading.predicted, start),
                float(doubt[words].min()),
                float(np.mean([run.predicted[words] for run in agreeing])),
                len(agreeing),
                len(runs),
            )
        )
    return suspects


def doubts(run: Scored) -> np.ndarray:
    """Return how surely a run rejects each word's gold label, (W,).

    (p_k − t_k) − (p_g − t_g), with p_k of the predicted and p_g of the gold label, and t_c the mean
    of p_g over the words of gold label c: what a run finds hard throughout is no news. 0 where it
    predicts gold. That is the margin of confident learning, normalised by its thresholds (eq. 2 of
    Northcutt et al. 2021, JAIR 70). A label that no word has gets the mean over all words.
    """
    gold, labels = run.split.gold_ids, len(run.split.labels)
    words = np.bincount(gold, minlength=labels)
    sums = np.bincount(gold, weights=run.gold, minlength=labels)
    t = np.where(words, sums / np.maximum(words, 1), run.gold.mean())
    return np.asarray((run.predicted - t[run.split.ids]) - (run.gold - t[gold]))


def readings(split: TaggedSplit) -> list[Reading]:
    """Return the places where a run contradicts gold, from left to right."""
    gold, predicted = split.gold, split.predicted
    errors: list[tuple[Row, int]] = []
    for side, (rows, others) in enumerate(((gold, predicted), (predicted, gold))):
        for start, end, type_ in rows[~is_among(rows, others)].tolist():
            errors.append(((start, end, type_), side))
    errors.sort()
    groups: list[tuple[list[Row], list[Row]]] = []
    reached = 0  # the end of the last group
    for row, side in errors:
        if not groups or row[0] >= reached:
            groups.append(([], []))
        groups[-1][side].append(row)
        reached = max(reached, row[1])
    return [Reading(tuple(missed), tuple(wrong)) for missed, wrong in groups]


def within(split: TaggedSplit, rows: Iterable[Row], first: int) -> tuple[Entity, ...]:
    """Return entities of the sentence that begins at this word."""
    types = split.labels.types
    return tuple(Entity(start - first, end - first, types[t - 1]) for start, end, t in rows)
