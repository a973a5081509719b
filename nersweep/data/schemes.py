"""Find out how the tags of a data set are written, and what each of them means."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from nersweep.faults import Fault, UserError

# What a prefix means. A scheme has one prefix for each meaning.
MEANINGS = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S", "W": "S"}
BARE = "bare"
SCHEMES = {  # the prefixes of each, the first that has those of the data is its scheme
    "IO": "I",
    "IOB2": "BI",
    "IOB1": "BI",
    "BIOES": "BIES",
    "BILOU": "BILU",
    "BMES": "BMES",
    "BMEWO": "BMEW",
    BARE: "",  # a tag is a type; neighbours of one type are one entity
}
STYLES = {  # how a prefix and a type are written
    "B-PER": re.compile(r"([BIMELSUW])-(.*\S.*)"),
    "B_PER": re.compile(r"([BIMELSUW])_(.*\S.*)"),
    "b-per": re.compile(r"([bimelsuw])-(.*\S.*)"),
    "b_per": re.compile(r"([bimelsuw])_(.*\S.*)"),
    "B": re.compile(r"([BIMELSUW])()"),
    "b": re.compile(r"([bimelsuw])()"),
}
LIKE_PREFIX = re.compile(r"[BIMELSUW]\W.+|.+[\W_][BIMELSUW]")  # B:PER, PER-B
SIGNS = ("O", "o", "0", "_", "-", "*", "")  # for a word outside of entities
ONLY_TYPE = "ENTITY"  # of tags that name none

Pair = tuple[str, str]  # a tag and the one after it; "O" stands before and after a sentence


@dataclass(frozen=True)
class Scheme:
    """How tags are written.

    name: of SCHEMES; IOB2 may turn out to be IOB1 by the order of the tags. style: of STYLES, or
    BARE. sign: for O. tags: what each means, "O" or one of B- I- E- S- and a type. joined: the
    types that have blanks, which become "_".
    """

    name: str
    style: str
    sign: str
    tags: Mapping[str, str]
    joined: Sequence[str]

    def notes(self) -> list[str]:
        """Return what a user should know of the tags: nothing of plain IOB2."""
        parts = [self.name]
        if self.name == BARE:
            parts = ["types without a prefix (neighbours of one type are one entity)"]
        elif self.style in ("B", "b"):
            parts.append(f"without a type (all entities are {ONLY_TYPE})")
        elif self.style != "B-PER":
            parts.append(f"written as {self.style}")
        if self.sign != "O":
            parts.append(f"with {self.sign or 'nothing'} for O")
        notes = [] if parts == ["IOB2"] else [f"tags are {', '.join(parts)}"]
        if self.joined:
            notes.append(f"blanks in types are read as _: {', '.join(self.joined)}")
        return notes


def scheme_of(
    counts: Mapping[str, int], name: str | None = None, outside: str | None = None
) -> Scheme:
    """Return the scheme of the tags of a whole data set.

    counts: words by tag. name, outside: the scheme and the sign for O; None: what the tags show.
    Raises UserError with the setting "tag" for a tag that fits neither the others nor the scheme,
    and for tags without prefixes unless O is the most frequent.
    """
    sign = sign_of(counts) if outside is None else outside
    entities = {tag: words for tag, words in counts.items() if tag != sign}
    style = style_of(entities) if name != BARE else BARE
    if style == BARE:
        if name is None:
            refuse_unclear(entities, counts.get("O", 0))
        elif name != BARE:
            raise misfit(next(iter(entities)), name, [BARE])
        name, readings = BARE, {tag: ("I", tag) for tag in entities}
    else:
        readings = {}
        for tag in entities:
            match = STYLES[style].fullmatch(tag)
            if match is None:
                raise misfit(tag, f"the other tags are written as {style}", counts=counts)
            readings[tag] = match[1].upper(), match[2]
        prefixes = {prefix for prefix, _ in readings.values()}
        if name is None and prefixes and not prefixes & {"B", "I"}:  # e-mail may be a type
            must = "it seems to have a prefix, but no tag has B- or I-"
            remedy = "if tags are types set data.scheme=bare, else data.scheme to their scheme"
            raise UserError(Fault("tag", next(iter(entities)), must, remedy))
        name = name or (commonest(readings, entities) if readings else "IOB2")
        fits = fitting(prefixes)
        for tag, (prefix, _) in readings.items():
            if prefix not in SCHEMES[name]:
                raise misfit(tag, name, fits)
    types = joined_types({type_ for _, type_ in readings.values()})
    tags = {sign: "O"}
    for tag, (prefix, type_) in readings.items():
        tags[tag] = f"{MEANINGS[prefix]}-{types[type_]}"
    return Scheme(name, style, sign, tags, [t for t in sorted(types) if t and types[t] != t])


def sign_of(counts: Collection[str]) -> str:
    """Return the sign for a word outside of entities: O, or the only one in its place."""
    signs = [sign for sign in SIGNS if sign in counts]
    return signs[0] if len(signs) == 1 else "O"


def style_of(entities: Mapping[str, int]) -> str:
    """Return how most words of entities are tagged: one of STYLES, or BARE if none has a prefix."""
    words = dict.fromkeys(STYLES, 0)
    for tag, count in entities.items():
        for style, pattern in STYLES.items():
            if pattern.fullmatch(tag):
                words[style] += count
    best = max(words, key=lambda style: words[style])
    return best if words[best] or not entities else BARE


def fitting(prefixes: Collection[str]) -> list[str]:
    """Return the schemes that have these prefixes."""
    return [name for name, letters in SCHEMES.items() if set(prefixes) <= set(letters)]


def commonest(readings: Mapping[str, Pair], words: Mapping[str, int]) -> str:
    """Return the first scheme that covers most words. readings: prefix and type by tag."""
    covered = dict.fromkeys(SCHEMES, 0)
    for tag, (prefix, _) in readings.items():
        for name, letters in SCHEMES.items():
            covered[name] += words[tag] * (prefix in letters)
    return max(covered, key=lambda name: covered[name])


def joined_types(types: Collection[str]) -> dict[str, str]:
    """Return the name of each type: without blanks, and ONLY_TYPE for none."""
    names: dict[str, str] = {}
    for type_ in sorted(types):
        name = "_".join(type_.split()) or ONLY_TYPE
        if name in names.values():
            must = f"blanks in types are read as _, so another type becomes {name} too"
            raise UserError(Fault("type", type_, must, "rename one of them"))
        names[type_] = name
    return names


def misfit(
    tag: str, why: str, fits: Collection[str] = (), counts: Collection[str] = ("O",)
) -> UserError:
    """Return the fault of a tag.

    why: how others are written, or the scheme that lacks it. fits: schemes that have it. counts:
    all tags.
    """
    must = why
    if why in SCHEMES:
        forms = [f"{letter}-" for letter in SCHEMES[why]] or ["types without a prefix"]
        must = f"the scheme is {why}: O, {', '.join(forms)}"
    remedy = "mend the tag"
    if fits:
        remedy = f"the prefixes of the data fit data.scheme={' or '.join(fits)}"
    elif tag in SIGNS and "O" not in counts:
        remedy = f"mend it, or set data.outside={tag or repr(tag)} if it stands for O"
    return UserError(Fault("tag", tag, must, remedy))


def refuse_unclear(entities: Mapping[str, int], outside: int) -> None:
    """Raise UserError for tags without a prefix, unless most words are outside of entities.

    Also for a prefix that is written in no style of STYLES.
    """
    for tag in entities:
        if LIKE_PREFIX.fullmatch(tag):
            must = "prefixes are read as in B-PER or B_PER alone"
            remedy = "rewrite the tags so, or set data.scheme=bare if each is a type"
            raise UserError(Fault("tag", tag, must, remedy))
    if outside < max(entities.values()):
        must = "it has no prefix such as B-, and O is not the most frequent tag"
        remedy = (
            "is that the column of tags? If so, set data.scheme=bare to read tags as types, and "
            "data.outside to the sign for O"
        )
        raise UserError(Fault("tag", next(iter(entities)), must, remedy))


def is_iob1(pairs: Collection[Pair]) -> bool:
    """Return whether tags are IOB1: some I starts an entity, and every B separates two of one type.

    Otherwise an I that starts an entity is an error in the data.
    """
    i_starts = b_starts_alone = False
    for before, tag in pairs:
        is_other = before[1:] != tag[1:]
        i_starts |= is_other and tag[0] == "I"
        b_starts_alone |= is_other and tag[0] == "B"
    return i_starts and not b_starts_alone


def is_regular(before: str, tag: str) -> bool:
    """Return whether BIOES allows a tag after another: what B or I opens, I or E continues."""
    is_open, goes_on = before[0] in "BI", tag[0] in "IE"
    return is_open == goes_on and (not is_open or before[1:] == tag[1:])
