"""The report as one HTML page that needs no other file and no network."""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from matplotlib.ticker import MaxNLocator

from nersweep.evaluation.analysis import KINDS
from nersweep.evaluation.inference import DRAWS
from nersweep.report.comparison import Comparison
from nersweep.report.disagreements import Disagreements, Dispute, Entity
from nersweep.report.figures.files import Picture
from nersweep.report.figures.scores import contrasted
from nersweep.report.notes import note_unfinished
from nersweep.report.records import Record
from nersweep.report.rows import points
from nersweep.report.sets import Synopsis, table_of
from nersweep.report.suspects import Suspect
from nersweep.report.tables import interval, make_tables, significance, verdict

COLOURS = 8  # of types in page.css; a further type shares the colour of an earlier one
PRINTED = 20  # sentences on paper, as page.css has it
SVG_BYTES = 200_000  # a larger drawing is embedded as PNG
# By the first word of a verdict: triangles up and down, a square, a circle.
MARKS = {
    "better": "M0-7L7 6H-7Z",
    "worse": "M0 7L7-6H-7Z",
    "practically": "M-5.5-5.5H5.5V5.5H-5.5Z",
    "undecided": "M-5.5 0A5.5 5.5 0 1 0 5.5 0A5.5 5.5 0 1 0-5.5 0Z",
}
DIRECTION_MARKS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Part:
    """What the page shows of one data set. name: of the set if the page has several, else ""."""

    comparison: Comparison
    disagreements: Disagreements
    pictures: Sequence[Picture]
    name: str = ""
    suspects: Sequence[Suspect] = ()


def page(
    parts: Sequence[Part],
    title: str,
    command: str,
    day: date | None = None,
    synopsis: Synopsis | None = None,
    pictures: Sequence[Picture] = (),
) -> str:
    """Return the page. command: the one that made the runs; day: printed at the end.

    synopsis and pictures: what several parts show together.
    """
    return render(
        "page.html",
        resource("page.js"),
        title=title,
        views=[view(part, number) for number, part in enumerate(parts)],
        comparison=parts[0].comparison,
        synopsis=synopsis,
        table=table_of(synopsis) if synopsis else None,
        pictures=with_addresses(pictures),
        printed=PRINTED,
        kinds=KINDS,
        pieces=pieces,
        subtitle=subtitle(parts, day),
        error_codes=error_codes,
        command=command,
        day=day.isoformat() if day else "",
        marks=MARKS,
        draws=DRAWS,
        picked=join(record.result.metric.of_epochs.label for record in parts[0].comparison.records),
        significance=significance(parts[0].comparison.alpha),
    )


def view(part: Part, number: int) -> dict[str, Any]:
    """Return what the page shows of a part. number: its place, for the names of its sections."""
    comparison = part.comparison
    strips, ticks = draw_strips(comparison)
    pictures = part.pictures
    if strips:
        pictures = [picture for picture in pictures if picture.name != "verdict"]
    return {
        "name": part.name,
        "prefix": f"set-{number}-" if part.name else "",
        "level": 3 if part.name else 2,
        "comparison": comparison,
        "decision": comparison.decision,
        "tables": make_tables(comparison),
        "notes": [*comparison.notes, *note_unfinished(comparison.rows)],
        "pictures": with_addresses(pictures),
        "disagreements": part.disagreements,
        "suspects": part.suspects,
        "runs": sum(len(row.records) for row in comparison.finished if row.trained),
        "settings": [row.setting for row in comparison.finished],
        "colours": colours_of(comparison.types),
        "gap": word_gap([*part.disagreements.sentences, *part.suspects]),
        "facts": method_facts(comparison),
        "strips": strips,
        "ticks": ticks,
    }


def subtitle(parts: Sequence[Part], day: date | None) -> str:
    """Say in a line what the page reports."""
    records: list[Record] = []
    settings: set[str] = set()
    for part in parts:
        records += part.comparison.records
        settings |= {row.setting for row in part.comparison.finished}
    data = join(record.result.choice["data"] for record in records)
    models = join(record.result.choice["model"] for record in records)
    count = f"{len(settings)} setting{'s' if len(settings) > 1 else ''}"
    text = f"{count}, {len(records)} run{'s' if len(records) > 1 else ''}"
    text += f" of {models} on {data}, scored on {parts[0].comparison.split}"
    return f"{text}; {day.isoformat()}" if day else text


def pieces(name: str) -> list[str]:
    """Divide a name after each of its signs."""
    return re.split(r"(?<=[_=,;:/+-])", name)


def with_addresses(pictures: Sequence[Picture]) -> list[tuple[Picture, str]]:
    """Return pictures with their addresses."""
    return [(picture, data_address(picture)) for picture in pictures]


@dataclass(frozen=True)
class Strip:
    """The difference of a setting as a line of the page. Places are percent of its width.

    kind: of the verdict, for its colour and mark. ends: of the interval; band: of the resolution,
    its left and its width.
    """

    setting: str
    kind: str
    verdict: str
    difference: str
    interval: str
    place: float
    ends: tuple[float, float]
    band: tuple[float, float]
    zero: float


