"""From runs to an answer: settings over their seeds, each against the baseline, and what may be concluded."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nersweep import stats
from nersweep.report.records import Record, setting_of

WORTHWHILE = 0.003  # a difference of F1 that one would like to see: .3 points
ALPHA = 0.05


@dataclass(frozen=True)
class Versus:
    """A row against the baseline, over the seeds that both have. difference: of mean F1, with its interval; p_seeds:
    of the sign-flip test over seeds, p_sentences: of approximate randomisation, both with Holm's correction over the
    rows in the adjusted ones. NaN where there is one seed."""

    seeds: tuple[int, ...]
    difference: float
    interval: tuple[float, float]
    p_seeds: float
    p_sentences: float
    g: float
    superiority: float
    order: float  # the bound of almost stochastic order, of this row over the baseline
    adjusted_seeds: float = np.nan
    adjusted_sentences: float = np.nan


@dataclass(frozen=True)
class Row:
    """A setting over its seeds. records: those that finished, by seed; unfinished: a line for each that did not."""

    setting: str
    records: tuple[Record, ...]
    unfinished: tuple[str, ...]
    interval: tuple[float, float]
    claimed: Mapping[str, Any] = field(default_factory=dict)
    versus: Versus | None = None

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(record.seed for record in self.records)

    def values(self, score: str) -> np.ndarray:
        """A score of each seed, by its flat name: f1, PER/f1, calibration_error/all."""
        return np.array([record.scores[score] for record in self.records])

    def mean(self, score: str = "f1") -> float:
        return float(self.values(score).mean()) if self.records else np.nan

    @property
    def sd(self) -> float:
        return float(self.values("f1").std(ddof=1)) if len(self.records) > 1 else np.nan

    @property
    def shifted(self) -> float:
        """Mean F1 with the τ that was the best on dev."""
        found = [record.result["analysis"]["threshold"] for record in self.records]
        return float(np.mean([of[record.split]["f1"] for of, record in zip(found, self.records, strict=True)]))

    @property
    def step_seconds(self) -> float:
        """Of an optimiser step, the median over seeds: CPU seconds on a CPU, where other work on the machine stretches
        the wall clock; else seconds."""
        on_cpu = self.records[0].result["device"] == "cpu"
        of = [r.result["cpu_seconds"] if on_cpu else r.result["seconds"]["train"] for r in self.records]
        return float(np.median([s / r.steps for s, r in zip(of, self.records, strict=True)]))


@dataclass(frozen=True)
class Comparison:
    """The answer. rows: in the order of the claims, else the best first; those without a finished run last. baseline:
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
        entities = self.first.result["data"]["entities"]
        there = [t for t in self.types if self.first.result[self.split]["types"][t]["support"]] or self.types
        return min(there, key=lambda type_: (entities[type_], type_))

    @property
    def timed(self) -> str:
        """The row whose time is 1: as the claims have it, else the baseline, else the first."""
        wanted = self.reference.get("time_of") or self.baseline
        own = (r for r in self.finished if wanted in (r.setting, loss_of(r.records)))
        return next(own, self.finished[0]).setting

    def time_ratio(self, row: Row) -> float:
        """Of an optimiser step."""
        return row.step_seconds / next(r for r in self.finished if r.setting == self.timed).step_seconds


def compare(records: Sequence[Record], baseline: str, reference: Mapping[str, Any] = {}) -> Comparison:
    """baseline: a setting, as the rows name it, or a loss. reference: as conf/reference has it, for the data set.

    Raises ValueError where no run has finished, and for runs of different data, as these cannot stand in one table.
    """
    if not any(record.finished for record in records):
        raise ValueError("no finished run among those asked for; the sweep's command goes on with them")
    if lines := data_faults([record for record in records if record.finished]):
        raise ValueError("\n".join(lines))
    rows = [row_of(setting, group, reference) for setting, group in grouped(records).items()]
    there = [row for row in rows if row.records]
    base = next((row for row in there if row.setting == baseline), None)
    base = base or next((row for row in there if loss_of(row.records) == baseline), None)
    rows = against(rows, base)
    claims = list(reference.get("rows", {}))
    rows.sort(key=lambda row: claims.index(loss_of(row.records)) if loss_of(row.records) in claims else len(claims))
    if not claims:
        rows.sort(key=lambda row: -row.mean() if row.records else np.inf)
    rows.sort(key=lambda row: not row.records)
    name = base.setting if base else None
    split = records[0].split
    return Comparison(
        tuple(rows), name, reference, split, tuple(notes(rows, base, baseline)), tuple(conclusions(rows, base))
    )


