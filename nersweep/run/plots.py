"""The figures of one run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from nersweep.plotting import cells, save, styled, styles
from nersweep.training.history import EpochRecord, StepRecord


@styled
def learning_curves(path: Path, steps: Sequence[StepRecord], epochs: Sequence[EpochRecord]) -> None:
    """Training loss over steps (each, and its running mean) beside dev F1 over epochs, overall and per type."""
    figure = Figure(figsize=(9, 3.5), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    losses = np.array([step.loss for step in steps])
    width = max(1, len(losses) // 50)
    running = np.convolve(losses, np.ones(width) / width, mode="valid")
    left.plot(np.arange(1, len(losses) + 1), losses, color="0.75", linewidth=0.8, label="each step")
    left.plot(
        np.arange(width, len(losses) + 1),
        running,
        color="black",
        linewidth=1.5,
        label=f"mean of {width}",
    )
    left.set(xlabel="optimiser step", ylabel="training loss", title="Training loss")
    left.legend()
    at = [epoch.epoch for epoch in epochs]
    for style, name in zip(styles(), epochs[0].dev.types, strict=False):
        right.plot(
            at,
            [epoch.dev.types[name].f1 for epoch in epochs],
            label=name,
            linewidth=1,
            **style,
        )
    right.plot(
        at,
        [epoch.dev.f1 for epoch in epochs],
        color="black",
        linewidth=2.5,
        marker="o",
        label="all",
    )
    right.set(
        xlabel="epoch",
        ylabel="dev F1",
        title="Entity F1 on the development split",
        ylim=(0, 1),
        xticks=at,
    )
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
