"""Sentences on which the settings disagree, with what each says of them and where it errs."""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nersweep.evaluation.analysis import judged
from nersweep.report.comparison import Comparison
from nersweep.report.records import Predicted

MOST = 200  # sentences that are shown


class Entity(NamedTuple):
    """Words of a sentence, the end exclusive. kind: of error, as in analysis.KINDS, or "" where it is right."""

    start: int
    end: int
    type: str
    kind: str = ""


@dataclass(frozen=True)
class Said:
    """What these settings say alike: the entities that they predict, and as missed the true ones that none of those
    overlaps."""

    settings: tuple[str, ...]
    entities: tuple[Entity, ...]

    @property
    def right(self) -> bool:
        return not any(entity.kind for entity in self.entities)


@dataclass(frozen=True)
class Disputed:
    """A sentence; number: its place in the split, from 1; gold: the true entities."""

    number: int
    words: tuple[str, ...]
    gold: tuple[Entity, ...]
    said: tuple[Said, ...]

    def errors(self) -> set[tuple[str, str, str]]:
        """(setting, kind, type) of each error. It has a type for the entity itself and one for each true entity that
        it overlaps: an ORG that is taken for a LOC concerns both."""
        found = set()
        for said in self.said:
            for wrong in (entity for entity in said.entities if entity.kind):
                met = {
                    true.type
                    for true in self.gold
                    if true.start < wrong.end and wrong.start < true.end
                }
                found |= {
                    (name, wrong.kind, type_)
                    for name in said.settings
                    for type_ in {wrong.type} | met
                }
        return found


@dataclass(frozen=True)
class Disagreements:
    """total: of how many sentences the runs of that seed do not all say the same; sentences: the first of them, those
    first on which more pairs of settings differ about more entities. lacking: why there is nothing to show, or ""."""

    seed: int | None = None
    total: int = 0
    sentences: tuple[Disputed, ...] = ()
    lacking: str = ""


def find(of: Comparison, most: int = MOST) -> Disagreements:
    """Over the runs of the smallest seed that all rows have. Raises ValueError for predictions that cannot be read."""
    rows = of.finished
    if len(rows) < 2:
        return Disagreements(lacking="there is one setting, and so nothing to disagree with")
    shared = set.intersection(*(set(row.seeds) for row in rows))
    if not shared:
        return Disagreements(
            lacking="no seed is in all rows, so that there are no runs to set side by side"
        )
    seed = min(shared)
    records = [next(record for record in row.records if record.seed == seed) for row in rows]
    if any(record.folder is None for record in records):
        return Disagreements(
            lacking="the numbers come from an archive, which holds no words of the data"
        )
    predicted = [record.predictions() for record in records]
    first = predicted[0]
    assert all(one.words == first.words for one in predicted), "one checksum, one text"
    said = list(
        zip(*map(judged_entities, predicted), strict=True)
    )  # per sentence what each row says
    disputed = [i for i, here in enumerate(said) if len(set(here)) > 1]
    disputed.sort(key=lambda i: -pairs_that_differ(said[i]))
    gold = by_sentence(first, first.gold, [""] * len(first.gold))
    starts = np.cumsum(first.lengths) - first.lengths
    sentences = []
    for i in disputed[:most]:
        alike: dict[tuple[Entity, ...], list[str]] = {}
        for row, entities in zip(rows, said[i], strict=True):
            alike.setdefault(entities, []).append(row.setting)
        groups = tuple(Said(tuple(settings), entities) for entities, settings in alike.items())
        words = first.words[starts[i] : starts[i] + first.lengths[i]]
        sentences.append(Disputed(i + 1, tuple(words), gold[i], groups))
    return Disagreements(seed, len(disputed), tuple(sentences))


def judged_entities(of: Predicted) -> list[tuple[Entity, ...]]:
    """What the run says of each sentence, as in Said."""
    found, missed = judged(of.gold, of.found)
    left = missed != ""
    return by_sentence(
        of, np.concatenate([of.found, of.gold[left]]), [*found.tolist(), *missed[left].tolist()]
    )


def by_sentence(of: Predicted, rows: np.ndarray, kinds: list[str]) -> list[tuple[Entity, ...]]:
    """The entities of each sentence from left to right, of rows (start, end, type) over all words."""
    ends = np.cumsum(of.lengths)
    starts = ends - of.lengths
    places = np.searchsorted(ends, rows[:, 0], side="right")
    rows = rows - np.stack([starts[places], starts[places], np.ones_like(places)], axis=1)
    sentences: list[list[Entity]] = [[] for _ in ends]
    for place, (start, end, type_id), kind in sorted(
        zip(places.tolist(), rows.tolist(), kinds, strict=True)
    ):
        sentences[place].append(Entity(start, end, of.labels.types[type_id], kind))
    return [tuple(entities) for entities in sentences]


def pairs_that_differ(said: tuple[tuple[Entity, ...], ...]) -> int:
    """Pairs of settings of which one predicts an entity and the other does not, summed over the entities."""
    times = Counter(entity for entities in said for entity in entities if entity.kind != "missed")
    return sum(k * (len(said) - k) for k in times.values())
