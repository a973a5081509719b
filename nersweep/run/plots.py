"""Draw the figures of one run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nersweep.plotting import cells, save, styled, styles, text_width
from nersweep.training.history import EpochRecord, StepRecord

TURNED = 0.87  # sin 60°, the height of a label that is turned, by its length


@styled
def learning_curves(path: Path, steps: Sequence[StepRecord], epochs: Sequence[EpochRecord]) -> None:
    """Draw the training loss over steps beside cross entropy and F1 of dev over epochs."""
    width, height = 13, 3.5
    figure = Figure(figsize=(width, height), dpi=120)
    legend = min(text_width(epochs[0].dev.types, 8) + 0.6, width / 2)
    figure.subplots_adjust(
        left=0.6 / width,
        right=1 - legend / width,
        bottom=0.5 / height,
        top=1 - 0.3 / height,
        wspace=0.2,
    )
    left, middle, right = figure.subplots(1, 3)
    plot_loss(left, np.array([step.loss for step in steps]))
    plot_cross_entropy(middle, epochs)
    plot_f1(right, epochs)
    save(figure, path)


def plot_loss(axes: Axes, losses: np.ndarray) -> None:
    """Plot the loss of each step, (steps,), and its running mean."""
    steps = np.arange(1, len(losses) + 1)
    width = max(1, len(losses) // 50)
    mean = np.convolve(losses, np.ones(width) / width, mode="valid")
    axes.plot(steps, losses, color="0.75", linewidth=0.8, label="each step")
    axes.plot(steps[width - 1 :], mean, color="black", linewidth=1.5, label=f"mean of {width}")
    axes.set(xlabel="optimiser step", ylabel="training loss", title="Training loss")
    axes.legend()


def plot_cross_entropy(axes: Axes, epochs: Sequence[EpochRecord]) -> None:
    """Plot the cross entropy of dev after each epoch; a gap where an older version trained."""
    at = [epoch.epoch for epoch in epochs]
    values = np.array([epoch.cross_entropy for epoch in epochs], dtype=float)
    axes.plot(at, values, color="black", linewidth=1.5, marker="o")
    title = "Cross entropy on the development split"
    axes.set(xlabel="epoch", ylabel="nats per word", title=title, xticks=at)
    axes.set_ylim(bottom=0)


def plot_f1(axes: Axes, epochs: Sequence[EpochRecord]) -> None:
    """Plot the dev F1 of each epoch, overall and by type."""
    at = [epoch.epoch for epoch in epochs]
    for style, name in zip(styles(), epochs[0].dev.types, strict=False):
        f1 = [epoch.dev.types[name].f1 for epoch in epochs]
        axes.plot(at, f1, label=name, linewidth=1, **style)
    f1 = [epoch.dev.f1 for epoch in epochs]
    axes.plot(at, f1, color="black", linewidth=2.5, marker="o", label="all")
    title = "Entity F1 on the development split"
    axes.set(xlabel="epoch", ylabel="dev F1", title=title, ylim=(0, 1), xticks=at)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


@styled
def confusion_matrix(path: Path, counts: np.ndarray, names: Sequence[str], title: str) -> None:
    """Draw counts (K, K) of words, gold labels in rows, predicted ones in columns.

    The shade is the share of the row; the number in a cell is its count.
    """
    size = max(4.0, 0.62 * len(names) + 1.5)
    figure = Figure(figsize=(size + 0.8, size), dpi=120)
    label = min(text_width(names, 8), size / 2)
    figure.subplots_adjust(
        left=(label + 0.4) / (size + 0.8),
        right=1 - 0.1 / (size + 0.8),
        bottom=(label * TURNED + 0.45) / size,
        top=1 - 0.3 / size,
    )
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    texts: list[list[str]] = []
    for row in counts.tolist():
        texts.append([f"{count:,}" if count else "" for count in row])
    cells(axes, shares, texts, 7)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="gold", title=title)
    axes.set_aspect("equal")
    figure.colorbar(axes.images[0], label="share of the gold label's words", shrink=0.8)
    save(figure, path)
