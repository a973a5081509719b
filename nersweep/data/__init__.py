"""Annotated text: sentences of words and tags, in three splits."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

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

    def checksum(self) -> str:
        """SHA-256 over words, tags and further columns of all splits, in order: what a run can see of the data."""
        digest = hashlib.sha256()
        for split, sentences in self.splits().items():
            digest.update(f"\n\n{split}\n".encode())
            for sentence in sentences:
                columns = [sentence.words, sentence.tags, *(sentence.columns[c] for c in sorted(sentence.columns))]
                digest.update("\n\n".join("\n".join(column) for column in columns).encode() + b"\n\n\n")
        return digest.hexdigest()


def tag_counts(sentences: Sequence[Sentence]) -> Counter[str]:
    """How many words carry each tag."""
    return Counter(tag for sentence in sentences for tag in sentence.tags)
