"""From runs to rows: settings over their seeds, each against the baseline, and the conclusions."""

import json
import math
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nersweep.evaluation.inference import ALPHA
from nersweep.evaluation.metric import F1, EntityMetric, metric_of
from nersweep.faults import Fault, UserError, shown
from nersweep.report.conclusions import NO_DECISION, Decision, conclude, decide
from nersweep.report.notes import write_notes
from nersweep.report.records import Record, Run
from nersweep.report.reference import NO_REFERENCE, Reference
from nersweep.report.rows import Row, make_row, merge_equal, with_verdicts
from nersweep.results.baseline import baseline_of
from nersweep.results.result import Result
from nersweep.results.tuning import Tuning


@dataclass(frozen=True)
class Comparison:
    """The rows of a report and what follows from them.

    rows: in the order of the reference, then by the metric, those with the settings of its source
    after the others; rows without a finished run last. baseline: the setting that the others are
    compared with, None if there is none. notes: what a reader must know beside the tables.
    decision: which setting to take. conclusions: a sentence per row. resolution: the smallest
    difference of interest, in points. alpha: the level of all contrasts together. metric: what the
    rows are judged by. tuning: how the rows were tuned, None if unknown.
    """

    rows: tuple[Row, ...]
    baseline: str | None
    split: str
    reference: Reference = NO_REFERENCE
    notes: tuple[str, ...] = ()
    conclusions: tuple[str, ...] = ()
    decision: Decision = NO_DECISION
    resolution: float = 0.5
    alpha: float = ALPHA
    metric: EntityMetric = F1
    tuning: Tuning | None = None

    @property
    def finished(self) -> list[Row]:
        """The rows that have a finished run."""
        return [row for row in self.rows if row.records]

    @property
    def records(self) -> list[Record]:
        """The finished runs of all rows."""
        records: list[Record] = []
        for row in self.rows:
            records += row.records
        return records

    @property
    def first(self) -> Record:
        return self.finished[0].records[0]

    @property
    def types(self) -> list[str]:
        return self.first.types

    @property
    def rarest(self) -> str:
        """The type with the fewest entities in training, of those that the scored split has."""
        types = [type_ for type_ in self.types if self.first.support(type_)] or self.types
        entities = self.first.result.data.entities
        return min(types, key=lambda type_: (entities[type_], type_))

    @property
    def time_unit(self) -> Row:
        """The row whose time is 1: the reference's choice, else the baseline, else the first."""
        for row in self.finished:
            if row.loss == self.reference.time_of:
                return row
        for row in self.finished:
            if row.setting == self.baseline:
                return row
        return self.finished[0]

    def time_ratio(
        self, row: Row, average: Callable[[Sequence[float]], float] = statistics.median
    ) -> float:
        """Return the time of a row's optimiser step as a multiple of the time unit's median.

        average: over seeds; min and max give the range. NaN unless all runs of both rows had the
        same hardware.
        """
        if len(row.hardware | self.time_unit.hardware) > 1:
            return math.nan
        return average(row.step_seconds) / statistics.median(self.time_unit.step_seconds)


