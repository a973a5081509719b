"""Figures of what happens inside: training, confusion, probabilities, gradients."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from nersweep.evaluation import budget
from nersweep.evaluation.analysis import Diagram
from nersweep.evaluation.metric import F1, EntityMetric
from nersweep.labels import LabelSet
from nersweep.plotting import cells, styled
from nersweep.report.comparison import Comparison
from nersweep.report.figures.drawing import (
    OTHERS,
    WIDTH,
    Look,
    canvas,
    highlights,
    legend,
    looks,
    most_lines,
    plain_log,
    wrap,
)
from nersweep.report.records import Record
from nersweep.report.rows import Row
from nersweep.training.history import EpochRecord

OUTSIDE, ENTITIES = "#56B4E9", "#D55E00"  # words outside and inside of entities
FEWEST_WORDS = 10  # of a bin that is drawn
EDGES = np.linspace(0, 1, 31)  # of the bins of g
Curve = tuple[np.ndarray, np.ndarray]  # x, y


@styled
def learning_curves(comparison: Comparison) -> Figure:
    """Draw the metric on dev over epochs, and the cross entropy of dev beside it if known."""
    metric = metric_of_epochs(comparison)
    panels: list[tuple[str, Callable[[Sequence[EpochRecord]], Curve]]] = [
        (f"{metric.label} on dev, percent", partial(dev_curve, metric))
    ]
    if knows_cross_entropy(comparison):
        panels.append(("cross entropy of dev, nats per word", cross_entropy_curve))
    figure = canvas(3.6)
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, curve_of) in zip(all_axes, panels, strict=True):
        for row, look in looks(comparison):
            curves = [curve_of(record.epochs) for record in row.records]
            if not any(len(x) for x, _ in curves):
                continue
            x, mean, low, high = average([curve for curve in curves if len(curve[0])])
            axes.plot(x, mean, **look)
            if "label" in look:
                axes.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set(xlabel="epoch", ylabel=name)
        axes.grid()
    legend(figure, all_axes[0])
    return figure


@styled
def expected_best(comparison: Comparison) -> Figure | None:
    """Draw the expected best of k trials of each row that was tuned."""
    if not (comparison.tuning and comparison.tuning.trials):
        return None
    own: dict[str, Look] = {}
    for row, look in looks(comparison):
        for run in (*row.unfinished, *(record.result for record in row.records)):
            own[run.fingerprint] = look
    figure = canvas(3.6)
    axes = figure.subplots()
    for search in comparison.tuning.searches:
        values = 100 * np.array(search.values)
        budgets = np.arange(1, len(values) + 1)
        look = own.get(search.fingerprint, OTHERS)
        low, high = budget.expected_best_band(values)
        axes.plot(budgets, budget.expected_best(values), **look | {"marker": None})
        axes.fill_between(budgets, low, high, color=look["color"], alpha=0.1, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set(xlabel="trials", ylabel=f"{comparison.tuning.metric} on dev, percent")
    axes.grid()
    legend(figure, axes)
    return figure


def knows_cross_entropy(comparison: Comparison) -> bool:
    """True if some run has the cross entropy of dev, which those of an older version lack."""
    for row in comparison.finished:
        for record in row.records:
            if len(cross_entropy_curve(record.epochs)[0]):
                return True
    return False


def metric_of_epochs(comparison: Comparison) -> EntityMetric:
    """Return the metric, or F1 if an older version has made some of the runs."""
    for record in comparison.records:
        if np.isnan(comparison.metric.of(record.result.dev)):
            return F1
    return comparison.metric


def dev_curve(metric: EntityMetric, epochs: Sequence[EpochRecord]) -> Curve:
    """Return epochs and the metric on dev, in percent."""
    numbers = np.array([epoch.epoch for epoch in epochs])
    return numbers, np.array([100 * metric.of(epoch.dev) for epoch in epochs])


def cross_entropy_curve(epochs: Sequence[EpochRecord]) -> Curve:
    """Return the epochs whose cross entropy of dev is known, and it."""
    pairs = [(x.epoch, x.cross_entropy) for x in epochs if x.cross_entropy is not None]
    numbers, values = np.array(pairs, dtype=float).reshape(-1, 2).T
    return numbers, values


def average(curves: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return all x, and the mean, least and greatest y of the curves that reach there."""
    x = np.unique(np.concatenate([curve[0] for curve in curves]))
    y = np.stack([np.interp(x, *curve, left=np.nan, right=np.nan) for curve in curves])
    return x, np.nanmean(y, 0), np.nanmin(y, 0), np.nanmax(y, 0)


