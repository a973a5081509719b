"""Tags and spans: the schemes IOB1, IOB2 and BIOES, read the way the CoNLL evaluation script reads them.

A tag is "O" or a prefix and a type, as in "B-PER". A span is (start, end, type) over words, end exclusive.
"""

from collections.abc import Iterable, Sequence

import numpy as np

Span = tuple[int, int, str]

PREFIXES = "BIES"


def split_tag(tag: str) -> tuple[str, str]:
    """("B", "PER") for "B-PER", ("O", "") for "O". Raises ValueError for anything else."""
    if tag == "O":
        return "O", ""
    prefix, dash, type_ = tag.partition("-")
    if not dash or not type_ or len(prefix) != 1 or prefix not in PREFIXES:
        raise ValueError(f"tag {tag!r}: expected O, or one of B- I- E- S- followed by a type")
    return prefix, type_


def spans(tags: Sequence[str]) -> list[Span]:
    """The entities of one sentence, in order.

    An entity starts at B and S, and at I or E that continue nothing: after O, after E or S, or after another type.
    It goes on until O or the next start. These are the rules of conlleval, and of seqeval's default mode.
    """
    found: list[Span] = []
    start, previous_prefix, previous_type = -1, "O", ""
    for i, tag in enumerate(tags):
        prefix, type_ = split_tag(tag)
        starts = prefix in "BS" or (
            prefix in "IE" and (previous_prefix in "OES" or previous_type != type_)
        )
        if start >= 0 and (starts or prefix == "O"):
            found.append((start, i, previous_type))
            start = -1
        if starts:
            start = i
        previous_prefix, previous_type = prefix, type_
    if start >= 0:
        found.append((start, len(tags), previous_type))
    return found


def tags_from_spans(entities: Iterable[Span], length: int) -> list[str]:
    """The IOB2 tags of a sentence of `length` words. Raises ValueError where spans overlap or leave the sentence."""
    tags = ["O"] * length
    for start, end, type_ in entities:
        if not 0 <= start < end <= length:
            raise ValueError(
                f"span ({start}, {end}, {type_}): outside a sentence of {length} words"
            )
        if any(tag != "O" for tag in tags[start:end]):
            raise ValueError(f"span ({start}, {end}, {type_}): overlaps another span")
        tags[start:end] = [f"B-{type_}"] + [f"I-{type_}"] * (end - start - 1)
    return tags


def scheme_of(sentences: Iterable[Sequence[str]]) -> str:
    """ "BIOES" if any tag has E or S; "IOB1" if some I starts an entity and every B splits two entities of one type;
    else "IOB2" (an I that starts an entity is then an error in the data)."""
    i_starts = b_starts_alone = False
    for tags in sentences:
        previous = "O", ""
        for tag in tags:
            prefix, type_ = split_tag(tag)
            if prefix in "ES":
                return "BIOES"
            i_starts |= prefix == "I" and previous[1] != type_
            b_starts_alone |= prefix == "B" and previous[1] != type_
            previous = prefix, type_
    return "IOB1" if i_starts and not b_starts_alone else "IOB2"


class LabelSet:
    """The tags that a model predicts: O first, then B- and I- of each type in alphabetical order.

    Both tags of a type are always there, so that every entity can be written down.
    """

    def __init__(self, types: Iterable[str]):
        self.types: tuple[str, ...] = tuple(sorted(set(types)))
        self.names: tuple[str, ...] = ("O", *(f"{p}-{t}" for t in self.types for p in "BI"))
        self.ids: dict[str, int] = {name: i for i, name in enumerate(self.names)}
        # Per label: is it B; which type (0 is O, then 1, 2, ... in the order of `types`).
        self.begins = np.array([name.startswith("B-") for name in self.names])
        self.type_ids = np.array([0, *(i + 1 for i in range(len(self.types)) for _ in "BI")])

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, tags: Sequence[str]) -> list[int]:
        return [self.ids[tag] for tag in tags]

    def decode(self, ids: Iterable[int]) -> list[str]:
        return [self.names[i] for i in ids]

    def legal_transitions(self) -> tuple[np.ndarray, np.ndarray]:
        """IOB2's grammar as booleans: start (K,), may a sentence begin with this label; step (K, K), from row to
        column. I-X may only follow B-X or I-X; everything else is free."""
        inside = ~self.begins & (self.type_ids > 0)
        same_type = self.type_ids[:, None] == self.type_ids[None, :]
        return ~inside, ~inside[None, :] | same_type