def compare(
    runs: Sequence[Run],
    baseline: str,
    split: str,
    reference: Reference = NO_REFERENCE,
    study_size: int = 0,
    resolution: float = 0.5,
    alpha: float = ALPHA,
    metric: str | None = None,
) -> Comparison:
    """Compare runs of one data set.

    baseline: a setting as the rows name it, or a loss. study_size: settings that a study tried, if
    these are its runs. resolution: the smallest difference of interest, in points. alpha: the level
    of all contrasts together. metric: its name, by default that of the runs. Raises UserError if no
    run has finished, if the runs' data or metrics differ, or if the split lacks the metric's type.
    """
    records = [run for run in runs if isinstance(run, Record)]
    unfinished = [run for run in runs if isinstance(run, Result)]
    if not records:
        remedy = "repeat the sweep's command to resume them"
        raise UserError(Fault("no run has finished", remedy=remedy))
    refuse_different_data(records)
    judge = metric_of(metric or common_metric(records), records[0].types)
    if judge.type_ and not all(record.support(judge.type_) for record in records):
        must = f"{split} has no entity of {judge.type_}, so it tells nothing"
        raise UserError(Fault("metric", judge.name, must, "set another metric or split"))
    records.sort(key=lambda record: (record.setting, record.seed, *age(record)))
    unfinished.sort(key=lambda run: (run.name, run.fingerprint))
    settings = group_by_setting(records)
    rest = assign_unfinished(unfinished, settings)
    rows: list[Row] = []
    for setting in settings.keys() | rest.keys():
        row = make_row(setting, settings.get(setting, ()), rest.get(setting, ()), reference, judge)
        rows.append(row)
    claims = list(reference.rows.values())

    def place(row: Row) -> tuple[bool, bool, int, float, str]:
        claim = claims.index(row.claim) if row.claim in claims else len(claims)
        value = row.mean() if row.records else 0.0
        return not row.records, row.as_claimed, claim, -value, row.setting

    rows.sort(key=place)
    finished = [row for row in rows if row.records]
    rows = merge_equal(rows, baseline_of(finished, baseline))
    base = baseline_of((row for row in rows if row.records), baseline)
    rows = with_verdicts(rows, base, resolution, alpha)
    return Comparison(
        tuple(rows),
        base.setting if base else None,
        split,
        reference,
        tuple(write_notes(rows, base, baseline, study_size)),
        tuple(conclude(rows, base, resolution)),
        decide(rows, base),
        resolution,
        alpha,
        judge,
    )


def common_metric(runs: Sequence[Run]) -> str:
    """Return the name of the metric of all finished runs. Raises UserError if they differ."""
    names = sorted({run.result.metric.name for run in runs if isinstance(run, Record)})
    if len(names) > 1:
        remedy = "set metric=NAME to report all by one"
        raise UserError(Fault("metric", ", ".join(names), "differs between the runs", remedy))
    return names[0] if names else "f1"


def age(record: Record) -> tuple[list[int], str]:
    """Return a key that sorts runs of one seed by the version that made them."""
    version = record.result.versions.get("nersweep", "")
    return [int(part) for part in re.findall(r"\d+", version)], record.result.fingerprint


def group_by_setting(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Group runs that differ in their seed alone, under names that tell the groups apart."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        identity = json.dumps(record.identity, sort_keys=True)
        groups.setdefault(identity, []).append(record)
    firsts = [group[0] for group in groups.values()]
    settings: dict[str, list[Record]] = {}
    for group in groups.values():
        settings.setdefault(full_name(group[0], firsts), []).extend(group)
    return settings


def full_name(record: Record, others: Sequence[Record]) -> str:
    """Return a setting's name with all overrides in which others of the same name differ."""
    name = record.setting
    for key, value in record.identity.items():
        for other in others:
            if other.setting == record.setting and other.identity.get(key) != value:
                name += f" {key}={shown(value)}"
                break
    return name


def assign_unfinished(
    unfinished: Sequence[Result], settings: dict[str, list[Record]]
) -> dict[str, list[Result]]:
    """Assign unfinished runs to the settings of their name.

    Such a run has left no configuration: if several settings share its name, it gets its own row.
    """
    rest: dict[str, list[Result]] = {}
    for run in unfinished:
        names = [name for name, group in settings.items() if group[0].setting == run.setting]
        name = names[0] if len(names) == 1 else run.setting
        rest.setdefault(name, []).append(run)
    return rest


def refuse_different_data(records: Sequence[Record]) -> None:
    """Raise UserError, which names the runs, if these are of different data or splits.

    Runs may have different splits of one corpus, those of one seed and fold the same.
    """
    groups: dict[tuple[str, str, bytes], list[Record]] = {}
    draws: dict[tuple[str, str, int], tuple[str, str, bytes]] = {}
    for record in records:
        key = record.result.data.checksum, record.split, record.counts[:, 2].tobytes()
        pool = record.result.data.pool
        if pool and key == draws.setdefault((pool, record.split, record.draw), key):
            key = pool, record.split, b""
        groups.setdefault(key, []).append(record)
    if len(groups) == 1:
        return
    names: list[str] = []
    for (checksum, split, _), group in groups.items():
        more = f" and {len(group) - 1} more" if len(group) > 1 else ""
        data = group[0].result.choice["data"]
        names.append(f"{group[0].result.name}{more} ({data}, {split}, {checksum[:8]})")
    reason = "have different data, and cannot be compared in one table"
    raise UserError(Fault("; ".join(names), must=reason, remedy="choose the runs of one data set"))
