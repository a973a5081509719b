"""Write the figures of a comparison."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nersweep.machine.files import in_place_of
from nersweep.plotting import styled
from nersweep.report.comparison import Comparison
from nersweep.report.figures.captions import FIGURES, complete, facts


@dataclass(frozen=True)
class Picture:
    """The files of a figure, and what it shows."""

    name: str
    title: str
    caption: str
    png: Path
    svg: Path


@styled
def write_figures(comparison: Comparison, folder: Path) -> list[Picture]:
    """Write the figures that have something to show; the same runs give the same bytes."""
    pictures: list[Picture] = []
    values = facts(comparison)
    no_metadata: dict[str, dict[str, Any]] = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None},
    }
    for draw, title, sentences in FIGURES:
        figure = draw(comparison)
        if figure is None:
            continue
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once for both files
        name = draw.__name__
        for kind, metadata in no_metadata.items():
            with in_place_of(folder / f"{name}.{kind}") as file:
                figure.savefig(file, format=kind, metadata=metadata)
        caption = complete(sentences, values)
        png, svg = folder / f"{name}.png", folder / f"{name}.svg"
        pictures.append(Picture(name, title.format_map(values), caption, png, svg))
    return pictures
