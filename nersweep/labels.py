"""Tags and spans: the schemes IOB1, IOB2 and BIOES, read as the CoNLL evaluation script reads them.

A tag is "O" or a prefix and a type, as in "B-PER". A span is (start, end, type) over words, end
exclusive.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nersweep.faults import Fault, UserError

Span = tuple[int, int, str]

PREFIXES = "BIES"


def split_tag(tag: str) -> tuple[str, str]:
    """Return ("B", "PER") for "B-PER" and ("O", "") for "O". Raises UserError for anything else."""
    if tag == "O":
        return "O", ""
    prefix, _, type_ = tag.partition("-")
    if not type_ or len(prefix) != 1 or prefix not in PREFIXES:
        raise UserError(Fault("tag", tag, "expected O, or one of B- I- E- S- followed by a type"))
    return prefix, type_


@lru_cache(maxsize=1 << 16)
def starts(before: str, tag: str) -> bool:
    """Return whether an entity starts at a tag, by the tag before it ("O" before a sentence).

    It does at B and S, and at an I or E that continues nothing: after O, after E or S, or after
    another type. These are the rules of conlleval, and of seqeval's default mode.
    """
    (before_prefix, before_type), (prefix, type_) = split_tag(before), split_tag(tag)
    continues = before_prefix in "BI" and before_type == type_
    return prefix in "BS" or (prefix in "IE" and not continues)


def spans(tags: Sequence[str]) -> list[Span]:
    """Return the entities of one sentence, in order. Each ends before O or the next start."""
    entities: list[Span] = []
    start, before = -1, "O"
    for i, tag in enumerate(tags):
        is_start = starts(before, tag)
        if start >= 0 and (is_start or tag == "O"):
            entities.append((start, i, before[2:]))
            start = -1
        if is_start:
            start = i
        before = tag
    if start >= 0:
        entities.append((start, len(tags), before[2:]))
    return entities


def tags_from_spans(entities: Iterable[Span], length: int) -> list[str]:
    """Return the IOB2 tags of a sentence of `length` words.

    Raises ValueError for spans that overlap or leave the sentence.
    """
    tags = ["O"] * length
    for start, end, type_ in entities:
        span = f"span ({start}, {end}, {type_})"
        if not 0 <= start < end <= length:
            raise ValueError(f"{span}: outside a sentence of {length} words")
        if tags[start:end] != ["O"] * (end - start):
            raise ValueError(f"{span}: overlaps another span")
        tags[start:end] = [f"B-{type_}"] + [f"I-{type_}"] * (end - start - 1)
    return tags


class LabelSet:
    """The tags that a model predicts: O, then B- and I- of each type in alphabetical order.

    Both tags of a type are always included, so that every entity can be written. begins (K,): which
    labels are B. type_ids (K,): 0 for O, then 1, 2, ... in the order of `types`.
    """

    def __init__(self, types: Iterable[str]):
        self.types: tuple[str, ...] = tuple(sorted(set(types)))
        names, type_ids = ["O"], [0]
        for i, type_ in enumerate(self.types, start=1):
            names += [f"B-{type_}", f"I-{type_}"]
            type_ids += [i, i]
        self.names: tuple[str, ...] = tuple(names)
        self.ids: dict[str, int] = {name: i for i, name in enumerate(names)}
        self.begins = np.array([name.startswith("B-") for name in names])  # (K,)
        self.type_ids = np.array(type_ids)  # (K,)

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, tags: Sequence[str]) -> list[int]:
        return [self.ids[tag] for tag in tags]

    def decode(self, ids: Iterable[int]) -> list[str]:
        return [self.names[i] for i in ids]

    def legal_transitions(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return IOB2's grammar: which labels may start a sentence (K,), which may follow (K, K).

        From row to column: I-X may only follow B-X or I-X; everything else is free.
        """
        inside = ~self.begins & (self.type_ids > 0)  # (K,)
        same_type = self.type_ids[:, None] == self.type_ids[None, :]  # (K, K)
        return ~inside, ~inside[None, :] | same_type