@styled
def confusion(comparison: Comparison) -> Figure:
    """Draw the confusion of types: of the best row, and of the baseline beside it."""
    labels = LabelSet(comparison.types)
    names = ["O", *labels.types]
    others = [row for row in comparison.finished if row.setting != comparison.baseline]
    rows = [row for row in comparison.finished if row.setting == comparison.baseline]
    if others:
        rows.insert(0, max(others, key=Row.mean))
    titles = [wrap(row.setting, 32) for row in rows]
    height = 1.6 + 0.26 * len(names) + 0.15 * (most_lines(titles) - 1)
    figure = canvas(height, max(WIDTH, 1.2 + 0.6 * len(names)))
    panels = figure.subplots(1, len(rows), sharey=True, squeeze=False)[0]
    for axes, row, title in zip(panels, rows, titles, strict=True):
        shares = type_confusion(row, labels)
        texts = np.char.mod("%.0f", 100 * shares)
        cells(axes, shares, np.where(shares >= 0.005, texts, "").tolist())
        axes.set_xticks(
            range(len(names)), names, rotation=60, ha="right", va="center", rotation_mode="anchor"
        )
        axes.set_yticks(range(len(names)), names)
        role = "the best of the others" if comparison.baseline else "the best"
        if row.setting == comparison.baseline:
            role = "the baseline"
        axes.set_title(f"{title}\n{role}, {row.metric.label} {100 * row.mean():.2f}")
        axes.set_xlabel("predicted")
    panels[0].set_ylabel("gold")
    return figure


def type_confusion(row: Row, labels: LabelSet) -> np.ndarray:
    """Return for each gold type the shares of its words by predicted type, O first (T, T)."""
    of_type = np.eye(len(labels.types) + 1, dtype=np.int64)[labels.type_ids]  # (labels, T)
    counts = np.sum([record.confusion for record in row.records], axis=0)
    words = of_type.T @ counts @ of_type
    shares: np.ndarray = words / np.maximum(words.sum(1, keepdims=True), 1)
    return shares


