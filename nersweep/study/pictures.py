"""Draw the pictures of a study: Optuna's plots as PNG and HTML."""

import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from matplotlib.figure import Figure
from optuna.study import Study
from optuna.trial import TrialState

from nersweep.machine import files
from nersweep.terminal import console

PLOTS = {  # file name: function of optuna.visualization
    "history": "plot_optimization_history",
    "importance": "plot_param_importances",
    "slice": "plot_slice",
    "contour": "plot_contour",
}
NEED_TWO_PARAMETERS = ("importance", "contour")
MAX_CONTOUR_PARAMETERS = 4  # a contour for each pair
Points = Sequence[tuple[float, float]]


def draw(study: Study, folder: Path, metric: str) -> list[Path]:
    """Draw all pictures that the trials allow and return their files.

    With plotly installed there is an interactive page of each as well, which needs no other file.
    """
    os.environ.setdefault("MPLBACKEND", "Agg")
    files_drawn: list[Path] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about few trials and about conditional parameters
        parameters = varied_parameters(study)
        for name in PLOTS:
            if name in NEED_TWO_PARAMETERS and len(parameters) < 2:
                continue
            options: dict[str, Any] = {"target_name": metric}
            if name == "contour":
                options["params"] = parameters
            try:
                files_drawn += draw_plot(study, name, options, folder)
            except (ValueError, RuntimeError) as error:  # one trial, or the same value in all
                console.print(f"note: no picture of the {name} ({error})")
    return files_drawn


def draw_plot(study: Study, name: str, options: dict[str, Any], folder: Path) -> list[Path]:
    """Draw one plot as PNG, and as HTML if plotly is installed."""
    png, html = folder / f"{name}.png", folder / f"{name}.html"
    write_png(png, getattr(optuna.visualization.matplotlib, PLOTS[name])(study, **options))
    if not optuna.visualization.is_available():
        return [png]
    figure = getattr(optuna.visualization, PLOTS[name])(study, **options)
    files.write_text(html, figure.to_html(include_plotlyjs=True))
    return [png, html]


def draw_front(points: Points, front: Points, folder: Path, metric: str) -> Path:
    """Draw trials as points (seconds of training, value), and a step through their Pareto front."""
    figure = Figure()
    axes = figure.subplots()
    axes.plot(*zip(*points, strict=True), "o", color="0.6")
    axes.step(*zip(*sorted(front), strict=True), "D-", where="post")
    axes.set(xlabel="seconds of training", ylabel=metric)
    axes.grid(alpha=0.3)
    file = folder / "front.png"
    write_png(file, axes)
    return file


def varied_parameters(study: Study) -> list[str]:
    """Return the parameters with several values in complete trials, the most important first."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    values: dict[str, set[str]] = {}
    for trial in complete:
        for name in trial.params:
            values.setdefault(name, set())
    for trial in complete:
        for name, texts in values.items():
            texts.add(str(trial.params.get(name)))
    varied = [name for name, texts in values.items() if len(texts) > 1]
    importance: dict[str, float] = {}
    with suppress(ValueError, RuntimeError):
        importance = optuna.importance.get_param_importances(study)
    varied.sort(key=lambda name: -importance.get(name, 0.0))
    return varied[:MAX_CONTOUR_PARAMETERS]


def write_png(file: Path, axes: Any) -> None:
    """Write the figure of matplotlib axes, or of an array of them."""
    figure = getattr(axes, "flat", [axes])[0].figure
    figure.set_size_inches(9, 6)
    with files.in_place_of(file) as beside:
        figure.savefig(beside, format="png", dpi=100, bbox_inches="tight")
    figure.clear()
