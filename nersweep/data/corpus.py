"""Annotated text: sentences of words and tags, in three splits."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence: words and their IOB2 tags, and what further columns the data carries ("pos", "chunk"), all of
    one length."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Corpus:
    """A data set. `source` says where it came from; `notes` are lines a user should read (repairs, odd labels)."""

    name: str
    source: str
    train: Sequence[Sentence]
    dev: Sequence[Sentence]
    test: Sequence[Sentence]
    notes: tuple[str, ...] = ()

    def splits(self) -> dict[str, Sequence[Sentence]]:
        return {split: getattr(self, split) for split in SPLITS}

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over words, tags and further columns with their names, of all splits, in order: what a run can see
        of the data."""
        digest = hashlib.sha256()
        for split, sentences in self.splits().items():
            digest.update(f"\n\n{split}\n".encode())
            for sentence in sentences:
                columns = {"": sentence.words, "tag": sentence.tags, **sentence.columns}
                text = "\n\n".join("\n".join((name, *columns[name])) for name in sorted(columns))
                digest.update(text.encode() + b"\n\n\n")
        return digest.hexdigest()


corpora: dict[str, Corpus] = {}  # that this process has read, by what describes them


def read(data: Any) -> Corpus:
    """What data.load() gives, once in a process for each description: runs of one process see the same data."""
    key = repr(data)
    if key not in corpora:
        corpora.clear()  # one is enough for a sweep, and two large ones may be too much
        corpora[key] = data.load()
    return corpora[key]


def tag_counts(sentences: Sequence[Sentence]) -> Counter[str]:
    """How many words carry each tag."""
    return Counter(tag for sentence in sentences for tag in sentence.tags)
