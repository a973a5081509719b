"""An English-like corpus made on the spot: the default data, and a laboratory whose class imbalance is a knob.

Every knob is met by quota, not by chance, so that what it was asked for can be measured in what it returns.
Only `Random.random` is used, the one method that Python promises to keep: a seed means the same corpus everywhere.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import TypeVar

from nersweep.data.corpus import Corpus, Sentence
from nersweep.labels import Span, spans, tags_from_spans

TYPES = ("PER", "LOC", "ORG", "PRODUCT", "EVENT")  # from the most to the least frequent

SENTENCE_WORDS = 13.5  # on average, about
CUED = 0.9  # share of mentions in a context of their type; the others stand where any type could
COINED = 0.5  # chance that a mention is a name of its own; otherwise it repeats an earlier one, so counts are Zipfian
NOISE = ("type", "type", "dropped", "boundary")  # dealt in turn

T = TypeVar("T")
Word = tuple[str, str]  # word, tag
Mention = tuple[str, str]  # surface form, type
Names = dict[
    tuple[str, bool], list[str]
]  # (type, is the name shared between types) -> its mentions


@dataclass(frozen=True, kw_only=True)
class Generated:
    """A corpus with five entity types, of `train`, `dev` and `test` sentences (≥ 1) of about 14 words.
    Most mentions, but not all, stand in a context that tells their type.

    imbalance, ≥ 1: mentions of the most frequent type (PER) per mention of the least frequent (EVENT), in each split;
        the types between follow a geometric progression. Exact up to rounding; no type is ever absent from a split.
    o_share, .5 to .97: share of words tagged O, in each split.
    ambiguity, 0 to 1: share of mentions, in each split, whose surface form also occurs under another type (Jordan).
    unseen, 0 to 1: share of dev and of test mentions whose surface form is no entity of train. It cuts across
        ambiguity: the same share of the ambiguous mentions is unseen, and such a name changes type within its split.
        A seen mention keeps a type that its name has in train.
    label_noise, 0 up to 1, exclusive: share of train mentions with a corrupted label; of these half get another type,
        a quarter become O, a quarter lose or gain a word at one end. The words, dev and test stay as they are, and
        all other knobs speak of the labels before the noise.
    seed, ≥ 0: the same seed gives the same corpus on every machine.

    Shares are of whole mentions. A split of a few sentences cannot meet all of them: it keeps a mention of every type
    and `o_share` (its sentences grow long where that is high), and rounds the others.

    Raises ValueError, a line per fault, for values outside these ranges.
    """

    imbalance: float
    o_share: float
    ambiguity: float
    unseen: float
    label_noise: float
    train: int
    dev: int
    test: int
    seed: int

    def __post_init__(self):
        share = (lambda x: 0 <= x <= 1, "a share from 0 to 1")
        size = (lambda x: x >= 1, "≥ 1 sentence")
        accepted: dict[str, tuple[Callable[[float], bool], str]] = {
            "imbalance": (lambda x: 1 <= x < math.inf, "≥ 1 (1 is balanced)"),
            "o_share": (lambda x: 0.5 <= x <= 0.97, "a share from .5 to .97 (CoNLL-2003 has .83)"),
            "ambiguity": share,
            "unseen": share,
            "label_noise": (lambda x: 0 <= x < 1, "a share from 0 up to 1, exclusive (0 is clean)"),
            "train": size,
            "dev": size,
            "test": size,
            "seed": (lambda x: x >= 0, "≥ 0"),
        }
        faults = [
            f"{name}={getattr(self, name)}: must be {text}"
            for name, (accepts, text) in accepted.items()
            if not accepts(getattr(self, name))
        ]
        if faults:
            raise ValueError("\n".join(faults))

    def load(self) -> Corpus:
        author = _Author(self.seed)
        progression = [self.imbalance ** (-rank / (len(TYPES) - 1)) for rank in range(len(TYPES))]
        mention_words = 1 + 0.95 * (1 - self.ambiguity)  # ambiguous names are single words
        known: Names = defaultdict(list)
        splits = {}
        for split, size in (("train", self.train), ("dev", self.dev), ("test", self.test)):
            count = size * SENTENCE_WORDS * (1 - self.o_share) / mention_words
            types = [
                type_
                for type_, weight in zip(TYPES, progression, strict=True)
                for _ in range(max(1, round(count * weight / math.fsum(progression))))
            ]
            names = author.names(
                types, self.ambiguity, 1.0 if split == "train" else self.unseen, known
            )
            if split == "train":
                known = names
            splits[split] = author.sentences(names, size, self.o_share)
        splits["train"] = author.corrupted(splits["train"], self.label_noise)
        return Corpus(name="generated", source=f"generated (seed {self.seed})", **splits)


def _evenly(share: float, count: int) -> list[bool]:
    """`count` booleans, round(share * count) of them true, as evenly spaced as can be."""
    steps = [math.floor(share * i + 0.5) for i in range(count + 1)]
    return [after > before for before, after in pairwise(steps)]


class _Author:
    """Draws names and writes sentences from one stream of random numbers."""

    def __init__(self, seed: int):
        self.random = Random(seed).random
        self.taken: set[str] = set()

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.random() * len(options))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        return sorted(items, key=lambda _: self.random())

    # Names

    def stem(self) -> str:
        shape = self.pick(
            ("ONSET VOWEL CODA", "ONSET VOWEL ONSET VOWEL", "ONSET VOWEL ONSET VOWEL CODA")
        )
        return "".join(self.pick(POOLS[part]) for part in shape.split())

    def written(self, phrase: Sequence[str]) -> list[str]:
        """The phrase with its blanks filled: ~ is a coined Name, _ a coined noun, CAPITALS a word of that pool."""
        words = []
        for word in phrase:
            word = self.pick(POOLS[word]) if word in POOLS else word
            if "~" in word or "_" in word:
                word = word.replace("~", self.stem().capitalize()).replace("_", self.stem())
            words.append(word)
        return words

    def coined(self, forms: Sequence[Sequence[str]]) -> str:
        """A name that no entity had before."""
        while (name := " ".join(self.written(self.pick(forms)))) in self.taken:
            pass
        self.taken.add(name)
        return name

    def names(self, types: Sequence[str], ambiguity: float, unseen: float, known: Names) -> Names:
        """A name for every mention in `types` (in blocks, the largest first): the share `unseen` coined, the others
        from the mentions of the same type in `known`."""
        result: Names = defaultdict(list)
        is_shared = _evenly(ambiguity, len(types))
        for shared, new_names in (False, self.own_names), (True, self.shared_names):
            wanted = [type_ for type_, flag in zip(types, is_shared, strict=True) if flag == shared]
            new = []
            for type_, is_new in zip(wanted, _evenly(unseen, len(wanted)), strict=True):
                if is_new or not known[type_, shared]:
                    new.append(type_)
                else:
                    result[type_, shared].append(self.pick(known[type_, shared]))
            for name, type_ in new_names(new):
                result[type_, shared].append(name)
        return result

    def own_names(self, types: Sequence[str]) -> list[Mention]:
        """Names of one type each, by Simon's process: a new one, or one drawn from the mentions so far."""
        said = defaultdict(list)
        for type_ in types:
            repeat = said[type_] and self.random() >= COINED
            said[type_].append(self.pick(said[type_]) if repeat else self.coined(NAMES[type_]))
        return [(name, type_) for type_, names in said.items() for name in names]

    def shared_names(self, types: Sequence[str]) -> list[Mention]:
        """Names of several types each. They are dealt in turn; as the largest type and the rest both get a whole
        round, every name is dealt to two types at least."""
        largest = max(Counter(types).values(), default=0)
        size = max(1, min(len(types) // 5, largest, len(types) - largest))
        names = [self.coined(SHARED) for _ in range(size)]
        return [(names[i % size], type_) for i, type_ in enumerate(types)]

    # Sentences

    def sentences(self, names: Names, count: int, o_share: float) -> list[Sentence]:
        """`count` sentences with these mentions, and as many other words as make `o_share`."""
        mentions = [(name, type_) for (type_, _), mentions in names.items() for name in mentions]
        o_words = (
            round(sum(len(name.split()) for name, _ in mentions) * o_share / (1 - o_share)) - count
        )  # but for "."
        chunks: list[list[list[Word]]] = [[] for _ in range(count)]  # of each sentence
        budget = 0.0
        for mention in mentions:
            budget += 0.8 * o_words / len(mentions)  # contexts may take this share of the O words
            chunk = self.in_context(mention, budget)
            budget -= sum(tag == "O" for _, tag in chunk)
            self.pick(chunks).append(chunk)

        # What is left of the O words goes where it is wanted for sentences of 5 to 22 words.
        o_words -= sum(tag == "O" for sentence in chunks for chunk in sentence for _, tag in chunk)
        assert o_words >= 0
        wanted = [max(1.0, 5 + 17 * self.random() - sum(map(len, sentence))) for sentence in chunks]
        total, wish, given = math.fsum(wanted), 0.0, 0
        for sentence, words in zip(chunks, wanted, strict=True):
            wish += words
            room = round(o_words * wish / total) - given
            given += room
            while room:
                filler = self.written(
                    self.pick([phrase for phrase in FILLERS if len(phrase) <= room] or LAST_WORDS)
                )
                sentence.append([(word, "O") for word in filler])
                room -= len(filler)
        return [self.sentence(sentence) for sentence in chunks]

    def in_context(self, mention: Mention, limit: float) -> list[Word]:
        """The mention in a phrase with at most `limit` other words."""
        name, type_ = mention
        contexts = CONTEXTS[type_] if self.random() < CUED else NEUTRAL
        short = [context for context in contexts if len(context) - 1 <= limit] or [["{}"]]
        chunk = []
        for word in self.written(self.pick(short)):
            if word == "{}":
                chunk += zip(
                    name.split(), [f"B-{type_}"] + [f"I-{type_}"] * name.count(" "), strict=True
                )
            else:
                chunk.append((word, "O"))
        return chunk

    def sentence(self, chunks: Sequence[Sequence[Word]]) -> Sentence:
        (first, tag), *rest = [pair for chunk in self.shuffled(chunks) for pair in chunk] + [
            (".", "O")
        ]
        if tag == "O":
            first = first[0].upper() + first[1:]
        words, tags = zip((first, tag), *rest, strict=True)
        return Sentence(words, tags)

    # Noise

    def corrupted(self, sentences: Sequence[Sentence], share: float) -> list[Sentence]:
        entities = [spans(sentence.tags) for sentence in sentences]
        places = self.shuffled([(i, span) for i, found in enumerate(entities) for span in found])
        for turn, (i, span) in enumerate(places[: round(share * len(places))]):
            others = [other for other in entities[i] if other != span]
            outside = [tag == "O" for tag in tags_from_spans(entities[i], len(sentences[i].tags))]
            entities[i] = sorted(others + self.misread(span, NOISE[turn % len(NOISE)], outside))
        return [
            Sentence(sentence.words, tuple(tags_from_spans(found, len(sentence.words))))
            for sentence, found in zip(sentences, entities, strict=True)
        ]

    def misread(self, span: Span, how: str, outside: Sequence[bool]) -> list[Span]:
        """The span with a wrong label; a boundary that cannot move leaves it with another type."""
        start, end, type_ = span
        if how == "dropped":
            return []
        if how == "boundary":
            moved = [(start, end - 1), (start + 1, end)] if end - start > 1 else []
            moved += [(start - 1, end)] if start and outside[start - 1] else []
            moved += (
                [(start, end + 1)] if end < len(outside) - 1 and outside[end] else []
            )  # never over the full stop
            if moved:
                return [(*self.pick(moved), type_)]
        return [(start, end, self.pick([other for other in TYPES if other != type_]))]


def _phrases(text: str) -> list[list[str]]:
    return [phrase.split() for phrase in text.split("|")]


def _by_type(**texts: str) -> dict[str, list[list[str]]]:
    return {type_: _phrases(text) for type_, text in texts.items()}


POOLS = {
    blank: words.split()
    for blank, words in {
        "ONSET": "b br c ch d dr f g gr h j k l m n p r s sh st t th tr v w z",
        "VOWEL": "a a e e i o o u ai ei",
        "CODA": "l n r s x nd rk th m ck",
        "FIRST": "Anna James Maria David Laura Peter Elena Thomas Sofia Michael Ines Robert Yuki Daniel Fatima George "
        "Nora Ahmed Clara Victor Helen Samuel Olga Martin",
        "LAST": "Smith Garcia Novak Brown Rossi Miller Tanaka Jones Weber Silva Clark Ivanov ~son ~ez ~ov ~ ~ ~ ~",
        "PLACE": "London Paris Texas Kenya Madrid Chicago Norway Boston Lima Cairo ~ton ~burg ~ia ~ville ~ ~ ~",
        "DAY": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
        "MONTH": "January March May June August October",
        "YEAR": "1996 2008 2010 2014 2020",
        "NUMBER": "3 5 7 12 20 45 100 300",
        "NOUN": "report price market game plan team deal court film road house _ _ _ _",
        "VERB": "rose fell met won lost waited left agreed _ed",
        "ADVERB": "again sharply quietly later slowly reportedly _ly",
        "FOREIGN": "German French Chinese ~ish ~ese ~ian",
    }.items()
}
NAMES = _by_type(
    PER="FIRST LAST|FIRST LAST|FIRST LAST|FIRST LAST|FIRST ~ LAST|LAST|LAST|FIRST|FIRST van der ~",
    LOC="PLACE|PLACE|PLACE|PLACE|PLACE|New PLACE|Lake ~|~ River|Mount ~|~ Park|North ~ Island",
    ORG="~|~|~|~ Corp|~ Group|University of PLACE|Bank of PLACE|~ & LAST|PLACE United|~ Park|~ Games",
    PRODUCT="~|~|~|~ NUMBER|~ Pro|e~|~ Series NUMBER|LAST ~",
    EVENT="~|~ Cup|Battle of PLACE|PLACE Games|~ Series|PLACE Festival|YEAR PLACE Open|PLACE ~",
)
SHARED = _phrases(
    "Jordan|Washington|Lincoln|Victoria|Austin|Florence|Ford|Mercury|Phoenix|Hudson|Orlando|Lourdes|~|~|~|~|~|~|~|~|~|~"
)
CONTEXTS = _by_type(
    PER="Mr. {}|Dr. {} said|{} told reporters|{} ( NUMBER )|coach {}|{} said|{} scored twice|wife of {}|"
    "actor {} smiled|his friend {}|FOREIGN lawyer {}|President {}",
    LOC="in {}|near {}|in {}|the city of {}|people living in {}|flew to {}|north of {}|across {}|"
    "a village near {}|in the hills of {}|the border with {}",
    ORG="shares of {}|{} hired NUMBER workers|{} shares fell|at {}|a spokesman for {}|_ maker {}|analysts at {}|"
    "joined {}|profits at {} rose|the board of {}",
    PRODUCT="the new {}|bought a {}|using {}|a version of the {}|sales of the {}|the {} costs NUMBER dollars|"
    "drove his {}|users of {}|installed {}",
    EVENT="during the {}|won the {}|at the {}|before the {}|tickets for the {}|the final of the {}|"
    "the {} was held in MONTH|after {}",
)
NEUTRAL = _phrases(
    "{}|about {}|and {}|the {}|of {}|with {}|from {}|for {}|{} VERB|{} has VERB ADVERB|the story of {}|names like {}|"
    "reports about {}|{} and the NOUN|at {}|the new {}"
)
FILLERS = _phrases(
    "on DAY|in MONTH|the NOUN VERB|a FOREIGN NOUN|last week|as the NOUN VERB|after the NOUN|the FOREIGN NOUN VERB|"
    "for NUMBER days|but the NOUN VERB ADVERB|NUMBER people VERB|despite the NOUN|with a NOUN|since YEAR|"
    "while a NOUN of NUMBER VERB|for the first time|on DAY night|because the NOUN VERB|the Prime Minister VERB|"
    "in the FOREIGN press|because of a NOUN in the NOUN|the Internet NOUN|according to a FOREIGN NOUN|"
    "and the NOUN VERB|NUMBER people VERB in the NOUN|a NOUN said"
)
LAST_WORDS = _phrases(
    "ADVERB|ADVERB|DAY|today|yesterday|however"
)  # where there is room for one word only
