"""Write suspects down to be reviewed: a table, and a page that makes a file of corrections."""

import csv
import io
import json
from collections.abc import Iterable, Sequence

from nersweep.report.disagreements import Entity
from nersweep.report.page import colours_of, render, resource, word_gap
from nersweep.report.suspects import Suspect

COLUMNS = ("doubt", "gold", "proposed", "confidence", "agree", "runs", "number", "run", "sentence")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for one


def review_page(suspects: Sequence[Suspect], types: Sequence[str], split: str, title: str) -> str:
    """Return a page to accept or reject suspects of a split, which needs no other file."""
    return render(
        "review.html",
        resource("review.js"),
        title=title,
        split=split,
        suspects=[(suspect, correction_line(suspect)) for suspect in suspects],
        view={"colours": colours_of(types), "gap": word_gap(suspects), "suspects": suspects},
    )


def correction_line(suspect: Suspect) -> str:
    """Return a suspect as a line of a file for data.corrections."""
    correction = {
        "words": suspect.words,
        "gold": [entity[:3] for entity in suspect.gold],
        "proposed": [entity[:3] for entity in suspect.proposed],
    }
    return json.dumps(correction, ensure_ascii=False)


def comma_separated(suspects: Iterable[Suspect]) -> str:
    """Return a line for each suspect. Text that a spreadsheet would take for a formula gets a '."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for suspect in suspects:
        texts = [mentions(suspect.words, side) for side in (suspect.gold, suspect.proposed)]
        row: list[object] = [f"{suspect.doubt:.4f}", *map(as_text, texts)]
        row += [f"{suspect.confidence:.4f}", suspect.agree, suspect.runs, suspect.number]
        writer.writerow([*row, as_text(suspect.run), as_text(" ".join(suspect.words))])
    return file.getvalue()


def mentions(words: Sequence[str], entities: Iterable[Entity]) -> str:
    """Return entities as text: Lund [LOC], Ada [PER]."""
    texts: list[str] = []
    for entity in entities:
        texts.append(f"{' '.join(words[entity.start : entity.end])} [{entity.type}]")
    return ", ".join(texts)


def as_text(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text
