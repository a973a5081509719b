"""Find out how a file of columns is laid out, from all of its lines."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nersweep.data.schemes import SIGNS, STYLES
from nersweep.faults import Fault, UserError

TAB, SPACE = "\t", " "  # SPACE: any run of blanks and tabs
SEPARATORS = {"tab": TAB, "space": SPACE}
DOCUMENT = "-DOCSTART-"
BLANK_EDGE = re.compile(r"^ | $| \t|\t ", re.MULTILINE)
MARK = re.compile(r"-DOCSTART-(?!\w)|#[ \t]+newdoc\b")  # the beginning of a document
INDEX = re.compile(r"(\d{1,9})([-.]\d+)?")  # 3; in CoNLL-U also 3-4 for two words, 3.1 for none
COUNT = [str(number) for number in range(1, 201)]
WITHOUT_TAB = re.compile(r"^(?!#|-DOCSTART-)[^\t\n]++$", re.MULTILINE)  # a line
LANGUAGE = re.compile(r"[a-z]{2,6}(-[a-z]{2,10})*:")  # en:Tessa
NO_KEY = "_"  # in a column of KEY=VALUE|KEY=VALUE
LEFT_OUT = "_"  # the name of a column to leave out
SAMPLE = 1000  # rows
MOST = 10  # names in a message
TITLES = ("tag", "tags", "label", "labels", "ner", "ner_tag", "ner_tags", "ne", "iob", "bio")
KEYS = ("Entity", "NER", "NE", "ner", "ne", "name")  # of entities in such a column

Table = list[Sequence[str]]  # the columns of some rows
Position = int | str  # of a column: from 1 at the left or -1 at the right, or its name


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What a user says of the columns of files; what is None, or auto, is found in each file.

    columns: names from left to right, "_" for one to leave out. word, tag: their places.
    separator: auto, tab, space or a character. prefix: of each word, to be removed. comment: how a
    comment begins; "": no line is one. key: of the tag, in a column of KEY=VALUE|KEY=VALUE.
    """

    columns: Sequence[str] | None = None
    word: Position | None = None
    tag: Position | None = None
    separator: str = "auto"
    prefix: str | None = None
    comment: str | None = None
    key: str | None = None

    def faults(self) -> list[Fault]:
        """Return what is wrong with the arguments, whatever the files."""
        faults = []
        if self.columns is not None:
            faults += self.name_faults(self.columns)
        for role, position in ("word", self.word), ("tag", self.tag):
            if position == 0:
                faults.append(Fault(role, 0, "columns are 1, 2, … or, from the right, -1, -2, …"))
            elif isinstance(position, str) and position not in (self.columns or ()):
                names = f"the names are {', '.join(self.columns)}" if self.columns else "no names"
                remedy = "set columns to the names from left to right, or a number here"
                faults.append(Fault(role, position, f"no column of that name; {names}", remedy))
        if self.separator not in ("auto", *SEPARATORS) and len(self.separator) != 1:
            must = f"must be auto, {', '.join(SEPARATORS)} or one character"
            faults.append(Fault("separator", self.separator, must))
        return faults

    def name_faults(self, columns: Sequence[str]) -> list[Fault]:
        """Return what is wrong with the names of columns."""
        needed: list[str] = []
        for role, position in ("word", self.word), ("tag", self.tag):
            if position is None:
                needed.append(role)
            elif role in columns and position != role:
                must = f"names {role}, which data.{role}={position} sets to another column"
                return [Fault("columns", list(columns), must)]
        if not set(needed) <= set(columns):
            return [Fault("columns", list(columns), f"must name {' and '.join(needed)}")]
        for name, count in Counter(columns).items():
            if count > 1 and name != LEFT_OUT:
                return [Fault("columns", list(columns), f"names {name} twice")]
        return []

    def place(self, role: str, position: Position | None, default: int) -> int:
        """Return the place of a column from 0, or from -1 at the right. role: word or tag."""
        if isinstance(position, int):
            return position - 1 if position > 0 else position
        if self.columns is None:
            return default
        return list(self.columns).index(position or role)


