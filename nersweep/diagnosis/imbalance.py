"""Measure how uneven a data set is, from its counts and its sentences.

A class is what the loss distinguishes: a tag such as B-PER, or a type for a head of two pointers. A
mention is an entity's words, as they are written, with its type; mentions of the same words share
a name.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nersweep.data.corpus import Corpus, Sentence, is_copied
from nersweep.labels import spans

Name = tuple[str, ...]  # the words of an entity
Mention = tuple[Name, str]  # name, type


@dataclass(frozen=True)
class Words:
    """The classes of a split's words, its sentences one after another."""

    labels: np.ndarray  # (W,), class ids, 0 outside entities
    sentence_words: np.ndarray  # (S + 1,), where sentences begin

    def presence(self, classes: int) -> np.ndarray:
        """Return which sentence has a word of which class (S, classes)."""
        sentences = len(self.sentence_words) - 1
        sentence_of_word = np.repeat(np.arange(sentences), np.diff(self.sentence_words))
        present = np.zeros((sentences, classes), dtype=bool)
        present[sentence_of_word, self.labels] = True
        return present


@dataclass(frozen=True)
class Unseen:
    """Shares of a split's entities whose name is that of no training entity, of whatever type."""

    mentions: float  # every entity counts
    names: float  # every name counts once
    any_case: float  # every entity counts, and Paris is PARIS


@dataclass(frozen=True)
class Diagnosis:
    """The imbalance of a data set; of its training split, if nothing else is said.

    classes: O first. counts: words of each class, by split (classes,). absent, absent_balanced:
    for each class, the share of batches of batch_size sentences without it (classes,), with a
    plain shuffle and with train.sampler=entity_balanced; NaN for a class that does not occur.
    batch_enough: the smallest batch from which no class is absent more than half the time.
    entity_words: entities by length. other_type: share of mentions whose type is not the most
    frequent one of their name. untagged: share of the places of names that are outside of any
    entity, of names that are an entity at least twice, and more often than not. repeated: distinct
    sentences that occur more than once; repeated_differing: those of them with different tags.
    copied: share of the sentences of dev and test that are in train too.
    """

    classes: tuple[str, ...]
    counts: dict[str, np.ndarray]
    batch_size: int
    absent: np.ndarray
    absent_balanced: np.ndarray
    batch_enough: int
    unseen: dict[str, Unseen]
    entity_words: dict[int, int]
    other_type: float
    untagged: float
    repeated: int
    repeated_differing: int
    copied: dict[str, float]

    @property
    def train(self) -> np.ndarray:
        return self.counts["train"]

    @property
    def o_share(self) -> float:
        """Share of the words that are outside entities."""
        return float(self.train[0] / self.train.sum())

    @property
    def ratio(self) -> float:
        """Words of the most frequent class per word of the rarest."""
        return ratio(self.train)

    @property
    def entity_ratio(self) -> float:
        """The same, of entity classes."""
        return ratio(self.train[1:])

    @property
    def entropy(self) -> float:
        """Normalised entropy of the entity classes."""
        return normalised_entropy(self.train[1:])

    @property
    def rarest(self) -> tuple[str, int]:
        """The entity class with the fewest words, of those that occur, and how many."""
        counts = zip(self.train[1:].tolist(), self.classes[1:], strict=True)
        count, name = min((pair for pair in counts if pair[0]), default=(0, self.classes[1]))
        return name, count

    @property
    def most_absent(self) -> tuple[str, float]:
        """The class that is absent from most batches, and their share."""
        place = int(np.nanargmax(self.absent))
        return self.classes[place], float(self.absent[place])


def measure(
    corpus: Corpus,
    classes: Sequence[str],
    words: Mapping[str, Words],
    batch_size: int,
    importance: np.ndarray,
) -> Diagnosis:
    """Diagnose a corpus.

    words: of each split. importance: of each training sentence, as the sampler weighs it (S,).
    """
    counts: dict[str, np.ndarray] = {}
    for split, split_words in words.items():
        counts[split] = np.bincount(split_words.labels, minlength=len(classes))
    presence = words["train"].presence(len(classes))
    nan_if_missing = np.where(presence.any(0), 1.0, np.nan)
    mentions = mentions_of(corpus.train)
    unseen: dict[str, Unseen] = {}
    copied: dict[str, float] = {}
    for split, sentences in (("dev", corpus.dev), ("test", corpus.test)):
        unseen[split] = compare_names(mentions, mentions_of(sentences))
        copied[split] = float(is_copied(sentences, corpus.train).mean())
    repeated, differing = repetitions(corpus.train)
    return Diagnosis(
        classes=tuple(classes),
        counts=counts,
        batch_size=batch_size,
        absent=nan_if_missing * absent(presence, batch_size),
        absent_balanced=nan_if_missing * absent_if_drawn(presence, importance, batch_size),
        batch_enough=batch_enough(presence[:, presence.any(0)]),
        unseen=unseen,
        entity_words=dict(sorted(Counter(len(name) for name, _ in mentions).items())),
        other_type=other_type(mentions),
        untagged=untagged(corpus.train, mentions),
        repeated=repeated,
        repeated_differing=differing,
        copied=copied,
    )


