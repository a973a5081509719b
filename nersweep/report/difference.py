"""Two runs side by side: what differs in configuration, data, version, scores, and what they say of each sentence."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nersweep.config.flat import flat
from nersweep.config.settings import matters
from nersweep.evaluation import stats
from nersweep.faults import shown
from nersweep.report.records import Predicted, Record
from nersweep.terminal import console, print_table

EXAMPLES = 5  # sentences shown of each kind


def show(a: Record, b: Record) -> None:
    """Raises ValueError for runs that have not finished, and for a run and itself."""
    for record in (a, b):
        if not record.finished:
            raise ValueError(
                f"compare={record.name}: {record.result.status}; only finished runs can be compared"
            )
    if a.folder.samefile(b.folder):
        raise ValueError(
            f"compare={a.name},{b.name}: the same run twice; type two of different settings or seeds"
        )
    names = (a.name, b.name) if a.name != b.name else (a.folder.name, b.folder.name)
    for title, rows in (
        ("Configuration", differing(configuration(a), configuration(b))),
        ("Data, version, machine", differing(surroundings(a), surroundings(b))),
    ):
        print_table(f"\n{title}", ["", *names], rows or [["no difference", "", ""]])
    kinds = [
        "f1",
        "precision",
        "recall",
        "macro_f1",
        *(f"{type_}/f1" for type_ in dict.fromkeys(a.types + b.types)),
    ]
    scores = [
        [x, *(f"{100 * r.scores[x]:.2f}" if x in r.scores else "–" for r in (a, b))] for x in kinds
    ]
    print_table(f"\nScores on {a.split}, in percent", ["", *names], scores)
    if a.result.data.checksum != b.result.data.checksum:
        console.print("\nother data: their sentences are not compared")
        return
    p = stats.approximate_randomisation(a.counts[None], b.counts[None])
    console.print(f"\np = {p:.3g} (approximate randomisation over sentences, of these two models)")
    show_sentences({name: record.predictions() for name, record in zip(names, (a, b), strict=True)})


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[list[str]]:
    return [
        [key, shown(a.get(key)), shown(b.get(key))]
        for key in dict.fromkeys([*a, *b])
        if a.get(key) != b.get(key)
    ]


def configuration(record: Record) -> dict[str, Any]:
    """What is a part of what the run is."""
    return {name: value for name, value in flat(record.config).items() if matters(name)}


def surroundings(record: Record) -> dict[str, Any]:
    """What is not configuration and may change the numbers."""
    kept = ("device", "hardware", "precision", "threads", "versions", "data")
    values = record.result.to_json()
    return flat({name: values[name] for name in kept})


def show_sentences(of: Mapping[str, Predicted]) -> None:
    """How often which of two runs is right, and some sentences on which one alone is."""
    a, b = of
    first, second = (exact(predicted) for predicted in of.values())
    same = alike(*of.values())
    rows = [
        ["both right", first & second],
        [f"only {a} right", first & ~second],
        [f"only {b} right", ~first & second],
        ["both wrong, alike", ~first & ~second & same],
        ["both wrong, otherwise", ~first & ~second & ~same],
    ]
    print_table(
        "\nSentences with all entities right",
        ["", "sentences"],
        [[name, f"{which.sum():,}"] for name, which in rows],
    )
    for name, which in rows[1:3]:
        for number in np.flatnonzero(which)[:EXAMPLES]:
            console.print(f"\n{name}: sentence {number + 1}")
            for who, predicted in {"gold": None, **of}.items():
                console.print(f"  {sentence_of(of[a], predicted, number)}  [{who}]")


def exact(predicted: Predicted) -> np.ndarray:
    """Whether all entities of a sentence, and no others, are predicted (S,)."""
    correct, found, gold = predicted.counts().T
    return (correct == found) & (found == gold)


def alike(a: Predicted, b: Predicted) -> np.ndarray:
    """Whether both predict the same entities in a sentence (S,)."""
    one, other = ({tuple(row) for row in x.found.tolist()} for x in (a, b))
    ends, same = np.cumsum(a.lengths), np.ones(len(a.lengths), dtype=bool)
    for start, _, _ in one ^ other:
        same[np.searchsorted(ends, start, side="right")] = False
    return same


def sentence_of(words: Predicted, predicted: Predicted | None, number: int) -> str:
    """A sentence with the predicted entities in brackets, or the true ones: [PER Ada] saw …"""
    end = int(words.lengths[: number + 1].sum())
    start = end - int(words.lengths[number])
    spans = words.gold if predicted is None else predicted.found
    inside = spans[(spans[:, 0] >= start) & (spans[:, 1] <= end)].tolist()
    opens, closes = bracketed(inside, words.labels.types), {}
    for _, stop, _ in inside:
        closes[stop - 1] = closes.get(stop - 1, "") + "]"
    return " ".join(
        opens.get(i, "") + words.words[i] + closes.get(i, "") for i in range(start, end)
    )


def bracketed(spans: Iterable[list[int]], types: tuple[str, ...]) -> dict[int, str]:
    opens: dict[int, str] = {}
    for first, _, type_ in spans:
        opens[first] = f"{opens.get(first, '')}[{types[type_ - 1]} "
    return opens
