"""Write the figures of a comparison."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from nersweep.machine.files import in_place_of
from nersweep.plotting import styled
from nersweep.report.comparison import Comparison
from nersweep.report.figures.captions import FIGURES, complete, facts
from nersweep.report.figures.sets import ALTERNATIVE, CAPTION, TITLE, differences
from nersweep.report.sets import Synopsis


@dataclass(frozen=True)
class Picture:
    """The files of a figure, and what it shows. alternative: for those who do not see it."""

    name: str
    title: str
    caption: str
    alternative: str
    tall: bool
    png: Path
    svg: Path


@styled
def write_figures(comparison: Comparison, folder: Path) -> list[Picture]:
    """Write the figures that have something to show; the same runs give the same bytes."""
    pictures: list[Picture] = []
    values = facts(comparison)
    for draw, title, look, sentences in FIGURES:
        figure = draw(comparison)
        if figure is None:
            continue
        texts = title.format_map(values), complete(sentences, values), complete([look], values)
        pictures.append(write_figure(figure, folder, draw.__name__, *texts))
    return pictures


def write_figure(
    figure: Figure, folder: Path, name: str, title: str, caption: str, alternative: str
) -> Picture:
    """Write a figure as PNG and SVG."""
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    metadata: dict[Path, dict[str, Any]] = {
        png: {"Software": None},
        svg: {"Date": None, "Creator": None},
    }
    layout = figure.get_layout_engine()
    assert layout is not None
    layout.execute(figure)
    figure.set_layout_engine("none")  # laid out once for both files
    for path, values in metadata.items():
        with in_place_of(path) as file:
            figure.savefig(file, format=path.suffix[1:], metadata=values)
    tall = figure.get_figheight() > 1.2 * figure.get_figwidth()
    return Picture(name, title, caption, alternative, tall, png, svg)


@styled
def write_differences(synopsis: Synopsis, folder: Path) -> list[Picture]:
    """Write the figure of several sets, if it has something to show."""
    figure = differences(synopsis)
    if figure is None:
        return []
    return [write_figure(figure, folder, "differences", TITLE, CAPTION, ALTERNATIVE)]
