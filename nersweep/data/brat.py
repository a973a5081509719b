"""brat's standoff format: a folder of texts, each beside a file with its annotation."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nersweep.data.files import read_utf8
from nersweep.data.spans import Mark, SpanFiles, Text
from nersweep.faults import Fault, UserError

ENTITY = re.compile(
    r"T\d+\t(\S+) (\d{1,9} \d{1,9}(?:;\d{1,9} \d{1,9})*)\t(.*)"
)  # T2, ORG 0 3;8 11, its text


@dataclass(frozen=True, kw_only=True)
class BratFiles(SpanFiles):
    """Folders of NAME.txt and NAME.ann, also in subfolders. Each text is a document.

    Entities are the T lines; relations, events, attributes and notes are ignored. An entity of
    several parts is read from its first part to its last. Raises UserError for a missing .txt.
    """

    format = "brat"

    def texts(self, path: Path, counts: Counter[str]) -> Iterator[tuple[Path, Text]]:
        if not path.is_dir():
            raise UserError(Fault(str(path), must="is a file, expected a folder of .txt and .ann"))
        for file in sorted(path.rglob("*.ann")):
            if not file.with_suffix(".txt").exists():
                raise UserError(Fault(str(file), must=f"no {file.stem}.txt beside it"))
        for file in sorted(path.rglob("*.txt")):
            annotation = file.with_suffix(".ann")
            if annotation.exists():
                yield annotation, Text(read_utf8(file), entities(annotation))
            else:
                counts["texts that are left out, as they have no .ann"] += 1


def entities(file: Path) -> list[Mark]:
    """Return the entities of an annotation. Raises UserError for an entity of another form."""
    marks: list[Mark] = []
    for number, line in enumerate(read_utf8(file).split("\n"), start=1):
        if not line.startswith("T"):
            continue
        match = ENTITY.fullmatch(line.rstrip("\r"))
        if match is None:
            must = f"{line[:60]}: expected T1, a tab, TYPE START END, a tab, and the text"
            raise UserError(Fault(f"{file}:{number}", must=must))
        parts: list[tuple[int, int]] = []
        for part in match[2].split(";"):
            start, end = map(int, part.split())
            parts.append((start, end))
        parts.sort()
        several = tuple(parts) if len(parts) > 1 else ()
        marks.append(Mark(parts[0][0], parts[-1][1], match[1], number, match[3], several))
    return marks