@dataclass(frozen=True)
class Layout:
    """How the rows of a file are laid out.

    separator: SPACE, or the character between columns. names: of the columns from left to right,
    LEFT_OUT for one of no use. word, tag: their places, from 0. index: whether the first column
    numbers the words. prefix: of each word. comment: how a comment begins; None: as `is_comment`
    decides. metadata: whether a row "#" without a tag is a comment. key: of the tag within its
    column, "" if it is the column. others: columns that have tags too, where the user named none.
    """

    separator: str
    names: tuple[str, ...]
    word: int
    tag: int
    index: bool
    prefix: str
    comment: str | None
    metadata: bool
    key: str
    others: Sequence[int]

    def is_comment(self, line: str, cells: Sequence[str], is_first: bool) -> bool:
        """Return whether a line is a comment, and not a row whose word begins with #.

        is_first: whether a row would be the first of its sentence. Comments of CoNLL-U, "# KEY = …"
        and "# newpar", are; and a line "# …" with another number of columns than the file's, unless
        it is shorter and ends with a tag. A line with this number is a row; but where half of the
        sentences begin with one that has no tag, these are comments.
        """
        if self.comment is not None:
            return self.comment != "" and line.startswith(self.comment)
        if line[0] != "#" or not is_first:
            return False
        fields = line.split()
        is_conllu = fields[0] == "#" and (fields[1:2] == ["newpar"] or fields[2:3] == ["="])
        if self.index or is_conllu:
            return True
        if fields[0] != "#" or len(fields) == 1:
            return False
        if len(cells) == len(self.names):
            return self.metadata and not is_tag(cells[self.tag])
        return len(cells) > len(self.names) or not is_tag(cells[-1])


class Survey:
    """What the rows of a file show. word, tag: the places of these columns."""

    def __init__(self, word: int, tag: int) -> None:
        self.word, self.tag = word, tag
        self.sentences = 0
        self.widths: Counter[int] = Counter()  # rows by their number of columns
        self.filled: set[int] = set()  # numbers of columns of which the last has a value
        self.untagged: Counter[int] = Counter()  # rows "#" before a sentence, without a tag
        self.sample: list[Sequence[str]] = []
        self.index, self.last, self.largest = True, -1, 0  # of numbers in the first column
        self.starting = False  # whether the sentence has no number yet
        self.prefix: str | None = None  # of each word
        self.keys: set[str] | None = set()  # None if the tags are not KEY=VALUE

    def add(self, columns: Table, is_first: bool) -> None:
        """Take account of rows of one width. is_first: whether they begin a sentence."""
        width, rows = len(columns), len(columns[0])
        self.sentences += is_first
        self.widths[width] += rows
        if any(columns[-1]):
            self.filled.add(width)
        if len(self.sample) < SAMPLE:
            self.sample += zip(*columns, strict=True)
        if self.index:
            self.starting = is_first or self.starting
            self.add_numbers(columns[0])
        if self.prefix != "" and -width <= self.word < width:
            self.add_words(columns[self.word])
        if self.keys is not None and -width <= self.tag < width:
            self.add_keys(columns[self.tag])

    def add_comment(self, cells: Sequence[str]) -> None:
        """Take account of a line before a sentence that begins with #."""
        place = self.tag if -len(cells) <= self.tag < len(cells) else -1
        self.untagged[len(cells)] += not is_tag(cells[place])

    def add_numbers(self, cells: Sequence[str]) -> None:
        if self.starting and cells == COUNT[: len(cells)]:
            self.last = len(cells)
            self.largest = max(self.largest, self.last)
            self.starting = False
            return
        for cell in cells:
            match = INDEX.fullmatch(cell)
            if match is None:
                self.index = False
                return
            if not match[2]:
                number = int(cell)
                if number != self.last + 1 and not (self.starting and number <= 1):
                    self.index = False
                    return
                self.last, self.largest = number, max(number, self.largest)
                self.starting = False

    def add_words(self, words: Sequence[str]) -> None:
        if self.prefix is None:
            match = LANGUAGE.match(words[0])
            self.prefix = match[0] if match else ""
        for word in words if self.prefix else ():
            if not word.startswith(self.prefix):
                self.prefix = ""
                return

    def add_keys(self, cells: Sequence[str]) -> None:
        for cell in cells:
            pairs = [part.partition("=") for part in cell.split("|") if cell != NO_KEY]
            if self.keys is None or not all(sign for _, sign, _ in pairs):
                self.keys = None
                return
            self.keys.update(key for key, _, _ in pairs)

    def width(self) -> int:
        """Return the number of columns of most rows, without a last one that is always empty."""
        width = (self.widths or self.untagged).most_common(1)[0][0]
        return width if not self.widths or width in self.filled else width - 1

    def is_numbered(self) -> bool:
        """Return whether the first column counts the words of each sentence, or of the file."""
        return self.index and (self.largest > 1 or self.sentences > 1)

    def tagged_columns(self) -> list[int]:
        """Return the columns, from 0, that hold nothing but tags with a prefix and signs for O."""
        width = self.width()
        rows = [cells for cells in self.sample if len(cells) >= width]
        columns = []
        for column in range(width):
            cells = {row[column] for row in rows}
            if all(map(is_tag, cells)) and any(map(STYLES["B-PER"].fullmatch, cells)):
                columns.append(column)
        return columns


