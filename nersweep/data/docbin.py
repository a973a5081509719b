"""spaCy's binary files of documents: DocBin, as `spacy convert` writes it."""

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from nersweep.data.spans import Mark, SpanFiles, Text
from nersweep.faults import Fault, UserError, one_line
from nersweep.labels import Span

MOST = 4 * 2**30  # bytes that a file may unpack to
INSIDE, BEGIN = 1, 3  # of ENT_IOB; 2 is O, and 0 where nothing was annotated


@dataclass(frozen=True, kw_only=True)
class SpacyFiles(SpanFiles):
    """Files .spacy: the entities of each document, or its span group `key`, which may overlap.

    Words and sentences are spaCy's own; a line break ends a sentence too. Of a file only numbers
    and strings are read, and nothing in it runs. Raises UserError if spaCy is not installed.
    """

    format = "spacy"

    key: str | None = None

    def __post_init__(self) -> None:
        if find_spec("spacy") is None:
            remedy = "pip install 'nersweep[spacy]'"
            raise UserError(Fault("data", self.format, "needs the package spacy", remedy))
        super().__post_init__()

    def texts(self, path: Path, counts: Counter[str]) -> Iterator[tuple[Path, Text]]:
        content = checked_content(path)
        try:
            for text in texts(content, self.key):
                yield path, text
        except UserError as error:
            raise UserError(
                *(replace(fault, setting=str(path)) for fault in error.faults)
            ) from None
        except Exception as error:  # spaCy's own, and what damaged arrays and strings raise
            raise UserError(Fault(str(path), must=f"not a DocBin ({one_line(error)})")) from None


def checked_content(path: Path) -> bytes:
    """Return the bytes of a file. Raises UserError if they unpack to too much, or not at all."""
    content, size = path.read_bytes(), 0
    unpacking = zlib.decompressobj()
    try:
        rest = content
        while rest and size <= MOST:
            size += len(unpacking.decompress(rest, 2**24))
            rest = unpacking.unconsumed_tail
    except zlib.error as error:
        raise UserError(Fault(str(path), must=f"not a DocBin ({error})")) from None
    if size > MOST:
        raise UserError(Fault(str(path), must=f"unpacks to more than {MOST:,} bytes"))
    return content


def texts(content: bytes, key: str | None) -> Iterator[Text]:
    """Yield the documents of a DocBin, with the document's number as line."""
    from spacy.attrs import ENT_IOB, ENT_TYPE, ORTH, SENT_START
    from spacy.strings import StringStore
    from spacy.tokens import Doc, DocBin
    from spacy.vocab import Vocab

    docs = DocBin().from_bytes(content)
    column = {attribute: place for place, attribute in enumerate(docs.attrs)}
    if key is None and not {ENT_IOB, ENT_TYPE} <= column.keys():
        raise UserError(Fault("", must="its documents have no entities"))
    vocab = Vocab(strings=StringStore(docs.strings))
    for number, rows in enumerate(docs.tokens):
        words = [vocab.strings[row] for row in rows[:, column[ORTH]].tolist()]
        spaces = docs.spaces[number][:, 0].tolist()
        if docs.flags[number].get("has_unknown_spaces"):
            spaces = [True] * len(words)
        if key is None:
            types = [vocab.strings[row] for row in rows[:, column[ENT_TYPE]].tolist()]
            spans = entities(rows[:, column[ENT_IOB]].tolist(), types)
        else:
            doc = Doc(vocab, words=words, spaces=spaces)
            doc.spans.from_bytes(docs.span_groups[number])
            spans = [(span.start, span.end, span.label_) for span in doc.spans.get(key, ())]
        starts = []
        if SENT_START in column:
            starts = (rows[:, column[SENT_START]] == 1).nonzero()[0].tolist()
        yield text_of(words, spaces, spans, starts, number + 1)


def entities(iob: Sequence[int], types: Sequence[str]) -> list[Span]:
    """Return the entities (start, end, type) of the ENT_IOB and ENT_TYPE of tokens."""
    spans: list[Span] = []
    for place, (code, type_) in enumerate(zip(iob, types, strict=True)):
        if code == BEGIN:
            spans.append((place, place + 1, type_))
        elif code == INSIDE and spans and spans[-1][1] == place:
            start, _, first = spans[-1]
            spans[-1] = start, place + 1, first
    return spans


def text_of(
    words: Sequence[str],
    spaces: Sequence[bool],
    spans: Sequence[Span],
    starts: list[int],
    line: int,
) -> Text:
    """Return a document as text. spans: in tokens; starts: tokens that begin a sentence."""
    tokens: list[Mark] = []
    pieces: list[str] = []
    place = 0
    for word, space in zip(words, spaces, strict=True):
        tokens.append(Mark(place, place + len(word), "token", line, word))
        pieces += [word, " " * space]
        place += len(word) + space
    marks: list[Mark] = []
    for start, end, type_ in spans:
        marks.append(Mark(tokens[start].start, tokens[end - 1].end, type_, line))
    return Text("".join(pieces), marks, tokens, [tokens[start].start for start in starts])
