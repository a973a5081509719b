"""Normalise the tags of a corpus to IOB2."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from sys import intern

from nersweep import labels
from nersweep.data.corpus import SPLITS, Corpus, Sentence, Splits, tag_counts
from nersweep.data.division import Divided


def assemble(
    name: str, source: str, splits: Splits, divide: Callable[[Splits], Divided] = Divided
) -> Corpus:
    """Return the corpus with IOB2 tags, and with notes on its labels that a user should read.

    splits: with tags in IOB1, IOB2 or BIOES. divide: makes train, dev and test of them once their
    tags are IOB2, and may have notes of its own.
    """
    normal, repairs = normalised(splits)
    final, notes, pool, fold = divide(normal)
    train_tags = tag_counts(final["train"])
    absent = []
    for split in ("dev", "test"):
        for tag, words in sorted(tag_counts(final[split]).items()):
            if tag not in train_tags:
                absent.append(f"{split}: {tag} ({words} words) is not in the training data")
    notes = (*notes, *repairs, *absent)
    train, dev, test = (final[split] for split in SPLITS)
    return Corpus(name, source, train, dev, test, notes, pool, fold)


def normalised(splits: Splits) -> tuple[Splits, list[str]]:
    """Return the splits with IOB2 tags, and notes on what was wrong with the tags."""
    scheme = labels.scheme_of(all_tags(splits))
    normal: dict[str, list[Sentence]] = {}
    notes = []
    for split in splits:
        repaired = 0
        normal[split] = []
        for sentence in splits[split]:
            spans = labels.spans(sentence.tags)
            tags = labels.tags_from_spans(spans, len(sentence.tags))
            for old, new in zip(sentence.tags, tags, strict=True):
                repaired += old != new
            text = shared(sentence.words)
            normal[split].append(replace(sentence, words=text, tags=shared(tags)))
        if repaired and scheme == "IOB2":
            notes.append(f"{split}: {repaired} I- tags began an entity and are read as B-")
    return normal, notes


def all_tags(splits: Splits) -> Iterator[tuple[str, ...]]:
    for sentences in splits.values():
        for sentence in sentences:
            yield sentence.tags


def shared(strings: Iterable[str]) -> tuple[str, ...]:
    """Return these strings, with equal ones in memory once: those of a corpus repeat."""
    return tuple(map(intern, strings))
