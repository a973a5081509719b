"""The look of all figures."""

import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.image import imsave

matplotlib.use("Agg")


# One of these is on most machines that have Chinese, Japanese or Korean signs at all.
CJK = [
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
]


CJK += ["WenQuanYi Micro Hei", "Microsoft YaHei", "SimHei", "Hiragino Sans GB", "Arial Unicode MS"]


DARK = 0.5  # shades above it carry white numbers


LOOK = {
    "font.size": 9,
    "font.family": ["sans-serif", *(name for name in CJK if name in fontManager.get_font_names())],
    "font.sans-serif": [
        "DejaVu Sans",
        "Verdana",
    ],  # as wide as each other, where an SVG finds only the second
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "nersweep",  # the same identifiers each time
    "text.parse_math": False,  # names are drawn as they are, $ and all
}


def styled(draw: Callable) -> Callable:
    """Draws in this look, whatever the caller's matplotlib is set to. A sign that no font has is a box, with no word
    on the terminal."""

    @wraps(draw)
    def drawn(*arguments: Any) -> Any:
        with matplotlib.rc_context(LOOK), warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Glyph .* missing from")
            return draw(*arguments)

    return drawn


def styles() -> list[dict[str, Any]]:
    """Colours that the colour-blind tell apart (Okabe and Ito), with a line and a marker for print in grey."""
    colours = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"]
    lines, markers = ["--", "-", "-.", ":"], "s^DvPXo"
    return [
        {
            "color": colours[i % 6],
            "linestyle": lines[i % 4],
            "marker": markers[i % 7],
            "markersize": 4.5,
        }
        for i in range(24)
    ]


def save(figure: Figure, path: Path) -> None:
    """As figure.savefig, which draws a figure twice to lay it out."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    imsave(path, canvas.buffer_rgba())


def cells(axes: Axes, shades: np.ndarray, texts: Sequence[Sequence[str]], size: float = 8) -> None:
    """A table: shades (rows, columns) in [0, 1], 1 black, NaN for none, and a text in each cell."""
    axes.imshow(shades, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    axes.spines[:].set_visible(True)
    for row, column in np.ndindex(shades.shape):
        if text := texts[row][column]:  # an empty one takes as long
            colour = "white" if shades[row, column] > DARK else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)
