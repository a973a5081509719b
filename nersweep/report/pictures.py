"""Pictures of one run, and how all pictures look."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.image import imsave

# One of these is on most machines that have Chinese, Japanese or Korean signs at all.
CJK = ["Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei"]
CJK += ["WenQuanYi Micro Hei", "Microsoft YaHei", "SimHei", "Hiragino Sans GB", "Arial Unicode MS"]
DARK = 0.5  # shades above it carry white numbers
LOOK = {
    "font.size": 9,
    "font.family": ["sans-serif", *(name for name in CJK if name in fontManager.get_font_names())],
    "font.sans-serif": ["DejaVu Sans", "Verdana"],  # as wide as each other, where an SVG finds only the second
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
        {"color": colours[i % 6], "linestyle": lines[i % 4], "marker": markers[i % 7], "markersize": 4.5}
        for i in range(24)
    ]


@styled
def learning_curves(path: Path, steps: Sequence[Mapping[str, float]], epochs: Sequence[Mapping[str, Any]]) -> None:
    """Training loss over steps (each, and its running mean) beside dev F1 over epochs, overall and per type."""
    figure = Figure(figsize=(9, 3.5), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    losses = np.array([step["loss"] for step in steps])
    width = max(1, len(losses) // 50)
    running = np.convolve(losses, np.ones(width) / width, mode="valid")
    left.plot(np.arange(1, len(losses) + 1), losses, color="0.75", linewidth=0.8, label="each step")
    left.plot(np.arange(width, len(losses) + 1), running, color="black", linewidth=1.5, label=f"mean of {width}")
    left.set(xlabel="optimiser step", ylabel="training loss", title="Training loss")
    left.legend()
    at = [epoch["epoch"] for epoch in epochs]
    for style, name in zip(styles(), epochs[0]["dev"]["types"], strict=False):
        right.plot(at, [epoch["dev"]["types"][name]["f1"] for epoch in epochs], label=name, linewidth=1, **style)
    right.plot(at, [epoch["dev"]["f1"] for epoch in epochs], color="black", linewidth=2.5, marker="o", label="all")
    right.set(xlabel="epoch", ylabel="dev F1", title="Entity F1 on the development split", ylim=(0, 1), xticks=at)
    right.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    save(figure, path)


@styled
def confusion_matrix(path: Path, counts: np.ndarray, names: Sequence[str], title: str) -> None:
    """counts (K, K): gold labels in rows, predictions in columns. Shade is the share of the row; the number in a cell
    is its count of words."""
    size = max(4.0, 0.62 * len(names) + 1.5)
    figure = Figure(figsize=(size + 0.8, size), dpi=120, layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    cells(axes, shares, [[f"{count:,}" if count else "" for count in row] for row in counts], 7)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="gold", title=title)
    axes.set_aspect("equal")
    figure.colorbar(axes.images[0], label="share of the gold label's words", shrink=0.8)
    save(figure, path)


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