@styled
def reliability(comparison: Comparison) -> Figure:
    """Draw how often the most probable label is correct, by its probability."""
    rows = highlights(comparison)
    lines = -(-len(rows) // 3)
    columns = -(-len(rows) // lines)
    names = [wrap(row.setting, 24) for row in rows]
    figure = canvas(0.5 + lines * (2.0 + 0.15 * most_lines(names)))
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, row, name in zip(panels, rows, names, strict=False):
        counts, confidence, accuracy = pool([diagram(record) for record in row.records])
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
    figure.supylabel("share that is correct", fontsize=9)
    return figure


def diagram(record: Record) -> Diagram:
    """Return the reliability diagram of a run, over the words of entities."""
    diagrams = record.result.analysis.calibration
    return (diagrams.dev if record.split == "dev" else diagrams.test).entities


def pool(diagrams: Sequence[Diagram]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return count, mean confidence and accuracy of each bin with enough words, over all seeds."""
    counts = np.array([each.counts for each in diagrams], dtype=float)  # (seeds, bins)
    confidence = np.array([each.confidence for each in diagrams], dtype=float)
    accuracy = np.array([each.accuracy for each in diagrams], dtype=float)
    total = counts.sum(0)
    drawn = total >= FEWEST_WORDS
    means: list[np.ndarray] = []
    for values in (confidence, accuracy):
        means.append((counts * np.nan_to_num(values)).sum(0)[drawn] / total[drawn])
    return total[drawn], means[0], means[1]


@styled
def gradient_norms(comparison: Comparison) -> Figure:
    """Draw words and gradients by how hard the words are, three panels per row."""
    rows = highlights(comparison)
    figure = canvas(0.7 + 1.75 * len(rows))
    for part, row in zip(figure.subfigures(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        panels = part.subplots(1, 3, sharex=True)
        part.suptitle(wrap(row.setting, 80), x=0.01, ha="left", fontsize=9, fontweight="bold")
        draw_words(panels[0], row, "train")
        draw_words(panels[1], row, "dev")
        draw_gradients(panels[2], row)
        for axes in panels:
            axes.grid()
            axes.set_xlabel("g = 1 − p_y")
    handles = {
        "entities": Patch(color=ENTITIES),
        "outside (O)": Patch(facecolor=OUTSIDE, edgecolor="white", hatch="////"),
        "first epoch": Line2D([], [], color="0.4", linestyle=":"),
        "last epoch": Line2D([], [], color="0.4"),
        "with cross entropy (CE)": Patch(fill=False, linewidth=1.2),
    }
    place: Look = {"loc": "outside lower center", "ncols": len(handles), "columnspacing": 1.2}
    figure.legend(list(handles.values()), list(handles), **place)
    return figure


def draw_words(axes: Axes, row: Row, split: str) -> None:
    """Draw how many words there are, in the first epoch and in the last."""
    for place, line in ((0, ":"), (-1, "-")):
        words = bins((record.epochs[place] for record in row.records), split, "words")
        words[words == 0] = np.nan
        for values, colour, width in ((words[0], OUTSIDE, 1.0), (words[1], ENTITIES, 2.2)):
            look: Look = {"color": colour, "linestyle": line, "linewidth": width}
            axes.stairs(values, EDGES, baseline=None, **look)
    axes.set_yscale("log")
    plain_log(axes.yaxis)
    axes.set_title(f"words of {split}")


def draw_gradients(axes: Axes, row: Row) -> None:
    """Draw the share of each bin in the whole gradient, entities upwards and O downwards."""
    epochs = all_epochs(row)
    pulls = 100 * normalise(bins(epochs, "train", "pulls"))
    norms = 100 * normalise(bins(epochs, "train", "norms"))
    for sign, part, colour, hatch in ((1, 1, ENTITIES, None), (-1, 0, OUTSIDE, "////")):
        look: Look = {"fill": True, "color": colour, "hatch": hatch, "edgecolor": "white"}
        axes.stairs(sign * pulls[part], EDGES, **look)
        axes.stairs(sign * norms[part], EDGES, baseline=None, color="black", linewidth=1.2)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{abs(y):g}%"))
    axes.set_title(f"entities: {pulls[1].sum():.0f}% (CE {norms[1].sum():.0f}%)")
    axes.set(xlim=(0, 1), xticks=(0, 0.5, 1))


@styled
def effective_weights(comparison: Comparison) -> Figure:
    """Draw by how much each loss multiplies cross entropy's gradient."""
    figure = canvas(3.8)
    panels = figure.subplots(1, 2, sharey=True)
    for row, look in looks(comparison):
        if "label" not in look:
            continue
        epochs = all_epochs(row)
        words, norms = bins(epochs, "train", "words"), bins(epochs, "train", "norms")
        pulls = bins(epochs, "train", "pulls")
        weights = np.full_like(pulls, np.nan)
        np.divide(pulls, norms, out=weights, where=(words >= FEWEST_WORDS) & (pulls > 0))
        for axes, values in zip(panels, weights, strict=True):
            axes.plot((EDGES[1:] + EDGES[:-1]) / 2, values, **look | {"markersize": 3.5})
    panels[0].set_yscale("log")
    plain_log(panels[0].yaxis, (1, 2, 5))
    for axes, name in zip(panels, ("words outside entities (O)", "words of entities"), strict=True):
        axes.grid()
        axes.set(title=name, xlabel="g = 1 − p_y", xlim=(0, 1))
    panels[0].set_ylabel("|∂L/∂z_y| / g")
    legend(figure, panels[0])
    return figure


def all_epochs(row: Row) -> list[EpochRecord]:
    """Return the epochs of all seeds."""
    epochs: list[EpochRecord] = []
    for record in row.records:
        epochs += record.epochs
    return epochs


def bins(epochs: Iterable[EpochRecord], split: str, name: str) -> np.ndarray:
    """Sum words, norms or pulls over epochs: (O, entities) × bins."""
    total = np.zeros((2, len(EDGES) - 1))
    for epoch in epochs:
        histogram = epoch.gradients.train if split == "train" else epoch.gradients.dev
        values = {"words": histogram.words, "norms": histogram.norms, "pulls": histogram.pulls}
        total += np.array(values[name])
    return total


def normalise(sums: np.ndarray) -> np.ndarray:
    """Return the shares of a sum."""
    shares: np.ndarray = sums / max(sums.sum(), 1e-30)
    return shares
