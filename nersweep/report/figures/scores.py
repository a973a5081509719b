"""Figures of the scores of a comparison."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import ScaledTranslation

from nersweep.config.build import is_number
from nersweep.config.settings import matters
from nersweep.evaluation.inference import Verdict
from nersweep.evaluation.metric import F1
from nersweep.plotting import cells, styled, styles
from nersweep.report.comparison import Comparison
from nersweep.report.figures.drawing import (
    HIGHLIGHTS,
    WIDTH,
    Look,
    canvas,
    lane_height,
    lanes,
    legend,
    looks,
    scale,
    wrap,
)
from nersweep.report.rows import Row, points

CLAIM, SEED, BASELINE = "#D55E00", "0.45", "#0072B2"
FIRST_KNOBS = ("focal_gamma", "class_balance_beta")  # come first if several vary
# By verdict: name, colour, marker and its face; Okabe and Ito's colours, markers for grey print.
VERDICTS: dict[Verdict, tuple[str, str, str, str]] = {
    Verdict.MUCH_BETTER: ("better", "#0072B2", "^", ""),
    Verdict.BETTER: ("better", "#0072B2", "^", ""),
    Verdict.SAME: ("practically the same", "#009E73", "s", ""),
    Verdict.UNDECIDED: ("undecided", "0.45", "o", "white"),
    Verdict.WORSE: ("worse", "#D55E00", "v", ""),
    Verdict.MUCH_WORSE: ("worse", "#D55E00", "v", ""),
}
CROWD = {"color": "black", "marker": "o", "markersize": 4.5, "linestyle": "none"}  # without names
SHIFT = 5 / 72  # inches between the lines of a knob, so that their bars stay visible
KNOB_VALUES = 3  # the fewest values of a knob that make a figure


@styled
def f1(comparison: Comparison) -> Figure:
    """Draw the mean of each row with its interval, its seeds and, of F1, its claim."""
    rows = comparison.finished
    means = [100 * row.mean() for row in rows]
    figure, axes = lanes(rows, [f"{mean:.2f}" for mean in means])
    places = np.arange(len(rows))
    low, high = intervals(rows)
    axes.hlines(places, low, high, color="black", linewidth=1.5, label="95% interval")
    axes.plot(means, places, "o", color="black", markersize=6, label="mean")
    seeds: list[tuple[float, float]] = []
    claims: list[tuple[float, float]] = []
    for place, row in enumerate(rows):
        if len(row.seeds) > 1:
            seeds += [(100 * value, place + 0.25) for value in row.values()]
        if row.claim.f1 is not None and comparison.metric == F1:
            claims.append((row.claim.f1, place))
    if seeds:
        look: Look = {"color": SEED, "mfc": "none", "markersize": 3.5, "label": "one seed"}
        axes.plot(*np.transpose(seeds), "o", **look)
    if claims:
        look = {"color": CLAIM, "mfc": "white", "mew": 1.5, "markersize": 6, "label": "claimed"}
        axes.plot(*np.transpose(claims), "D", **look)
    for mean, row in zip(means, rows, strict=True):
        if row.setting == comparison.baseline:
            look = {"color": BASELINE, "linestyle": "--", "linewidth": 1, "zorder": 1}
            axes.axvline(mean, label="mean of the baseline", **look)
    axes.set_xlabel(f"{comparison.metric.label} on {comparison.split}, percent")
    legend(figure, axes)
    return figure


def intervals(rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the intervals of the means, in percent."""
    low, high = 100 * np.array([row.interval for row in rows]).T
    return low, high


@styled
def verdict(comparison: Comparison) -> Figure | None:
    """Draw the difference of each row from the baseline, the best on top, by verdict.

    None without a row that has an interval.
    """
    rows = contrasted(comparison)
    if not rows:
        return None
    contrasts = [row.contrast for row in rows if row.contrast]
    figure, axes = lanes(rows, [points(contrast.difference) for contrast in contrasts])
    resolution = comparison.resolution
    band: Look = {"color": "0.9", "zorder": 0, "label": f"within ±{resolution:g} points"}
    axes.axvspan(-resolution, resolution, **band)
    axes.axvline(0, color="0.35", linewidth=1, zorder=1)
    axes.grid(visible=False)
    for place, contrast in enumerate(contrasts):
        name, colour, marker, face = VERDICTS[contrast.verdict]
        line: Look = {"color": colour, "linewidth": 2, "solid_capstyle": "butt"}
        axes.plot([contrast.low, contrast.high], [place, place], **line)
        look: Look = {"color": colour, "mfc": face or colour, "mew": 1.5, "markersize": 7}
        axes.plot(contrast.difference, place, marker, linestyle="none", label=name, **look)
    baseline = wrap(comparison.baseline or "", 50)
    axes.set_xlabel(f"difference in {comparison.metric.label} from {baseline}, points")
    legend(figure, axes)
    return figure


