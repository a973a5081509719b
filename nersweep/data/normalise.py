"""Normalise the tags of a corpus to IOB2."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from sys import intern

from nersweep.data.corpus import SPLITS, Corpus, Sentence, Splits, tag_counts
from nersweep.data.division import Divided
from nersweep.data.schemes import SCHEMES, Pair, is_iob1, is_regular, scheme_of
from nersweep.faults import Fault, UserError
from nersweep.labels import starts

SPACE_SIGN = "␣"  # for white space that a file of predictions could not hold
LINE_BREAK = re.compile("[\r\n]+")
RARE, LARGE = 2, 100  # a type of so few entities, among so many, may be a slip

Normalise = Callable[[Splits], tuple[Splits, list[str]]]


def normalised(
    splits: Splits, scheme: str | None = None, outside: str | None = None
) -> tuple[Splits, list[str]]:
    """Return the splits with IOB2 tags, and notes on how the tags were written and what is odd.

    The scheme is that of all splits together. scheme, outside: as in `scheme_of`. Raises UserError
    for tags of no scheme.
    """
    counts: Counter[str] = Counter()
    for sentences in splits.values():
        counts += tag_counts(sentences)
        for sentence in sentences:
            counts.update(f"B-{type_}" for _, _, type_ in sentence.entities or ())
    written = scheme_of(counts, scheme, outside)
    meaning = written.tags.__getitem__
    pairs: dict[str, Counter[Pair]] = {}  # by split
    for split, sentences in splits.items():
        pairs[split] = Counter()
        for sentence in sentences:
            pairs[split].update(pairwise(["O", *map(meaning, sentence.tags), "O"]))
    every = Counter[Pair]()
    for group in pairs.values():
        every += group
    if written.name == "IOB2" and scheme is None and is_iob1(every):
        written = replace(written, name="IOB1")
    iob2: dict[Pair, str] = {}
    for before, tag in every:
        letter = "B" if starts(before, tag) else "I"
        iob2[before, tag] = tag if tag == "O" else intern(f"{letter}-{tag[2:]}")
    notes = written.notes()
    normal: dict[str, list[Sentence]] = {}
    for split, sentences in splits.items():
        notes += irregularities(split, written.name, pairs[split])
        normal[split] = []
        for sentence in sentences:
            words = shared(sentence.words)
            if LINE_BREAK.search("".join(words)):
                words = tuple(LINE_BREAK.sub(SPACE_SIGN, word) for word in words)
            meant = pairwise(["O", *map(meaning, sentence.tags)])
            tags = tuple(map(iob2.__getitem__, meant))
            entities = sentence.entities
            if entities is not None:
                names = [written.tags.get(f"B-{type_}", f"B-{type_}")[2:] for *_, type_ in entities]
                places = [(start, end) for start, end, _ in entities]
                entities = tuple((*place, name) for place, name in zip(places, names, strict=True))
            normal[split].append(replace(sentence, words=words, tags=tags, entities=entities))
    return normal, notes + odd_types(every, iob2)


def assemble(
    name: str,
    source: str,
    splits: Splits,
    divide: Callable[[Splits], Divided] = Divided,
    normalise: Normalise = normalised,
) -> Corpus:
    """Return the corpus with IOB2 tags, and with notes on its labels that a user should read.

    splits: with tags in any scheme. divide: makes train, dev and test of them once their tags are
    IOB2, and may have notes of its own. normalise: makes them IOB2. Raises UserError.
    """
    try:
        normal, repairs = normalise(splits)
    except UserError as error:
        raise UserError(*(placed(fault, splits) for fault in error.faults)) from None
    final, notes, pool, fold = divide(normal)
    train_tags = tag_counts(final["train"])
    absent = []
    for split in ("dev", "test"):
        for tag, words in sorted(tag_counts(final[split]).items()):
            if tag not in train_tags:
                absent.append(f"{split}: {tag} ({words} words) is not in the training data")
    notes = (*notes, *repairs, *absent)
    train, dev, test = (final[split] for split in SPLITS)
    return Corpus(name, source, train, dev, test, notes, pool, fold)


def placed(fault: Fault, splits: Splits) -> Fault:
    """Return the fault of a tag with the first sentence that has it: train, sentence 3: tag."""
    for split, sentences in splits.items():
        for number, sentence in enumerate(sentences, start=1):
            if fault.setting == "tag" and fault.value in sentence.tags:
                return replace(fault, setting=f"{split}, sentence {number}: tag")
    return fault


def irregularities(split: str, scheme: str, pairs: Mapping[Pair, int]) -> list[str]:
    """Return notes on tags that break the grammar of IOB2, or of BIOES and its kind."""
    repaired = irregular = 0
    for (before, tag), words in pairs.items():
        repaired += words * (tag[0] == "I" and starts(before, tag))
        irregular += words * (not is_regular(before, tag))
    if repaired and scheme == "IOB2":
        return [f"{split}: {repaired} I- tags began an entity and are read as B-"]
    if irregular and {"E", "L"} & set(SCHEMES[scheme]):
        return [f"{split}: {irregular} neighbouring tags do not fit {scheme}, such as B- before O"]
    return []


def odd_types(pairs: Mapping[Pair, int], iob2: Mapping[Pair, str]) -> list[str]:
    """Return a note on types that may be slips, with their entities.

    These begin or end with a sign, differ from a more frequent one only in case or signs, or have
    at most RARE entities of LARGE or more.
    """
    entities: Counter[str] = Counter()
    for pair, count in pairs.items():
        if iob2[pair][0] == "B":
            entities[iob2[pair][2:]] += count
    odd: list[str] = []
    alike: dict[str, str] = {}  # the most frequent type by its letters and digits
    for type_, count in entities.most_common():
        letters = "".join(filter(str.isalnum, type_.casefold()))
        twin = alike.setdefault(letters, type_)
        has_sign = not (type_[0].isalnum() and type_[-1].isalnum())
        is_rare = count <= RARE and entities.total() >= LARGE
        if twin != type_:
            odd.append(f"{type_} ({count:,}; {twin} has {entities[twin]:,})")
        elif has_sign or is_rare:
            odd.append(f"{type_} ({count:,})")
    return [f"types that may be mistyped, with their entities: {', '.join(odd)}"] if odd else []


def shared(strings: Iterable[str]) -> tuple[str, ...]:
    """Return these strings, with equal ones in memory once: those of a corpus repeat."""
    return tuple(map(intern, strings))
