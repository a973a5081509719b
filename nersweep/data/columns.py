"""Column files such as CoNLL's: a word and its annotations per line, a blank line per sentence."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nersweep.data import hub
from nersweep.data.brackets import TYPE, bracket_spans
from nersweep.data.corpus import SPLITS, Corpus, Sentence, Splits
from nersweep.data.division import Divided, Division
from nersweep.data.encoding import plain_text
from nersweep.data.files import FOLDER, local_folder, missing_files
from nersweep.data.layout import (
    DOCUMENT,
    LEFT_OUT,
    MARK,
    SPACE,
    TAB,
    Columns,
    Layout,
    Table,
    blocks,
    find_layout,
    is_tag,
    split,
    table,
)
from nersweep.data.normalise import SPACE_SIGN, assemble, normalised, shared
from nersweep.data.schemes import STYLES
from nersweep.data.spans import reduced
from nersweep.data.splits import TaggedFiles
from nersweep.faults import Fault, UserError
from nersweep.labels import Span, spans, tags_from_spans

Empty = Literal["fail", "drop", "keep"]  # what becomes of a row without a word


@dataclass(frozen=True, kw_only=True)
class ColumnFiles(Columns, TaggedFiles):
    """A user's own column files.

    The first column is the word and the last the tag, or else as the fields of `Columns` say; other
    columns are kept, and "document" says which document a word is of. empty: what becomes of a row
    without a word: fail, drop, or keep, as the word ␣.

    Raises UserError for columns without word or tag, and for a missing file.
    """

    format = "conll"

    empty: Empty = "fail"

    def __post_init__(self) -> None:
        faults = self.faults()
        if faults:
            raise UserError(*faults)
        super().__post_init__()

    def read(self, path: Path) -> list[Sentence]:
        return read_file(path, self, self.empty, self.notes)

    def normalise(self, splits: Splits) -> tuple[Splits, list[str]]:
        try:
            normal, notes = super().normalise(splits)
        except UserError as error:
            raise placed(error, self.files(), self) from None
        if self.empty == "drop":
            normal = {split: without_empty(group) for split, group in normal.items()}
        return normal, notes


@dataclass(frozen=True, kw_only=True)
class Catalogued(Division):
    """A well-known data set: from the folder `path`, else $NERSWEEP_DATA/<name>, else the hub.

    files: split -> file name in the folder. columns: as in `ColumnFiles`. hub: path, revision, and
    columns, which maps our names to the hub's. Raises UserError for files of other splits, and for
    a folder without the files.
    """

    name: str
    path: str | None
    files: Mapping[str, str]
    columns: Sequence[str]
    hub: Mapping[str, Any]

    def __post_init__(self) -> None:
        if set(self.files) != set(SPLITS):
            raise UserError(Fault("files", dict(self.files), "must name train, dev and test"))
        content = f"({' '.join(self.columns)})"
        faults = missing_files(self.name, self.path, list(self.files.values()), content)
        if faults:
            raise UserError(*faults)
        super().__post_init__()

    def load(self) -> Corpus:
        folder = local_folder(self.name, self.path)
        if folder is not None:
            files = {split: folder / self.files[split] for split in SPLITS}
            return read_corpus(self.name, str(folder), files, self.columns, self.divide)
        path, revision = self.hub["path"], self.hub["revision"]
        try:
            splits = hub.load_dataset(path, revision, self.hub["columns"])
        except hub.HubError as error:
            must = f"{path} cannot be fetched from the hub ({error})"
            remedy = f"for a local copy set data.path=DIR, or {FOLDER} to a folder of data sets"
            raise UserError(Fault("data", self.name, must, remedy)) from None
        return assemble(self.name, f"{path}@{revision}", splits, self.divide)


def read_corpus(
    name: str,
    source: str,
    files: Mapping[str, str | Path],
    columns: Sequence[str],
    divide: Callable[[Splits], Divided] = Divided,
) -> Corpus:
    """Read a column file for each split and return the corpus with IOB2 tags."""
    named = Columns(columns=columns)
    splits = {split: read_file(Path(files[split]), named) for split in SPLITS}

    def normalise(splits: Splits) -> tuple[Splits, list[str]]:
        try:
            return normalised(splits)
        except UserError as error:
            raise placed(error, files, named) from None

    return assemble(name, source, splits, divide, normalise)


def read_file(
    path: Path,
    columns: Columns | Sequence[str] | None = None,
    empty: Empty = "fail",
    notes: list[str] | None = None,
) -> list[Sentence]:
    """Return the sentences of a file, with the tags as written.

    columns: how the columns are laid out, or their names. empty: as in `ColumnFiles`. notes: gets
    what the user should know of the file. Raises UserError with file and line for what is wrong.
    """
    if not isinstance(columns, Columns):
        columns = Columns(columns=columns)
    text = plain_text(path)
    reader = Reader(path, find_layout(path, text, columns), empty)
    sentences = list(reader.sentences(text))
    if not sentences:
        raise UserError(Fault(str(path), must="no sentence in it"))
    if notes is not None:
        notes += reader.notes()
    return sentences


class Reader:
    """Reads the sentences of a file of a known layout, and counts what it leaves out.

    A document begins at a -DOCSTART- row or a "# newdoc" line. A column "document" counts instead
    of such marks, with its value for the first word of a sentence.
    """

    def __init__(self, path: Path, layout: Layout, empty: Empty = "fail") -> None:
        self.path, self.layout, self.empty = path, layout, empty
        self.kept: list[tuple[int, str]] = []  # places and names of columns
        for place, name in enumerate(layout.names):
            if name != LEFT_OUT:
                self.kept.append((place, name))
        self.comments = self.wordless = self.nested = 0
        self.type_place = TYPE

    def sentences(self, text: str) -> Iterator[Sentence]:
        """Yield the sentences with the tags as written. Raises UserError with the line."""
        document: int | None = None  # the line that began it
        for number, block in blocks(text):
            while block and block.startswith(("#", DOCUMENT)):
                line, _, rest = block.partition("\n")
                if MARK.match(line):
                    document = number + 1
                elif self.layout.is_comment(line, split(line, self.layout.separator), True):
                    self.skip(line)
                else:
                    break
                number, block = number + 1, rest
            columns = self.table(block) if block else ()
            if columns:
                yield self.sentence(columns, document, number)
            if columns is not None:
                continue
            rows: list[Sequence[str]] = []
            for line_number, cells in self.rows(block, number):
                if cells is not None:
                    rows.append(cells)
                    continue
                if rows:
                    yield self.sentence(list(zip(*rows, strict=True)), document, number)
                    rows = []
                document = line_number
            if rows:
                yield self.sentence(list(zip(*rows, strict=True)), document, number)

    def table(self, block: str) -> Table | None:
        """Return the columns of a block; None if its rows must be read one by one."""
        layout = self.layout
        if layout.comment and layout.comment in block:
            return None
        columns = table(block, layout.separator)
        if columns is None or len(columns) != len(layout.names):
            return None
        if layout.prefix:
            words = columns[layout.word]
            if not all(word.startswith(layout.prefix) for word in words):
                return None
            columns[layout.word] = [word.removeprefix(layout.prefix) for word in words]
        if "" in columns[layout.word]:
            return None
        if layout.index and not "".join(columns[0]).isdigit():
            return None
        return columns

    def rows(self, block: str, number: int) -> Iterator[tuple[int, list[str] | None]]:
        """Yield the rows of a block with their lines, None where a document begins.

        number: lines before the block. Raises UserError with the line.
        """
        layout, width = self.layout, len(self.layout.names)
        is_first = True  # of a sentence
        for line, text in enumerate(block.split("\n"), start=number + 1):
            if MARK.match(text):
                is_first = True
                yield line, None
                continue
            cells = split(text, layout.separator)
            if layout.is_comment(text, cells, is_first):
                self.skip(text)
                continue
            if len(cells) != width:
                cells = self.mended(cells, text, line)
            if layout.index and not cells[0].isdigit():
                continue  # a word of several or an empty one, in CoNLL-U
            word = cells[layout.word]
            if layout.prefix or not word:
                cells[layout.word] = self.plain_word(word, line)
            is_first = False
            yield line, cells

    def skip(self, comment: str) -> None:
        """Take account of a comment."""
        self.comments += 1
        key, _, value = comment.lstrip("# ").partition(" = ")
        if key == "global.Entity" and "etype" in value.split("-"):
            self.type_place = value.split("-").index("etype")

    def mended(self, cells: list[str], text: str, number: int) -> list[str]:
        """Return the columns of a row that seems to have too many or too few.

        A blank before the first separator is an empty word; after the last column there may be
        empty ones; a tag in the last column may have blanks. Raises UserError for any other row.
        """
        layout, width = self.layout, len(self.layout.names)
        if layout.separator != SPACE:
            while len(cells) > width and not cells[-1]:
                cells.pop()
        elif len(cells) == width - 1 and layout.word == 0 and text[0] in (SPACE, TAB):
            cells.insert(0, "")
        elif len(cells) > width and layout.tag == width - 1:
            surplus = cells[width:]
            if STYLES["B-PER"].fullmatch(cells[width - 1]) and not any(map(is_tag, surplus)):
                cells = [*cells[: width - 1], " ".join(cells[width - 1 :])]
        if len(cells) != width:
            must, remedy = f"{len(cells)} columns, expected {width}", ""
            if text[0] == "#":
                remedy = "if the line is a comment, set data.comment to how such lines begin"
            elif len(cells) == 1:
                remedy = "if another character separates the columns, set data.separator to it"
            raise UserError(Fault(f"{self.path}:{number}", must=must, remedy=remedy))
        return cells

    def plain_word(self, word: str, number: int) -> str:
        """Return a word without the prefix of all words. Raises UserError if it is empty then."""
        place, prefix = f"{self.path}:{number}", self.layout.prefix
        if not word.startswith(prefix):
            must = f"word {word} does not begin with data.prefix={prefix}"
            raise UserError(Fault(place, must=must))
        word = word.removeprefix(prefix)
        if not word:
            self.wordless += 1
            if self.empty == "fail":
                remedy = f"set data.empty=drop, or keep to read {SPACE_SIGN}"
                raise UserError(Fault(place, must="the word is empty", remedy=remedy))
            word = SPACE_SIGN if self.empty == "keep" else ""
        return word

    def sentence(self, columns: Table, document: int | None, number: int) -> Sentence:
        """Return a sentence. document: the one that marks give. number: of the line before it."""
        values = {name: shared(columns[place]) for place, name in self.kept}
        words, tags = values.pop("word"), values.pop("tag")
        ids = values.get("document", (document,))
        if not self.layout.key:
            return Sentence(words, tags, values, ids[0])
        cells = [dict(part.partition("=")[::2] for part in cell.split("|")) for cell in tags]
        marks = [cell.get(self.layout.key, "") for cell in cells]
        if not any("(" in mark or ")" in mark for mark in marks):
            tags = tuple(mark or "O" for mark in marks)
            return Sentence(words, tags, values, ids[0])
        try:
            entities = bracket_spans(marks, self.type_place)
        except ValueError as error:
            raise UserError(Fault(f"{self.path}:{number + 1}", must=str(error))) from None
        outermost = reduced(entities, "outermost")
        tags = tuple(tags_from_spans(outermost, len(words)))
        inner = len(entities) - len(outermost)
        self.nested += inner
        return Sentence(words, tags, values, ids[0], tuple(sorted(entities)) if inner else None)

    def notes(self) -> list[str]:
        """Return what a user should know of how the file was read."""
        layout = self.layout
        facts = []
        if layout.index:
            facts.append("the first column numbers the words and is left out")
        if layout.prefix:
            facts.append(f"{layout.prefix} is removed from each word")
        for column in layout.others:
            facts.append(
                f"column {column + 1} has tags too: data.tag={column + 1} would take these"
            )
        if layout.key:
            facts.append(f"entities are those of the key {layout.key}")
        if self.comments:
            facts.append(f"comment lines skipped: {self.comments:,}")
        if self.wordless:
            done = "left out" if self.empty == "drop" else f"read as {SPACE_SIGN}"
            facts.append(f"rows without a word, {done}: {self.wordless:,}")
        if self.nested:
            facts.append(f"entities within others, left out of the tags: {self.nested:,}")
        return [f"{self.path.name}: {'; '.join(facts)}"] if facts else []


def without_empty(sentences: Sequence[Sentence]) -> list[Sentence]:
    """Return sentences with IOB2 tags without their empty words, and without empty sentences."""
    kept: list[Sentence] = []
    for sentence in sentences:
        if "" not in sentence.words:
            kept.append(sentence)
            continue
        places = [i for i, word in enumerate(sentence.words) if word]
        if not places:
            continue
        before = np.searchsorted(places, range(len(sentence.words) + 1)).tolist()
        tags = tuple(tags_from_spans(moved(spans(sentence.tags), before), len(places)))
        entities = sentence.entities
        if entities is not None:
            entities = tuple(moved(entities, before))
        columns = {}
        for name, values in sentence.columns.items():
            columns[name] = tuple(values[i] for i in places)
        words = tuple(sentence.words[i] for i in places)
        kept.append(Sentence(words, tags, columns, sentence.document, entities))
    return kept


def moved(entities: Iterable[Span], before: Sequence[int]) -> list[Span]:
    """Return the entities that have words left. before: the words left before each one."""
    kept: list[Span] = []
    for start, end, type_ in entities:
        if before[start] < before[end]:
            kept.append((before[start], before[end], type_))
    return kept


def placed(error: UserError, files: Mapping[str, str | Path], columns: Columns) -> UserError:
    """Return an error with file and line where it names a tag: the first row that has it.

    Its remedy names another column that does look like tags, if there is one.
    """
    faults = []
    for fault in error.faults:
        if fault.setting == "tag":
            fault = placed_tag(fault, files, columns)
        faults.append(fault)
    return UserError(*faults)


def placed_tag(fault: Fault, files: Mapping[str, str | Path], columns: Columns) -> Fault:
    """Return the fault of a tag with its place; as it is if no row has the tag as a column."""
    for file in map(Path, files.values()):
        text = plain_text(file)
        layout = find_layout(file, text, columns)
        reader = Reader(file, layout, "keep")
        for number, block in blocks(text):
            for line, cells in reader.rows(block, number):
                if cells and cells[layout.tag] == fault.value:
                    remedy = fault.remedy
                    if layout.others:
                        column = layout.others[0] + 1
                        remedy = f"column {column} looks like tags: set data.tag={column}"
                    return replace(fault, setting=f"{file}:{line}: tag", remedy=remedy)
    return fault
