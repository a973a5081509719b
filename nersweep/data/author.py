"""Write a generated corpus: draw names, write sentences, add label noise."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from random import Random
from typing import TypeVar

from nersweep.data.corpus import Sentence
from nersweep.data.lexicon import CONTEXTS, FILLERS, LAST_WORDS, NAMES, NEUTRAL, POOLS, SHARED
from nersweep.labels import Span, spans, tags_from_spans

CUED = 0.9  # share of mentions in a context of their type; the others are where any type could be
COINED = 0.5  # chance that a mention has a new name; others repeat one, so that counts are Zipfian
NOISE = ("type", "type", "dropped", "boundary")  # dealt in turn

T = TypeVar("T")
Word = tuple[str, str]  # word, tag
Mention = tuple[str, str]  # surface form, type
Names = Mapping[tuple[str, bool], list[str]]  # (type, is shared between types) -> mentions


def evenly(share: float, count: int) -> list[bool]:
    """Return `count` booleans, round(share·count) of them true, spaced as evenly as possible."""
    steps = [math.floor(share * i + 0.5) for i in range(count + 1)]
    return [after > before for before, after in pairwise(steps)]


class Author:
    """Draws from one stream of random numbers, so that a seed decides the whole corpus.

    Only `Random.random` is used, the one method that Python promises to keep.
    """

    def __init__(self, seed: int):
        self.random = Random(seed).random
        self.coined_names: set[str] = set()

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.random() * len(options))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        return sorted(items, key=lambda _: self.random())

    # Names

    def stem(self) -> str:
        shapes = ("ONSET VOWEL CODA", "ONSET VOWEL ONSET VOWEL", "ONSET VOWEL ONSET VOWEL CODA")
        parts = self.pick(shapes).split()
        return "".join(self.pick(POOLS[part]) for part in parts)

    def written(self, phrase: Sequence[str]) -> list[str]:
        """Return the phrase with its blanks filled."""
        words = []
        for word in phrase:
            word = self.pick(POOLS[word]) if word in POOLS else word
            if "~" in word or "_" in word:
                word = word.replace("~", self.stem().capitalize()).replace("_", self.stem())
            words.append(word)
        return words

    def coined(self, forms: Sequence[Sequence[str]]) -> str:
        """Return a name that no entity had before."""
        while True:
            name = " ".join(self.written(self.pick(forms)))
            if name not in self.coined_names:
                self.coined_names.add(name)
                return name

    def names(self, types: Sequence[str], ambiguity: float, unseen: float, seen: Names) -> Names:
        """Return a name for every mention in `types`, which come in blocks, the largest first.

        The share `unseen` is coined, the others are mentions of the same type in `seen`.
        """
        names: dict[tuple[str, bool], list[str]] = defaultdict(list)
        is_shared = evenly(ambiguity, len(types))
        for shared, new_names in (False, self.own_names), (True, self.shared_names):
            wanted = [type_ for type_, flag in zip(types, is_shared, strict=True) if flag == shared]
            new = []
            for type_, is_new in zip(wanted, evenly(unseen, len(wanted)), strict=True):
                options = seen.get((type_, shared))
                if is_new or not options:
                    new.append(type_)
                else:
                    names[type_, shared].append(self.pick(options))
            for name, type_ in new_names(new):
                names[type_, shared].append(name)
        return names

    def own_names(self, types: Sequence[str]) -> list[Mention]:
        """Return names of one type each, by Simon's process: a new one, or an earlier mention."""
        names: dict[str, list[str]] = defaultdict(list)
        for type_ in types:
            repeat = names[type_] and self.random() >= COINED
            names[type_].append(self.pick(names[type_]) if repeat else self.coined(NAMES[type_]))
        return [(name, type_) for type_, mentions in names.items() for name in mentions]

    def shared_names(self, types: Sequence[str]) -> list[Mention]:
        """Return names of several types each.

        They are dealt in turn; as the largest type and the rest both get a whole round, every name
        is dealt to at least two types.
        """
        largest = max(Counter(types).values(), default=0)
        size = max(1, min(len(types) // 5, largest, len(types) - largest))
        names = [self.coined(SHARED) for _ in range(size)]
        return [(names[i % size], type_) for i, type_ in enumerate(types)]

    # Sentences

    def sentences(self, names: Names, count: int, o_share: float) -> list[Sentence]:
        """Return `count` sentences with these mentions, and as many O words as `o_share` asks."""
        mentions = [(name, type_) for (type_, _), group in names.items() for name in group]
        entity_words = sum(len(name.split()) for name, _ in mentions)
        o_words = round(entity_words * o_share / (1 - o_share)) - count  # without the full stops
        sentences: list[list[list[Word]]] = [[] for _ in range(count)]  # chunks of each sentence
        budget = 0.0
        for mention in mentions:
            budget += 0.8 * o_words / len(mentions)  # contexts may take this share of the O words
            chunk = self.in_context(mention, budget)
            budget -= o_words_of(chunk)
            self.pick(sentences).append(chunk)
        for chunks in sentences:
            o_words -= sum(map(o_words_of, chunks))
        assert o_words >= 0
        self.fill(sentences, o_words)
        return [self.sentence(chunks) for chunks in sentences]

    def fill(self, sentences: Sequence[list[list[Word]]], o_words: int) -> None:
        """Add this many O words, so that sentences have 5 to 22 words."""
        wanted = [max(1.0, 5 + 17 * self.random() - sum(map(len, chunks))) for chunks in sentences]
        total, target, added = math.fsum(wanted), 0.0, 0
        for chunks, words in zip(sentences, wanted, strict=True):
            target += words
            room = round(o_words * target / total) - added
            added += room
            while room:
                short = [phrase for phrase in FILLERS if len(phrase) <= room]
                filler = self.written(self.pick(short or LAST_WORDS))
                chunks.append([(word, "O") for word in filler])
                room -= len(filler)

    def in_context(self, mention: Mention, limit: float) -> list[Word]:
        """Return the mention in a phrase with at most `limit` other words."""
        name, type_ = mention
        contexts = CONTEXTS[type_] if self.random() < CUED else NEUTRAL
        short = [context for context in contexts if len(context) - 1 <= limit]
        chunk: list[Word] = []
        for word in self.written(self.pick(short or [["{}"]])):
            if word == "{}":
                words = name.split()
                tags = tags_from_spans([(0, len(words), type_)], len(words))
                chunk += zip(words, tags, strict=True)
            else:
                chunk.append((word, "O"))
        return chunk

    def sentence(self, chunks: Sequence[Sequence[Word]]) -> Sentence:
        """Return the chunks in random order with a capital and a full stop."""
        pairs = [pair for chunk in self.shuffled(chunks) for pair in chunk]
        pairs.append((".", "O"))
        first, tag = pairs[0]
        if tag == "O":
            pairs[0] = first[0].upper() + first[1:], tag
        words, tags = zip(*pairs, strict=True)
        return Sentence(words, tags)

    # Noise

    def corrupted(
        self, sentences: Sequence[Sentence], share: float, types: Sequence[str]
    ) -> list[Sentence]:
        """Return the sentences with this share of their entities mislabelled."""
        entities = [spans(sentence.tags) for sentence in sentences]
        places = self.shuffled([(i, span) for i, group in enumerate(entities) for span in group])
        for turn, (i, span) in enumerate(places[: round(share * len(places))]):
            others = [other for other in entities[i] if other != span]
            tags = tags_from_spans(entities[i], len(sentences[i].tags))
            noise = NOISE[turn % len(NOISE)]
            entities[i] = sorted(others + self.misread(span, noise, tags, types))
        noisy = []
        for sentence, group in zip(sentences, entities, strict=True):
            tags = tags_from_spans(group, len(sentence.words))
            noisy.append(Sentence(sentence.words, tuple(tags)))
        return noisy

    def misread(
        self, span: Span, noise: str, tags: Sequence[str], types: Sequence[str]
    ) -> list[Span]:
        """Return the span with a wrong label; one whose boundary cannot move gets another type."""
        start, end, type_ = span
        if noise == "dropped":
            return []
        if noise == "boundary":
            moved = [(start, end - 1), (start + 1, end)] if end - start > 1 else []
            if start and tags[start - 1] == "O":
                moved.append((start - 1, end))
            if end < len(tags) - 1 and tags[end] == "O":  # never over the full stop
                moved.append((start, end + 1))
            if moved:
                return [(*self.pick(moved), type_)]
        return [(start, end, self.pick([other for other in types if other != type_]))]


def o_words_of(chunk: Sequence[Word]) -> int:
    return sum(tag == "O" for _, tag in chunk)
