"""A setting over its seeds, and what it is against the baseline."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nersweep.evaluation import stats
from nersweep.report.records import Record

ALPHA = 0.05
ORDERED = 5  # seeds, from which on almost stochastic order says something


@dataclass(frozen=True)
class Versus:
    """A row against the baseline, over the seeds that both have. difference: of mean F1, with its 95% interval, and
    with one so wide that all of the tested rows' hold at once (Bonferroni); p_seeds: of the sign-flip test over seeds,
    p_sentences: of approximate randomisation, both with Holm's correction over the rows in the adjusted ones. NaN where
    there is one seed. tested: how many rows have several."""

    seeds: tuple[int, ...]
    difference: float
    interval: tuple[float, float]
    corrected: tuple[float, float]
    tested: int
    p_seeds: float
    p_sentences: float
    g: float
    superiority: float
    order: float  # the bound of almost stochastic order, of this row over the baseline; NaN below five seeds
    adjusted_seeds: float = np.nan
    adjusted_sentences: float = np.nan


@dataclass(frozen=True)
class Row:
    """A setting over its seeds. records: those that finished, by seed; unfinished: (seed, what became of it) of each
    other; doubled: seeds of which several runs finished."""

    setting: str
    records: tuple[Record, ...]
    unfinished: tuple[tuple[str, str], ...]
    interval: tuple[float, float]
    claimed: Mapping[str, Any] = field(default_factory=dict)
    versus: Versus | None = None
    doubled: tuple[int, ...] = ()

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
    def tau(self) -> float:
        """The mean of the τ that were the best on dev."""
        return float(np.mean([record.result.analysis.threshold.tau for record in self.records]))

    @property
    def shifted(self) -> float:
        """Mean F1 with the τ that was the best on dev."""
        found = [record.result.analysis.threshold for record in self.records]
        return float(
            np.mean(
                [
                    getattr(of, record.split).f1
                    for of, record in zip(found, self.records, strict=True)
                ]
            )
        )

    @property
    def step_seconds(self) -> list[float]:
        """Of an optimiser step, by seed: CPU seconds on a CPU, where other work on the machine stretches the wall
        clock; else seconds."""
        on_cpu = self.records[0].result.device == "cpu"
        of = [r.result.cpu_seconds if on_cpu else r.result.seconds.train for r in self.records]
        return [s / r.steps for s, r in zip(of, self.records, strict=True)]


def points(share: float) -> str:
    """A difference of F1 in points, with its sign; a small one has up to four digits, so that it does not look like
    none."""
    shown = (f"{100 * share:+.{digits}f}" for digits in (2, 3, 4))
    return next((text for text in shown if float(text)), "0.00")


def loss_of(records: Sequence[Record]) -> str | None:
    return records[0].config["choice"]["loss"] if records else None


def row_of(name: str, group: Sequence[Record], reference: Mapping[str, Any]) -> Row:
    """Of several finished runs of one seed the last of the group stands."""
    finished = {record.seed: record for record in group if record.finished}
    counts = Counter(record.seed for record in group if record.finished)
    done = tuple(finished[seed] for seed in sorted(finished))
    left = tuple(
        (
            str(record.seed),
            record.result.status.replace("running", "not finished")
            + (f" ({record.result.error})" if record.result.error else ""),
        )
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
    return Row(
        name,
        done,
        left,
        interval,
        claimed,
        doubled=tuple(sorted(seed for seed, n in counts.items() if n > 1)),
    )


def between(
    resampled: np.ndarray, observed: np.ndarray, level: float = stats.LEVEL
) -> tuple[float, float]:
    """Of a mean over seeds; with one seed over the sentences alone."""
    if len(observed) > 1:
        low, high = stats.student_interval(resampled, observed, level=level)
    else:
        low, high = stats.bootstrap_interval(resampled, level=level)
    return float(low), float(high)


def against(rows: Sequence[Row], base: Row | None) -> list[Row]:
    """The rows with what they are against the baseline."""
    if base is None:
        return list(rows)
    others = [row for row in rows if row is not base and shared(row, base)]
    tested = sum(len(shared(row, base)) > 1 for row in others)
    found = {row.setting: versus(row, base, tested) for row in others}
    seeds, sentences = (
        stats.holm([getattr(of, p) for of in found.values()]) for p in ("p_seeds", "p_sentences")
    )
    found = {
        setting: replace(of, adjusted_seeds=float(p), adjusted_sentences=float(q))
        for (setting, of), p, q in zip(found.items(), seeds, sentences, strict=True)
    }
    return [replace(row, versus=found.get(row.setting)) for row in rows]


def shared(row: Row, base: Row) -> tuple[int, ...]:
    """The seeds that both have."""
    return tuple(sorted(set(row.seeds) & set(base.seeds)))


def versus(row: Row, base: Row, tested: int) -> Versus:
    seeds = shared(row, base)
    mine, other = ([r for r in x.records if r.seed in seeds] for x in (row, base))
    a, b = (np.stack([record.counts for record in x]) for x in (mine, other))
    x, y = (np.array([record.scores["f1"] for record in of]) for of in (mine, other))
    several, resampled = len(seeds) > 1, stats.resampled_f1(a) - stats.resampled_f1(b)
    return Versus(
        seeds=seeds,
        difference=float(x.mean() - y.mean()),
        interval=between(resampled, x - y),
        corrected=between(resampled, x - y, 1 - (1 - stats.LEVEL) / max(tested, 1)),
        tested=tested,
        p_seeds=stats.sign_flip(x - y) if several else np.nan,
        p_sentences=stats.approximate_randomisation(a, b) if several else np.nan,
        g=stats.hedges_g(x, y),
        superiority=stats.superiority(x, y) if several else np.nan,
        order=stats.almost_stochastic_order(x, y) if len(seeds) >= ORDERED else np.nan,
    )
