"""Look for what may be wrong with annotated data: each check is a hint to read, no verdict."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from nersweep.data.corpus import Corpus, Sentence
from nersweep.labels import Span, spans

FEW = 20  # entities of a type in training, below which scores and learning are chance
EXAMPLES = 5  # of each flaw
WORDS = 12  # of an example, at most
PREFIXES = "BIOESLUMW"


class Flaw(NamedTuple):
    """What may be wrong, and in how many places. statement: of what and how much, for people."""

    name: str
    places: int
    statement: str
    examples: tuple[str, ...]


def find_flaws(corpus: Corpus) -> list[Flaw]:
    """Return what the checks find, in the order of `CHECKS`."""
    flaws: list[Flaw] = []
    for check in CHECKS:
        flaw = check(corpus)
        if flaw is not None:
            flaws.append(flaw)
    return flaws


def contradictions(corpus: Corpus) -> Flaw | None:
    """Find sentences of the same words with different labels, within and across splits."""
    versions: dict[tuple[str, ...], dict[tuple[str, ...], str]] = defaultdict(dict)
    counts: Counter[tuple[str, ...]] = Counter()
    for place, sentence in numbered(corpus):
        counts[sentence.words] += 1
        versions[sentence.words].setdefault(sentence.tags, place)
    count = 0
    examples: list[str] = []
    for words, places in versions.items():
        if len(places) == 1:
            continue
        count += 1
        readings: list[str] = []
        for tags, place in places.items():
            readings.append(f"{mentions(words, spans(tags)) or 'no entity'} ({place})")
        examples.append(f"{excerpt(words)}: {'; '.join(readings)}")
    repeated = sum(times > 1 for times in counts.values())
    statement = f"{count:,} of the {repeated:,} sentences that occur more than once, in any splits"
    return flaw("contradicting labels of equal sentences", count, statement, examples)


def similar_types(corpus: Corpus) -> Flaw | None:
    """Find types that differ only in case or punctuation."""
    groups: dict[str, list[str]] = defaultdict(list)
    counts = type_counts(corpus)
    for type_, number in counts.most_common():
        groups[bare(type_)].append(f"{type_} ({number:,})")
    alike = [" and ".join(group) for group in groups.values() if len(group) > 1]
    name = "types that differ only in case or punctuation"
    return flaw(name, len(alike), "; ".join(alike))


def mistyped_types(corpus: Corpus) -> Flaw | None:
    """Find types that look like a mistyped tag: a prefix within the type, a stray sign."""
    counts = type_counts(corpus)
    names = {bare(type_) for type_ in counts}
    odd: list[str] = []
    for type_, number in counts.most_common():
        has_prefix = type_[0] in PREFIXES and bare(type_[1:]) in names - {bare(type_)}
        if has_prefix or not (type_[0].isalnum() and type_[-1].isalnum()):
            odd.append(f"{type_} ({number:,})")
    return flaw("types that look mistyped", len(odd), ", ".join(odd))


def rare_types(corpus: Corpus) -> Flaw | None:
    """Find types with few entities in training, which are also few in dev and test as a rule."""
    in_training = entity_counts(corpus.train)
    rare: list[str] = []
    for type_ in corpus.labels.types:
        if in_training[type_] < FEW:
            rare.append(f"{type_} ({in_training[type_]:,})")
    return flaw(f"types with fewer than {FEW} entities in train", len(rare), ", ".join(rare))


def ragged_entities(corpus: Corpus) -> Flaw | None:
    """Find entities that begin or end with white space or with a word of punctuation alone."""
    edges: Counter[str] = Counter()
    first: dict[str, str] = {}
    for place, sentence in numbered(corpus):
        for span in spans(sentence.tags):
            words = sentence.words[span[0] : span[1]]
            oddity = edge(words)
            if oddity:
                edges[oddity] += 1
                first.setdefault(oddity, f"{mentions(sentence.words, [span])} ({place})")
    examples: list[str] = []
    for oddity, number in edges.most_common():
        examples.append(f"{number:,} {oddity}: {first[oddity]}")
    count = edges.total()
    total = type_counts(corpus).total()
    statement = f"{count:,} of {total:,}"
    return flaw("entities with blanks or punctuation at the edge", count, statement, examples)


CHECKS: tuple[Callable[[Corpus], Flaw | None], ...] = (
    contradictions,
    similar_types,
    mistyped_types,
    rare_types,
    ragged_entities,
)


def flaw(name: str, places: int, statement: str, examples: Sequence[str] = ()) -> Flaw | None:
    """Return a flaw with its first examples; None if it does not occur."""
    if not places:
        return None
    return Flaw(name, places, statement, tuple(examples[:EXAMPLES]))


def edge(words: Sequence[str]) -> str:
    """Say what is odd at the edge of an entity, "" if nothing is."""
    if is_empty(words[0]):
        return f"begin with {words[0]!r}"
    if is_empty(words[-1]):
        return f"end with {words[-1]!r}"
    blank = words[0][:1].isspace() or words[-1][-1:].isspace()
    return "have a blank at the edge" if blank else ""


def is_empty(word: str) -> bool:
    """True for a word of punctuation, white space and control characters alone."""
    return all(unicodedata.category(sign)[0] in "PZC" for sign in word)


def bare(type_: str) -> str:
    """Return the letters and digits of a type without case; the type itself if it has none."""
    return "".join(filter(str.isalnum, type_)).casefold() or type_


def entity_counts(sentences: Sequence[Sentence]) -> Counter[str]:
    """Count the entities of each type."""
    counts: Counter[str] = Counter()
    for sentence in sentences:
        counts.update(type_ for *_, type_ in spans(sentence.tags))
    return counts


def type_counts(corpus: Corpus) -> Counter[str]:
    """Count the entities of each type in all splits."""
    counts: Counter[str] = Counter()
    for sentences in corpus.splits().values():
        counts += entity_counts(sentences)
    return counts


def numbered(corpus: Corpus) -> Iterator[tuple[str, Sentence]]:
    """Yield all sentences with their places: "test 17"."""
    for split, sentences in corpus.splits().items():
        for number, sentence in enumerate(sentences, 1):
            yield f"{split} {number:,}", sentence


def mentions(words: Sequence[str], entities: Sequence[Span]) -> str:
    """Return entities as text: New Lund LOC, Ada PER."""
    return ", ".join(f"{excerpt(words[start:end])} {type_}" for start, end, type_ in entities)


def excerpt(words: Sequence[str]) -> str:
    """Return the first words as text."""
    return " ".join(words[:WORDS]) + (" …" if len(words) > WORDS else "")
