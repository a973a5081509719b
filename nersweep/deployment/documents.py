"""The texts to tag, read a few at a time: a file of lines is never held as a whole."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nersweep.data.corpus import Sentence
from nersweep.data.words import words
from nersweep.faults import Fault, UserError

LONGEST_LINE = 2**24  # bytes
MOST_WORDS = 4000  # of a part: a longer text is tagged in parts
ENDS = frozenset(".!?…。！？")  # words that end a sentence
WORDS_AT_ONCE = 32768  # that are tagged together, sorted by length


class Document(NamedTuple):
    """A text with the places of its words, (start, end) in characters.

    given: True if the words were given, as in a column file; the text has a blank between them.
    fields: of the JSON line that the text comes from.
    """

    text: str
    words: Sequence[str]
    offsets: Sequence[tuple[int, int]]
    given: bool
    fields: Mapping[str, Any] = {}


def of_text(text: str) -> Document:
    """Return a raw text, split into words by the rule of `nersweep.data.words`."""
    offsets = words(text)
    return Document(text, [text[start:end] for start, end in offsets], offsets, given=False)


def of_words(given: Sequence[str]) -> Document:
    """Return a sentence whose words are given."""
    offsets: list[tuple[int, int]] = []
    place = 0
    for word in given:
        offsets.append((place, place + len(word)))
        place += len(word) + 1
    return Document(" ".join(given), given, offsets, given=True)


def of_line(line: str) -> Document:
    """Return a sentence whose words have blanks between them."""
    return of_words(line.split())


def of_json(line: str) -> Document:
    """Return the field text of a JSON line as a raw text.

    Raises ValueError without one, and RecursionError for JSON that is nested too deeply.
    """
    record = json.loads(line)
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise ValueError("no field text")
    json.dumps(record, ensure_ascii=False).encode()  # raises for half a surrogate pair
    return of_text(record["text"])._replace(fields=record)


def of_sentences(sentences: Iterable[Sentence]) -> Iterator[Document]:
    """Yield sentences of a data set."""
    for sentence in sentences:
        yield of_words(sentence.words)


def read_lines(
    path: Path, parse: Callable[[str], Document], advance: Callable[[int], object]
) -> Iterator[Document]:
    """Yield the document of each line of a file, empty lines included.

    advance: is called with the bytes of each line. Raises UserError for a file that is missing, is
    no UTF-8 text, or has a line of more than 16 MiB.
    """
    try:
        with open(path, "rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                place, encoding = f"{path}:{number}", "utf-8" if number > 1 else "utf-8-sig"
                text = decode(line, place, encoding)
                try:
                    document = parse(text)
                except (ValueError, RecursionError) as error:
                    must = f"expected JSON with a field text ({error})"
                    raise UserError(Fault(place, must=must)) from None
                yield document
                advance(len(line))
    except FileNotFoundError:
        raise UserError(Fault("input", path, "no such file")) from None
    except IsADirectoryError:
        raise UserError(Fault("input", path, "is a folder, expected a file")) from None


def decode(line: bytes, place: str, encoding: str) -> str:
    """Return the text of a line without its end. Raises UserError unless it is UTF-8 text."""
    if len(line) > LONGEST_LINE:
        must = f"a line of more than {LONGEST_LINE >> 20} MiB"
        raise UserError(Fault(place, must=must, remedy="put each text on a line of its own"))
    try:
        text = line.decode(encoding)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        must = f"not valid UTF-8 (byte {byte:#04x}), so it is no text or has another encoding"
        raise UserError(Fault(place, must=must)) from None
    if "\0" in text:
        raise UserError(Fault(place, must="holds a zero byte, so it is no text"))
    return text.rstrip("\r\n")


def chunks(documents: Iterable[Document], most: int = WORDS_AT_ONCE) -> Iterator[list[Document]]:
    """Yield documents in groups that have `most` words, or one more document's."""
    group: list[Document] = []
    size = 0
    for document in documents:
        group.append(document)
        size += len(document.words) + 1  # empty ones take memory, too
        if size >= most:
            yield group
            group, size = [], 0
    if group:
        yield group


def parts(given: Sequence[str], most: int = MOST_WORDS) -> list[tuple[int, int]]:
    """Cut a long text into parts of at most `most` words, (start, end), one if it is short.

    A part ends after the last end of a sentence in its last quarter, if there is one.
    """
    bounds: list[tuple[int, int]] = []
    start = 0
    while len(given) - start > most:
        end = start + most
        for place in range(end - 1, end - most // 4 - 1, -1):
            if given[place] in ENDS:
                end = place + 1
                break
        bounds.append((start, end))
        start = end
    return [*bounds, (start, len(given))]
