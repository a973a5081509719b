"""Rows of the report: a setting over its seeds, and how it differs from the baseline."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nersweep.evaluation.counts import from_dense
from nersweep.evaluation.inference import (
    Contrast,
    Standing,
    infer,
    mean_intervals,
)
from nersweep.evaluation.influence import Floats, Sample, measure
from nersweep.evaluation.metric import AUC, F1, EntityMetric
from nersweep.evaluation.planning import Outlook, foresee
from nersweep.report.records import Record
from nersweep.report.reference import NO_CLAIM, NO_REFERENCE, Claim, Reference
from nersweep.results.result import Result, Status

Interval = tuple[float, float]
NO_INTERVAL = (np.nan, np.nan)


@dataclass(frozen=True)
class Row:
    """A setting over its seeds, and over the folds of cross-validation.

    records: finished runs, by seed and fold. unfinished: the other runs. metric: what the row is
    judged by. interval: the 95% interval of its mean, from seeds and documents, as fractions.
    contrast and outlook: against the baseline, in points; None for the baseline and for a row that
    did not train. standing: among all rows. repeated: seeds with several finished runs, of which
    one counts. ranking: the contrast in the area under the precision–recall curve, if known.
    equals: other settings that made the same predictions, and count as this row.
    """

    setting: str
    records: tuple[Record, ...]
    unfinished: tuple[Result, ...] = ()
    metric: EntityMetric = F1
    interval: Interval = NO_INTERVAL
    claim: Claim = NO_CLAIM
    contrast: Contrast | None = None
    outlook: Outlook | None = None
    ranking: Contrast | None = None
    standing: Standing | None = None
    repeated: tuple[int, ...] = ()
    equals: tuple[str, ...] = ()

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(record.seed for record in self.records)

    @property
    def draws(self) -> tuple[int, ...]:
        """The seeds, each with its fold: what pairs the runs of two rows."""
        return tuple(record.draw for record in self.records)

    @property
    def loss(self) -> str | None:
        return self.records[0].loss if self.records else None

    @property
    def as_claimed(self) -> bool:
        """True if the row has the settings with which its claim was measured."""
        if not self.records:
            return False
        return self.claim.is_own(self.records[0].result.choice, self.records[0].config)

    @property
    def trained(self) -> bool:
        """False if no run of the row predicts an entity."""
        return any(record.counts[:, 1].any() for record in self.records)

    @property
    def improving(self) -> bool:
        """True if most runs were best at their last epoch."""
        last = [record.result.best_epoch == record.result.epochs for record in self.records]
        return 2 * sum(last) > len(last)

    @property
    def best(self) -> Record:
        """The run with the best metric on dev, or F1 if an older version has made one."""

        def on_dev(record: Record) -> tuple[float, float]:
            value = record.result.value("dev", self.metric)
            return 0.0 if np.isnan(value) else value, record.result.dev.f1

        return max(self.records, key=on_dev)

    def values(self, score: str = "") -> np.ndarray:
        """Return the metric of each seed, or a score by its name: f1, calibration_error/all."""
        if not score:
            return np.array([record.value(self.metric) for record in self.records])
        return np.array([record.scores[score] for record in self.records])

    def mean(self, score: str = "") -> float:
        """Return the mean of `values` over seeds; NaN if no run has finished.

        A type's score has no value in a run whose split lacks the type, as a fold may.
        """
        level, _, rest = score.partition("/")
        type_ = rest.rpartition("/")[0] if level == "types" else ""
        values: list[float] = []
        for record, value in zip(self.records, self.values(score), strict=True):
            if type_ not in record.types or record.support(type_):
                values.append(value)
        return float(np.mean(values)) if values else np.nan

    @property
    def sd(self) -> float:
        """Standard deviation of the metric over seeds; NaN below two."""
        return float(self.values().std(ddof=1)) if len(self.records) > 1 else np.nan

    @property
    def step_seconds(self) -> list[float]:
        """Time of an optimiser step, by seed. CPU time if the row was trained on CPUs."""
        return [record.step_seconds for record in self.records]

    @property
    def hardware(self) -> set[tuple[str, str]]:
        """The hardware that trained the row: cpu or cuda, with the name of the device."""
        hardware: set[tuple[str, str]] = set()
        for record in self.records:
            hardware.add((record.result.device.partition(":")[0], record.result.hardware))
        return hardware


def points(value: float) -> str:
    """Return a number of points with its sign. A small one gets up to four digits."""
    for digits in (2, 3, 4):
        text = f"{value:+.{digits}f}"
        if float(text):
            return text.replace("-", "−")
    return "0.00"


def outcome(run: Result) -> str:
    """Describe the end of a run that did not finish."""
    status = "not finished" if run.status == Status.RUNNING else str(run.status)
    return f"{status} ({run.error})" if run.error else status


def make_row(
    setting: str,
    records: Sequence[Record],
    unfinished: Sequence[Result] = (),
    reference: Reference = NO_REFERENCE,
    metric: EntityMetric = F1,
) -> Row:
    """Return a row. Of several finished runs of one seed and fold the last counts."""
    by_draw = {record.draw: record for record in records}
    runs_of_draw = Counter(record.draw for record in records)
    last = tuple(sorted(by_draw.values(), key=lambda record: (record.seed, record.draw)))
    return Row(
        setting,
        last,
        tuple(unfinished),
        metric,
        claim=reference.claim(last[0].result.choice, last[0].config) if last else NO_CLAIM,
        repeated=tuple(record.seed for record in last if runs_of_draw[record.draw] > 1),
    )


def merge_equal(rows: Sequence[Row], baseline: Row | None) -> list[Row]:
    """Return the rows with those of the same predictions as one, the baseline or else the first.

    Equal are counts by sentence, the confusion of labels, the training loss, and F1 on dev after
    each epoch, for every seed. Rows with unfinished runs, or without a predicted entity, stay.
    """
    groups: dict[object, list[Row]] = {}
    for row in rows:
        key: object = row.setting
        if row.trained and not row.unfinished:
            runs: list[object] = []
            for record in row.records:
                curve = tuple(epoch.dev.f1 for epoch in record.epochs)
                counts = record.counts.tobytes(), record.confusion.tobytes()
                runs.append((record.draw, counts, curve, tuple(record.losses)))
            key = tuple(runs)
        groups.setdefault(key, []).append(row)
    merged: list[Row] = []
    for group in groups.values():
        kept = min(group, key=lambda row: row is not baseline)
        equals = tuple(row.setting for row in group if row is not kept)
        merged.append(replace(kept, equals=equals))
    return merged


def with_verdicts(
    rows: Sequence[Row], baseline: Row | None, resolution: float, alpha: float
) -> list[Row]:
    """Return the rows with their intervals, and their contrast with the baseline.

    alpha: the level of all contrasts together. Rows that did not train are not compared. Without a
    baseline rows have a standing alone.
    """
    finished = [row for row in rows if row.records]
    intervals = dict(zip(names(finished), mean_intervals(samples_of(finished)), strict=True))
    compared = [row for row in finished if row.trained or row is baseline]
    compared.sort(key=lambda row: row is not baseline)
    samples = samples_of(compared)
    contrasts: dict[str, Contrast] = {}
    outlooks: dict[str, Outlook] = {}
    standings: dict[str, Standing] = {}
    rankings: dict[str, Contrast] = {}
    if len(samples) > 1:
        inference = infer(samples, resolution, alpha)
        standings = {standing.name: standing for standing in inference.standings}
        if baseline:
            contrasts = {contrast.name: contrast for contrast in inference.contrasts}
            outlooks = foresee(samples, resolution, alpha)
            if knows_curves(compared):
                by_area = samples_of([replace(row, metric=AUC) for row in compared])
                for contrast in infer(by_area, resolution, alpha).contrasts:
                    rankings[contrast.name] = contrast
    judged: list[Row] = []
    for row in rows:
        name = row.setting
        low, high = intervals.get(name, NO_INTERVAL)
        judged.append(
            replace(
                row,
                interval=(low / 100, high / 100),
                contrast=contrasts.get(name),
                outlook=outlooks.get(name),
                ranking=rankings.get(name),
                standing=standings.get(name),
            )
        )
    return judged


def knows_curves(rows: Sequence[Row]) -> bool:
    """True if all runs have the counts over τ of the same documents, or of splits of their own."""
    records = [record for row in rows for record in row.records]
    documents: set[int] = set()
    for record in records:
        documents.add(record.documents.curve.documents if record.documents.curve else 0)
    return 0 not in documents and (len(documents) == 1 or overlap_of(records) > 0)


def samples_of(rows: Sequence[Row]) -> list[Sample]:
    """Measure the rows: by document where all runs know the same documents, else by sentence.

    Runs with splits of their own have no common documents, and their scores alone count.
    """
    overlap = overlap_of([record for row in rows for record in row.records])
    kinds: set[tuple[int, tuple[str, ...]]] = set()
    for row in rows:
        kinds |= {(record.documents.documents, record.documents.types) for record in row.records}
    by_document = (overlap > 0 or len(kinds) == 1) and min(kinds)[0] > 0
    samples: list[Sample] = []
    for row in rows:
        counts: dict[int, Floats] = {}
        for record in row.records:
            documents = record.documents
            if not by_document:
                documents = from_dense((), None, record.counts[:, None, None])
            counts[record.draw] = record.counts_by(row.metric, documents)
        sample = measure(row.setting, counts, row.metric.rate)
        samples.append(sample.drawn(overlap) if overlap else sample)
    return samples


def overlap_of(records: Sequence[Record]) -> float:
    """Return ρ of runs with splits of their own: sentences scored for one trained on, their mean.

    0 if all have the same data.
    """
    if len({record.result.data.checksum for record in records}) < 2:
        return 0.0
    ratios: list[float] = []
    for record in records:
        sentences = record.result.data.sentences
        ratios.append(sentences[record.split] / sentences["train"])
    return float(np.mean(ratios))


def names(rows: Sequence[Row]) -> list[str]:
    """Return the settings of rows."""
    return [row.setting for row in rows]
