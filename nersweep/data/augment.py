"""Further training sentences, made of those of the training split: augment=NAME.

Dai and Adel 2020, "An Analysis of Simple Data Augmentation for Named Entity Recognition", §3,
without synonym replacement, which needs WordNet. New sentences are drawn once, before training, and
stand beside the original ones; a function of the data, the settings and the run's seed alone.
"""

import math
from abc import ABC, abstractmethod
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle, pairwise
from random import Random
from typing import TypeVar

from nersweep.data.corpus import Sentence
from nersweep.faults import Fault, UserError
from nersweep.labels import Span, spans

T = TypeVar("T")
Change = Callable[[Sentence], Sentence]


@dataclass(frozen=True)
class Part:
    """Words in a row, with their further columns."""

    words: tuple[str, ...]
    columns: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, sentence: Sentence, start: int, end: int) -> "Part":
        columns = {name: values[start:end] for name, values in sentence.columns.items()}
        return cls(sentence.words[start:end], columns)


@dataclass(frozen=True)
class Augmentation(ABC):
    """A way to make new sentences.

    copies, > 0: new sentences for each training sentence. probability, in (0, 1]: of a change, at
    each of its places. rarity, in [0, 10]: a sentence is the source of new ones in proportion to
    max_t (n_max / n_t)^rarity over its types t, with n_t the entities of t in training and n_max
    those of the most frequent type; a sentence without an entity counts 1. 0 takes all sentences
    equally often, as in the paper. Raises UserError for values outside these ranges.
    """

    copies: float = 1.0
    probability: float = 0.3
    rarity: float = 0.5

    def __post_init__(self) -> None:
        ranges = [
            ("copies", 0 < self.copies < math.inf, "> 0"),
            ("probability", 0 < self.probability <= 1, "> 0 and ≤ 1"),
            ("rarity", 0 <= self.rarity <= 10, "in [0, 10] (0 takes all sentences equally often)"),
        ]
        faults: list[Fault] = []
        for name, holds, allowed in ranges:
            if not holds:
                faults.append(Fault(name, getattr(self, name), f"must be {allowed}"))
        if faults:
            raise UserError(*faults)

    def generate(self, sentences: Sequence[Sentence], seed: int) -> list[Sentence]:
        """Return round(copies · S) new sentences, made of these S.

        Raises UserError if there is nothing to make them of.
        """
        random = Random(seed)  # whose random() is the same on every machine and version
        weights = self.weigh(sentences)
        if not any(weights):
            must, remedy = "the training split has no mention to replace", "set augment=none"
            raise UserError(Fault("augment", must=must, remedy=remedy))
        change = self.prepare(sentences, random)
        sources = draw(weights, round(self.copies * len(sentences)), random)
        return [change(sentences[source]) for source in sources]

    def weigh(self, sentences: Sequence[Sentence]) -> list[float]:
        """Return how often each sentence is a source, up to a factor; 0 if nothing can change."""
        counts: Counter[str] = Counter()
        types: list[set[str]] = []
        for sentence in sentences:
            own = [type_ for _, _, type_ in sentence.entities or spans(sentence.tags)]
            counts.update(own)
            types.append(set(own))
        most = max(counts.values(), default=1)
        weights: list[float] = []
        for own_types in types:
            ratio = max((most / counts[type_] for type_ in own_types), default=1.0)
            weights.append(ratio**self.rarity)
        return weights

    @abstractmethod
    def prepare(self, sentences: Sequence[Sentence], random: Random) -> Change:
        """Return what makes a new sentence of one, with the words of all of them."""


class MentionReplacement(Augmentation):
    """Replaces each mention, with `probability`, by one of its type in training, all alike likely.

    It may have another length, and be the mention itself. Sentences without a mention are no
    source, nor are those with overlapping ones, whose mentions are not used either.
    """

    def weigh(self, sentences: Sequence[Sentence]) -> list[float]:
        weights = super().weigh(sentences)
        for number, sentence in enumerate(sentences):
            if sentence.entities is not None or not spans(sentence.tags):
                weights[number] = 0.0
        return weights

    def prepare(self, sentences: Sequence[Sentence], random: Random) -> Change:
        mentions: dict[str, dict[tuple[str, ...], Part]] = {}
        for sentence in sentences:
            if sentence.entities is not None:
                continue
            for start, end, type_ in spans(sentence.tags):
                part = Part.of(sentence, start, end)
                mentions.setdefault(type_, {}).setdefault(part.words, part)
        choices = {type_: list(parts.values()) for type_, parts in mentions.items()}

        def change(sentence: Sentence) -> Sentence:
            if sentence.entities is not None:
                return sentence
            parts: list[Part] = []
            tags: list[str] = []
            place = 0
            for start, end, type_ in spans(sentence.tags):
                parts.append(Part.of(sentence, place, start))
                mention = Part.of(sentence, start, end)
                if random.random() < self.probability:
                    mention = pick(choices[type_], random)
                parts.append(mention)
                tags += sentence.tags[place:start]
                tags += [f"B-{type_}"] + [f"I-{type_}"] * (len(mention.words) - 1)
                place = end
            parts.append(Part.of(sentence, place, len(sentence.words)))
            return join(parts, (*tags, *sentence.tags[place:]))

        return change


