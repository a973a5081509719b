"""From runs to an answer: settings over their seeds, each against the baseline, and what may be concluded."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nersweep import stats
from nersweep.faults import shown
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
        entities = self.first.result["data"]["entities"]
        there = [t for t in self.types if self.first.result[self.split]["types"][t]["support"]] or self.types
        return min(there, key=lambda type_: (entities[type_], type_))

    @property
    def timed(self) -> str:
        """The row whose time is 1: as the claims have it, else the baseline, else the first."""
        claimed = next((r.setting for r in self.finished if loss_of(r.records) == self.reference.get("time_of")), None)
        return claimed or self.baseline or self.finished[0].setting

    def time_ratio(self, row: Row) -> float:
        """Of an optimiser step."""
        return row.step_seconds / next(r for r in self.finished if r.setting == self.timed).step_seconds


def compare(records: Sequence[Record], baseline: str, reference: Mapping[str, Any] = {}) -> Comparison:
    """baseline: a setting, as the rows name it, or a loss. reference: as conf/reference has it, for the data set.

    Raises ValueError where no run has finished, and for runs of different data, as these cannot stand in one table.
    """
    if not any(record.finished for record in records):
        raise ValueError("no finished run among those asked for; the sweep's command goes on with them")
    refuse_mixed([record for record in records if record.finished])
    records = sorted(records, key=lambda record: (record.name, version_of(record)))  # wherever they come from
    rows = [row_of(setting, group, reference) for setting, group in grouped(records).items()]
    there = [row for row in rows if row.records]
    base = next((row for row in there if row.setting == baseline), None)
    base = base or next((row for row in there if loss_of(row.records) == baseline), None)
    rows = against(rows, base)
    claims = {loss: place for place, loss in enumerate(reference.get("rows", {}))}
    rows.sort(
        key=lambda row: (not row.records, claims.get(loss_of(row.records), len(claims)), -row.mean(), row.setting)
    )
    name = base.setting if base else None
    split = records[0].split
    return Comparison(
        tuple(rows), name, reference, split, tuple(notes(rows, base, baseline)), tuple(conclusions(rows, base))
    )


def grouped(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Runs by setting, under names that tell the settings apart. A run that left no configuration, as it did not
    finish, is with those of its name where these have one setting."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        if "config" in record.result:
            groups.setdefault(json.dumps(setting_of(record.config), sort_keys=True), []).append(record)
    settings = [(setting(group[0]), setting_of(group[0].config)) for group in groups.values()]
    found: dict[str, list[Record]] = {}
    for (name, own), group in zip(settings, groups.values(), strict=True):
        alike = [other for other_name, other in settings if other_name == name]
        differing = [key for key in own if any(other.get(key) != own[key] for other in alike)]
        found.setdefault(" ".join([name, *(f"{key}={shown(own[key])}" for key in differing)]), []).extend(group)
    for record in records:
        if "config" not in record.result:
            name = setting(record)
            own = [place for place, group in found.items() if setting(group[0]) == name]
            found.setdefault(own[0] if len(own) == 1 else name, []).append(record)
    return found


def setting(record: Record) -> str:
    return record.name.rpartition("-s")[0]


def loss_of(records: Sequence[Record]) -> str | None:
    return records[0].config["choice"]["loss"] if records else None


def version_of(record: Record) -> list[int]:
    """To sort by; empty where it is not known."""
    return [int(part) for part in re.findall(r"\d+", record.result.get("versions", {}).get("nersweep", ""))]


def refuse_mixed(finished: Sequence[Record]) -> None:
    """Raises ValueError, a line that names them, for runs of different data or splits."""
    kinds: dict[tuple[Any, ...], list[Record]] = {}
    for record in finished:
        gold = record.counts[:, 2].tobytes()
        kinds.setdefault((record.result["data"]["checksum"], record.split, gold), []).append(record)
    if len(kinds) > 1:
        told = [
            f"{of[0].name}{f' and {len(of) - 1} more' * (len(of) > 1)} ({of[0].config['choice']['data']}, "
            f"{of[0].split}, {of[0].result['data']['checksum'][:8]})"
            for of in kinds.values()
        ]
        raise ValueError(f"{'; '.join(told)}: have different data, and cannot stand in one table; choose those of one")


def row_of(name: str, group: Sequence[Record], reference: Mapping[str, Any]) -> Row:
    """Of two finished runs of one seed, that of the later version stands."""
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
        low, high = between(resampled, observed)
        interval = max(low, 0.0), min(high, 1.0)
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
    results = [record.result for row in there for record in row.records]
    first = there[0].records[0]
    models = sorted({record.config["choice"]["model"] for row in there for record in row.records})
    lines.append(f"data {first.config['choice']['data']}, scored on {first.split}; model {', '.join(models)}")
    if first.split == "dev":
        lines.append("dev chose the best epoch, and in a study the settings too: its scores are too high for new data")
    versions = sorted({result["versions"]["nersweep"] for result in results})
    if len(versions) > 1:
        lines.append(f"runs of different versions of nersweep stand side by side: {', '.join(versions)}")
    machines = sorted({f"{result['device']}, {result['hardware']}" for result in results})
    if len(machines) > 1:
        lines.append(f"runs of different machines, whose times cannot be compared: {'; '.join(machines)}")
    if base is None and len(there) > 1:
        lines.append(f"baseline={asked}: no such row, so that nothing is compared; there are {names_of(there)}")
    elif base and base.setting != asked:
        rivals = [row for row in there if loss_of(row.records) == asked and row.setting != base.setting]
        if rivals:
            lines.append(f"baseline={asked}: {base.setting} is taken, as it comes first; also {names_of(rivals)}")
    most = max(len(row.seeds) for row in there)
    if most == 1:
        lines.append("one seed: no test can tell a difference from chance; intervals are over sentences alone")
    elif base:
        other = [row for row in there if row.seeds != base.seeds]
        if other:
            lines.append(
                f"not the same seeds as {base.setting}: {names_of(other)}; compared over those that are shared, if any"
            )
        tested = sum(bool(row.versus) and len(row.versus.seeds) > 1 for row in there)
        if tested:
            n = max(len(row.versus.seeds) for row in there if row.versus)
            least = stats.smallest_p(n)
            holm = f", {min(tested * least, 1):.3g} after Holm's correction for {tested} rows" if tested > 1 else ""
            lines.append(f"with {n} seeds the sign-flip test over seeds cannot give a p below {least:.3g}{holm}")
    return lines


def names_of(rows: Sequence[Row]) -> str:
    return ", ".join(row.setting for row in rows)


def conclusions(rows: Sequence[Row], base: Row | None) -> list[str]:
    """What may be concluded and what not, in plain words, for each row that was tested."""
    return [conclusion(row, base) for row in rows if row.versus and len(row.versus.seeds) > 1]


def conclusion(row: Row, base: Row) -> str:
    """A difference is seen where the interval over seeds and sentences leaves out 0 and the test over seeds agrees; it
    seems to be there where that test could not agree, as there are too few seeds."""
    against, n = row.versus, len(row.versus.seeds)
    points, (low, high) = 100 * against.difference, (100 * x for x in against.interval)
    measured = f"{points:+.2f} points of F1, 95% interval {low:+.2f} to {high:+.2f}"
    seen, enough = not low <= 0 <= high, stats.smallest_p(n) <= ALPHA
    confirmed, p = against.adjusted_seeds <= ALPHA, f"p = {against.adjusted_seeds:.3g} after Holm's correction"
    word = "better" if points > 0 else "worse"
    if seen and confirmed:
        return f"{row.setting} is {word} than {base.setting} on these data: {measured}, {p}."
    if seen and not enough:
        return (
            f"{row.setting} seems {word} than {base.setting}: {measured}; {n} seeds are too few for the test over "
            f"seeds to confirm it (its p cannot go below {stats.smallest_p(n):.3g})."
        )
    told = [f"No difference between {row.setting} and {base.setting} can be seen with {n} seeds: {measured}"]
    if seen:
        told[0] += f"; the interval leaves out 0, but the test over seeds does not confirm it ({p})"
    elif confirmed:
        told[0] += f"; the seeds agree ({p}), but chance in the sentences of this test set could explain it"
    sd = float(np.sqrt((row.sd**2 + base.sd**2) / 2))
    needed = stats.seeds_needed(sd, WORTHWHILE) if sd > 0 else 0
    if needed > n:
        told.append(f"To see {100 * WORTHWHILE:.1f} points, about {needed:,} seeds for each are needed")
    if against.adjusted_sentences <= ALPHA:
        told.append(
            f"These very models do differ (p = {against.adjusted_sentences:.3g} over sentences), which says nothing of "
            "other seeds"
        )
    return ". ".join(told) + "."
