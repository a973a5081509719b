"""Annotated text: sentences of words and tags, in three splits."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nersweep.faults import blame
from nersweep.labels import LabelSet, Span, spans

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence: words, their IOB2 tags, and further columns of the data ("pos", "chunk").

    All have one length. document: what identifies its document within the split; None if the data
    do not say. entities: all of them, in order, if some overlap, so that tags cannot hold them.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    document: str | int | None = None
    entities: tuple[Span, ...] | None = None


Splits = Mapping[str, Sequence[Sentence]]  # by name


@dataclass(frozen=True)
class Corpus:
    """A data set. source: where it comes from. notes: lines for the user (repairs, odd labels).

    pool: a checksum of what these splits are one draw of, if other runs draw other splits of it, as
    in cross-validation; else "". fold: the number of the draw among those of one seed.
    """

    name: str
    source: str
    train: Sequence[Sentence]
    dev: Sequence[Sentence]
    test: Sequence[Sentence]
    notes: tuple[str, ...] = ()
    pool: str = ""
    fold: int = 0

    def splits(self) -> dict[str, Sequence[Sentence]]:
        return {"train": self.train, "dev": self.dev, "test": self.test}

    def sizes(self) -> str:
        """Return the number of sentences of each split, and of documents where they are marked."""
        sentences: list[str] = []
        documents: list[str] = []
        for split, group in self.splits().items():
            sentences.append(f"{len(group):,} {split}")
            if has_documents(group):
                documents.append(f"{document_numbers(group).max() + 1:,} {split}")
        text = f"{', '.join(sentences)} sentences"
        return f"{text}; {', '.join(documents)} documents" if documents else text

    @cached_property
    def labels(self) -> LabelSet:
        """The labels of the entities of all splits."""
        types: set[str] = set()
        for sentences in self.splits().values():
            types |= types_of(sentences)
            for sentence in sentences:
                types.update(type_ for *_, type_ in sentence.entities or ())
        return LabelSet(types)

    @cached_property
    def label_ids(self) -> NDArray[np.int64]:
        """The label ids of the words of the training split, (W,)."""
        ids: list[int] = []
        for sentence in self.train:
            ids += self.labels.encode(sentence.tags)
        return np.array(ids, dtype=np.int64)

    @cached_property
    def checksum(self) -> str:
        """As in `checksum_of`: all that a run can see of the data."""
        return checksum_of(self.splits())


class DataSet(Protocol):
    """A data set as a configuration describes it; `repr` identifies it."""

    def load(self) -> Corpus:
        """Read the data. Raises UserError for what is wrong in it."""


corpora: dict[str, Corpus] = {}  # read by this process, by the `repr` of their data set


def read(data: DataSet) -> Corpus:
    """Load a data set, once per process: all runs of a process see the same data."""
    key = repr(data)
    if key not in corpora:
        corpora.clear()  # one is enough for a sweep, and two large ones may be too much
        with blame("data", type(data)):
            corpus = data.load()
        corpora[key] = replace(corpus, notes=(*corpus.notes, *note_copies(corpus)))
    return corpora[key]


def checksum_of(splits: Splits) -> str:
    """Return the SHA-256 over words, tags, named columns and documents of all splits, in order.

    Entities count too where they overlap. Of documents only the boundaries count, in splits that
    mark them.
    """
    digest = hashlib.sha256()
    for split, sentences in splits.items():
        digest.update(f"\n\n{split}\n".encode())
        for sentence in sentences:
            columns = {"": sentence.words, "tag": sentence.tags, **sentence.columns}
            texts = ["\n".join((name, *columns[name])) for name in sorted(columns)]
            digest.update("\n\n".join(texts).encode() + b"\n\n\n")
            if sentence.entities is not None:
                digest.update(f"entities {sentence.entities}\n".encode())
        if has_documents(sentences):
            numbers = " ".join(map(str, document_numbers(sentences)))
            digest.update(f"documents {numbers}\n".encode())
    return digest.hexdigest()


def is_copied(sentences: Sequence[Sentence], others: Sequence[Sentence]) -> NDArray[np.bool_]:
    """Return which sentences are among the others, word for word, (S,)."""
    texts = {sentence.words for sentence in others}
    return np.array([sentence.words in texts for sentence in sentences], dtype=bool)


def note_copies(corpus: Corpus) -> list[str]:
    """Return a note for each two splits that share sentences."""
    splits = corpus.splits()
    notes: list[str] = []
    for split, other in (("dev", "train"), ("test", "train"), ("test", "dev")):
        copies = is_copied(splits[split], splits[other])
        if not copies.any():
            continue
        count = f"{copies.sum():,} of {len(copies):,} sentences ({copies.mean():.1%})"
        if other == "dev":
            why = "which selects the epoch"
        elif copies.all():
            why = "so its scores measure memory alone"
        else:
            why = "so its scores are partly memory; unshared_f1 leaves them out"
        notes.append(f"{split}: {count} are in {other} too, {why}")
    return notes


def has_documents(sentences: Sequence[Sentence]) -> bool:
    """Return whether the data mark documents in a split."""
    return any(sentence.document is not None for sentence in sentences)


def document_numbers(sentences: Sequence[Sentence]) -> NDArray[np.int64]:
    """Return the number of each sentence's document (S,), from 0 in order of first appearance.

    Sentences before the first mark of a file are one document. Where nothing is marked, each
    sentence is its own.
    """
    if not has_documents(sentences):
        return np.arange(len(sentences))
    numbers: dict[str | int | None, int] = {}
    for sentence in sentences:
        numbers.setdefault(sentence.document, len(numbers))
    return np.array([numbers[sentence.document] for sentence in sentences])


def tag_counts(sentences: Sequence[Sentence]) -> Counter[str]:
    """Count the words of each tag."""
    counts: Counter[str] = Counter()
    for sentence in sentences:
        counts.update(sentence.tags)
    return counts


def entity_rows(sentences: Sequence[Sentence], labels: LabelSet) -> NDArray[np.int64] | None:
    """Return all entities of sentences whose words stand one after another, (n, 3).

    Rows are (start, end, type id), end exclusive. None if no entities overlap: then tags have all.
    """
    if all(sentence.entities is None for sentence in sentences):
        return None
    type_ids = {type_: i for i, type_ in enumerate(labels.types, start=1)}
    rows: list[tuple[int, int, int]] = []
    first = 0
    for sentence in sentences:
        entities = sentence.entities
        for start, end, type_ in spans(sentence.tags) if entities is None else sorted({*entities}):
            rows.append((first + start, first + end, type_ids[type_]))
        first += len(sentence.words)
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def types_of(sentences: Sequence[Sentence]) -> set[str]:
    """Return the types of the entities of sentences."""
    return {tag[2:] for tag in tag_counts(sentences) if tag != "O"}
