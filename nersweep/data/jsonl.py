"""JSON of annotation tools: texts with spans of characters, a line each or in one array."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nersweep.data.corpus import Sentence
from nersweep.data.files import at_line, parse_json, quoted, read_utf8
from nersweep.data.spans import Mark, SpanFiles, Text
from nersweep.data.tables import NAMES, Columns, Table, choose, read_table
from nersweep.faults import Fault, UserError

Record = Mapping[str, Any]
BETWEEN = re.compile(r"[\s,]*")
START, END, TYPE = ("start", "start_offset"), ("end", "end_offset"), ("label", "labels", "type")
SPANS = ("label", "labels", "entities")
SPAN = 'expected [start, end, type] or {"start": ..., "end": ..., "label": ...}'
EXPECTED = (
    "expected text with label, labels or entities (doccano), text with spans (Prodigy), "
    "data with annotations (Label Studio), or tokens with tags"
)


@dataclass(frozen=True, kw_only=True)
class JsonFiles(SpanFiles):
    """Exports of doccano, Prodigy and Label Studio, recognised by the keys of each text.

    A file holds an object on each line, or one array of objects. Offsets exclude the end.
    doccano: "text" and "label", "labels" or "entities", a list of [start, end, type] or of objects
    with start or start_offset, end or end_offset, and label. Prodigy: "text", "spans" and its own
    "tokens"; only accepted answers are read. Label Studio: "data" and "annotations"; of several
    annotations of a task, the ground truth is read, else the first that was not cancelled.

    Objects with lists of words and tags are read as rows of a table; columns, labels: as in
    `TableFiles`.
    """

    format = "jsonl"

    columns: Columns | None = None
    labels: Sequence[str] | None = None

    def read(self, path: Path) -> list[Sentence]:
        _, first = next(records(path), (0, None))
        name = None if self.columns is None else self.columns.get("word")
        if not (isinstance(first, dict) and has_words(first, name)):
            for setting in ("columns", "labels"):
                if getattr(self, setting) is not None:
                    must = f"is for objects with lists of words, and those of {path} have none"
                    raise UserError(Fault(f"data.{setting}", getattr(self, setting), must))
            return super().read(path)
        rows = list(records(path))
        columns: dict[str, list[Any]] = {}
        needed = choose(str(path), list(first), self.columns)
        for line, row in rows:
            for name in needed["word"], needed["tag"]:
                if not isinstance(row, dict) or name not in row:
                    must = f"has no {name}, as other objects have"
                    raise UserError(Fault(f"{path}:{line}", must=must))
        for name in first:
            columns[name] = [row.get(name) for _, row in rows]
        table = Table(str(path), columns, {}, [line for line, _ in rows])
        sentences, note = read_table(table, self.columns, self.labels)
        self.notes.append(note)
        return sentences

    def texts(self, path: Path, counts: Counter[str]) -> Iterator[tuple[Path, Text]]:
        for line, record in records(path):
            try:
                shape, read = shape_of(record)
                text = read(record, line, counts)
            except UserError as error:
                raise at_line(path, line, error) from None
            counts[f"texts in the form of {shape}"] += 1
            if text is not None:
                yield path, text


def has_words(record: Record, key: str | None) -> bool:
    """Return whether an object holds words as a list of texts, under a key or a usual one.

    An empty list may be of words unless there is a text, whose words they are.
    """
    for name in NAMES["word"] if key is None else (key,):
        cells = record.get(name)
        if isinstance(cells, list) and (cells or "text" not in record):
            return all(isinstance(cell, str) for cell in cells)
    return False


def records(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the JSON values of a file or of its array, each with its line. Raises UserError."""
    content = read_utf8(path)
    is_array = content.lstrip()[:1] == "["
    place = content.index("[") + 1 if is_array else 0
    line = content.count("\n", 0, place) + 1
    while True:
        start = BETWEEN.match(content, place).end()  # type: ignore[union-attr]  # matches always
        line += content.count("\n", place, start)
        rest = content[start : start + 1]
        if is_array and (not rest or (rest == "]" and content[start + 1 :].strip())):
            must = "the array has no end" if not rest else "text after the end of the array"
            raise UserError(Fault(f"{path}:{line}", must=must))
        if not rest or (is_array and rest == "]"):
            return
        try:
            record, place = parse_json(content, start)
        except UserError as error:
            raise at_line(path, line, error) from None
        yield line, record
        line += content.count("\n", start, place)


