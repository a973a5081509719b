"""Column files: one word a line with its annotations, a blank line between sentences (CoNLL, WNUT and their kin)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import Any

from nersweep import labels
from nersweep.data import hub
from nersweep.data.corpus import SPLITS, Corpus, Sentence, tag_counts
from nersweep.data.files import local_folder, missing_files, read_utf8
from nersweep.faults import Faults, reason

Rows = list[tuple[str, ...]]  # one sentence as it is written: a tuple of columns per word


@dataclass(frozen=True)
class LocalFiles:
    """Anybody's column files. Columns are names from left to right, of which "word" and "tag" are read and others
    kept; without them the first column is the word and the last the tag."""

    train: str
    dev: str
    test: str
    columns: Sequence[str] | None = None

    def __post_init__(self):
        if self.columns is not None and not {"word", "tag"} <= set(self.columns):
            raise ValueError(f"columns={list(self.columns)}: must name word and tag")
        missing = [split for split in SPLITS if not Path(getattr(self, split)).exists()]
        if missing:
            raise ValueError(
                "\n".join(f"{split}={getattr(self, split)}: no such file" for split in missing)
            )

    def load(self) -> Corpus:
        files = {split: getattr(self, split) for split in SPLITS}
        return corpus("conll", ", ".join(files.values()), files, self.columns)


@dataclass(frozen=True)
class Catalogued:
    """A known data set: from the folder `path`, else from $NERSWEEP_DATA/<name>, else from the hub.

    files: split -> file name in the folder; columns as in `LocalFiles`; hub: path, revision, and columns, the
    last from our names to the hub's.
    """

    name: str
    path: str | None
    files: Mapping[str, str]
    columns: Sequence[str]
    hub: Mapping[str, Any]

    def __post_init__(self):
        if set(self.files) != set(SPLITS):
            raise ValueError(f"files={dict(self.files)}: must name train, dev and test")
        columns = f"({' '.join(self.columns)})"
        if faults := missing_files(self.name, self.path, list(self.files.values()), columns):
            raise Faults(faults)

    def load(self) -> Corpus:
        folder = local_folder(self.name, self.path)
        if folder is None:
            return from_hub(self.name, self.hub["path"], self.hub["revision"], self.hub["columns"])
        return corpus(
            self.name,
            str(folder),
            {split: folder / self.files[split] for split in SPLITS},
            self.columns,
        )


def corpus(
    name: str, source: str, files: Mapping[str, str | Path], columns: Sequence[str] | None
) -> Corpus:
    return assemble(
        name, source, {split: read_file(Path(files[split]), columns) for split in SPLITS}
    )


def read_file(path: Path, columns: Sequence[str] | None = None) -> list[Sentence]:
    """The sentences of one file, tags as they are written. Raises ValueError with file and line."""
    text = read_utf8(path)
    sentences: list[Sentence] = []
    rows: Rows = []
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        # Split on spaces and tabs alone: words of web text may hold other white space. WNUT-17 separates sentences
        # with a line that holds a tab.
        row = shared(filter(None, line.rstrip("\r").replace("\t", " ").split(" ")))
        if not row or row[0] == "-DOCSTART-":
            if rows:
                sentences.append(sentence(rows, columns))
            rows = []
            continue
        if columns is None:
            columns = ["word", *(f"column{i}" for i in range(2, len(row))), "tag"]
        if len(row) != len(columns) or len(row) < 2:
            raise ValueError(
                f"{path}:{number}: {len(row)} columns, expected {max(len(columns), 2)}"
            )
        try:
            labels.split_tag(row[list(columns).index("tag")])
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        rows.append(row)
    if not sentences:
        raise ValueError(f"{path}: no sentence in it")
    return sentences


def sentence(rows: Rows, columns: Sequence[str]) -> Sentence:
    named = dict(zip(columns, zip(*rows, strict=True), strict=True))
    return Sentence(words=named.pop("word"), tags=named.pop("tag"), columns=named)


def shared(strings: Iterable[str]) -> tuple[str, ...]:
    """These strings, with equal ones in memory once: those of a corpus come again and again."""
    return tuple(map(intern, strings))


def from_hub(name: str, path: str, revision: str, columns: Mapping[str, str]) -> Corpus:
    """The hub's copy. Label ids differ between copies, so labels are mapped by name."""
    import datasets  # costs a second, and most runs read local files

    try:
        hub.ask(path, "README.md", revision, "dataset")  # the file that load_dataset begins with
        loaded = datasets.load_dataset(path, revision=revision)
    except Exception as error:  # the hub's errors share no base class
        raise ValueError(
            f"data={name}: {path} cannot be fetched from the hub ({reason(error)}); for a local copy type "
            "data.path=DIR, or set NERSWEEP_DATA to a folder of data sets"
        ) from None
    splits = {}
    for split, hub_split in zip(SPLITS, ("train", "validation", "test"), strict=True):
        part = loaded[hub_split]
        names = {c: getattr(part.features[h].feature, "names", None) for c, h in columns.items()}
        splits[split] = []
        for example in part:
            values = {
                c: tuple(names[c][v] if names[c] else v for v in example[h])
                for c, h in columns.items()
            }
            if values["word"]:
                splits[split].append(
                    Sentence(words=values.pop("word"), tags=values.pop("tag"), columns=values)
                )
    return assemble(name, f"{path}@{revision}", splits)


def assemble(name: str, source: str, splits: Mapping[str, Sequence[Sentence]]) -> Corpus:
    """Normalises the tags of all splits to IOB2 and notes what a user should know of the labels."""
    scheme = labels.scheme_of(s.tags for sentences in splits.values() for s in sentences)
    repaired: Counter[str] = Counter()
    normal = {}
    for split, sentences in splits.items():
        normal[split] = [
            Sentence(
                shared(s.words),
                shared(labels.tags_from_spans(labels.spans(s.tags), len(s.tags))),
                s.columns,
            )
            for s in sentences
        ]
        if scheme == "IOB2":
            pairs = zip(sentences, normal[split], strict=True)
            repaired[split] = sum(
                a != b for old, new in pairs for a, b in zip(old.tags, new.tags, strict=True)
            )
    notes = [
        f"{split}: {n} I- tags began an entity and are read as B-"
        for split, n in repaired.items()
        if n
    ]
    known = tag_counts(normal["train"])
    for split in ("dev", "test"):
        odd = {tag: n for tag, n in tag_counts(normal[split]).items() if tag not in known}
        notes += [
            f"{split}: {tag} ({n} words) is not in the training data"
            for tag, n in sorted(odd.items())
        ]
    return Corpus(name, source, **normal, notes=tuple(notes))
