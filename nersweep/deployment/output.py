"""Write tagged texts: JSON lines, or columns as in CoNLL's files."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from nersweep.data.normalise import SPACE_SIGN
from nersweep.deployment.documents import Document
from nersweep.faults import Fault, UserError
from nersweep.machine.files import in_place_of, writable
from nersweep.model.saved import TaggedSentence

GAP = re.compile("[\t\r\n]+")  # what columns and rows have between them

Format = Callable[[Document, TaggedSentence], str]


def spans_of(document: Document, tagged: TaggedSentence) -> list[dict[str, Any]]:
    """Return the entities of a text: start and end in characters, label, text and probability."""
    spans: list[dict[str, Any]] = []
    for first, last, type_, probability in tagged.entities:
        start, end = document.offsets[first][0], document.offsets[last - 1][1]
        span = {"start": start, "end": end, "label": type_, "text": document.text[start:end]}
        spans.append(span | {"probability": round(probability, 4)})
    return spans


def json_line(document: Document, tagged: TaggedSentence) -> str:
    """Return a JSON line with text and spans, and with words and tags where words were given.

    Other fields of a JSON line that was read come first.
    """
    record = {**document.fields, "text": document.text, "spans": spans_of(document, tagged)}
    if document.given:
        record |= {"words": list(document.words), "tags": tagged.tags}
    return json.dumps(record, ensure_ascii=False) + "\n"


def columns(document: Document, tagged: TaggedSentence) -> str:
    """Return a line of word and tag, with a tab between, for each word, and an empty line.

    Return nothing for a text without words, since columns have no empty sentence.
    Tabs and line breaks within a word, which a table may hold, become one sign.
    """
    lines: list[str] = []
    for word, tag in zip(document.words, tagged.tags, strict=True):
        lines.append(f"{GAP.sub(SPACE_SIGN, word)}\t{tag}\n")
    return "".join(lines) + "\n" if lines else ""


FORMATS: dict[str, Format] = {"jsonl": json_line, "conll": columns}


def format_named(name: str) -> Format:
    """Return a format by its name. Raises UserError for an unknown one."""
    if name not in FORMATS:
        raise UserError(Fault("output_format", name, f"must be one of {', '.join(FORMATS)}"))
    return FORMATS[name]


def check_output(output: str | None, source: str | None) -> None:
    """Raise UserError for an output that cannot be written to or is the input."""
    if output is None:
        return
    file = Path(output)
    writable(file.parent, "output", file)
    if source and Path(source).exists() and file.exists() and file.samefile(source):
        raise UserError(Fault("output", output, "is the input", "set another file"))


@contextmanager
def opened(output: str | None) -> Iterator[TextIO]:
    """Yield a file that takes its place once it is whole; standard output without one.

    What exists and is no regular file, such as /dev/null and a pipe, is written to as it is.
    """
    if output is None:
        try:
            yield sys.stdout
            sys.stdout.flush()
        except BrokenPipeError:  # its reader has enough, as `head`; Python flushes again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if Path(output).exists() and not Path(output).is_file():
        with open(output, "w", encoding="utf-8") as file:
            yield file
        return
    with in_place_of(Path(output)) as beside, open(beside, "w", encoding="utf-8") as file:
        yield file
