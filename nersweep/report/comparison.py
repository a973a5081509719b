"""From runs to an answer: settings over their seeds, each against the baseline, and what may be concluded."""

import json
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nersweep.faults import shown
from nersweep.report.conclusions import conclusions, notes
from nersweep.report.records import Record, setting_of
from nersweep.report.rows import Row, against, loss_of, row_of


@dataclass(frozen=True)
class Comparison:
    """The answer. rows: in the order of the claims, then the best first; those without a finished run last. baseline:
    the setting that the others are compared to, None where it is not among them. reference: what is claimed of this
    data set, or empty. notes: what a reader must know beside the table."""

    rows: tuple[Row, ...]
    baseline: str | None
    reference: Mapping[str, Any]
    split: str
    notes: tuple[str, ...]
    conclusions: tuple[str, ...]

    @property
    def finished(self) -> list[Row]:
        return [row for row in self.rows if row.records]

    @property
    def first(self) -> Record:
        return self.finished[0].records[0]

    @property
    def types(self) -> list[str]:
        return self.first.types

    @property
    def rarest(self) -> str:
        """The type with the fewest entities in the training split, of those that the scored split has."""
        entities = self.first.result.data.entities
        there = [
            t for t in self.types if self.first.result.scores(self.split).types[t].support
        ] or self.types
        return min(there, key=lambda type_: (entities[type_], type_))

    @property
    def timed(self) -> str:
        """The row whose time is 1: as the claims have it, else the baseline, else the first."""
        claimed = next(
            (
                r.setting
                for r in self.finished
                if loss_of(r.records) == self.reference.get("time_of")
            ),
            None,
        )
        return claimed or self.baseline or self.finished[0].setting

    def time_ratio(
        self, row: Row, of: Callable[[Sequence[float]], float] = statistics.median
    ) -> float:
        """Of an optimiser step: the median of its seeds, or the `min` or `max` of them, to the median of the row that
        all are compared to."""
        timed = next(r for r in self.finished if r.setting == self.timed)
        return of(row.step_seconds) / statistics.median(timed.step_seconds)


def compare(
    records: Sequence[Record], baseline: str, reference: Mapping[str, Any] = {}, tried: int = 0
) -> Comparison:
    """baseline: a setting, as the rows name it, or a loss. reference: as conf/reference has it, for the data set.
    tried: how many settings a study did, where these are its runs.

    Raises ValueError where no run has finished, and for runs of different data, as these cannot stand in one table.
    """
    if not any(record.finished for record in records):
        raise ValueError(
            "no finished run among those asked for; the sweep's command goes on with them"
        )
    refuse_mixed([record for record in records if record.finished])
    records = sorted(records, key=lambda r: (r.name, version_of(r), r.result.fingerprint))
    rows = [row_of(setting, group, reference) for setting, group in grouped(records).items()]
    there = [row for row in rows if row.records]
    base = next((row for row in there if row.setting == baseline), None)
    base = base or next((row for row in there if loss_of(row.records) == baseline), None)
    rows = against(rows, base)
    claims = {loss: place for place, loss in enumerate(reference.get("rows", {}))}
    rows.sort(
        key=lambda row: (
            not row.records,
            claims.get(loss_of(row.records), len(claims)),
            -row.mean(),
            row.setting,
        )
    )
    name = base.setting if base else None
    split = records[0].split
    told = notes(rows, base, baseline, tried)
    return Comparison(
        tuple(rows), name, reference, split, tuple(told), tuple(conclusions(rows, base))
    )


def grouped(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Runs by setting, under names that tell the settings apart. A run that left no configuration, as it did not
    finish, is with those of its name where these have one setting."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.finished:
            groups.setdefault(json.dumps(setting_of(record), sort_keys=True), []).append(record)
    settings = [(setting(group[0]), setting_of(group[0])) for group in groups.values()]
    found: dict[str, list[Record]] = {}
    for (name, own), group in zip(settings, groups.values(), strict=True):
        alike = [other for other_name, other in settings if other_name == name]
        differing = [key for key in own if any(other.get(key) != own[key] for other in alike)]
        found.setdefault(
            " ".join([name, *(f"{key}={shown(own[key])}" for key in differing)]), []
        ).extend(group)
    for record in records:
        if not record.finished:
            name = setting(record)
            own = [place for place, group in found.items() if setting(group[0]) == name]
            found.setdefault(own[0] if len(own) == 1 else name, []).append(record)
    return found


def setting(record: Record) -> str:
    return record.result.setting


def version_of(record: Record) -> list[int]:
    """To sort by; empty where it is not known."""
    version = record.result.versions.get("nersweep", "") if record.finished else ""
    return [int(part) for part in re.findall(r"\d+", version)]


def refuse_mixed(finished: Sequence[Record]) -> None:
    """Raises ValueError, a line that names them, for runs of different data or splits."""
    kinds: dict[tuple[Any, ...], list[Record]] = {}
    for record in finished:
        gold = record.counts[:, 2].tobytes()
        kinds.setdefault((record.result.data.checksum, record.split, gold), []).append(record)
    if len(kinds) > 1:
        told = [
            f"{of[0].name}{f' and {len(of) - 1} more' * (len(of) > 1)} ({of[0].config['choice']['data']}, "
            f"{of[0].split}, {of[0].result.data.checksum[:8]})"
            for of in kinds.values()
        ]
        raise ValueError(
            f"{'; '.join(told)}: have different data, and cannot stand in one table; choose those of one"
        )
