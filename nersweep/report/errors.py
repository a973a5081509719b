"""A page with the sentences in which a model errs: gold, prediction, and the kind of each error."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from nersweep.report.disagreements import Entity, by_sentence, judge
from nersweep.report.page import colours_of, render
from nersweep.report.predictions import TaggedSplit

SENTENCES = 1000  # at most


class WrongSentence(NamedTuple):
    """A sentence with an error. number: its place in the split, from 1."""

    number: int
    words: Sequence[str]
    gold: Sequence[Entity]
    predicted: Sequence[Entity]  # and the gold ones that are missed


def error_page(title: str, split: TaggedSplit, notes: Sequence[str]) -> str:
    """Return the page: the sentences with most errors first. All text in it is escaped."""
    gold = by_sentence(split, split.gold, [""] * len(split.gold))
    wrong: list[WrongSentence] = []
    counts: Counter[str] = Counter()
    for number, entities in enumerate(judge(split)):
        errors = [entity.error for entity in entities if entity.error]
        if errors:
            end = split.ends[number]
            words = split.words[end - split.lengths[number] : end]
            wrong.append(WrongSentence(number + 1, words, gold[number], entities))
            counts.update(errors)
    wrong.sort(key=lambda sentence: -sum(bool(entity.error) for entity in sentence.predicted))
    is_spaced = any(len(word) > 1 for word in split.words)
    return render(
        "errors.html",
        title=title,
        total=len(split.lengths),
        wrong=len(wrong),
        counts=dict(sorted(counts.items())),
        sentences=wrong[:SENTENCES],
        notes=notes,
        view={"gap": " " if is_spaced else "", "colours": colours_of(split.labels.types)},
    )
