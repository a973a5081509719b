"""How uneven a data set is: functions of its counts and its sentences, and `measure`, which holds them together.

A class is what the loss tells apart: a tag such as B-PER, or with two pointers a type. A mention is an entity's words,
as they are written, with its type; two mentions of the same words have one name.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nersweep.data.corpus import Corpus, Sentence
from nersweep.labels import spans

Mention = tuple[tuple[str, ...], str]  # words, type


@dataclass(frozen=True)
class Words:
    """The classes of a split's words, whose sentences stand one after another."""

    labels: np.ndarray  # (W,), class ids, 0 outside entities
    sentence_words: np.ndarray  # (S + 1,), where sentences begin

    def presence(self, classes: int) -> np.ndarray:
        """Which sentence has a word of which class, (S, classes)."""
        found = np.zeros((len(self.sentence_words) - 1, classes), dtype=bool)
        found[np.repeat(np.arange(len(found)), np.diff(self.sentence_words)), self.labels] = True
        return found


@dataclass(frozen=True)
class Unseen:
    """Shares of a split's entities whose words are those of no entity of the training split, of whatever type."""

    mentions: float  # every entity counts
    names: float  # every name counts once
    any_case: float  # every entity counts, and Paris is PARIS


@dataclass(frozen=True)
class Diagnosis:
    """What there is to know of the imbalance of a data set, of its training split where nothing else is said. classes:
    O first. absent, absent_balanced: per class, the share of batches of batch_size sentences that have no word of it,
    with a plain shuffle and with train.sampler=entity_balanced; batch_enough: the smallest batch with which no class is
    absent from more than half."""

    classes: tuple[str, ...]
    counts: dict[str, np.ndarray]  # of each split, (classes,)
    batch_size: int
    absent: np.ndarray  # (classes,), of those that occur; NaN for others
    absent_balanced: np.ndarray
    batch_enough: int
    unseen: dict[str, Unseen]  # of dev and test
    entity_words: dict[int, int]  # how many entities are so long
    other_type: float  # share of mentions whose type is not the most frequent one of their name
    repeated: int  # different sentences that occur more than once
    repeated_differing: int  # of these, not always with the same tags
    copied: dict[
        str, float
    ]  # share of the sentences of dev and test that are sentences of train too

    @property
    def train(self) -> np.ndarray:
        return self.counts["train"]

    @property
    def o_share(self) -> float:
        return float(self.train[0] / self.train.sum())

    @property
    def ratio(self) -> float:
        return ratio(self.train)

    @property
    def entity_ratio(self) -> float:
        return ratio(self.train[1:])

    @property
    def entropy(self) -> float:
        """Of the entity classes."""
        return normalised_entropy(self.train[1:])

    @property
    def rarest(self) -> tuple[str, int]:
        """The entity class with the fewest words, of those that occur, and how many."""
        there = [
            (int(n), name) for name, n in zip(self.classes[1:], self.train[1:], strict=True) if n
        ]
        count, name = min(there, default=(0, self.classes[1]))
        return name, count

    @property
    def most_absent(self) -> tuple[str, float]:
        """The class that is absent from most batches, and from what share of them."""
        at = int(np.nanargmax(self.absent))
        return self.classes[at], float(self.absent[at])


def measure(
    corpus: Corpus,
    classes: Sequence[str],
    words: Mapping[str, Words],
    batch_size: int,
    importance: np.ndarray,
) -> Diagnosis:
    """words: of each split. importance (sentences,): of the training sentences, as the sampler weighs them."""
    counts = {split: np.bincount(of.labels, minlength=len(classes)) for split, of in words.items()}
    presence = words["train"].presence(len(classes))
    occurring = np.where(presence.any(0), 1.0, np.nan)
    mentions = {split: mentions_of(sentences) for split, sentences in corpus.splits().items()}
    texts = {
        split: [sentence.words for sentence in sentences]
        for split, sentences in corpus.splits().items()
    }
    known = set(texts["train"])
    repeated, differing = repetitions(corpus.train)
    return Diagnosis(
        classes=tuple(classes),
        counts=counts,
        batch_size=batch_size,
        absent=occurring * absent(presence, batch_size),
        absent_balanced=occurring * absent_drawn(presence, importance, batch_size),
        batch_enough=batch_enough(presence[:, presence.any(0)]),
        unseen={split: unseen(mentions["train"], mentions[split]) for split in ("dev", "test")},
        entity_words=dict(sorted(Counter(len(name) for name, _ in mentions["train"]).items())),
        other_type=other_type(mentions["train"]),
        repeated=repeated,
        repeated_differing=differing,
        copied={split: share(text in known for text in texts[split]) for split in ("dev", "test")},
    )


def share(truths: Iterable[bool]) -> float:
    """Of those that are true; 0 where there are none at all."""
    found = list(truths)
    return sum(found) / len(found) if found else 0.0


def ratio(counts: np.ndarray) -> float:
    """The largest count over the smallest, of classes that occur; 1 where none does."""
    there = counts[counts > 0]
    return float(there.max() / there.min()) if len(there) else 1.0


def normalised_entropy(counts: np.ndarray) -> float:
    """-Σ p log p / log K over the K classes that occur, in [0, 1]; 1 where all are as frequent, or there is one."""
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum() / np.log(len(p))) if len(p) > 1 else 1.0


def absent(presence: np.ndarray, size: int) -> np.ndarray:
    """The expected share of batches without a class, (C,), where the sentences (S, C) are shuffled and cut into batches
    of this size: Π_i (S-m-i) / (S-i) for i < size, m the sentences that have the class."""
    sentences = len(presence)
    i = np.arange(min(size, sentences))
    without = sentences - presence.sum(0)
    return (np.maximum(without[:, None] - i, 0) / (sentences - i)).prod(1)


def absent_drawn(presence: np.ndarray, importance: np.ndarray, size: int) -> np.ndarray:
    """The same, (C,), where each sentence of a batch is drawn from all, as likely as it is important (S,)."""
    return (1 - importance @ presence / importance.sum()) ** size


def batch_enough(presence: np.ndarray) -> int:
    """The smallest batch, in sentences, with which none of the classes (S, C) is absent from more than half."""
    low, high = 1, len(presence)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if absent(presence, middle).max() <= 0.5 else (middle + 1, high)
    return low


def mentions_of(sentences: Iterable[Sentence]) -> list[Mention]:
    return [(s.words[start:end], type_) for s in sentences for start, end, type_ in spans(s.tags)]


def unseen(train: Sequence[Mention], asked: Sequence[Mention]) -> Unseen:
    known = {name for name, _ in train}
    folded = {tuple(map(str.casefold, name)) for name in known}
    names = [name for name, _ in asked]
    return Unseen(
        mentions=share(name not in known for name in names),
        names=share(name not in known for name in set(names)),
        any_case=share(tuple(map(str.casefold, name)) not in folded for name in names),
    )


def other_type(mentions: Sequence[Mention]) -> float:
    """The share of mentions whose type is not the most frequent one of their name: ambiguous names, or wrong labels."""
    types: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for name, type_ in mentions:
        types[name][type_] += 1
    return sum(of.total() - max(of.values()) for of in types.values()) / max(1, len(mentions))


def repetitions(sentences: Iterable[Sentence]) -> tuple[int, int]:
    """How many different sentences occur more than once, and how many of these with different tags."""
    tags: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
    for sentence in sentences:
        tags[sentence.words].append(sentence.tags)
    repeated = [of for of in tags.values() if len(of) > 1]
    return len(repeated), sum(len(set(of)) > 1 for of in repeated)