def grouped(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Runs by setting, under names that tell the settings apart."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        key = json.dumps(setting_of(record.config), sort_keys=True) if "config" in record.result else setting(record)
        groups.setdefault(key, []).append(record)
    names = [setting(group[0]) for group in groups.values()]
    parts = [setting_of(g[0].config) if "config" in g[0].result else {} for g in groups.values()]
    shown = []
    for name, own in zip(names, parts, strict=True):
        alike = [other for other_name, other in zip(names, parts, strict=True) if other_name == name]
        differing = [key for key in own if any(other.get(key) != own[key] for other in alike)]
        shown.append(" ".join([name, *(f"{key}={own[key]}" for key in differing)]))
    unique = {}
    for name, group in zip(shown, groups.values(), strict=True):
        unique.setdefault(name, []).extend(group)
    return unique


def setting(record: Record) -> str:
    return record.name.rpartition("-s")[0]


def loss_of(records: Sequence[Record]) -> str | None:
    return records[0].config["choice"]["loss"] if records else None


def data_faults(finished: Sequence[Record]) -> list[str]:
    """A line for each run whose data are not those of the first."""
    first, lines = finished[0], []
    for record in finished[1:]:
        same = record.result["data"]["checksum"] == first.result["data"]["checksum"]
        if not (same and record.split == first.split and len(record.counts) == len(first.counts)):
            names = " and ".join(f"{r.name} ({r.config['choice']['data']})" for r in (first, record))
            lines.append(f"{names}: have other data, and cannot stand in one table; choose the runs of one")
    return lines


def row_of(name: str, group: Sequence[Record], reference: Mapping[str, Any]) -> Row:
    """Of two finished runs of one seed, such as of two versions, the last stands."""
    finished = {record.seed: record for record in group if record.finished}
    done = tuple(finished[seed] for seed in sorted(finished))
    left = tuple(
        f"{record.name}: {record.result['status'].replace('running', 'not finished')}"
        + (f" ({record.result['error']})" if record.result.get("error") else "")
        for record in group
        if not record.finished
    )
    interval = (np.nan, np.nan)
    if done:
        resampled = stats.resampled_f1(np.stack([record.counts for record in done]))
        observed = np.array([record.scores["f1"] for record in done])
        interval = between(resampled, observed)
    claimed = reference.get("rows", {}).get(loss_of(done), {}) if done else {}
    return Row(name, done, left, interval, claimed)


def between(resampled: np.ndarray, observed: np.ndarray) -> tuple[float, float]:
    """Of a mean over seeds; with one seed over the sentences alone."""
    of_seeds = len(observed) > 1
    low, high = stats.student_interval(resampled, observed) if of_seeds else stats.bootstrap_interval(resampled)
    return float(low), float(high)


def against(rows: Sequence[Row], base: Row | None) -> list[Row]:
    """The rows with what they are against the baseline."""
    if base is None:
        return list(rows)
    found = {row.setting: versus(row, base) for row in rows if row is not base and row.records}
    found = {setting: of for setting, of in found.items() if of}
    seeds, sentences = (stats.holm([getattr(of, p) for of in found.values()]) for p in ("p_seeds", "p_sentences"))
    found = {
        setting: replace(of, adjusted_seeds=float(p), adjusted_sentences=float(q))
        for (setting, of), p, q in zip(found.items(), seeds, sentences, strict=True)
    }
    return [replace(row, versus=found.get(row.setting)) for row in rows]


def versus(row: Row, base: Row) -> Versus | None:
    """None where no seed is in both."""
    shared = tuple(sorted(set(row.seeds) & set(base.seeds)))
    if not shared:
        return None
    mine, other = ([r for r in x.records if r.seed in shared] for x in (row, base))
    a, b = (np.stack([record.counts for record in x]) for x in (mine, other))
    x, y = (np.array([record.scores["f1"] for record in of]) for of in (mine, other))
    several = len(shared) > 1
    return Versus(
        seeds=shared,
        difference=float(x.mean() - y.mean()),
        interval=between(stats.resampled_f1(a) - stats.resampled_f1(b), x - y),
        p_seeds=stats.sign_flip(x - y) if several else np.nan,
        p_sentences=stats.approximate_randomisation(a, b) if several else np.nan,
        g=stats.hedges_g(x, y),
        superiority=stats.superiority(x, y) if several else np.nan,
        order=stats.almost_stochastic_order(x, y) if several else np.nan,
    )


def notes(rows: Sequence[Row], base: Row | None, asked: str) -> list[str]:
    """What a reader must know beside the table."""
    lines = []
    there = [row for row in rows if row.records]
    versions = sorted({r.result["versions"]["nersweep"] for row in there for r in row.records})
    if len(versions) > 1:
        lines.append(f"runs of different versions stand side by side: {', '.join(versions)}")
    if base is None and len(there) > 1:
        lines.append(f"baseline={asked}: no such row, so that nothing is compared; there are {names_of(there)}")
    most = max(len(row.seeds) for row in there)
    if most == 1:
        lines.append("one seed: no test can tell a difference from chance; intervals are over sentences alone")
    elif base:
        short = [row for row in there if row.seeds != base.seeds]
        if short:
            lines.append(
                f"not the same seeds as {base.setting}: {names_of(short)}; compared over those that are shared"
            )
        lines.append(
            f"with {len(base.seeds)} seeds the sign-flip test over seeds cannot give a p below "
            f"{stats.smallest_p(len(base.seeds)):.3g}"
        )
    return lines


def names_of(rows: Sequence[Row]) -> str:
    return ", ".join(row.setting for row in rows)


def conclusions(rows: Sequence[Row], base: Row | None) -> list[str]:
    """What may be concluded and what not, in plain words, a sentence for each row."""
    return [conclusion(row, base) for row in rows if row.versus and len(row.versus.seeds) > 1]


def conclusion(row: Row, base: Row) -> str:
    """A difference is seen where the interval over seeds and sentences leaves out 0 and the test over seeds agrees, or
    could not."""
    against, n = row.versus, len(row.versus.seeds)
    points, (low, high) = 100 * against.difference, (100 * x for x in against.interval)
    measured = f"{points:+.2f} points of F1, 95% interval {low:+.2f} to {high:+.2f}"
    seen, enough = not low <= 0 <= high, stats.smallest_p(n) <= ALPHA
    if seen and against.adjusted_seeds <= ALPHA:
        word = "better" if points > 0 else "worse"
        return f"{row.setting} is {word} than {base.setting}: {measured}, p = {against.adjusted_seeds:.3g} after Holm."
    if seen and not enough:
        word = "better" if points > 0 else "worse"
        return (
            f"{row.setting} seems {word} than {base.setting}: {measured}; {n} seeds are too few for the test over "
            f"seeds to confirm it (its p cannot go below {stats.smallest_p(n):.3g})."
        )
    sd = float(np.sqrt((row.sd**2 + base.sd**2) / 2))
    needed = f"; {stats.seeds_needed(sd, WORTHWHILE)} are needed to see {100 * WORTHWHILE:.1f} points" if sd > 0 else ""
    return f"No difference between {row.setting} and {base.setting} can be seen with {n} seeds{needed}: {measured}."
