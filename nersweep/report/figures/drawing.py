"""What the figures of a comparison share: which rows stand out, and how they are drawn."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from nersweep.plotting import styles
from nersweep.report.comparison import Comparison
from nersweep.report.rows import Row

WIDTH = 6.5  # inches, that of a page, on which 8 points are legible
LEGEND_WIDTH = 100  # characters
HIGHLIGHTS = 6  # rows with a look of their own
OTHERS = {"color": "0.8", "linestyle": "-", "marker": ".", "markersize": 4, "zorder": 1}
BASELINE = {"color": "black", "linestyle": "-", "marker": "o", "markersize": 4.5}
Look = dict[str, Any]


def highlights(comparison: Comparison) -> list[Row]:
    """Return the rows with a look of their own: the baseline and the best, in the table's order."""
    rows = comparison.finished
    ranking = sorted(rows, key=lambda row: (row.setting != comparison.baseline, -row.mean()))
    settings = {row.setting for row in ranking[:HIGHLIGHTS]}
    return [row for row in rows if row.setting in settings]


def looks(comparison: Comparison) -> list[tuple[Row, Look]]:
    """Return all rows with their look, the same in all figures; highlights have a label."""
    highlighted = [row.setting for row in highlights(comparison)]
    palette = iter(styles())
    pairs: list[tuple[Row, Look]] = []
    for row in comparison.finished:
        if row.setting not in highlighted:
            pairs.append((row, OTHERS))
            continue
        look = BASELINE if row.setting == comparison.baseline else next(palette)
        pairs.append((row, look | {"label": wrap(row.setting, 40), "zorder": 3}))
    return pairs


def wrap(name: str, width: int) -> str:
    """Break a name into lines, after a space or a sign if there is one; keep every character."""
    lines = [""]
    for part in re.findall(r"[^\s_=,;:/+-]*[\s_=,;:/+-]?", name):
        for start in range(0, len(part), width):
            piece = part[start : start + width]
            if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
                lines.append("")
            lines[-1] += piece
    return "\n".join(lines)


def most_lines(names: Sequence[str]) -> int:
    """Return the number of lines of the longest name."""
    return max(name.count("\n") + 1 for name in names)


def canvas(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure; inches."""
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def lane_height(names: Sequence[str]) -> float:
    """Return the height of a row with its name beside it; inches."""
    return max(0.3, 0.14 * most_lines(names) + 0.1)


def lanes(rows: Sequence[Row], values: Sequence[str]) -> tuple[Figure, Axes]:
    """Return a figure with a lane per row, its name on the left and its value on the right."""
    names = [wrap(row.setting, 26) for row in rows]
    figure = canvas(1.0 + lane_height(names) * len(rows))
    axes = figure.subplots()
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="both")
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(rows)), values)
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)
    return figure, axes


def legend(figure: Figure, *panels: Axes) -> None:
    """Draw the legend of some axes below the figure, each label once."""
    unique: dict[str, Artist] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        unique |= zip(labels, handles, strict=True)
    longest = max(len(line) for line in "\n".join(unique).split("\n"))
    lines = -(-len(unique) // max(1, LEGEND_WIDTH // (longest + 8)))
    columns = -(-len(unique) // lines)
    figure.legend(list(unique.values()), list(unique), loc="outside lower center", ncols=columns)


def scale(axes: Axes, axis_name: str, setting: str, numbers: Sequence[float]) -> None:
    """Scale the x or y axis for the values of a setting.

    By log(1 − β) for a β close to 1, by the logarithm if most values are far below the largest.
    """
    axis = axes.xaxis if axis_name == "x" else axes.yaxis
    rescale = axes.set_xscale if axis_name == "x" else axes.set_yscale
    values = np.unique(np.asarray(numbers, dtype=float))
    if setting.endswith("beta") and values[0] >= 0 and 0.9 <= values[-1] < 1:
        digits = int(np.ceil(-np.log10(1 - values[-1])))
        first = 0 if values[0] < 0.5 else 1
        to_scale = lambda beta: -np.log10(np.maximum(1 - beta, 1e-12))  # noqa: E731
        rescale("function", functions=(to_scale, lambda x: 1 - 10.0**-x))
        axis.set_major_locator(FixedLocator([1 - 10.0**-k for k in range(first, digits + 1)]))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(
            FuncFormatter(lambda beta, _: f"{beta:.{digits}f}".rstrip("0").rstrip("."))
        )
    elif values[0] > 0 and np.median(values) < values[-1] / 10:
        rescale("log")
        plain_log(axis, (1, 2, 5))


def plain_log(axis: Axis, multiples: Sequence[float] = (1,)) -> None:
    """Label a logarithmic axis with plain numbers; matplotlib's are mathematical text."""
    axis.set_major_locator(LogLocator(subs=multiples, numticks=5))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}" if x >= 1 else f"{x:g}"))
    axis.set_minor_locator(NullLocator())
