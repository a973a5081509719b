"""The metric that judges runs: what its name means, its value, and what each document adds to it.

A name is [VIEW/][TYPE/]MEASURE, where types/TYPE is a type too, even one that is named like a view.
Views, as nervaluate has them: none, as conlleval counts entities; strict, only B- begins one;
exact, boundaries whatever the type; partial, the same, and half for an overlap; ent_type, any
overlap with the type. Measures: precision, recall, F-β as f1, f2, f0.5, and macro_f1, the mean of
the types' F1.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nersweep.evaluation.counts import DocumentCounts
from nersweep.evaluation.curve import CurveRate
from nersweep.evaluation.influence import Floats, Rate
from nersweep.evaluation.metrics import Scores
from nersweep.faults import Fault, UserError

ABOUT = {
    "": "",
    "strict": ", if only B- begins one",
    "exact": ", by boundaries, whatever the type",
    "partial": ", by boundaries, half for an overlap, whatever the type",
    "ent_type": ", by type, with any overlap",
}
VIEWS = {"strict": 2, "exact": 3, "partial": 3, "ent_type": 3}  # the modes of counts that they need
WITHOUT_TYPES = ("exact", "partial")
MACRO = Rate(macro=True)
RECALL_AT = re.compile(r"recall@precision=(0?\.\d+)")
F_BETA = re.compile(r"f(\d+\.?\d*|\.\d+)")


@dataclass(frozen=True)
class EntityMetric:
    """A metric of entities. view: "" as conlleval counts. type_: that counts alone, "" for all."""

    name: str
    view: str
    type_: str
    rate: Rate | CurveRate

    @property
    def of_epochs(self) -> "EntityMetric":
        """The metric by which epochs are judged: F1 for what is known after the last one."""
        return F1 if isinstance(self.rate, CurveRate) else self

    @property
    def score(self) -> str:
        """The flat name of the score that has the value, if there is one."""
        return f"types/{self.type_}/{self.measure}" if self.type_ and not self.view else self.name

    @property
    def measure(self) -> str:
        return self.name.rpartition("/")[2]

    @property
    def is_macro(self) -> bool:
        return isinstance(self.rate, Rate) and self.rate.macro

    @property
    def label(self) -> str:
        """The name for people: F1, strict F1, PER recall, macro F1."""
        measure = self.measure.replace("_", " ").replace("auc", "AUC")
        measure = measure.replace("@precision=", " at precision ")
        measure = re.sub(r"\bf(?=[\d.])", "F", measure)
        return " ".join(filter(None, [self.view, self.type_, measure]))

    @property
    def about(self) -> str:
        """What the metric measures: micro F1 of entities."""
        if isinstance(self.rate, CurveRate):
            what = "area under the precision–recall curve"
            return f"{what if self.name == 'auc' else self.label} of entities, over thresholds τ"
        measure = self.label.rpartition(" ")[2]
        if self.is_macro:
            measure = "macro F1"
        elif measure.startswith("F") and not self.type_:
            measure = f"micro {measure}"
        entities = f"{self.type_} entities" if self.type_ else "entities"
        return f"{measure} of {entities}{ABOUT[self.view]}"

    def of(self, scores: Scores, curve: list[list[int]] | None = None) -> float:
        """Return the value in [0, 1]; NaN without what it needs, as in older versions.

        curve: the summed counts over τ, which metrics of it need.
        """
        if isinstance(self.rate, CurveRate):
            sums = np.array([curve or [[0, 0, 0]]], dtype=np.float64)
            return self.rate.measure(sums)[0] / 100 if curve else np.nan
        values = scores.flat()
        if self.score in values:
            return values[self.score]
        counts = np.array(scores.counts or [], dtype=np.int64)[None]
        if self.lacks(counts, list(scores.types)):
            return np.nan
        return self.rate.measure(self.select(counts, list(scores.types)))[0] / 100

    def counts(self, documents: DocumentCounts, source: str, archived: bool = False) -> Floats:
        """Return what the metric counts of each document, (D, types, 3).

        source: where the counts are, for the message. archived: in an archive, whose runs cannot be
        repeated. Raises UserError if they lack something.
        """
        if isinstance(self.rate, CurveRate) and documents.curve:
            return documents.curve.lenient.astype(np.float64)
        counts = documents.dense()
        if lacks := self.lacks(counts, documents.types):
            remedy = "use f1" if archived else "run it again with rerun=true, or use f1"
            raise UserError(Fault("metric", self.name, f"{source} has no {lacks}", remedy))
        return self.select(counts, documents.types)

    def lacks(self, counts: NDArray[np.int64], types: Sequence[str]) -> str:
        """Return what counts (..., types, modes, 3) lack for this metric, "" if nothing."""
        if isinstance(self.rate, CurveRate):
            return "counts over τ"
        if counts.ndim < 4 or counts.shape[-2] < VIEWS.get(self.view, 1):
            return f"counts of the view {self.view}" if self.view else "counts"
        if self.type_ not in ("", *types) or (self.is_macro and not types):
            return f"counts of {self.type_ or 'each type'}"
        return ""

    def select(self, counts: NDArray[np.int64], types: Sequence[str]) -> Floats:
        """Return what counts of counts (..., types, modes, 3), as (..., types, 3)."""
        chosen = counts[..., 1 if self.view == "strict" else 0, :].astype(np.float64)
        if self.view == "exact":
            chosen[..., 0] = counts[..., 2, 0]
        elif self.view == "partial":
            chosen[..., 0] = counts[..., 2, 1] / 2
        elif self.view == "ent_type":
            chosen[..., 0] = counts[..., 2, 2]
        if self.type_:
            chosen = chosen[..., [types.index(self.type_)], :]
        return chosen if self.is_macro else chosen.sum(-2, keepdims=True)


def metric_of(name: str, types: Sequence[str], setting: str = "metric") -> EntityMetric:
    """Return the metric of a name. types: of the data. Raises UserError for any other name."""
    view, _, rest = name.partition("/")
    if view not in VIEWS:
        view, rest = "", name
    type_, _, measure = rest.rpartition("/")
    if type_ not in types:
        type_ = type_.removeprefix("types/")
    rate = rate_of(measure)
    must = ""
    if rate is None or type_ not in ("", *types) or (type_ and rate == MACRO):
        must = "no such metric"
    elif isinstance(rate, CurveRate) and name != measure:
        must = "takes neither view nor type"
    elif view in WITHOUT_TYPES and (type_ or rate == MACRO):
        must = f"{view} takes no account of types"
    if must or rate is None:
        raise UserError(Fault(setting, name, must, f"use {names(types)}"))
    return EntityMetric(name, view, type_, rate)


def rate_of(measure: str) -> Rate | CurveRate | None:
    """Return the rate of a measure: f2, precision, recall, macro_f1; None for any other."""
    if measure == "macro_f1":
        return MACRO
    if measure == "auc":
        return CurveRate()
    if match := RECALL_AT.fullmatch(measure):
        return CurveRate(float(match[1])) if 0 < float(match[1]) < 1 else None
    if measure in ("precision", "recall"):
        return Rate(beta=0 if measure == "precision" else np.inf)
    match = F_BETA.fullmatch(measure)
    return Rate(float(match[1])) if match and float(match[1]) > 0 else None


def names(types: Sequence[str]) -> str:
    """Describe the names of all metrics in a line."""
    return (
        f"[VIEW/][TYPE/]MEASURE, a view of {', '.join(VIEWS)}, a type of {', '.join(types)}, "
        "a measure of f1 (f2, f0.5), precision, recall, macro_f1; or recall@precision=.9, auc"
    )


F1 = metric_of("f1", ())
AUC = metric_of("auc", ())