def share(truths: Iterable[bool]) -> float:
    """Return the share that is true; 0 of nothing."""
    values = list(truths)
    return sum(values) / len(values) if values else 0.0


def ratio(counts: np.ndarray) -> float:
    """Return the largest count over the smallest, of classes that occur; 1 if none does."""
    present = counts[counts > 0]
    return float(present.max() / present.min()) if len(present) else 1.0


def normalised_entropy(counts: np.ndarray) -> float:
    """Return −Σ p log p / log K over the K classes that occur, in [0, 1]; 1 if K < 2."""
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum() / np.log(len(p))) if len(p) > 1 else 1.0


def absent(presence: np.ndarray, size: int) -> np.ndarray:
    """Return the expected share of shuffled batches without a class (C,).

    Π_i (S−m−i) / (S−i) for i < size, with m of the S sentences having the class. presence (S, C);
    size in sentences.
    """
    sentences = len(presence)
    i = np.arange(min(size, sentences))
    without = sentences - presence.sum(0)
    shares: np.ndarray = (np.maximum(without[:, None] - i, 0) / (sentences - i)).prod(1)
    return shares


def absent_if_drawn(presence: np.ndarray, importance: np.ndarray, size: int) -> np.ndarray:
    """Return the same (C,) for batches whose sentences are each drawn by their importance (S,)."""
    shares: np.ndarray = (1 - importance @ presence / importance.sum()) ** size
    return shares


def batch_enough(presence: np.ndarray) -> int:
    """Return the smallest batch, in sentences, from which no class is absent more than half the
    time. presence (S, C)."""
    low, high = 1, len(presence)
    while low < high:
        middle = (low + high) // 2
        if absent(presence, middle).max() <= 0.5:
            high = middle
        else:
            low = middle + 1
    return low


def mentions_of(sentences: Iterable[Sentence]) -> list[Mention]:
    """Return all entities."""
    mentions: list[Mention] = []
    for sentence in sentences:
        for start, end, type_ in spans(sentence.tags):
            mentions.append((sentence.words[start:end], type_))
    return mentions


def compare_names(train: Sequence[Mention], others: Sequence[Mention]) -> Unseen:
    """Return how many of the other mentions have a new name."""
    known = {name for name, _ in train}
    known_in_any_case = set(map(fold, known))
    names = [name for name, _ in others]
    return Unseen(
        mentions=share(name not in known for name in names),
        names=share(name not in known for name in set(names)),
        any_case=share(fold(name) not in known_in_any_case for name in names),
    )


def fold(name: Name) -> Name:
    """Return a name without case."""
    return tuple(word.casefold() for word in name)


def other_type(mentions: Sequence[Mention]) -> float:
    """Return the share of mentions whose type is not the most frequent one of their name: their
    names are ambiguous, or their labels wrong."""
    types: dict[Name, Counter[str]] = defaultdict(Counter)
    for name, type_ in mentions:
        types[name][type_] += 1
    others = sum(counts.total() - max(counts.values()) for counts in types.values())
    return others / max(1, len(mentions))


def untagged(sentences: Iterable[Sentence], mentions: Sequence[Mention]) -> float:
    """Return the share of the places of names at which all their words are outside of entities.

    Of names that are an entity at least twice, and more often than not. Ambiguity between types
    does not change it: such a place lacks a label, or the name is also a common word.
    """
    tagged = Counter(name for name, _ in mentions)
    lengths: dict[str, set[int]] = defaultdict(set)  # of names, by their first word
    for name, count in tagged.items():
        if count > 1:
            lengths[name[0]].add(len(name))
    outside: Counter[Name] = Counter()
    for sentence in sentences:
        for start, tag in enumerate(sentence.tags):
            for length in lengths.get(sentence.words[start], ()) if tag == "O" else ():
                name = sentence.words[start : start + length]
                tags = set(sentence.tags[start : start + length])
                if len(name) == length and tagged[name] > 1 and tags == {"O"}:
                    outside[name] += 1
    places = missed = 0
    for name, count in tagged.items():
        if count > max(1, outside[name]):
            places += count + outside[name]
            missed += outside[name]
    return missed / max(1, places)


def repetitions(sentences: Iterable[Sentence]) -> tuple[int, int]:
    """Count distinct sentences that occur more than once, and those of them with different tags."""
    tags: dict[Name, list[tuple[str, ...]]] = defaultdict(list)
    for sentence in sentences:
        tags[sentence.words].append(sentence.tags)
    repeated = [versions for versions in tags.values() if len(versions) > 1]
    return len(repeated), sum(len(set(versions)) > 1 for versions in repeated)
