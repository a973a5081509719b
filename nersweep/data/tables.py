"""Tables of words and tags in Parquet and CSV: a sentence in each row, or a word."""

import ast
import csv
import io
import json
import math
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from nersweep.data.corpus import Sentence, tag_counts
from nersweep.data.files import parse_json, quoted, read_utf8
from nersweep.data.normalise import shared
from nersweep.data.splits import TaggedFiles
from nersweep.faults import Fault, UserError, one_line

# Our names of columns and those of files, in lower case and without signs, the likeliest first.
NAMES = {
    "word": ("tokens", "words", "token", "word", "form", "text", "sentence"),
    "tag": ("nertags", "nertag", "ner", "tags", "tag", "labels", "label", "entities"),
    "sentence": ("sentenceid", "sentencenumber", "sentenceidx", "sentid", "sentence", "sent"),
    "document": ("documentid", "docid", "document", "doc"),
    "pos": ("postags", "pos", "upos"),
    "chunk": ("chunktags", "chunk"),
}
ITEM = re.compile(  # of a list as Python, NumPy or JSON prints it
    r"""('(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*") | ([^\s,'"]+)""", re.VERBOSE | re.DOTALL
)
BETWEEN = " ,\t\r\n"  # items
DELIMITERS = ",;\t|"
NUMBER = re.compile(r"(-?\d{1,9})(\.0+)?")  # of a label; pandas may write 1.0
Columns = Mapping[str, str]  # our names to those of the file


@dataclass(frozen=True)
class Table:
    """The columns of a file, by their names in it.

    labels: what the numbers of a column stand for, of columns that say so. lines: of each row, if
    the file has lines; a row of None is a blank line.
    """

    file: str
    columns: Mapping[str, Sequence[Any]]
    labels: Mapping[str, Sequence[str]]
    lines: Sequence[int] | None = None

    def place(self, row: int) -> str:
        """Return the place of a row in the file."""
        return f"{self.file}:{self.lines[row]}" if self.lines else f"{self.file}, row {row + 1}"


class Group(NamedTuple):
    """The words of a sentence. rows: of each word. values: of each word, by our column names."""

    rows: Sequence[int]
    values: Mapping[str, Sequence[Any]]
    document: Any


@dataclass(frozen=True, kw_only=True)
class TableFiles(TaggedFiles):
    """Tables whose rows are sentences, with words and tags as lists, or single words.

    columns: our names word, tag, sentence, document and any further ones to those of the file; what
    it leaves out is guessed by name. Where rows are words, a sentence ends where the value of the
    column sentence changes, or at a blank line. labels: the tags in the order of their numbers,
    where tags are numbers and the file does not say what they mean.
    """

    columns: Columns | None = None
    labels: Sequence[str] | None = None

    @abstractmethod
    def table(self, path: Path) -> Table:
        """Return the table of a file. Raises UserError."""

    def read(self, path: Path) -> list[Sentence]:
        sentences, note = read_table(self.table(path), self.columns, self.labels)
        self.notes.append(note)
        return sentences


@dataclass(frozen=True, kw_only=True)
class CsvFiles(TableFiles):
    """Tables as text, separated by commas, semicolons, tabs or bars, with names in the first line.

    In a row that is a sentence, words and tags stand in brackets or between blanks.
    """

    format = "csv"

    def table(self, path: Path) -> Table:
        text = read_utf8(path)
        delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header: list[str] = []
        rows: list[list[str | None]] = []
        lines: list[int] = []
        line = 1
        try:
            for row in reader:
                if not header:
                    header = row
                elif len(row) not in (0, len(header)):
                    must = f"{len(row)} columns, expected {len(header)}"
                    raise UserError(Fault(f"{path}:{line}", must=must))
                else:
                    rows.append([*row] if any(row) else [None] * len(header))
                    lines.append(line)
                line = reader.line_num + 1
        except csv.Error as error:
            must = f"not valid CSV ({one_line(error)})"
            raise UserError(Fault(f"{path}:{line}", must=must)) from None
        if not header:
            raise UserError(Fault(str(path), must="no sentence in it"))
        repeated = {name for name in header if name and header.count(name) > 1}
        if repeated:
            must = f"several columns are called {', '.join(sorted(repeated))}"
            raise UserError(Fault(f"{path}:1", must=must))
        columns: dict[str, Sequence[Any]] = dict.fromkeys(header, ())
        columns |= zip(header, zip(*rows, strict=True), strict=False)
        return Table(str(path), columns, {}, lines)


