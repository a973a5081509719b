"""Sentences on which the settings disagree: what each predicts there, and where it errs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nersweep.evaluation.analysis import judged
from nersweep.report.comparison import Comparison
from nersweep.report.predictions import TaggedSplit
from nersweep.report.records import Record

SENTENCES = 200  # at most, in the page
READINGS = 1_800  # of all sentences, at most, so that the page stays below 3 MB


class Entity(NamedTuple):
    """Words of a sentence, the end exclusive. error: its kind, as in analysis.KINDS; "" if none."""

    start: int
    end: int
    type: str
    error: str = ""


@dataclass(frozen=True)
class Reading:
    """What some settings predict alike: their entities, and the true ones that they miss."""

    settings: tuple[str, ...]
    entities: tuple[Entity, ...]

    @property
    def correct(self) -> bool:
        return not any(entity.error for entity in self.entities)


@dataclass(frozen=True)
class Dispute:
    """A sentence on which settings disagree. number: its place in the split, from 1."""

    number: int
    words: tuple[str, ...]
    gold: tuple[Entity, ...]
    readings: tuple[Reading, ...]

    def errors(self) -> set[tuple[str, str, str]]:
        """Return setting, kind and type of each error.

        An error counts for its own type and for those of all true entities that it overlaps: an
        ORG that is taken for a LOC concerns both.
        """
        errors: set[tuple[str, str, str]] = set()
        for reading in self.readings:
            for entity in reading.entities:
                if not entity.error:
                    continue
                types = {entity.type}
                for true in self.gold:
                    if true.start < entity.end and entity.start < true.end:
                        types.add(true.type)
                for setting in reading.settings:
                    errors.update((setting, entity.error, type_) for type_ in types)
        return errors


@dataclass(frozen=True)
class Disagreements:
    """Sentences on which the runs of one seed disagree.

    total: how many there are; sentences: the first of them, by how many pairs of settings differ
    about how many entities. reason: why there is nothing to show, or "".
    """

    seed: int | None = None
    total: int = 0
    sentences: tuple[Dispute, ...] = ()
    reason: str = ""


def find_disagreements(comparison: Comparison, limit: int = SENTENCES) -> Disagreements:
    """Compare the runs of the smallest seed, and fold, that all rows have.

    Raises UserError if predictions cannot be read.
    """
    rows = comparison.finished
    if len(rows) < 2:
        return Disagreements(reason="there is only one setting")
    shared = set.intersection(*(set(row.draws) for row in rows))
    if not shared:
        return Disagreements(reason="no seed is in all rows, so there are no runs to compare")
    draw = min(shared)
    records: list[Record] = []
    for row in rows:
        records += [record for record in row.records if record.draw == draw]
    if any(record.folder is None for record in records):
        return Disagreements(reason="the numbers come from an archive, which holds no words")
    splits = [record.predictions() for record in records]
    first = splits[0]
    assert all(split.words == first.words for split in splits), "one checksum, one text"
    readings = list(zip(*map(judge, splits), strict=True))  # (sentences, settings)
    disputes = [number for number, reading in enumerate(readings) if len(set(reading)) > 1]
    disputes.sort(key=lambda number: -differing_pairs(readings[number]))
    gold = by_sentence(first, first.gold, [""] * len(first.gold))
    settings = [row.setting for row in rows]
    sentences: list[Dispute] = []
    lines = 0
    for number in disputes[:limit]:
        end = first.ends[number]
        words = tuple(first.words[end - first.lengths[number] : end])
        alike = group_readings(settings, readings[number])
        lines += len(alike)
        if lines > READINGS:
            break
        sentences.append(Dispute(number + 1, words, gold[number], alike))
    return Disagreements(records[0].seed, len(disputes), tuple(sentences))


def group_readings(
    settings: Sequence[str], predictions: Sequence[tuple[Entity, ...]]
) -> tuple[Reading, ...]:
    """Group the settings that predict the same."""
    groups: dict[tuple[Entity, ...], list[str]] = {}
    for setting, entities in zip(settings, predictions, strict=True):
        groups.setdefault(entities, []).append(setting)
    return tuple(Reading(tuple(group), entities) for entities, group in groups.items())


def judge(split: TaggedSplit) -> list[tuple[Entity, ...]]:
    """Return for each sentence the predicted entities and the missed ones, with their errors."""
    predicted_errors, gold_errors = judged(split.gold, split.predicted)
    is_missed = gold_errors != ""
    entities = np.concatenate([split.predicted, split.gold[is_missed]])
    return by_sentence(split, entities, [*predicted_errors, *gold_errors[is_missed]])


def by_sentence(
    split: TaggedSplit, entities: np.ndarray, errors: Sequence[str]
) -> list[tuple[Entity, ...]]:
    """Return the entities of each sentence from left to right.

    entities: (E, 3) as start, end, type over all words.
    """
    starts = split.ends - split.lengths
    sentences: list[list[Entity]] = [[] for _ in split.ends]
    numbers = split.sentences(entities)
    for number, (start, end, type_), error in zip(numbers, entities.tolist(), errors, strict=True):
        first, name = int(starts[number]), split.labels.types[type_ - 1]
        sentences[number].append(Entity(start - first, end - first, name, str(error)))
    order = {name: place for place, name in enumerate(split.labels.types)}
    for sentence in sentences:
        sentence.sort(key=lambda entity: (*entity[:2], order[entity.type], entity.error))
    return [tuple(sentence) for sentence in sentences]


def differing_pairs(predictions: Sequence[tuple[Entity, ...]]) -> int:
    """Count pairs of settings of which only one predicts an entity, summed over the entities."""
    votes: Counter[Entity] = Counter()
    for entities in predictions:
        votes.update(entity for entity in entities if entity.error != "missed")
    return sum(count * (len(predictions) - count) for count in votes.values())
