"""Normalise the tags of a corpus to IOB2."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from sys import intern

from nersweep import labels
from nersweep.data.corpus import SPLITS, Corpus, Sentence, tag_counts


def assemble(name: str, source: str, splits: Mapping[str, Sequence[Sentence]]) -> Corpus:
    """Return the corpus with IOB2 tags, and with notes on its labels that a user should read.

    splits: train, dev and test, with tags in IOB1, IOB2 or BIOES.
    """
    scheme = labels.scheme_of(all_tags(splits))
    normal: dict[str, list[Sentence]] = {}
    notes = []
    for split in SPLITS:
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
    train_tags = tag_counts(normal["train"])
    for split in ("dev", "test"):
        for tag, words in sorted(tag_counts(normal[split]).items()):
            if tag not in train_tags:
                notes.append(f"{split}: {tag} ({words} words) is not in the training data")
    return Corpus(name, source, normal["train"], normal["dev"], normal["test"], tuple(notes))


def all_tags(splits: Mapping[str, Sequence[Sentence]]) -> Iterator[tuple[str, ...]]:
    for split in SPLITS:
        for sentence in splits[split]:
            yield sentence.tags


def shared(strings: Iterable[str]) -> tuple[str, ...]:
    """Return these strings, with equal ones in memory once: those of a corpus repeat."""
    return tuple(map(intern, strings))