@dataclass(frozen=True, kw_only=True)
class ParquetFiles(TableFiles):
    """Parquet files. Tags that are numbers are named by the file if the hub's library wrote it."""

    format = "parquet"

    def table(self, path: Path) -> Table:
        import pyarrow  # a fifth of a second that other formats do not need
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(path) as file:
                names = file.schema_arrow.names
                used = choose(str(path), names, self.columns).values()
                return from_arrow(str(path), names, file.read(columns=list(used)))
        except (pyarrow.ArrowException, OSError) as error:
            must = f"not a Parquet file ({one_line(error)})"
            raise UserError(Fault(str(path), must=must)) from None


def from_arrow(file: str, names: Sequence[str], table: Any) -> Table:
    """Return a table whose columns of these names are read from Arrow's, if they are used.

    names: all that the file has. Labels are those of the schema.
    """
    features = {}
    try:
        metadata = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
        features = dict(metadata.get("info", {}).get("features", {}))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(Fault(file, must=f"damaged metadata ({one_line(error)})")) from None
    labels: dict[str, list[str]] = {}
    columns: dict[str, Sequence[Any]] = dict.fromkeys(names, ())
    for name in table.column_names:
        columns[name] = [none_of_nan(cell) for cell in table.column(name).to_pylist()]
        feature = features.get(name)
        while isinstance(feature, dict) and "feature" in feature:  # of a list
            feature = feature["feature"]
        if isinstance(feature, dict) and isinstance(feature.get("names"), list):
            labels[name] = [str(label) for label in feature["names"]]
    return Table(file, columns, labels)


def none_of_nan(cell: Any) -> Any:
    """Return None for NaN, by which pandas marks missing values, and any other cell as it is."""
    return None if isinstance(cell, float) and math.isnan(cell) else cell


def choose(file: str, names: Sequence[str], columns: Columns | None) -> dict[str, str]:
    """Return the columns to read, the file's names by ours: those given, and others by name."""
    chosen = dict(columns or {})
    others = f"it has {', '.join(names)}"
    for name, column in chosen.items():
        if column not in names:
            must = f"no such column in {file}"
            raise UserError(Fault(f"data.columns.{name}", column, must, others))
    plain: dict[str, str] = {}
    for name in names:
        letters = filter(str.isalnum, name.casefold().replace("#", "number"))
        plain.setdefault("".join(letters), name)
    for name, candidates in NAMES.items():
        for candidate in candidates:
            if name not in chosen and plain.get(candidate) not in (None, *chosen.values()):
                chosen[name] = plain[candidate]
    if "tag" in chosen and chosen.get("word") == chosen["tag"]:
        must = "is the column of the words, too"
        raise UserError(Fault("data.columns.tag", chosen["tag"], must))
    for name in ("word", "tag"):
        if name not in chosen:
            remedy = f"{others}; set data.columns.{name}=NAME"
            raise UserError(Fault(file, must=f"no column of {name}s is known", remedy=remedy))
    for column in chosen.values():
        if names.count(column) > 1:
            raise UserError(Fault(file, must=f"several columns are called {column}"))
    return chosen


def read_table(
    table: Table, columns: Columns | None = None, labels: Sequence[str] | None = None
) -> tuple[list[Sentence], str]:
    """Return the sentences of a table with the tags as written, and a note on how it was read.

    columns, labels: see `TableFiles`. Raises UserError with the place of what is wrong.
    """
    chosen = choose(table.file, list(table.columns), columns)
    names = {name: table.labels.get(column) for name, column in chosen.items()}
    if labels is not None:
        names["tag"] = labels
    by_sentence = is_by_sentence(table, chosen)
    groups = sentence_rows(table, chosen) if by_sentence else word_rows(table, chosen)
    sentences: list[Sentence] = []
    for group in groups:
        values = {}
        for name, cells in group.values.items():
            column = []
            for row, cell in zip(group.rows, cells, strict=True):
                column.append(text_of(cell, name, names[name], table.place(row)))
            values[name] = shared(column)
        words, tags = values.pop("word"), values.pop("tag")
        document = group.document
        if document is not None and not isinstance(document, int):
            document = str(document)
        sentences.append(Sentence(words, tags, values, document))
    if not sentences:
        raise UserError(Fault(table.file, must="no sentence in it"))
    if all(map(NUMBER.fullmatch, tag_counts(sentences))):
        must = f"the tags in {chosen['tag']} are numbers, and the file does not name them"
        remedy = "set data.labels=[O,B-PER,…], the tags in the order of their numbers"
        raise UserError(Fault(table.file, must=must, remedy=remedy))
    unit = "sentence" if by_sentence else "word"
    read = f"a {unit} in each row, words in {chosen['word']}, tags in {chosen['tag']}"
    return sentences, f"{Path(table.file).name}: {read}"


