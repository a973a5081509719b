"""Column files such as CoNLL's: a word and its annotations per line, a blank line per sentence."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nersweep.data import hub
from nersweep.data.corpus import SPLITS, Corpus, Sentence, Splits
from nersweep.data.division import Divided, Division
from nersweep.data.files import FOLDER, at_line, local_folder, missing_files, read_utf8
from nersweep.data.normalise import assemble, shared
from nersweep.data.splits import SplitFiles
from nersweep.faults import Fault, UserError
from nersweep.labels import split_tag


@dataclass(frozen=True, kw_only=True)
class LocalFiles(SplitFiles):
    """A user's own column files.

    columns: names from left to right; "word" and "tag" are needed, others are kept, and "document"
    says which document a word is of. Without them the first column is the word and the last the
    tag. Raises UserError for columns without word or tag, and for a missing file.
    """

    format = "conll"

    columns: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.columns is not None and not {"word", "tag"} <= set(self.columns):
            raise UserError(Fault("columns", list(self.columns), "must name word and tag"))
        super().__post_init__()

    def read(self, path: Path) -> list[Sentence]:
        return read_file(path, self.columns)


@dataclass(frozen=True, kw_only=True)
class Catalogued(Division):
    """A well-known data set: from the folder `path`, else $NERSWEEP_DATA/<name>, else the hub.

    files: split -> file name in the folder. columns: as in `LocalFiles`. hub: path, revision, and
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
    columns: Sequence[str] | None,
    divide: Callable[[Splits], Divided] = Divided,
) -> Corpus:
    """Read a column file for each split and return the corpus with IOB2 tags."""
    splits = {split: read_file(Path(files[split]), columns) for split in SPLITS}
    return assemble(name, source, splits, divide)


def read_file(path: Path, columns: Sequence[str] | None = None) -> list[Sentence]:
    """Return the sentences of a file, with the tags as written.

    A document begins at a -DOCSTART- row or a "# newdoc" line of CoNLL-U. Other comments of CoNLL-U
    before a sentence, "# KEY = …" and "# newpar", are skipped. A column "document" counts instead
    of such marks, with its value for the first word of a sentence.

    Raises UserError with file and line for a row of another width, a tag that is none, text that is
    no UTF-8, and a file without sentences.
    """
    sentences: list[Sentence] = []
    rows: list[tuple[str, ...]] = []
    document: int | None = None  # the line that began it
    for number, line in enumerate([*read_utf8(path).split("\n"), ""], start=1):
        # Split on spaces and tabs alone: words of web text may hold other white space. WNUT-17
        # separates sentences with a line that holds a tab.
        row = shared(filter(None, line.rstrip("\r").replace("\t", " ").split(" ")))
        is_start = row[:1] == ("-DOCSTART-",) or row[:2] == ("#", "newdoc")
        if not row or is_start:
            if columns is not None and rows:
                sentences.append(sentence_of(rows, columns, document))
            rows = []
            if is_start:
                document = number
            continue
        if not rows and is_comment(row):
            continue
        if columns is None:
            columns = ["word", *(f"column{i}" for i in range(2, len(row))), "tag"]
        if len(row) != len(columns) or len(row) < 2:
            must = f"{len(row)} columns, expected {max(len(columns), 2)}"
            raise UserError(Fault(f"{path}:{number}", must=must))
        try:
            split_tag(row[list(columns).index("tag")])
        except UserError as error:
            raise at_line(path, number, error) from None
        rows.append(row)
    if not sentences:
        raise UserError(Fault(str(path), must="no sentence in it"))
    return sentences


def is_comment(row: tuple[str, ...]) -> bool:
    """Return whether a row is a comment of CoNLL-U: "# sent_id = 3", "# newpar"."""
    return row[0] == "#" and (row[1:2] == ("newpar",) or row[2:3] == ("=",))


def sentence_of(
    rows: Sequence[tuple[str, ...]], columns: Sequence[str], document: int | None
) -> Sentence:
    """Return a sentence. document: the one that the marks give, if no column does."""
    values = dict(zip(columns, zip(*rows, strict=True), strict=True))
    ids = values.get("document", (document,))
    return Sentence(values.pop("word"), values.pop("tag"), values, ids[0])