def contrasted(comparison: Comparison) -> list[Row]:
    """Return the rows that have an interval of their difference, the best first."""
    pairs: list[tuple[float, Row]] = []
    for row in comparison.finished:
        if row.contrast and np.isfinite(row.contrast.low):
            pairs.append((-row.contrast.difference, row))
    return [row for _, row in sorted(pairs, key=lambda pair: pair[0])]


@styled
def per_type(comparison: Comparison) -> Figure:
    """Draw a table of mean F1 by row and type, the rarest type framed."""
    rows, types = comparison.finished, comparison.types
    values = np.zeros((len(rows), len(types)))
    for place, row in enumerate(rows):
        values[place] = [100 * row.mean(f"types/{type_}/f1") for type_ in types]
    names = [wrap(row.setting, 26) for row in rows]
    figure = canvas(1.0 + lane_height(names) * len(rows), max(WIDTH, 2.3 + 0.5 * len(types)))
    axes = figure.subplots()
    cells(axes, shades(values), numbers(values, ".1f"))
    axes.set_yticks(range(len(rows)), names)
    heads = [f"{wrap(type_, 12)}\n{comparison.first.support(type_):,}" for type_ in types]
    axes.set_xticks(range(len(types)), heads)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
    rarest = types.index(comparison.rarest)
    axes.get_xticklabels()[rarest].set_fontweight("bold")
    look: Look = {"fill": False, "color": CLAIM, "linewidth": 2.5, "clip_on": False}
    axes.add_patch(Rectangle((rarest - 0.5, -0.5), 1, len(rows), **look))
    return figure


def shades(values: np.ndarray) -> np.ndarray:
    """Return shades from light to dark, none so extreme that its neighbours look alike."""
    scaled: np.ndarray = (values - values.min()) / max(np.ptp(values), 1e-9)
    return 0.1 + 0.75 * scaled


def numbers(values: np.ndarray, form: str) -> list[list[str]]:
    """Format the cells of a table."""
    texts: list[list[str]] = []
    for row in values:
        texts.append([format(value, form) for value in row])
    return texts


@styled
def precision_recall(comparison: Comparison) -> Figure:
    """Draw precision against recall, over lines of equal F1."""
    figure = canvas(4.6)
    axes = figure.subplots()
    for row, look in looks(comparison):
        recall, precision = 100 * row.values("recall"), 100 * row.values("precision")
        look = look | {"linestyle": "none"}
        small = {"mfc": "none", "markersize": 4, "alpha": 0.7, "label": None}
        axes.plot(recall, precision, **look | small)
        axes.plot(recall.mean(), precision.mean(), **look | {"markersize": 8})
    axes.margins(0.12)
    lines_of_equal_f1(axes)
    axes.set(xlabel="recall, percent", ylabel="precision, percent")
    legend(figure, axes)
    return figure


def lines_of_equal_f1(axes: Axes) -> None:
    """Draw about seven lines of equal F1 over axes of recall and precision, and fix the limits."""
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    axes.set(xlim=(left, right), ylim=(bottom, top))
    best = harmonic_mean(right, top)
    worst = harmonic_mean(max(left, 0), max(bottom, 0))
    step = 20.0
    for candidate in (10, 5, 2, 1, 0.5, 0.2, 0.1):
        if (best - worst) / candidate <= 7:
            step = candidate
    recall = np.linspace(max(left, 1e-3), right, 400)
    for level in np.arange(np.ceil(worst / step), best / step) * step:
        with np.errstate(divide="ignore"):
            precision = level * recall / (2 * recall - level)
        inside = (2 * recall > level) & (precision > bottom) & (precision < top)
        if inside.sum() <= 20:
            continue
        x, y = recall[inside], precision[inside]
        axes.plot(x, y, color="0.75", linewidth=0.8, zorder=0)
        where: Look = {"xytext": (0, 4), "ha": "right"}
        if right - x[-1] < 0.01 * (right - left):
            where = {"xytext": (3, 0), "va": "center"}
        look: Look = {"color": "0.4", "fontsize": 8, "bbox": {"color": "white", "pad": 0.5}}
        end = (x[-1], y[-1])
        axes.annotate(f"F1 {level:g}", end, textcoords="offset points", zorder=0, **where, **look)


