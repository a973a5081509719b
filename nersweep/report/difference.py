"""Print how two runs differ: in configuration, surroundings, scores, and sentence by sentence."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from nersweep.config.flat import flat
from nersweep.config.settings import matters
from nersweep.evaluation import stats
from nersweep.faults import Fault, UserError, shown
from nersweep.report.predictions import TaggedSplit
from nersweep.report.records import Record, Run
from nersweep.report.rows import outcome
from nersweep.terminal import console, print_table

EXAMPLES = 5  # sentences of each kind


def print_difference(first: Run, second: Run) -> None:
    """Print how two runs differ. Raises UserError unless they are two finished runs."""
    a, b = finished(first), finished(second)
    if a.folder and b.folder and a.folder.samefile(b.folder):
        reason, remedy = "the same run twice", "name two of different settings or seeds"
        raise UserError(Fault("compare", f"{a.result.name},{b.result.name}", reason, remedy))
    names = [a.result.name, b.result.name]
    if a.folder and b.folder and names[0] == names[1]:
        names = [a.folder.name, b.folder.name]
    print_settings("Configuration", names, configuration(a), configuration(b))
    print_settings("Data, version, machine", names, surroundings(a), surroundings(b))
    print_scores(names, a, b)
    if a.result.data.checksum != b.result.data.checksum:
        console.print("\ndifferent data: the sentences are not compared")
        return
    p = stats.approximate_randomisation(a.counts[None], b.counts[None])
    console.print(f"\np = {p:.3g} (approximate randomisation over sentences, of these two models)")
    print_sentences(names, a.predictions(), b.predictions())


def finished(run: Run) -> Record:
    """Return the run. Raises UserError if it has not finished."""
    if isinstance(run, Record):
        return run
    raise UserError(
        Fault("compare", run.name, f"{outcome(run)}; only finished runs can be compared")
    )


def print_settings(
    title: str, names: list[str], a: Mapping[str, Any], b: Mapping[str, Any]
) -> None:
    """Print the settings in which two runs differ."""
    rows: list[list[str]] = []
    for key in dict.fromkeys([*a, *b]):
        if a.get(key) != b.get(key):
            rows.append([key, shown(a.get(key)), shown(b.get(key))])
    print_table(f"\n{title}", ["", *names], rows or [["no difference", "", ""]])


def configuration(record: Record) -> dict[str, Any]:
    """Return the settings that identify a run."""
    return {name: value for name, value in flat(record.config).items() if matters(name)}


def surroundings(record: Record) -> dict[str, Any]:
    """Return facts outside the configuration that may change the numbers."""
    result = record.result
    return flat(
        {
            "device": result.device,
            "hardware": result.hardware,
            "precision": result.precision,
            "threads": result.threads,
            "versions": result.versions,
            "data": asdict(result.data),
        }
    )


def print_scores(names: list[str], a: Record, b: Record) -> None:
    """Print the scores of two runs, overall and by type."""
    scores = ["f1", "precision", "recall", "macro_f1"]
    scores += [f"types/{type_}/f1" for type_ in dict.fromkeys(a.types + b.types)]
    rows: list[list[str]] = []
    for score in scores:
        row = [score]
        for record in (a, b):
            row.append(f"{100 * record.scores[score]:.2f}" if score in record.scores else "–")
        rows.append(row)
    print_table(f"\nScores on {a.split}, in percent", ["", *names], rows)


def print_sentences(names: list[str], a: TaggedSplit, b: TaggedSplit) -> None:
    """Print how often each run is right, and some sentences on which only one is."""
    first, second, same = all_correct(a), all_correct(b), alike(a, b)
    only = {
        f"only {names[0]} right": first & ~second,
        f"only {names[1]} right": ~first & second,
    }
    groups = {
        "both right": first & second,
        **only,
        "both wrong, alike": ~first & ~second & same,
        "both wrong, differently": ~first & ~second & ~same,
    }
    rows = [[name, f"{group.sum():,}"] for name, group in groups.items()]
    print_table("\nSentences with all entities right", ["", "sentences"], rows)
    for name, group in only.items():
        for number in np.flatnonzero(group)[:EXAMPLES]:
            console.print(f"\n{name}: sentence {number + 1}")
            console.print(f"  {with_brackets(a, a.gold, number)}  [gold]")
            console.print(f"  {with_brackets(a, a.predicted, number)}  [{names[0]}]")
            console.print(f"  {with_brackets(b, b.predicted, number)}  [{names[1]}]")


def all_correct(split: TaggedSplit) -> np.ndarray:
    """Return whether all entities of a sentence, and no others, are predicted (S,)."""
    correct, predicted, gold = split.counts().T
    is_correct: np.ndarray = (correct == predicted) & (predicted == gold)
    return is_correct


def alike(a: TaggedSplit, b: TaggedSplit) -> np.ndarray:
    """Return whether both runs predict the same entities in a sentence (S,)."""
    entities = [set(map(tuple, split.predicted.tolist())) for split in (a, b)]
    differing = np.array(sorted(entities[0] ^ entities[1]), dtype=np.int64).reshape(-1, 3)
    same = np.ones(len(a.lengths), dtype=bool)
    same[a.sentences(differing)] = False
    return same


def with_brackets(split: TaggedSplit, entities: np.ndarray, number: int) -> str:
    """Return a sentence with entities in brackets: [PER Ada] saw …"""
    end = int(split.ends[number])
    start = end - int(split.lengths[number])
    words = split.words[start:end]
    for first, last, type_ in entities[split.sentences(entities) == number][::-1].tolist():
        words[first - start] = f"[{split.labels.types[type_ - 1]} {words[first - start]}"
        words[last - 1 - start] += "]"
    return " ".join(words)