def is_by_sentence(table: Table, chosen: Columns) -> bool:
    """Return whether rows are sentences: tags are lists, or words and tags stand between blanks."""
    words, tags = table.columns[chosen["word"]], table.columns[chosen["tag"]]
    several = unequal = 0  # rows
    for word, tag in zip(words, tags, strict=True):
        if isinstance(tag, list) or str(tag).startswith("["):
            return True
        if word is not None and tag is not None:
            length = len(str(tag).split())
            if len(str(word).split()) != length:
                unequal += 1
            elif length > 1:
                several += 1
    return several > unequal


def sentence_rows(table: Table, chosen: Columns) -> Iterator[Group]:
    """Yield the sentences of a table with a sentence in each row. Raises UserError."""
    documents = table.columns.get(chosen.get("document", ""))
    for row in range(len(table.columns[chosen["word"]])):
        values: dict[str, list[Any]] = {}
        for name, column in chosen.items():
            if name not in ("sentence", "document"):
                try:
                    values[name] = cells_of(table.columns[column][row])
                except (ValueError, SyntaxError) as error:  # a backslash without meaning
                    must = f"{column} is no list of texts ({one_line(error)})"
                    raise UserError(Fault(table.place(row), must=must)) from None
        words = len(values["word"])
        for name, cells in values.items():
            if len(cells) != words:
                must = f"{words} words, but {len(cells)} values in {chosen[name]}"
                raise UserError(Fault(table.place(row), must=must))
        if words:
            yield Group([row] * words, values, documents[row] if documents else None)


def cells_of(value: Any) -> list[Any]:
    """Return the items of a list, of a text that prints a list, or of words between blanks."""
    if not isinstance(value, str):
        return value if isinstance(value, list) else []
    if not value.startswith("["):
        return value.split()
    try:
        printed, end = parse_json(value)
        if end == len(value.rstrip()) and all(isinstance(item, str | None) for item in printed):
            return list(printed)
    except UserError:
        pass  # a list that Python or NumPy prints
    inner, end = value.strip()[1:], 0
    items: list[str] = []
    for match in ITEM.finditer(inner.removesuffix("]")):
        if inner[end : match.start()].strip(BETWEEN):
            break
        items.append(ast.literal_eval(match[1]) if match[1] else match[2])
        end = match.end()
    if inner[end:].strip(BETWEEN) != "]":
        raise ValueError(f"no item or end at: {inner[end:][:20]}")
    "".join(items).encode()  # raises ValueError for half a surrogate
    return items


def word_rows(table: Table, chosen: Columns) -> Iterator[Group]:
    """Yield the sentences of a table with a word in each row. Raises UserError."""
    ends = {name: chosen[name] for name in ("sentence", "document") if name in chosen}
    words, tags = table.columns[chosen["word"]], table.columns[chosen["tag"]]
    is_blank = [word is tag is None for word, tag in zip(words, tags, strict=True)]
    if "sentence" not in ends and is_blank and not any(is_blank):
        must = "no column says where sentences end"
        remedy = f"set data.columns.sentence=NAME; it has {', '.join(table.columns)}"
        raise UserError(Fault(table.file, must=must, remedy=remedy))
    current: dict[str, Any] = {}  # the last values of the columns in `ends`
    rows: list[int] = []
    groups = [(rows, None)]
    for row, blank in enumerate(is_blank):
        changed = {}
        for name, column in ends.items():
            value = table.columns[column][row]
            if value not in (None, "", current.get(name)):
                changed[name] = value
        current |= changed
        if changed or blank:
            rows = []
            groups.append((rows, current.get("document")))
        if not blank:
            rows.append(row)
    for rows, document in groups:
        if rows:
            values = {}
            for name, column in chosen.items():
                if name not in ends:
                    values[name] = [table.columns[column][row] for row in rows]
            yield Group(rows, values, document)


def text_of(cell: Any, name: str, labels: Sequence[str] | None, place: str) -> str:
    """Return a cell as text. name: of the column; labels: what its numbers stand for, if known.

    Raises UserError for a word or a tag that is missing, a number without label, a line break.
    """
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)  # pandas has no integers beside missing values
    if isinstance(cell, dict | list | bytes):
        raise UserError(Fault(place, must=f"{name} {str(cell)[:60]}: must be text"))
    text = "" if cell is None else str(cell)
    number = NUMBER.fullmatch(text) if labels is not None else None
    if number and labels is not None:
        if not 0 <= int(number[1]) < len(labels):
            must = f"{name} {text} has no label: there are {len(labels)}, from 0"
            raise UserError(Fault(place, must=must))
        return labels[int(number[1])]
    if cell is None or (name == "word" and not text):
        raise UserError(Fault(place, must=f"the {name} is empty"))
    if "\n" in text or "\r" in text:
        must = f"a line break in the {name} {quoted(text[:20])}: does a quote lack its end?"
        raise UserError(Fault(place, must=must))
    return text
