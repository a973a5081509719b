"""The metric that a study optimises: a score of the development split."""

from collections.abc import Sequence

import numpy as np

from nersweep.evaluation import metrics
from nersweep.evaluation.analysis import KINDS
from nersweep.faults import Fault, UserError
from nersweep.labels import LabelSet


def final_metrics() -> Sequence[str]:
    """Return the names of scores that are known only after the last epoch."""
    names = []
    for subset in ("seen", "unseen"):
        names += [f"{subset}/{rate}" for rate in metrics.Rates.from_counts(0, 0, 0).flat()]
    names += [f"errors/{kind}" for kind in KINDS]
    return [*names, "calibration_error/all", "calibration_error/entities", "illegal_transitions"]


def short_name(metric: str) -> str:
    """Return the name without its split: f1 for dev/f1."""
    return metric.removeprefix("dev/")


def is_final(metric: str) -> bool:
    """True if the score is known only after the last epoch."""
    return short_name(metric) in final_metrics()


def score(metric: str, scores: metrics.Flat) -> float:
    """Return the metric from the scores, or the analysis, of the development split."""
    return scores.flat()[short_name(metric)]


def check_metric(metric: str, labels: LabelSet) -> None:
    """Raise UserError if runs on data with these labels have no such score."""
    label = np.zeros(1, dtype=int)
    names = []
    for name in metrics.score(label, label, label + 1, labels).flat():
        if not name.endswith("/support"):
            names.append(name)
    names += final_metrics()
    if short_name(metric) not in names:
        raise UserError(
            Fault("study.metric", metric, "no such score", f"use one of {', '.join(names)}")
        )