def harmonic_mean(x: float, y: float) -> float:
    return 2 * x * y / max(x + y, 1e-9)


@styled
def time(comparison: Comparison) -> Figure | None:
    """Draw the metric against the time of an optimiser step; None if no times can be compared."""
    pairs: list[tuple[Row, Look]] = []
    for row, look in looks(comparison):
        if not np.isnan(comparison.time_ratio(row)):
            pairs.append((row, look))
    if not pairs:
        return None
    figure = canvas(4.0)
    axes = figure.subplots()
    for row, look in pairs:
        ratio, mean = comparison.time_ratio(row), 100 * row.mean()
        fastest, slowest = comparison.time_ratio(row, min), comparison.time_ratio(row, max)
        low, high = row.interval
        bar: Look = {"color": look["color"], "linewidth": 1, "zorder": 1}
        axes.plot([ratio, ratio], [100 * low, 100 * high], **bar)
        axes.plot([fastest, slowest], [mean, mean], **bar)
        axes.plot(ratio, mean, **look | {"linestyle": "none", "markersize": 8})
    axes.margins(x=0.1)
    axes.grid()
    axes.set_xlabel("time of an optimiser step, as a multiple")
    axes.set_ylabel(f"{comparison.metric.label} on {comparison.split}, percent")
    legend(figure, axes)
    return figure


@styled
def over_knob(comparison: Comparison) -> Figure | None:
    """Draw the metric over the first knob, a line for each loss and combination of other knobs.

    None without a knob of several values.
    """
    knobs = varying_knobs(comparison)
    if not knobs:
        return None
    knob, *others = knobs
    series = knob_series(comparison, knob, others)
    figure = canvas(4.0)
    axes = figure.subplots()
    highlighted, palette = len(series) <= HIGHLIGHTS, iter(styles())
    values: list[float] = []
    for number, (name, rows) in enumerate(series.items()):
        look: Look = CROWD
        shift = 0.0
        if highlighted:
            look = next(palette) | {"label": wrap(name, 40)}
            shift = (number - (len(series) - 1) / 2) * SHIFT
        values += [knob_value(row, knob) for row in rows]
        draw_series(axes, knob, rows, look, shift)
    scale(axes, "x", knob, values)
    axes.grid()
    axes.set(xlabel=knob, ylabel=f"{comparison.metric.label} on {comparison.split}, percent")
    if highlighted:
        legend(figure, axes)
    return figure


def knob_series(comparison: Comparison, knob: str, others: list[str]) -> dict[str, list[Row]]:
    """Group the rows that have a knob by their loss and their other knobs.

    Losses are in the order of the rows, combinations by value, the rows of each by the knob.
    """
    rows = [row for row in comparison.finished if has_knob(row, knob)]
    losses = list(dict.fromkeys(row.loss for row in rows))

    def place(row: Row) -> tuple[int, list[float], float]:
        values = [knob_value(row, other) if has_knob(row, other) else 0.0 for other in others]
        return losses.index(row.loss), values, knob_value(row, knob)

    series: dict[str, list[Row]] = {}
    for row in sorted(rows, key=place):
        name = str(row.loss)
        for other in others:
            if has_knob(row, other):
                name += f" {other}={exact(knob_value(row, other))}"
        series.setdefault(name, []).append(row)
    return series


def has_knob(row: Row, name: str) -> bool:
    """True if a setting at the top level is a number in a row."""
    return is_number(row.records[0].config.get(name))


def knob_value(row: Row, name: str) -> float:
    return float(row.records[0].config[name])


def exact(value: float) -> str:
    """Return a number with all its digits, without those that a whole number does not need."""
    return f"{value:g}" if float(f"{value:g}") == value else str(value)


