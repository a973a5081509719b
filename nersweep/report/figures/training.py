"""Pictures of what happens inside: training, confusion, probabilities, gradients."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from nersweep.labels import LabelSet
from nersweep.plotting import cells, styled
from nersweep.report.comparison import Comparison
from nersweep.report.figures.drawing import (
    WIDTH,
    canvas,
    legend,
    looks,
    plain_log,
    told_apart,
    wrapped,
)
from nersweep.report.rows import Row

O, ENTITIES = "#56B4E9", "#D55E00"  # noqa: E741  words outside and inside of entities
SMOOTHED = 20  # parts of training, of each of which a loss is the mean
FEWEST = 10  # words of a bin that is shown
EDGES = np.linspace(0, 1, 31)  # of the bins of g


@styled
def learning_curves(comparison: Comparison) -> Figure:
    figure = canvas(3.6)
    left, right = figure.subplots(1, 2)
    for row, look in looks(comparison):
        dev = [
            ([e.epoch for e in r.epochs], [100 * e.dev.f1 for e in r.epochs]) for r in row.records
        ]
        at, mean, low, high = over(dev)
        left.plot(at, mean, **look)
        if "label" in look:
            left.fill_between(at, low, high, color=look["color"], alpha=0.15, linewidth=0)
        if losses := [relative(record.losses) for record in row.records if record.losses]:
            at, mean, _, _ = over(losses)
            right.plot(at, mean, **look | {"marker": None})
    left.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    left.set(xlabel="epoch", ylabel="F1 on dev, percent")
    right.set(xlabel="optimiser step", ylabel="training loss, share of its first")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.grid()
    legend(figure, left)
    return figure


def relative(losses: Sequence[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Steps, and a running mean of the loss in units of the first."""
    at, loss = np.array(losses).T
    width = max(1, len(loss) // SMOOTHED)
    running = np.convolve(loss, np.ones(width) / width, mode="valid")
    return at[width - 1 :], running / running[0]


def over(
    curves: Sequence[tuple[Any, Any]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Curves (x, y) of several seeds: all x, and the mean, least and greatest y of those that have one there."""
    at = np.unique(np.concatenate([x for x, _ in curves]))
    y = np.array([np.interp(at, *curve, left=np.nan, right=np.nan) for curve in curves])
    return at, np.nanmean(y, 0), np.nanmin(y, 0), np.nanmax(y, 0)


@styled
def confusion(comparison: Comparison) -> Figure:
    """The baseline, and the best of the other rows."""
    labels = LabelSet(comparison.types)
    names = ["O", *labels.types]
    of_type = np.eye(len(names), dtype=np.int64)[labels.type_ids]  # (labels, types)
    pair = [row for row in comparison.finished if row.setting == comparison.baseline]
    others = [row for row in comparison.finished if row.setting != comparison.baseline]
    pair = [*([max(others, key=Row.mean)] if others else []), *pair]
    titles = [wrapped(row.setting, 32) for row in pair]
    height = 1.6 + 0.26 * len(names) + 0.15 * max(title.count("\n") for title in titles)
    figure = canvas(height, max(WIDTH, 1.2 + 0.6 * len(names)))
    panels = figure.subplots(1, len(pair), sharey=True, squeeze=False)[0]
    for axes, row, title in zip(panels, pair, titles, strict=True):
        words = of_type.T @ sum(record.confusion for record in row.records) @ of_type
        shares = words / np.maximum(words.sum(1, keepdims=True), 1)
        cells(
            axes,
            shares,
            [[f"{100 * x:.0f}" if x >= 0.005 else "" for x in line] for line in shares],
        )
        axes.set_xticks(
            range(len(names)), names, rotation=60, ha="right", va="center", rotation_mode="anchor"
        )
        axes.set_yticks(range(len(names)), names)
        is_base = row.setting == comparison.baseline
        what = (
            "the baseline"
            if is_base
            else "the best of the others"
            if comparison.baseline
            else "the best"
        )
        axes.set_title(f"{title}\n{what}, F1 {100 * row.mean():.2f}")
        axes.set_xlabel("predicted")
    panels[0].set_ylabel("gold")
    return figure


@styled
def reliability(comparison: Comparison) -> Figure:
    rows = told_apart(comparison)
    lines = -(-len(rows) // 3)
    columns = -(-len(rows) // lines)
    names = [wrapped(row.setting, 24) for row in rows]
    figure = canvas(0.5 + lines * (2.0 + 0.15 * max(name.count("\n") + 1 for name in names)))
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, row, name in zip(panels, rows, names, strict=False):
        counts, confidence, accuracy = pooled(row)
        axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1)
        axes.plot(confidence, accuracy, color="black", linewidth=1)
        sizes = 6 + 90 * counts / counts.max(initial=1)
        axes.scatter(confidence, accuracy, s=sizes, color="#0072B2", zorder=3, clip_on=False)
        error = 100 * row.mean("calibration_error/entities")
        axes.set_title(name)
        axes.text(0.04, 0.95, f"ECE {error:.2f}%", transform=axes.transAxes, va="top")
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        axes.grid()
    for axes in panels[len(rows) :]:
        axes.remove()
    for axes in panels[len(rows) - columns : len(rows)]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel("probability of the predicted label", fontsize=9)
    figure.supylabel("share that is right", fontsize=9)
    return figure


def pooled(row: Row) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The words of all seeds together: of each bin that has enough the count, mean confidence and accuracy."""
    found = [
        getattr(record.result.analysis.calibration, record.split).entities for record in row.records
    ]
    counts = np.array([of.counts for of in found], dtype=float)  # (seeds, bins)
    means = [
        np.nan_to_num(np.array([getattr(of, k) for of in found], dtype=float))
        for k in ("confidence", "accuracy")
    ]
    total = counts.sum(0)
    there = total >= FEWEST
    return total[there], *((counts * mean).sum(0)[there] / total[there] for mean in means)


@styled
def gradient_norms(comparison: Comparison) -> Figure:
    rows = told_apart(comparison)
    figure = canvas(0.7 + 1.75 * len(rows))
    for part, row in zip(np.ravel(figure.subfigures(len(rows), 1)), rows, strict=True):
        panels = part.subplots(1, 3, sharex=True)
        part.suptitle(wrapped(row.setting, 80), x=0.01, ha="left", fontsize=9, fontweight="bold")
        for axes, split in zip(panels, ("train", "dev"), strict=False):
            for epoch, line in ((0, ":"), (-1, "-")):
                outside, inside = bins(row, split, "words", [epoch])
                for words, colour, width in ((outside, O, 1.0), (inside, ENTITIES, 2.2)):
                    words[words == 0] = np.nan
                    axes.stairs(
                        words, EDGES, baseline=None, color=colour, linestyle=line, linewidth=width
                    )
            axes.set_yscale("log")
            plain_log(axes.yaxis)
            axes.set_title(f"words of {split}")
        pulls, norms = (shares(bins(row, "train", what)) for what in ("pulls", "norms"))
        axes = panels[2]
        for sign, which, colour, hatch in ((1, 1, ENTITIES, None), (-1, 0, O, "////")):
            axes.stairs(
                sign * 100 * pulls[which],
                EDGES,
                fill=True,
                color=colour,
                hatch=hatch,
                edgecolor="white",
            )
            axes.stairs(
                sign * 100 * norms[which], EDGES, baseline=None, color="black", linewidth=1.2
            )
        axes.axhline(0, color="black", linewidth=0.8)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{abs(y):g}%"))
        axes.set_title(
            f"entities pull {100 * pulls[1].sum():.0f}% (CE {100 * norms[1].sum():.0f}%)"
        )
        axes.set(xlim=(0, 1), xticks=(0, 0.5, 1))
        for axes in panels:
            axes.grid()
            axes.set_xlabel("g = 1 − p_y")
    told = {
        "entities": Patch(color=ENTITIES),
        "outside (O)": Patch(facecolor=O, edgecolor="white", hatch="////"),
        "first epoch": Line2D([], [], color="0.4", linestyle=":"),
        "last epoch": Line2D([], [], color="0.4"),
        "by cross entropy (CE)": Patch(fill=False, linewidth=1.2),
    }
    figure.legend(
        told.values(), told, loc="outside lower center", ncols=len(told), columnspacing=1.2
    )
    return figure


@styled
def effective_weights(comparison: Comparison) -> Figure:
    figure = canvas(3.8)
    panels = figure.subplots(1, 2, sharey=True)
    for row, look in looks(comparison):
        if "label" not in look:
            continue
        words, norms, pulls = (bins(row, "train", what) for what in ("words", "norms", "pulls"))
        weight = np.divide(
            pulls, norms, out=np.full_like(pulls, np.nan), where=(words >= FEWEST) & (pulls > 0)
        )
        for axes, values in zip(panels, weight, strict=True):
            axes.plot((EDGES[1:] + EDGES[:-1]) / 2, values, **look | {"markersize": 3.5})
    panels[0].set_yscale("log")
    plain_log(panels[0].yaxis, (1, 2, 5))
    for axes, name in zip(panels, ("words outside entities (O)", "words of entities"), strict=True):
        axes.grid()
        axes.set(title=name, xlabel="g = 1 − p_y", xlim=(0, 1))
    panels[0].set_ylabel("|∂L/∂z_y| / g")
    legend(figure, panels[0])
    return figure


def bins(row: Row, split: str, what: str, epochs: Sequence[int] | None = None) -> np.ndarray:
    """words, norms or pulls, summed over seeds and over these epochs or all: (O, entities) x bins."""
    found = [
        getattr(getattr(record.epochs[i].gradients, split), what)
        for record in row.records
        for i in (range(len(record.epochs)) if epochs is None else epochs)
    ]
    return np.sum(found, axis=0, dtype=float)


def shares(sums: np.ndarray) -> np.ndarray:
    return sums / max(sums.sum(), 1e-30)
