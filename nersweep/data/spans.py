"""Text with entities as spans of characters: what all formats of spans share."""

import re
from abc import abstractmethod
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from nersweep.data.corpus import Sentence
from nersweep.data.files import at_line
from nersweep.data.splits import SplitFiles
from nersweep.data.words import KINDS, words
from nersweep.faults import Fault, UserError
from nersweep.labels import Span, tags_from_spans

Unit = Literal["codepoints", "utf16", "bytes"]
Rule = Literal["outermost", "longest", "first", "fail"]

CHARACTER = re.compile("[^ m]m*|m+")  # of the kinds of `words`: one with its marks
LINE_BREAK = re.compile("[\n\r\u2028\u2029]")


class Mark(NamedTuple):
    """An annotated entity: the characters from start to end, end exclusive.

    line: of the annotation, in its file. surface: the text that the file stores with it, if any.
    parts: the pieces of a discontinuous entity, which is read from its first piece to its last.
    """

    start: int
    end: int
    type: str
    line: int
    surface: str | None = None
    parts: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        name = self.type if self.surface is None else f'{self.type} "{self.surface}"'
        return f"{name} [{self.start}, {self.end}]"


@dataclass(frozen=True)
class Text:
    """An annotated text.

    tokens: its words, where the file has them; their type does not matter. starts: characters at
    which a sentence begins, beside those at which a line does.
    """

    text: str
    marks: Sequence[Mark]
    tokens: Sequence[Mark] | None = None
    starts: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class SpanFiles(SplitFiles):
    """Files of text with entities as spans of characters: the base class of such formats.

    A format defines `texts`. Words are the annotation's own tokens, else those of `words`; with
    words=characters each character that is no blank. Each line of a text is a sentence, unless an
    entity runs over its end. Where texts have several sentences, each text is a document.

    offsets: what they count. misaligned: what to do with an entity that holds a part of a word.
    overlaps: which entities become tags where some share words. Each rule goes through the entities
    in an order and leaves out what overlaps an earlier one: "outermost" from left to right, of
    those that start alike the longest first; "longest" by length in words; "first" as in the file.
    """

    offsets: Unit = "codepoints"
    misaligned: Literal["fail", "widen", "drop"] = "fail"
    overlaps: Rule = "outermost"
    words: Literal["auto", "characters"] = "auto"
    types: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    @abstractmethod
    def texts(self, path: Path, counts: Counter[str]) -> Iterator[tuple[Path, Text]]:
        """Yield the texts of a split, each with the file of its annotation. Raises UserError.

        counts: of what the user should know, by words that say it.
        """

    def read(self, path: Path) -> list[Sentence]:
        counts: Counter[str] = Counter()
        groups: list[list[Sentence]] = []
        for file, text in self.texts(path, counts):
            groups.append(self.sentences(file, text, counts))
        is_divided = any(len(group) > 1 for group in groups)
        sentences: list[Sentence] = []
        for document, group in enumerate(groups):
            for sentence in group:
                sentences.append(replace(sentence, document=document) if is_divided else sentence)
        if not sentences:
            raise UserError(Fault(str(path), must="no sentence in it"))
        for fact, count in counts.items():
            self.notes.append(f"{path.name}: {fact}: {count:,}")
        return sentences

    def sentences(self, file: Path, text: Text, counts: Counter[str]) -> list[Sentence]:
        """Return the sentences of a text. Raises UserError with file and line."""
        index = code_points(text.text, self.offsets)
        if self.words == "characters":
            places = [match.span() for match in CHARACTER.finditer(text.text.translate(KINDS))]
        elif text.tokens is None:
            places = words(text.text)
        else:
            places = self.own_words(file, text, index)
        if not places:
            counts["texts without words, which are left out"] += 1
        entities: dict[Span, Mark] = {}  # in words
        for mark in text.marks:
            try:
                span = self.span(mark, text.text, index, places, counts)
            except UserError as error:
                raise at_line(file, mark.line, error) from None
            if span is not None:
                entities.setdefault(span, mark)
        kept = reduced(list(entities), self.overlaps)
        if len(kept) < len(entities):
            if self.overlaps == "fail":
                raise overlap_error(file, entities)
            left_out = f"entities that data.overlaps={self.overlaps} leaves to head=span alone"
            counts[left_out] += len(entities) - len(kept)
        starts = {match.end() for match in LINE_BREAK.finditer(text.text)}
        return divided(text.text, places, starts.union(text.starts), kept, list(entities))

    def own_words(
        self, file: Path, text: Text, index: dict[int, int] | None
    ) -> list[tuple[int, int]]:
        """Return the places of a text's own tokens, without blank ones. Raises UserError."""
        places: list[tuple[int, int]] = []
        for token in text.tokens or ():
            start, end = token.start, token.end
            try:
                if index or start < 0 or text.text[start:end] != token.surface:
                    start, end = located(token, text.text, index, self.offsets)
                if places and start < places[-1][1]:
                    raise UserError(Fault("", must=f"{token} begins before the last one ends"))
            except UserError as error:
                raise at_line(file, token.line, error) from None
            if not text.text[start:end].isspace():
                places.append((start, end))
        return places

    def span(
        self,
        mark: Mark,
        text: str,
        index: dict[int, int] | None,
        places: Sequence[tuple[int, int]],
        counts: Counter[str],
    ) -> Span | None:
        """Return an entity in words; None if it is dropped. Raises UserError.

        index: see `code_points`. places: (start, end) of the words of the text.
        """
        start, end = located(mark, text, index, self.offsets)
        if mark.parts:
            counts["entities of several parts, read from the first part to the last"] += 1
        first = bisect_right(places, start, key=lambda place: place[1])
        last = bisect_left(places, end, key=lambda place: place[0])
        if first >= last:
            if self.misaligned == "fail":
                raise misaligned(mark, "holds no word")
            counts["entities without a word, which are dropped"] += 1
            return None
        for word_start, word_end in (places[first], places[last - 1]):
            if word_start < start or word_end > end:
                if self.misaligned == "fail":
                    raise misaligned(mark, f'cuts the word "{text[word_start:word_end]}"')
                done = {"widen": "widened to it", "drop": "dropped"}[self.misaligned]
                counts[f"entities that cut a word, which are {done}"] += 1
                if self.misaligned == "drop":
                    return None
                break
        name = "_".join(mark.type.split())
        if self.types.setdefault(name, mark.type) != mark.type:
            must = f"blanks in types are read as _, and the data have {self.types[name]} too"
            raise UserError(Fault(f"type {mark.type}", must=must, remedy="rename one of them"))
        return first, last, name


