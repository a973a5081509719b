"""The report as one HTML page that needs nothing else: no file, no network."""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from nersweep.evaluation.analysis import KINDS
from nersweep.machine import files as files_module
from nersweep.report.comparison import Comparison
from nersweep.report.disagreements import Disagreements, Disputed, Entity, find
from nersweep.report.figures.gallery import Picture
from nersweep.report.tables import tables, unfinished

COLOURS = 8  # of types in page.css; a further type has the colour of an earlier one, and its name beside it
PRINTED = 20  # sentences on paper, as page.css has it
SVG_BYTES = 200_000  # a larger drawing is shown as PNG
TURNS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # the direction of writing


def write(
    of: Comparison,
    pictures: Sequence[Picture],
    file: Path,
    title: str,
    command: str,
    made: date | None = None,
) -> None:
    """command: which made the runs. made: the day that stands at the end. Raises ValueError for predictions that cannot
    be read."""
    files_module.write_text(file, document(of, find(of), pictures, title, command, made))


def document(
    of: Comparison,
    disagreements: Disagreements,
    pictures: Sequence[Picture],
    title: str,
    command: str,
    made: date | None = None,
) -> str:
    """Whatever words, types and settings hold is shown as text: all is escaped, and the page's policy lets run, apply
    and load only what is in it."""
    style, script = (resource(f"page.{kind}") for kind in ("css", "js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src '{digest(style)}'; script-src '{digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    template = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    ).from_string(resource("page.html"))
    settings = [row.setting for row in of.finished]
    return template.render(
        policy=policy,
        style=style,
        script=script,
        title=title,
        of=of,
        tables=tables(of),
        notes=[*of.notes, *unfinished(of)],
        pictures=[(picture, data_address(picture)) for picture in pictures],
        disagreements=disagreements,
        printed=PRINTED,
        settings=settings,
        kinds=KINDS,
        colours={type_: f"t{i % COLOURS}" for i, type_ in enumerate(of.types)},
        gap=gap(disagreements.sentences),
        lines=lines,
        turns=TURNS.search,
        errors=lambda sentence: marks(sentence, settings, of.types),
        facts=[*facts(of), *([("Date", made.isoformat())] if made else [])],
        command=command,
    )


def resource(name: str) -> str:
    return files("nersweep.report").joinpath(name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """As a Content-Security-Policy names what is inline."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def data_address(picture: Picture) -> str:
    """The picture itself: as an image, so that no style or script in it reaches the page."""
    drawn = picture.svg.read_bytes()
    kind, content = (
        ("svg+xml", drawn) if len(drawn) <= SVG_BYTES else ("png", picture.png.read_bytes())
    )
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def gap(sentences: Iterable[Disputed]) -> str:
    """What stands between words: nothing where none has two characters, as in Chinese text cut into characters."""
    return " " if any(len(word) > 1 for sentence in sentences for word in sentence.words) else ""


def lines(
    words: Sequence[str], entities: Iterable[Entity]
) -> Iterator[list[tuple[Sequence[str], Entity | None]]]:
    """The sentence in pieces, within and between entities. Entities that overlap stand in lines of their own."""
    layers: list[list[Entity]] = []
    for entity in sorted(entities):
        free = next((layer for layer in layers if layer[-1].end <= entity.start), None)
        if free is None:
            layers.append([entity])
        else:
            free.append(entity)
    for layer in layers or [[]]:
        pieces, at = [], 0
        for entity in layer:
            pieces.append((words[at : entity.start], None))
            pieces.append((words[entity.start : entity.end], entity))
            at = entity.end
        pieces.append((words[at:], None))
        yield [(piece, entity) for piece, entity in pieces if piece]


def marks(sentence: Disputed, settings: Sequence[str], types: Sequence[str]) -> str:
    """Its errors for the filter: setting and type by place, as in 0-boundary-2."""
    found = sorted(
        (settings.index(name), kind, types.index(type_)) for name, kind, type_ in sentence.errors()
    )
    return " ".join(f"{setting}-{kind}-{type_}" for setting, kind, type_ in found)


def facts(of: Comparison) -> list[tuple[str, str]]:
    """How the runs were made, by name. Where they differ, all that there is."""
    records = [record for row in of.finished for record in row.records]
    results = [record.result for record in records]
    data = of.first.result.data
    sizes = ", ".join(f"{name} {n:,}" for name, n in data.sentences.items())
    entities = ", ".join(f"{name} {n:,}" for name, n in data.entities.items())
    minutes = sum(result.seconds.total for result in results) / 60
    versions = [
        f"{name} {any_of(result.versions.get(name, 'none') for result in results)}"
        for name in of.first.result.versions
    ]
    return [
        (
            "Data",
            f"{any_of(r.config['choice']['data'] for r in records)}, SHA-256 {data.checksum[:12]}…",
        ),
        ("Sentences", sizes),
        ("Entities in training", entities),
        ("Model", any_of(record.config["choice"]["model"] for record in records)),
        (
            "Training",
            f"{any_of(r.epochs for r in results)} epochs, {any_of(record.steps for record in records)} steps",
        ),
        ("Seeds", any_of(record.seed for record in records)),
        ("Runs", f"{len(records)}, in {minutes:,.0f} minutes in all"),
        ("Hardware", any_of(f"{result.device}, {result.hardware}" for result in results)),
        ("Number format", any_of(result.precision for result in results)),
        ("Versions", "; ".join(versions)),
    ]


def any_of(values: Iterable[Any]) -> str:
    return ", ".join(map(str, sorted(set(values))))
