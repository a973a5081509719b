"""Entities in brackets, as CoNLL-U files of coreference have them: Entity=(1-person … Entity=1)."""

import re
from collections.abc import Sequence

from nersweep.labels import Span

BRACKET = re.compile(r"\((?P<opened>[^()]+)(?P<closed>\)?)|(?<![^()])(?P<name>[^()]+)\)")
TYPE = 1  # the place of the type in 1-person-new, from 0; "# global.Entity = …" may name another


def bracket_spans(values: Sequence[str], type_place: int = TYPE) -> list[Span]:
    """Return the entities of a sentence, in the order of their ends; they may be nested.

    values: of each word, "" for none: "(1-person" begins entity 1, "1)" ends it, "(2-place)" is a
    whole one, and a value may have several of these. Raises ValueError for other values, and for an
    entity that ends in another sentence.
    """
    spans: list[Span] = []
    current: list[tuple[str, int, str]] = []  # name, start, type of entities that have not ended
    for i, value in enumerate(values):
        if BRACKET.sub("", value):
            raise ValueError(f"{value}: expected brackets such as (1-person, 1) or (2-place)")
        for match in BRACKET.finditer(value):
            name = match["name"]
            if match["opened"]:
                name, *fields = match["opened"].split("-")
                if len(fields) < type_place:
                    raise ValueError(f"{match[0]}: has no type, as (1-person has")
                current.append((name, i, fields[type_place - 1]))
                if not match["closed"]:
                    continue
            place = index_of(name, [entity[0] for entity in current])
            _, start, type_ = current.pop(place)
            spans.append((start, i + 1, type_))
    if current:
        raise ValueError(f"({current[0][0]}-{current[0][2]} does not end in its sentence")
    return spans


def index_of(name: str, names: Sequence[str]) -> int:
    """Return the last place of a name. Raises ValueError if there is none."""
    if name not in names:
        raise ValueError(f"{name}) ends nothing that begins in its sentence")
    return len(names) - 1 - names[::-1].index(name)
