"""Are suspects wrong labels? Compare those of a sweep with a test split whose labels are corrected.

python benchmarks/suspects.py SWEEP CORRECTED takes the folder of a sweep on CoNLL-2003 and one with
the corrected test.txt of CoNLL++ (Wang et al. 2019). For the first 1, 2, … runs of the sweep it
prints of the first 25, 50, 100 and 200 suspects, and of all, the share whose gold entities the
correctors changed, the share that they changed to what is proposed, and how many of the corrected
sentences are concerned; then the same for suspects on which all runs agree, and for these in random
orders, which is what votes alone tell.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from nersweep.data.corpus import Sentence
from nersweep.labels import spans
from nersweep.report.records import Record
from nersweep.report.sources import ReportOptions, select_runs
from nersweep.report.suspects import Suspect, find_suspects
from nersweep.terminal import print_table

SIZES = (25, 50, 100, 200)


def read_columns(file: Path) -> list[Sentence]:
    """Return the sentences of a file of CoNLL-2003."""
    sentences: list[Sentence] = []
    for block in file.read_text(encoding="utf-8").split("\n\n"):
        rows = [line.split() for line in block.splitlines() if line.strip()]
        if rows and rows[0][0] != "-DOCSTART-":
            words = tuple(row[0] for row in rows)
            sentences.append(Sentence(words, tuple(row[-1] for row in rows)))
    return sentences


def verdict(suspect: Suspect, sentence: Sentence) -> tuple[bool, bool]:
    """Return whether the correctors changed the entities there, and whether to the proposed."""
    assert suspect.words == sentence.words, "not the same sentences"
    gold = {entity[:3] for entity in suspect.gold}
    proposed = {entity[:3] for entity in suspect.proposed}
    corrected: set[tuple[int, int, str]] = set()
    for start, end, type_ in spans(sentence.tags):
        if any(start < other[1] and other[0] < end for other in gold | proposed):
            corrected.add((start, end, type_))
    return corrected != gold, corrected == proposed


def shares(
    suspects: Sequence[Suspect], corrected: Sequence[Sentence], wrong: Mapping[tuple[str, ...], int]
) -> list[str]:
    """Return what the first suspects are worth, as text, and all of them."""
    verdicts = [verdict(suspect, corrected[suspect.number - 1]) for suspect in suspects]
    cells = [f"{len(suspects):,}"]
    for size in (*SIZES, len(suspects)):
        changed = sum(each[0] for each in verdicts[:size]) / size
        as_proposed = sum(each[1] for each in verdicts[:size]) / size
        words = {suspect.words for suspect in suspects[:size]}
        covered = sum(count for text, count in wrong.items() if text in words)
        cells.append(f"{changed:.2f} {as_proposed:.2f} {covered}")
    return cells


def main(sweep: str, folder: str) -> None:
    selection = select_runs(ReportOptions(sweep=sweep))
    records = [run for run in selection.runs if isinstance(run, Record)]
    records.sort(key=lambda record: (record.seed, record.setting))
    corrected = read_columns(Path(folder, "test.txt"))
    wrong: Counter[tuple[str, ...]] = Counter()
    for old, new in zip(gold_tags(records[0]), corrected, strict=True):
        if set(spans(old)) != set(spans(new.tags)):
            wrong[new.words] += 1
    print(f"{wrong.total()} of {len(corrected):,} sentences have other entities")
    rows: list[list[str]] = []
    for count in range(1, len(records) + 1):
        suspects = find_suspects(records[:count], sys.maxsize)
        rows.append([str(count), *shares(suspects, corrected, wrong)])
    unanimous = [suspect for suspect in suspects if suspect.agree == suspect.runs]
    rows.append(["all agree", *shares(unanimous, corrected, wrong)])
    for seed in range(3):
        Random(seed).shuffle(unanimous)
        rows.append([f"all agree, order {seed}", *shares(unanimous, corrected, wrong)])
    header = ["runs", "suspects", *(f"first {size}" for size in SIZES), "all"]
    print_table("gold changed, as proposed, corrected sentences", header, rows)


def gold_tags(record: Record) -> list[list[str]]:
    """Return the gold tags of each sentence that a run is scored on."""
    split = record.predictions()
    tags: list[list[str]] = []
    for end, length in zip(split.ends, split.lengths, strict=True):
        tags.append(split.gold_tags[end - length : end])
    return tags


if __name__ == "__main__":
    main(*sys.argv[1:])
