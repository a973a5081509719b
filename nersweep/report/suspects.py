"""Sentences whose gold labels may be wrong: nearly all runs contradict them, and agree."""

import math
from dataclasses import dataclass

import numpy as np

from nersweep.evaluation.analysis import judged, overlapped
from nersweep.evaluation.metrics import is_among
from nersweep.report.comparison import Comparison
from nersweep.report.disagreements import Entity, by_sentence
from nersweep.report.records import Record
from nersweep.report.rows import overlap_of

AGREEMENT = 0.9  # of the runs, at least
RUNS = 3  # fewer agree by chance
SENTENCES = 50  # at most, in the page


@dataclass(frozen=True)
class Suspect:
    """A sentence with entities that runs tag otherwise than gold, all alike.

    number: its place in the split, from 1. entities: those that the runs agree on and gold lacks,
    with the kind of error that they would be, and gold ones that they agree to miss. runs: how many
    agree on each of them, at least.
    """

    number: int
    words: tuple[str, ...]
    gold: tuple[Entity, ...]
    entities: tuple[Entity, ...]
    runs: int


def find_suspects(comparison: Comparison, limit: int = SENTENCES) -> list[Suspect]:
    """Return the sentences, those on which most runs agree first.

    Pools the runs of all settings that trained; none if these are few, come from an archive, or
    have splits of their own.
    Raises UserError if predictions cannot be read.
    """
    records: list[Record] = []
    for row in comparison.finished:
        records += row.records if row.trained else ()
    if len(records) < RUNS or any(record.folder is None for record in records):
        return []
    if overlap_of(records):
        return []
    split = records[0].predictions()
    least = math.ceil(AGREEMENT * len(records))
    of_runs = np.concatenate([record.entities for record in records])
    predicted, votes = np.unique(of_runs, axis=0, return_counts=True)
    missed = np.zeros(len(split.gold), dtype=np.int64)  # by so many runs
    for record in records:
        missed += ~overlapped(split.gold, record.entities)[0]
    is_agreed = (votes >= least) & ~is_among(predicted, split.gold)
    wrong = predicted[is_agreed]
    is_missed = missed >= least
    kinds = [*judged(split.gold, wrong)[0], *["missed"] * int(is_missed.sum())]
    rows = np.concatenate([wrong, split.gold[is_missed]])
    runs = np.full(len(split.lengths), len(records))
    counts = np.concatenate([votes[is_agreed], missed[is_missed]])
    np.minimum.at(runs, split.sentences(rows), counts)
    gold = by_sentence(split, split.gold, [""] * len(split.gold))
    entities = by_sentence(split, rows, kinds)
    numbers = [number for number, group in enumerate(entities) if group]
    numbers.sort(key=lambda number: -runs[number])
    suspects: list[Suspect] = []
    for number in numbers[:limit]:
        end = split.ends[number]
        words = tuple(split.words[end - split.lengths[number] : end])
        agreed = entities[number]
        suspects.append(Suspect(number + 1, words, gold[number], agreed, int(runs[number])))
    return suspects
