"""The metric that a study optimises: a score of the development split."""

from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass, replace
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
from omegaconf import DictConfig

from nersweep.evaluation import metrics
from nersweep.evaluation.analysis import SplitAnalysis
from nersweep.evaluation.metric import metric_of
from nersweep.faults import UserError
from nersweep.labels import LabelSet
from nersweep.results.result import FinishedResult


def final_metrics() -> Sequence[str]:
    """Return the names of scores that are known only after the last epoch."""
    return [name for name in flat_names(SplitAnalysis) if not name.endswith("/support")]


def flat_names(kind: Any) -> Iterator[str]:
    """Yield the names that `flat` gives to the numbers in a dataclass of dataclasses."""
    generic = get_origin(kind) or kind
    bound = dict(zip(getattr(generic, "__parameters__", ()), get_args(kind), strict=True))
    for name, annotation in get_type_hints(generic).items():
        hint = bound.get(annotation, annotation)
        if is_dataclass(get_origin(hint) or hint):
            yield from (f"{name}/{inner}" for inner in flat_names(hint))
        elif hint in (int, float):
            yield name


def metric_name(config: DictConfig) -> str:
    """Return the name of what a study optimises, without its split: f1 for dev/f1."""
    name: str = config.study.metric or config.metric
    return name.removeprefix("dev/")


def is_final(metric: str) -> bool:
    """True if the score is known only after the last epoch."""
    return metric in final_metrics() or metric.startswith("recall@precision=")


def score(metric: str, result: FinishedResult) -> float:
    """Return the metric of a run on the development split."""
    values = result.dev.flat() | result.analysis.dev.flat()
    if metric in values:
        return values[metric]
    return result.value("dev", metric_of(metric, list(result.dev.types)))


def score_of_epoch(metric: str, scores: metrics.Scores) -> float:
    """Return the metric from scores of the development split."""
    values = scores.flat()
    if metric in values:
        return values[metric]
    return metric_of(metric, list(scores.types)).of(scores)


def check_metric(metric: str, labels: LabelSet) -> None:
    """Raise UserError if runs on data with these labels have no such score."""
    label = np.zeros(1, dtype=int)
    names = []
    for name in metrics.score(label, label, label + 1, labels).flat():
        if not name.endswith("/support"):
            names.append(name)
    names += final_metrics()
    if metric not in names:
        try:
            metric_of(metric, labels.types, "study.metric")
        except UserError as error:
            (fault,) = error.faults
            remedy = f"{fault.remedy}; or one of {', '.join(names)}"
            raise UserError(replace(fault, remedy=remedy)) from None