def misaligned(mark: Mark, problem: str) -> UserError:
    remedy = "set data.misaligned=widen or drop, or data.words=characters"
    return UserError(Fault("", must=f"{mark} {problem}", remedy=remedy))


def code_points(text: str, unit: Unit) -> dict[int, int] | None:
    """Return the place of each character by its offset in a unit; None if both are equal."""
    if unit == "codepoints" or text.isascii() or (unit == "utf16" and max(text) < "\U00010000"):
        return None
    sizes = [len(character.encode("utf-16-le")) // 2 for character in text]
    if unit == "bytes":
        sizes = [len(character.encode()) for character in text]
    index = {0: 0}
    offset = 0
    for place, size in enumerate(sizes, start=1):
        offset += size
        index[offset] = place
    return index


def located(mark: Mark, text: str, index: dict[int, int] | None, unit: Unit) -> tuple[int, int]:
    """Return where an entity starts and ends in code points. Raises UserError.

    It must lie in the text, and have the surface that the file stores.
    """
    length = len(text) if index is None else next(reversed(index))  # the last offset
    if not 0 <= mark.start < mark.end <= length:
        must = f"{mark} lies outside the text, whose offsets go from 0 to {length}"
        raise UserError(Fault("", must=must, remedy=other_units(mark, text, unit)))
    surface = surface_at(mark, text, index)
    stored = surface if mark.surface is None else mark.surface
    if surface is None or (surface != stored and plain(surface) != plain(stored or "")):
        must = f'{mark}: the text has "{surface}" there'
        if surface is None:
            must = f"{mark} begins or ends within a character"
        raise UserError(Fault("", must=must, remedy=other_units(mark, text, unit)))
    if index is None:
        return mark.start, mark.end
    return index[mark.start], index[mark.end]


def surface_at(mark: Mark, text: str, index: dict[int, int] | None) -> str | None:
    """Return the text of an entity, of its parts if it has any; None if it cuts a character."""
    pieces = []
    for start, end in mark.parts or ((mark.start, mark.end),):
        if index is not None and not (start in index and end in index):
            return None
        pieces.append(text[start:end] if index is None else text[index[start] : index[end]])
    return " ".join(pieces)


def plain(surface: str) -> str:
    """Return a surface with blanks alike: tools write a line break as a blank or as \\n."""
    return " ".join(surface.replace("\\n", " ").split())


def other_units(mark: Mark, text: str, unit: Unit) -> str:
    """Return a remedy for offsets of another unit; "" if that cannot be the reason."""
    if text.isascii():
        return ""
    for other in get_args(Unit):
        surface = surface_at(mark, text, code_points(text, other)) if other != unit else None
        if surface and mark.surface and plain(surface) == plain(mark.surface):
            return f"set data.offsets={other}, which fits"
    return f"data.offsets={unit}, but it may be codepoints, utf16 or bytes"


def reduced(entities: Sequence[Span], rule: Rule) -> list[Span]:
    """Return entities that share no word, from left to right. rule: see `SpanFiles`."""
    ordered = list(entities)
    if rule == "outermost":
        ordered.sort(key=lambda span: (span[0], -span[1]))
    elif rule == "longest":
        ordered.sort(key=lambda span: span[0] - span[1])
    kept: list[Span] = []
    taken: set[int] = set()
    for start, end, type_ in ordered:
        if taken.isdisjoint(range(start, end)):
            taken.update(range(start, end))
            kept.append((start, end, type_))
    return sorted(kept)


def overlap_error(file: Path, entities: Mapping[Span, Mark]) -> UserError:
    """Return the fault of the first two entities that overlap."""
    spans = sorted(entities)
    before = spans[0]
    for span in spans[1:]:
        if span[0] < before[1]:
            break
        before = span
    must = f"{entities[before]} and {entities[span]} overlap"
    remedy = "set data.overlaps=outermost, longest or first"
    return at_line(file, entities[span].line, UserError(Fault("", must=must, remedy=remedy)))


def divided(
    text: str,
    places: Sequence[tuple[int, int]],
    starts: Iterable[int],
    kept: Sequence[Span],
    entities: Sequence[Span],
) -> list[Sentence]:
    """Return the sentences that begin at these characters of a text, unless within an entity.

    places: (start, end) of each word. kept: the entities in words that become tags; entities: all.
    """
    inside: set[int] = set()  # words that another word of an entity precedes
    for start, end, _ in entities:
        inside.update(range(start + 1, end))
    bounds = [0]
    for character in sorted(starts):
        word = bisect_left(places, character, key=lambda place: place[0])
        if bounds[-1] < word < len(places) and word not in inside:
            bounds.append(word)
    every = sorted(entities)
    sentences: list[Sentence] = []
    for first, last in zip(bounds, [*bounds[1:], len(places)], strict=True):
        if first < last:
            surfaces = tuple(text[start:end] for start, end in places[first:last])
            flat, all_ = within(kept, first, last), within(every, first, last)
            tags = tuple(tags_from_spans(flat, last - first))
            nested = tuple(all_) if len(all_) > len(flat) else None
            sentences.append(Sentence(surfaces, tags, entities=nested))
    return sentences


def within(entities: Sequence[Span], first: int, last: int) -> list[Span]:
    """Return those of sorted entities that start at the words from first to last, less first."""
    low = bisect_left(entities, first, key=lambda span: span[0])
    high = bisect_left(entities, last, key=lambda span: span[0])
    return [(start - first, end - first, type_) for start, end, type_ in entities[low:high]]