def is_tag(cell: str) -> bool:
    """Return whether a cell looks like a tag: a sign for O, or a prefix and a type."""
    return cell in SIGNS or any(pattern.fullmatch(cell) for pattern in STYLES.values())


def split(line: str, separator: str) -> list[str]:
    """Return the columns of a line, which has no line break."""
    if separator == SPACE:
        return list(filter(None, line.replace(TAB, SPACE).split(SPACE)))
    cells = line.split(separator)
    return [cell.strip(SPACE) for cell in cells] if SPACE in line else cells


def blocks(text: str) -> Iterator[tuple[int, str]]:
    """Yield what stands between blank lines, with the number of lines before it."""
    number = start = 0
    while start < len(text):
        end = text.find("\n\n", start)
        block = text[start:] if end < 0 else text[start:end]
        start = len(text) if end < 0 else end + 2
        plain = block.strip("\n")
        if plain:
            yield number + len(block) - len(block.lstrip("\n")), plain
        number += block.count("\n") + 2


def table(block: str, separator: str) -> Table | None:
    """Return the columns of a block's rows; None unless all are plain rows of one width.

    A plain row is no mark and begins with no #; its columns are not blank at their edges.
    """
    if "\n#" in block or block[0] == "#" or DOCUMENT in block:
        return None
    if separator == SPACE:
        block = block.replace(TAB, SPACE)
    elif SPACE in block and BLANK_EDGE.search(block.replace(separator, TAB)):
        return None
    # A line break becomes a column of its own: rows have one width if it stands after each.
    cells = block.replace("\n", f"{separator}\n{separator}").split(separator)
    width = cells.index("\n") if "\n" in cells else len(cells)
    breaks = cells[width :: width + 1]
    if len(cells) != (width + 1) * (len(breaks) + 1) - 1 or breaks.count("\n") != len(breaks):
        return None
    if separator == SPACE and "" in cells:
        return None
    return [cells[column :: width + 1] for column in range(width)]