class LabelWiseTokenReplacement(Augmentation):
    """Replaces each word, with `probability`, by one of the same tag, as frequent in training.

    The tags stay. The paper spares English stop words; here all words are alike.
    """

    def prepare(self, sentences: Sequence[Sentence], random: Random) -> Change:
        places: dict[str, list[tuple[Sentence, int]]] = {}
        for sentence in sentences:
            for place, tag in enumerate(sentence.tags):
                places.setdefault(tag, []).append((sentence, place))

        def change(sentence: Sentence) -> Sentence:
            parts: list[Part] = []
            for place, tag in enumerate(sentence.tags):
                source = (sentence, place)
                if random.random() < self.probability:
                    source = pick(places[tag], random)
                parts.append(Part.of(source[0], source[1], source[1] + 1))
            return join(parts, sentence.tags, sentence.entities)

        return change


class ShuffleInSegments(Augmentation):
    """Shuffles the words of each segment, with `probability`; the tags stay.

    A segment is a mention, or the words between two mentions; of overlapping mentions, the words
    between two of their borders.
    """

    def prepare(self, sentences: Sequence[Sentence], random: Random) -> Change:
        def change(sentence: Sentence) -> Sentence:
            bounds = {0, len(sentence.words)}
            for start, end, _ in sentence.entities or spans(sentence.tags):
                bounds |= {start, end}
            ordered = sorted(bounds)
            order: list[int] = []
            for start, end in pairwise(ordered):
                segment = list(range(start, end))
                if len(segment) > 1 and random.random() < self.probability:
                    shuffle(segment, random)
                order += segment
            parts = [Part.of(sentence, place, place + 1) for place in order]
            return join(parts, sentence.tags, sentence.entities)

        return change


class AllMethods(Augmentation):
    """Takes the three other ways in turn, one for each new sentence: the paper's "all"."""

    def prepare(self, sentences: Sequence[Sentence], random: Random) -> Change:
        changes: list[Change] = []
        for method in (MentionReplacement, LabelWiseTokenReplacement, ShuffleInSegments):
            changes.append(method(probability=self.probability).prepare(sentences, random))
        turns = cycle(changes)
        return lambda sentence: next(turns)(sentence)


def draw(weights: Sequence[float], count: int, random: Random) -> list[int]:
    """Return `count` places, each as often as its share of the weights says, up or down to a whole.

    Systematic sampling: with equal weights and a whole multiple of places, all equally often.
    """
    sums = list(accumulate(weights))
    offset = random.random()
    places: list[int] = []
    for number in range(count):
        place = bisect(sums, (number + offset) / count * sums[-1])
        places.append(min(place, len(weights) - 1))
    return places


def pick(choices: Sequence[T], random: Random) -> T:
    """Return one of the choices, each as likely."""
    return choices[int(random.random() * len(choices))]


def shuffle(values: list[int], random: Random) -> None:
    """Put values in a random order, each order as likely (Fisher and Yates)."""
    for last in range(len(values) - 1, 0, -1):
        other = int(random.random() * (last + 1))
        values[last], values[other] = values[other], values[last]


def join(
    parts: Sequence[Part], tags: Sequence[str], entities: tuple[Span, ...] | None = None
) -> Sentence:
    """Return the sentence of some parts."""
    words: list[str] = []
    columns: dict[str, list[str]] = {name: [] for name in parts[0].columns}
    for part in parts:
        words += part.words
        for name, values in part.columns.items():
            columns[name] += values
    whole = {name: tuple(values) for name, values in columns.items()}
    return Sentence(tuple(words), tuple(tags), whole, entities=entities)
