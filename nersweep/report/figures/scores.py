"""Pictures of the scores of a comparison."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import ScaledTranslation

from nersweep.plotting import cells, styled, styles
from nersweep.report.comparison import Comparison
from nersweep.report.figures.drawing import (
    TOLD_APART,
    WIDTH,
    canvas,
    lanes,
    legend,
    looks,
    scale,
    wrapped,
)
from nersweep.report.rows import Row, loss_of, points

CLAIMED, SEED = "#D55E00", "0.45"
KNOBS = ("focal_gamma", "class_balance_beta")  # come first where several vary
NO_KNOB = {"seed", "gpus_per_run", "worker"}
CROWD = {
    "color": "black",
    "marker": "o",
    "markersize": 4.5,
    "linestyle": "none",
}  # points without a name
SHIFT = 5 / 72  # inches between the lines of a knob, so that their bars do not cover each other
LEAST = 3  # values of a knob that make a picture


@styled
def f1(comparison: Comparison) -> Figure:
    rows = comparison.finished
    means = np.array([100 * row.mean() for row in rows])
    figure, axes = lanes(rows, [f"{mean:.2f}" for mean in means])
    at = np.arange(len(rows))
    low, high = (np.array([100 * row.interval[i] for row in rows]) for i in (0, 1))
    axes.hlines(at, low, high, color="black", linewidth=1.5, label="95% interval")
    axes.plot(means, at, "o", color="black", markersize=6, label="mean")
    several = [(y, row) for y, row in enumerate(rows) if len(row.seeds) > 1]
    if seeds := [(100 * value, y + 0.25) for y, row in several for value in row.values("f1")]:
        axes.plot(
            *zip(*seeds, strict=True), "o", color=SEED, mfc="none", markersize=3.5, label="a seed"
        )
    if claims := [(row.claimed["f1"], y) for y, row in enumerate(rows) if "f1" in row.claimed]:
        axes.plot(
            *zip(*claims, strict=True),
            "D",
            color=CLAIMED,
            mfc="white",
            mew=1.5,
            markersize=6,
            label="claimed",
        )
    if comparison.baseline:
        base = next(
            mean
            for mean, row in zip(means, rows, strict=True)
            if row.setting == comparison.baseline
        )
        axes.axvline(
            base, color="#0072B2", linestyle="--", linewidth=1, zorder=1, label="baseline's mean"
        )
    axes.set_xlabel(f"F1 on {comparison.split}, percent")
    legend(figure, axes)
    return figure


@styled
def difference(comparison: Comparison) -> Figure | None:
    rows = [row for row in comparison.finished if row.versus]
    if not rows:
        return None
    differences = np.array([100 * row.versus.difference for row in rows])
    low, high = (np.array([100 * row.versus.interval[i] for row in rows]) for i in (0, 1))
    figure, axes = lanes(rows, [points(row.versus.difference) for row in rows])
    at, out = np.arange(len(rows)), (low > 0) | (high < 0)
    axes.axvline(0, color="#0072B2", linestyle="--", linewidth=1, zorder=1)
    axes.hlines(at, low, high, color="black", linewidth=1.5)
    for which, face, label in (
        (out, "black", "interval leaves out 0"),
        (~out, "white", "interval holds 0"),
    ):
        axes.plot(
            differences[which],
            at[which],
            "o",
            color="black",
            mfc=face,
            mew=1.5,
            markersize=7,
            label=label,
        )
    axes.set_xlabel(f"difference of F1 to {wrapped(comparison.baseline, 50)}, points")
    legend(figure, axes)
    return figure


@styled
def per_type(comparison: Comparison) -> Figure:
    rows, types = comparison.finished, comparison.types
    values = np.array([[100 * row.mean(f"{type_}/f1") for type_ in types] for row in rows])
    names = [wrapped(row.setting, 26) for row in rows]
    lane = max(0.3, 0.14 * max(name.count("\n") + 1 for name in names) + 0.1)
    figure = canvas(1.0 + lane * len(rows), max(WIDTH, 2.3 + 0.5 * len(types)))
    axes = figure.subplots()
    cells(axes, shaded(values), [[f"{value:.1f}" for value in row] for row in values])
    axes.set_yticks(range(len(rows)), names)
    supports = comparison.first.result.scores(comparison.split).types
    heads = [f"{wrapped(type_, 12)}\n{supports[type_].support:,}" for type_ in types]
    axes.set_xticks(range(len(types)), heads)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
    rarest = types.index(comparison.rarest)
    axes.get_xticklabels()[rarest].set_fontweight("bold")
    frame = Rectangle(
        (rarest - 0.5, -0.5), 1, len(rows), fill=False, color=CLAIMED, linewidth=2.5, clip_on=False
    )
    axes.add_patch(frame)
    return figure


def shaded(values: np.ndarray) -> np.ndarray:
    """From light to dark, none so extreme that its neighbours look alike."""
    return 0.1 + 0.75 * (values - values.min()) / max(np.ptp(values), 1e-9)


@styled
def precision_recall(comparison: Comparison) -> Figure:
    figure = canvas(4.6)
    axes = figure.subplots()
    for row, look in looks(comparison):
        recall, precision = 100 * row.values("recall"), 100 * row.values("precision")
        look = look | {"linestyle": "none"}
        axes.plot(
            recall,
            precision,
            **look | {"mfc": "none", "markersize": 4, "alpha": 0.7, "label": None},
        )
        axes.plot(recall.mean(), precision.mean(), **look | {"markersize": 8})
    axes.margins(0.12)
    left, right, bottom, top = *axes.get_xlim(), *axes.get_ylim()
    best, worst = (
        2 * x * y / max(x + y, 1e-9) for x, y in ((right, top), (max(left, 0), max(bottom, 0)))
    )
    step = next((s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10) if (best - worst) / s <= 7), 20)
    along = np.linspace(max(left, 1e-3), right, 400)
    for level in np.arange(np.ceil(worst / step), best / step) * step:
        with np.errstate(divide="ignore"):
            y = level * along / (2 * along - level)
        inside = (2 * along > level) & (y > bottom) & (y < top)
        if inside.sum() > 20:
            axes.plot(along[inside], y[inside], color="0.75", linewidth=0.8, zorder=0)
            x_end, y_end = along[inside][-1], y[inside][-1]
            at_right = right - x_end < 0.01 * (right - left)
            where = (
                {"xytext": (3, 0), "va": "center"}
                if at_right
                else {"xytext": (0, 4), "ha": "right"}
            )
            look = {"color": "0.4", "fontsize": 8, "bbox": {"color": "white", "pad": 0.5}}
            axes.annotate(
                f"F1 {level:g}",
                (x_end, y_end),
                textcoords="offset points",
                zorder=0,
                **where,
                **look,
            )
    axes.set(
        xlabel="recall, percent",
        ylabel="precision, percent",
        xlim=(left, right),
        ylim=(bottom, top),
    )
    legend(figure, axes)
    return figure


@styled
def time(comparison: Comparison) -> Figure:
    figure = canvas(4.0)
    axes = figure.subplots()
    for row, look in looks(comparison):
        ratio, (low, high), f1 = comparison.time_ratio(row), row.interval, 100 * row.mean()
        axes.plot(
            [ratio, ratio], [100 * low, 100 * high], color=look["color"], linewidth=1, zorder=1
        )
        axes.plot(
            [comparison.time_ratio(row, of) for of in (min, max)],
            [f1, f1],
            color=look["color"],
            linewidth=1,
            zorder=1,
        )
        axes.plot(ratio, f1, **look | {"linestyle": "none", "markersize": 8})
    axes.margins(x=0.1)
    axes.grid()
    axes.set(
        xlabel="time of an optimiser step, as a multiple",
        ylabel=f"F1 on {comparison.split}, percent",
    )
    legend(figure, axes)
    return figure


@styled
def over_knob(comparison: Comparison) -> Figure | None:
    """A line for each loss and each combination of what else varies, where that has several values of the knob."""
    found = knobs(comparison)
    if not found:
        return None
    knob, *others = found
    series: dict[tuple, list[Row]] = {}
    for row in comparison.finished:
        if knob in (config := row.records[0].config):
            series.setdefault(
                (loss_of(row.records), *(config.get(name) for name in others)), []
            ).append(row)
    figure = canvas(4.0)
    axes = figure.subplots()
    few, palette = len(series) <= TOLD_APART, iter(styles())
    losses = list(dict.fromkeys(loss for loss, *_ in series))
    ordered = sorted(
        series.items(), key=lambda item: (losses.index(item[0][0]), [x or 0 for x in item[0][1:]])
    )
    for number, (names, rows) in enumerate(ordered):
        rows = sorted(rows, key=lambda row: row.records[0].config[knob])
        at = np.array([float(row.records[0].config[knob]) for row in rows])
        varied = [
            f"{name}={value:g}"
            for name, value in zip(others, names[1:], strict=True)
            if value is not None
        ]
        look = (
            next(palette) | {"label": wrapped(" ".join([str(names[0]), *varied]), 40)}
            if few
            else CROWD
        )
        if len(set(at)) < len(at):
            look = look | {"linestyle": "none"}
        shift = (number - (len(series) - 1) / 2) * SHIFT if few else 0
        beside = axes.transData + ScaledTranslation(shift, 0, figure.dpi_scale_trans)
        low, high = (np.array([100 * row.interval[i] for row in rows]) for i in (0, 1))
        bar = {"color": look["color"] if few else "0.8", "linewidth": 1, "zorder": 1}
        axes.plot([at, at], [low, high], transform=beside, **bar)
        axes.update_datalim(
            [*zip(at, low, strict=True), *zip(at, high, strict=True)]
        )  # not by what is shifted
        if seeds := [
            (x, 100 * value)
            for x, row in zip(at, rows, strict=True)
            if row.seeds[1:]
            for value in row.values("f1")
        ]:
            small = {"color": look["color"], "mfc": "none", "markersize": 3.5, "alpha": 0.7}
            axes.plot(*zip(*seeds, strict=True), "o", transform=beside, **small)
        axes.plot(at, [100 * row.mean() for row in rows], transform=beside, **look)
    values = [row.records[0].config[knob] for rows in series.values() for row in rows]
    scale(axes, "x", knob, values)
    axes.grid()
    axes.set(xlabel=knob, ylabel=f"F1 on {comparison.split}, percent")
    if few:
        legend(figure, axes)
    return figure


@styled
def over_two_knobs(comparison: Comparison) -> Figure | None:
    """A table where all pairs of values are there, else a point for each setting; of the loss with the most."""
    found = knobs(comparison)
    if len(found) < 2:
        return None
    first, second = found[:2]
    having = [row for row in comparison.finished if {first, second} <= row.records[0].config.keys()]
    losses = [loss_of(row.records) for row in having]
    rows = [
        row
        for row, loss in zip(having, losses, strict=True)
        if loss == max(losses, key=losses.count)
    ]
    x, y = (
        np.array([float(row.records[0].config[name]) for row in rows]) for name in (first, second)
    )
    means = np.array([100 * row.mean() for row in rows])
    columns, lines = np.unique(x), np.unique(y)
    if min(len(columns), len(lines)) < 2:
        return None
    figure = canvas(4.2)
    axes = figure.subplots()
    if len(set(zip(x, y, strict=True))) == len(rows) == len(columns) * len(lines):
        grid = np.zeros((len(lines), len(columns)))
        grid[np.searchsorted(lines, y), np.searchsorted(columns, x)] = means
        cells(axes, shaded(grid), [[f"{value:.2f}" for value in line] for line in grid])
        axes.set_xticks(range(len(columns)), [f"{value:g}" for value in columns])
        axes.set_yticks(range(len(lines)), [f"{value:g}" for value in lines])
        axes.invert_yaxis()
    else:
        best = int(np.argmax(means))
        dots = axes.scatter(x, y, c=means, cmap="Greys", edgecolors="black", s=55)
        axes.scatter(
            x[best], y[best], marker="o", s=170, facecolors="none", edgecolors=CLAIMED, linewidths=2
        )
        axes.annotate(
            f"best: {means[best]:.2f}",
            (x[best], y[best]),
            (9, 7),
            textcoords="offset points",
            fontsize=8,
        )
        figure.colorbar(dots, label="F1, percent")
        scale(axes, "x", first, x)
        scale(axes, "y", second, y)
        axes.margins(0.12)
        axes.grid()
    axes.set(xlabel=first, ylabel=second)
    return figure


def knobs(comparison: Comparison) -> list[str]:
    """Numeric settings at the top level that take several values within one loss: those of KNOBS first, then those with
    the most values; of those that always go together the first. Empty where the first takes fewer than three."""
    values: dict[str, dict[str, dict[str, Any]]] = {}  # knob, loss, row
    for row in comparison.finished:
        for name, value in row.records[0].config.items():
            if (
                name not in NO_KNOB
                and isinstance(value, int | float)
                and not isinstance(value, bool)
            ):
                values.setdefault(name, {}).setdefault(loss_of(row.records), {})[row.setting] = (
                    value
                )
    most = {
        name: max(len(set(of.values())) for of in losses.values())
        for name, losses in values.items()
    }
    wanted = [name for name in most if most[name] > 1]
    wanted.sort(
        key=lambda name: (KNOBS.index(name) if name in KNOBS else len(KNOBS), -most[name], name)
    )
    kept: list[str] = []
    for name in wanted:
        if not any(values[name] == values[other] for other in kept):
            kept.append(name)
    return kept if kept and most[kept[0]] >= LEAST else []