def draw_strips(comparison: Comparison) -> tuple[list[Strip], list[tuple[float, str]]]:
    """Return the settings that have an interval, the best first, and the ticks of their axis."""
    rows = contrasted(comparison)
    resolution = comparison.resolution
    values = [-1.5 * resolution, 1.5 * resolution]
    for row in rows:
        assert row.contrast
        values += [row.contrast.low, row.contrast.high]
    first, last = min(values), max(values)
    margin = 0.04 * (last - first)
    first, last = first - margin, last + margin

    def place(value: float) -> float:
        return round(100 * (value - first) / (last - first), 2)

    band = place(-resolution), round(place(resolution) - place(-resolution), 2)
    strips: list[Strip] = []
    for row in rows:
        contrast = row.contrast
        assert contrast
        low, high = contrast.low, contrast.high
        strips.append(
            Strip(
                row.setting,
                contrast.verdict.split()[0],
                verdict(row, comparison),
                points(contrast.difference),
                interval((low, high), points),
                place(contrast.difference),
                (place(low), place(high)),
                band,
                place(0),
            )
        )
    ticks: list[tuple[float, str]] = []
    for tick in MaxNLocator(6).tick_values(first, last):
        if first + margin <= tick <= last - margin:
            ticks.append((place(tick), f"{tick:+g}".replace("-", "−") if tick else "0"))
    return strips, ticks


def render(template: str, script: str = "", **values: Any) -> str:
    """Return a page with the macros of sentences.html and the common style.

    template: the name of its file. All values are escaped, and the page's policy runs, applies and
    loads only what is in it.
    """
    style = resource("page.css")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{digest(style)}'; "
        f"script-src '{digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page = environment.from_string(resource("sentences.html") + resource(template))
    return page.render(
        policy=policy,
        style=style,
        script=script,
        lines=lines,
        turns_direction=DIRECTION_MARKS.search,
        **values,
    )


def colours_of(types: Sequence[str]) -> dict[str, str]:
    """Return the class of each type in page.css."""
    return {type_: f"t{place % COLOURS}" for place, type_ in enumerate(types)}


def resource(name: str) -> str:
    """Return the text of a file beside this module."""
    return files("nersweep.report").joinpath(name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """Return the name of an inline script or style in a Content-Security-Policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def data_address(picture: Picture) -> str:
    """Return a picture as the address of an image, so that nothing in it reaches the page."""
    kind, content = "svg+xml", picture.svg.read_bytes()
    if len(content) > SVG_BYTES:
        kind, content = "png", picture.png.read_bytes()
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def word_gap(sentences: Iterable[Dispute | Suspect]) -> str:
    """Return the separator of words: empty if all have one character, as in Chinese text."""
    for sentence in sentences:
        if any(len(word) > 1 for word in sentence.words):
            return " "
    return ""


def lines(
    words: Sequence[str], entities: Iterable[Entity]
) -> Iterator[list[tuple[Sequence[str], Entity | None]]]:
    """Cut a sentence into pieces within and between entities; overlapping ones get own lines."""
    layers: list[list[Entity]] = []
    for entity in sorted(entities):
        for layer in layers:
            if layer[-1].end <= entity.start:
                layer.append(entity)
                break
        else:
            layers.append([entity])
    for layer in layers or [[]]:
        pieces: list[tuple[Sequence[str], Entity | None]] = []
        position = 0
        for entity in layer:
            pieces.append((words[position : entity.start], None))
            pieces.append((words[entity.start : entity.end], entity))
            position = entity.end
        pieces.append((words[position:], None))
        yield [piece for piece in pieces if piece[0]]


def error_codes(sentence: Dispute, settings: Sequence[str], types: Sequence[str]) -> str:
    """Return the errors of a sentence for the filter: setting and type by place, 0-boundary-2."""
    errors: list[tuple[int, str, int]] = []
    for setting, kind, type_ in sentence.errors():
        errors.append((settings.index(setting), kind, types.index(type_)))
    return " ".join(f"{setting}-{kind}-{type_}" for setting, kind, type_ in sorted(errors))


def method_facts(comparison: Comparison) -> list[tuple[str, str]]:
    """Return how the runs were made, by name. If they differ, all values are listed."""
    records = comparison.records
    results = [record.result for record in records]
    data = comparison.first.result.data
    minutes = sum(result.seconds.total for result in results) / 60
    versions: list[str] = []
    for package in comparison.first.result.versions:
        values = join(result.versions.get(package, "none") for result in results)
        versions.append(f"{package} {values}")
    names = join(result.choice["data"] for result in results)
    epochs = join(result.epochs for result in results)
    steps = join(record.steps for record in records)
    return [
        ("Data", f"{names}, SHA-256 {(data.pool or data.checksum)[:12]}…"),
        ("Sentences", join_counts(data.sentences)),
        ("Entities in training", join_counts(data.entities)),
        ("Model", join(result.choice["model"] for result in results)),
        ("Training", f"{epochs} epochs, {steps} steps"),
        ("Seeds", join(record.seed for record in records)),
        ("Runs", f"{len(records)}, in {minutes:,.0f} minutes in total"),
        ("Hardware", join(f"{result.device}, {result.hardware}" for result in results)),
        ("Number format", join(result.precision for result in results)),
        ("Versions", "; ".join(versions)),
    ]


def join(values: Iterable[str | int]) -> str:
    """Join the different values, sorted."""
    return ", ".join(map(str, sorted(set(values))))


def join_counts(counts: dict[str, int]) -> str:
    """Join names with their counts."""
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
