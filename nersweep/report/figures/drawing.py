"""What the pictures of a comparison share: which rows they tell apart, and how."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from nersweep.plotting import styles
from nersweep.report.comparison import Comparison
from nersweep.report.rows import Row

WIDTH = 6.5  # inches, of all pictures: a page's; 8 points are legible there
LINE = 100  # characters of a legend beside each other
TOLD_APART = 6  # rows
OTHERS = {"color": "0.8", "linestyle": "-", "marker": ".", "markersize": 4, "zorder": 1}
BASELINE = {"color": "black", "linestyle": "-", "marker": "o", "markersize": 4.5}


def told_apart(comparison: Comparison) -> list[Row]:
    """The rows that have a look of their own: all, or the baseline and the best where they are too many; in the order
    of the table."""
    rows = comparison.finished
    first = sorted(rows, key=lambda row: (row.setting != comparison.baseline, -row.mean()))
    kept = {row.setting for row in first[:TOLD_APART]}
    return [row for row in rows if row.setting in kept]


def looks(comparison: Comparison) -> list[tuple[Row, dict[str, Any]]]:
    """All rows, and how each is drawn, with its name as label; the same in all pictures."""
    own = {row.setting for row in told_apart(comparison)}
    palette = iter(styles())
    found = []
    for row in comparison.finished:
        if row.setting not in own:
            found.append((row, OTHERS))
            continue
        look = BASELINE if row.setting == comparison.baseline else next(palette)
        found.append((row, look | {"label": wrapped(row.setting, 40), "zorder": 3}))
    return found


def wrapped(name: str, width: int) -> str:
    """In lines of at most so many characters, broken behind a space or a sign where there is one. Nothing is lost."""
    lines = [""]
    for part in re.findall(r"[^\s_=,;:/+-]*[\s_=,;:/+-]?", name):
        for piece in (part[i : i + width] for i in range(0, len(part), width)):
            if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
                lines.append("")
            lines[-1] += piece
    return "\n".join(lines)


def canvas(height: float, width: float = WIDTH) -> Figure:
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def lanes(rows: Sequence[Row], values: Sequence[str]) -> tuple[Figure, Axes]:
    """A lane for each row, from the top, with its name on the left and a value on the right."""
    names = [wrapped(row.setting, 26) for row in rows]
    lane = max(0.3, 0.14 * max(name.count("\n") + 1 for name in names) + 0.1)
    figure = canvas(1.0 + lane * len(rows))
    axes = figure.subplots()
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="both")
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(rows)), values)
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)
    return figure, axes


def legend(figure: Figure, *of: Axes) -> None:
    """Below the picture. Each label once."""
    handles = {
        label: handle
        for axes in of
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    longest = max(len(line) for label in handles for line in label.split("\n"))
    lines = -(-len(handles) // max(1, LINE // (longest + 8)))
    figure.legend(
        handles.values(), handles, loc="outside lower center", ncols=-(-len(handles) // lines)
    )


def scale(axes: Axes, which: str, name: str, values: Sequence[float]) -> None:
    """The values of a setting along x or y: over log(1 - β) where that is a β close to 1, over the logarithm where most
    are far below the largest, else as they are."""
    axis, rescale = (axes.xaxis, axes.set_xscale) if which == "x" else (axes.yaxis, axes.set_yscale)
    values = np.unique(np.asarray(values, dtype=float))
    if name.endswith("beta") and values[0] >= 0 and 0.9 <= values[-1] < 1:
        deepest = int(np.ceil(-np.log10(1 - values[-1])))
        ticks = [1 - 10.0**-k for k in range(0 if values[0] < 0.5 else 1, deepest + 1)]
        rescale(
            "function",
            functions=(lambda b: -np.log10(np.maximum(1 - b, 1e-12)), lambda x: 1 - 10.0**-x),
        )
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(
            FuncFormatter(lambda x, _: f"{x:.{deepest}f}".rstrip("0").rstrip("."))
        )
    elif values[0] > 0 and np.median(values) < values[-1] / 10:
        rescale("log")
        plain_log(axis, (1, 2, 5))


def plain_log(axis: Axis, subs: Sequence[float] = (1,)) -> None:
    """Ticks of a logarithmic axis as plain numbers: those of matplotlib are mathematical text."""
    axis.set_major_locator(LogLocator(subs=subs, numticks=5))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}" if x >= 1 else f"{x:g}"))
    axis.set_minor_locator(NullLocator())