def draw_series(
    axes: Axes, knob: str, rows: list[Row], look: Mapping[str, Any], shift: float
) -> None:
    """Draw the rows of a series over a knob: means, seeds, and intervals beside each other."""
    values = np.array([knob_value(row, knob) for row in rows])
    style = dict(look)
    if len(set(values)) < len(values):
        style["linestyle"] = "none"
    transform = axes.transData + ScaledTranslation(shift, 0, axes.figure.dpi_scale_trans)
    low, high = intervals(rows)
    colour = look["color"] if "label" in look else "0.8"
    axes.plot([values, values], [low, high], transform=transform, color=colour, lw=1, zorder=1)
    axes.update_datalim(np.stack([values, low], axis=1))  # what is shifted does not count
    axes.update_datalim(np.stack([values, high], axis=1))
    small: Look = {"color": look["color"], "mfc": "none", "markersize": 3.5, "alpha": 0.7}
    for value, row in zip(values, rows, strict=True):
        if len(row.seeds) > 1:
            values_of_seeds = 100 * row.values()
            places = np.full(len(values_of_seeds), value)
            axes.plot(places, values_of_seeds, "o", transform=transform, **small)
    axes.plot(values, [100 * row.mean() for row in rows], transform=transform, **style)


@styled
def over_two_knobs(comparison: Comparison) -> Figure | None:
    """Draw the metric over two knobs, of the loss with the most rows; None unless both vary.

    A table if all pairs of values are there, else a point for each setting.
    """
    knobs = varying_knobs(comparison)
    if len(knobs) < 2:
        return None
    first, second = knobs[:2]
    rows = [row for row in comparison.finished if has_knob(row, first) and has_knob(row, second)]
    losses = [row.loss for row in rows]
    main_loss = max(losses, key=losses.count)
    rows = [row for row in rows if row.loss == main_loss]
    x = np.array([knob_value(row, first) for row in rows])
    y = np.array([knob_value(row, second) for row in rows])
    means = np.array([100 * row.mean() for row in rows])
    columns, lines = np.unique(x), np.unique(y)
    if min(len(columns), len(lines)) < 2:
        return None
    figure = canvas(4.2)
    axes = figure.subplots()
    if len(set(zip(x, y, strict=True))) == len(rows) == len(columns) * len(lines):
        values = np.zeros((len(lines), len(columns)))
        values[np.searchsorted(lines, y), np.searchsorted(columns, x)] = means
        cells(axes, shades(values), numbers(values, ".2f"))
        axes.set_xticks(range(len(columns)), list(map(exact, columns.tolist())))
        axes.set_yticks(range(len(lines)), list(map(exact, lines.tolist())))
        axes.invert_yaxis()
    else:
        best = int(np.argmax(means))
        dots = axes.scatter(x, y, c=means, cmap="Greys", edgecolors="black", s=55)
        ring: Look = {"facecolors": "none", "edgecolors": CLAIM, "linewidths": 2}
        axes.scatter(x[best], y[best], marker="o", s=170, **ring)
        text: Look = {"xytext": (9, 7), "textcoords": "offset points", "fontsize": 8}
        axes.annotate(f"best: {means[best]:.2f}", (x[best], y[best]), **text)
        figure.colorbar(dots, label=f"{comparison.metric.label}, percent")
        scale(axes, "x", first, x.tolist())
        scale(axes, "y", second, y.tolist())
        axes.margins(0.12)
        axes.grid()
    axes.set(xlabel=first, ylabel=second)
    return figure


def varying_knobs(comparison: Comparison) -> list[str]:
    """Return the numeric settings at the top level that take several values within one loss.

    Those of FIRST_KNOBS come first, then those with the most values; of knobs that vary together
    only the first stays. Empty if the first takes fewer than KNOB_VALUES values.
    """
    values: dict[str, dict[str, float]] = {}  # knob, setting
    for row in comparison.finished:
        for name, value in row.records[0].config.items():
            if is_number(value) and name != "seed" and matters(name):
                values.setdefault(name, {})[row.setting] = value
    most = {name: most_values(comparison, of_rows) for name, of_rows in values.items()}

    def place(name: str) -> tuple[int, int, str]:
        first = FIRST_KNOBS.index(name) if name in FIRST_KNOBS else len(FIRST_KNOBS)
        return first, -most[name], name

    knobs: list[str] = []
    for name in sorted((name for name in most if most[name] > 1), key=place):
        if not any(values[name] == values[knob] for knob in knobs):
            knobs.append(name)
    return knobs if knobs and most[knobs[0]] >= KNOB_VALUES else []


def most_values(comparison: Comparison, values: Mapping[str, float]) -> int:
    """Return the largest number of values within one loss. values: of a knob, by setting."""
    by_loss: dict[str | None, set[float]] = {}
    for row in comparison.finished:
        if row.setting in values:
            by_loss.setdefault(row.loss, set()).add(values[row.setting])
    return max(map(len, by_loss.values()))