def shape_of(record: Any) -> tuple[str, Callable[[Record, int, Counter[str]], Text | None]]:
    """Return the tool whose export has these keys, and its reader. Raises UserError for none."""
    if not isinstance(record, dict):
        kind = type(record).__name__
        raise UserError(Fault("", must=f"a JSON {kind} in place of an object", remedy=EXPECTED))
    if "data" in record and "annotations" in record:
        return "Label Studio", label_studio
    has_spans = any(key in record for key in SPANS)
    if "text" in record and ("spans" in record or ("tokens" in record and not has_spans)):
        return "Prodigy", prodigy
    if "text" in record and has_spans:
        return "doccano", doccano
    keys = ", ".join(map(str, record)) or "none"
    raise UserError(Fault("", must=f"unknown shape, with the keys {keys}", remedy=EXPECTED))


def doccano(record: Record, line: int, counts: Counter[str]) -> Text:
    """Return the text of an object of doccano."""
    text = text_of(record, "text")
    keys = [key for key in SPANS if key in record]
    key = max(keys, key=lambda key: isinstance(record[key], list) and len(record[key]) > 0)
    return Text(text, marks(record[key], key, line))


def prodigy(record: Record, line: int, counts: Counter[str]) -> Text | None:
    """Return the text of an object of Prodigy; None if the annotator did not accept it."""
    if record.get("answer", "accept") != "accept":
        counts["texts left out, as their answer is not accept"] += 1
        return None
    text = text_of(record, "text")
    tokens = None
    if record.get("tokens") is not None:
        tokens = []
        for token in listed(record["tokens"], "tokens"):
            start, end = whole(token, START), whole(token, END)
            tokens.append(Mark(start, end, "token", line, surface_of(token)))
    spans = record.get("spans")
    return Text(text, marks([] if spans is None else spans, "spans", line), tokens)


def label_studio(record: Record, line: int, counts: Counter[str]) -> Text | None:
    """Return the text of a task of Label Studio; None if nobody finished its annotation."""
    data = record["data"]
    texts = [key for key in data if isinstance(data[key], str)] if isinstance(data, dict) else []
    if "text" not in texts and len(texts) != 1:
        must = f"data has {len(texts)} texts ({', '.join(texts)}), expected text or one of any name"
        raise UserError(Fault("", must=must))
    text = text_of(data, "text" if "text" in texts else texts[0])
    finished = []
    for annotation in listed(record["annotations"], "annotations"):
        if isinstance(annotation, dict) and not annotation.get("was_cancelled"):
            finished.append(annotation)
    if not finished:
        counts["tasks without an annotation, which are left out"] += 1
        return None
    if len(finished) > 1:
        counts["tasks of several annotations, of which the ground truth or the first is read"] += 1
    finished.sort(key=lambda annotation: not annotation.get("ground_truth"))
    entities = []
    for result in listed(finished[0].get("result"), "result"):
        value = result.get("value") if isinstance(result, dict) else None
        if isinstance(value, dict) and "labels" in value:  # else a relation or a choice
            entities.append(value)
    return Text(text, marks(entities, "value", line))


def marks(spans: Any, key: str, line: int) -> list[Mark]:
    """Return the entities of a list of [start, end, type] or of objects. Raises UserError."""
    entities: list[Mark] = []
    for span in listed(spans, key):
        if isinstance(span, list) and len(span) == 3:
            span = {"start": span[0], "end": span[1], "label": span[2]}
        start, end, types = whole(span, START), whole(span, END), value_of(span, TYPE)
        for type_ in types if isinstance(types, list) else [types]:
            if not isinstance(type_, str) or not type_.strip():
                raise UserError(Fault("", must=f"{key} {quoted(span)}: the type must be text"))
            entities.append(Mark(start, end, type_, line, surface_of(span)))
    return entities


def surface_of(span: Record) -> str | None:
    """Return the text that an object stores with its offsets, if it does."""
    return span["text"] if isinstance(span.get("text"), str) else None


def text_of(record: Record, key: str) -> str:
    """Return a value that must be text. Raises UserError."""
    text = record[key]
    if not isinstance(text, str):
        raise UserError(Fault("", must=f"{key} {quoted(text)[:60]}: must be text"))
    return text


def listed(value: Any, key: str) -> list[Any]:
    """Return a value that must be a list. Raises UserError."""
    if not isinstance(value, list):
        raise UserError(Fault("", must=f"{key} {quoted(value)[:60]}: must be a list"))
    return value


def value_of(span: Any, keys: Sequence[str]) -> Any:
    """Return the value of the first of these keys that an object has. Raises UserError."""
    for key in keys:
        if isinstance(span, dict) and key in span:
            return span[key]
    must = f"{quoted(span)[:60]} has no {' or '.join(keys)}"
    raise UserError(Fault("", must=must, remedy=SPAN))


def whole(span: Any, keys: Sequence[str]) -> int:
    """Return a value that must be a whole number. Raises UserError."""
    value = value_of(span, keys)
    if type(value) is not int:
        must = f"{keys[0]} {quoted(value)[:60]}: must be a whole number"
        raise UserError(Fault("", must=must, remedy=SPAN))
    return value