def find_layout(path: Path, text: str, columns: Columns) -> Layout:
    """Return the layout of a file, whose text is as `plain_text` gives it.

    Raises UserError for a file without rows, for columns that it lacks, and where it is ambiguous.
    """
    separator = SEPARATORS.get(columns.separator, columns.separator)
    if separator == "auto":
        separator = find_separator(path, text, columns.comment)
    survey = Survey(columns.place("word", columns.word, 0), columns.place("tag", columns.tag, -1))
    for _, block in blocks(text):
        survey_block(survey, block, separator, columns.comment)
    widths = survey.widths or survey.untagged
    if not widths:
        raise UserError(Fault(str(path), must="no sentence in it"))
    names = list(columns.columns or ())
    width = len(names) or max(survey.width(), 2)
    index = survey.is_numbered() and columns.word not in (1, -width, *names[:1])
    index = index and (names[0] not in ("word", "tag") if names else width > 2)
    word = columns.place("word", columns.word, int(index))
    tag = columns.place("tag", columns.tag, -1)
    for role, place in ("word", word), ("tag", tag):
        if not -width <= place < width:
            must = f"{path} has {width} columns: 1 to {width}, or -1 to -{width} from the right"
            raise UserError(Fault(f"data.{role}", getattr(columns, role), must))
    word, tag = word % width, tag % width
    first = survey.sample[0] if survey.sample else ()
    if len(first) == width and first[tag].lower() in TITLES:
        must = f"the first row seems to name the columns: {' '.join(first)}"
        raise UserError(Fault(str(path), must=must, remedy="remove it"))
    if word == tag:
        raise UserError(Fault("data.tag", columns.tag, "is the column of the words, too"))
    if not names:
        names = [f"column{number}" for number in range(1, width + 1)]
        if index:
            names[0] = LEFT_OUT
    names[word], names[tag] = "word", "tag"
    prefix = (survey.prefix or "") if columns.prefix is None else columns.prefix
    key = find_key(survey.keys, columns.key)
    metadata = 2 * survey.untagged[width] >= survey.sentences
    others: list[int] = []
    if columns.columns is None and columns.tag is None:
        others = [column for column in survey.tagged_columns() if column not in (word, tag)]
    return Layout(
        separator, tuple(names), word, tag, index, prefix, columns.comment, metadata, key, others
    )


def survey_block(survey: Survey, block: str, separator: str, comment: str | None) -> None:
    """Take account of the rows of a block, and of the comments before them."""
    while block.startswith(comment or "#"):
        line, _, block = block.partition("\n")
        if comment is None and not MARK.match(line):
            survey.add_comment(split(line, separator))
    is_plain = bool(block) and not (comment and f"\n{comment}" in block)
    columns = table(block, separator) if is_plain else None
    if columns is not None:
        survey.add(columns, is_first=True)
        return
    is_first = True
    for line in block.split("\n"):
        if not line or MARK.match(line):
            is_first = True
        elif comment is None and line[0] == "#" and is_first:
            survey.add_comment(split(line, separator))
        elif not (comment and line.startswith(comment)):
            survey.add([[cell] for cell in split(line, separator)], is_first)
            is_first = False


def find_key(keys: set[str] | None, key: str | None) -> str:
    """Return the key of the tag within its column; "" if the whole column is the tag.

    keys: all keys of the column, None if it has no KEY=VALUE; key: the user's. Raises UserError if
    several may be it, or none.
    """
    if key is not None and key not in (keys or ()):
        must = f"no such key in the column of tags, which has {listed(keys)}"
        raise UserError(Fault("data.key", key, must))
    if not keys or key is not None:
        return key or ""
    usual = [name for name in KEYS if name in keys]
    if len(usual) != 1:
        remedy = "set data.key to that of the tags, or data.tag to another column"
        must = f"the column of tags has KEY=VALUE, with the keys {listed(keys)}"
        raise UserError(Fault("data.key", None, must, remedy))
    return usual[0]


def listed(keys: Iterable[str] | None) -> str:
    """Return some names in a line."""
    names = sorted(keys or ())
    return ", ".join(names[:MOST]) + (", …" if len(names) > MOST else "") or "none"


def find_separator(path: Path, text: str, comment: str | None) -> str:
    """Return TAB if every row has one, else SPACE.

    Raises UserError if most rows have one, and some of them could be read in two ways.
    """
    if TAB not in text:
        return SPACE
    if not comment and not WITHOUT_TAB.search(text):
        return TAB
    tabbed = tabless = first = 0  # first: line without a tab
    is_ambiguous = False
    for number, line in enumerate(text.split("\n"), start=1):
        if not line or line.startswith(comment or "#") or MARK.match(line):
            continue
        if TAB not in line:
            tabless += 1
            first = first or number
        else:
            tabbed += 1
            is_ambiguous = is_ambiguous or SPACE in line or "\t\t" in line or line[0] == TAB
    if not tabless and tabbed:
        return TAB
    if tabbed > tabless and is_ambiguous:
        must = f"no tab, as {tabbed:,} other rows have, some with blanks or nothing between tabs"
        remedy = "mend the line, or set data.separator=tab or data.separator=space"
        raise UserError(Fault(f"{path}:{first}", must=must, remedy=remedy))
    return SPACE
