"""The metric that a study optimises: a score of the development split."""

from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from typing import Any, get_origin, get_type_hints

import numpy as np

from nersweep.evaluation import metrics
from nersweep.evaluation.analysis import SplitAnalysis
from nersweep.faults import Fault, UserError
from nersweep.labels import LabelSet


def final_metrics() -> Sequence[str]:
    """Return the names of scores that are known only after the last epoch."""
    return [name for name in flat_names(SplitAnalysis) if not name.endswith("/support")]


def flat_names(kind: Any) -> Iterator[str]:
    """Yield the names that `flat` gives to the numbers in a dataclass of dataclasses."""
    for name, hint in get_type_hints(get_origin(kind) or kind).items():
        if is_dataclass(get_origin(hint) or hint):
            yield from (f"{name}/{inner}" for inner in flat_names(hint))
        else:
            yield name


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
