"""The look of all figures."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.image import imsave

matplotlib.use("Agg")
P = ParamSpec("P")
T = TypeVar("T")

# Most machines with Chinese, Japanese or Korean characters have one of these fonts.
CJK = [
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Microsoft YaHei",
    "SimHei",
    "Hiragino Sans GB",
    "Arial Unicode MS",
]
DARK = 0.5  # darker cells carry white numbers
LOOK: dict[Any, Any] = {
    "font.size": 9,
    "font.family": ["sans-serif", *(name for name in CJK if name in fontManager.get_font_names())],
    "font.sans-serif": ["DejaVu Sans", "Verdana"],  # of equal width, if only the second is found
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
# Okabe and Ito's colours, which the colour-blind can distinguish; lines and markers for grey print.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"]
LINES, MARKERS = ["--", "-", "-.", ":"], "s^DvPXo"


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function to draw in this look, whatever matplotlib is set to.

    A character that no font has becomes a box, without a warning.
    """

    @wraps(draw)
    def draw_in_style(*arguments: P.args, **named: P.kwargs) -> T:
        with matplotlib.rc_context(LOOK), warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Glyph .* missing from")
            return draw(*arguments, **named)

    return draw_in_style


def styles() -> list[dict[str, Any]]:
    """Return 24 styles of lines with markers."""
    looks: list[dict[str, Any]] = []
    for number in range(24):
        look = {
            "color": COLOURS[number % len(COLOURS)],
            "linestyle": LINES[number % len(LINES)],
            "marker": MARKERS[number % len(MARKERS)],
            "markersize": 4.5,
        }
        looks.append(look)
    return looks


def save(figure: Figure, path: Path) -> None:
    """Save a figure as figure.savefig does, but without drawing it twice to lay it out."""
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    imsave(path, canvas.buffer_rgba())


def text_width(texts: Iterable[str], size: float) -> float:
    """Return the width of the widest text in inches, in a font of this size in points.

    Margins from it save the layout that measures all texts twice, a quarter of the time.
    """
    points, font = 72, FontProperties(size=size)
    canvas: Any = FigureCanvasAgg(Figure(dpi=points))
    measure = canvas.get_renderer().get_text_width_height_descent
    return max((measure(text, font, False)[0] for text in texts), default=0.0) / points


def cells(axes: Axes, shades: np.ndarray, texts: Sequence[Sequence[str]], size: float = 8) -> None:
    """Draw a table: a text on each cell's shade.

    shades: (rows, columns) in [0, 1], 1 black, NaN for no shade.
    """
    axes.imshow(shades, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    axes.spines[:].set_visible(True)
    for row, column in np.ndindex(shades.shape):
        text = texts[row][column]
        if text:  # an empty one would take as long to draw
            colour = "white" if shades[row, column] > DARK else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)
