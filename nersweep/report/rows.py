"""Rows of the report: a setting over its seeds, and how it differs from the baseline."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nersweep.evaluation import stats
from nersweep.report.records import Record
from nersweep.report.reference import NO_CLAIM, NO_REFERENCE, Claim, Reference
from nersweep.results.result import Result, Status

ORDER_SEEDS = 5  # the fewest for which almost stochastic order says something
Interval = tuple[float, float]
NO_INTERVAL = (np.nan, np.nan)


@dataclass(frozen=True)
class Contrast:
    """The difference between a row and the baseline, over the seeds that both have.

    difference: of mean F1, as a fraction; interval: its 95% interval; corrected: an interval so
    wide that those of all tested rows hold together (Bonferroni). tested: rows that share several
    seeds with the baseline. p_seeds: of the sign-flip test over seeds; p_sentences: of approximate
    randomisation over sentences; adjusted_seeds, adjusted_sentences: the same after Holm's
    correction. g: Hedges' g. superiority: the share of pairs of runs in which the row wins.
    order: the bound of almost stochastic order. NaN: too few seeds.
    """

    seeds: tuple[int, ...]
    difference: float
    interval: Interval
    corrected: Interval
    tested: int
    p_seeds: float
    p_sentences: float
    g: float
    superiority: float
    order: float
    adjusted_seeds: float = np.nan
    adjusted_sentences: float = np.nan

    @property
    def includes_zero(self) -> bool:
        """True if the 95% interval does not tell the sign of the difference."""
        return self.interval[0] <= 0 <= self.interval[1]


@dataclass(frozen=True)
class Row:
    """A setting over its seeds.

    records: finished runs, by seed. unfinished: the other runs. interval: the 95% interval of mean
    F1. repeated: seeds with several finished runs, of which one counts.
    """

    setting: str
    records: tuple[Record, ...]
    unfinished: tuple[Result, ...] = ()
    interval: Interval = NO_INTERVAL
    claim: Claim = NO_CLAIM
    contrast: Contrast | None = None
    repeated: tuple[int, ...] = ()

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(record.seed for record in self.records)

    @property
    def loss(self) -> str | None:
        return self.records[0].loss if self.records else None

    def values(self, score: str) -> np.ndarray:
        """Return a score of each seed, by its flat name: f1, PER/f1, calibration_error/all."""
        return np.array([record.scores[score] for record in self.records])

    def mean(self, score: str = "f1") -> float:
        """Return the mean of a score over seeds; NaN if no run has finished."""
        return float(self.values(score).mean()) if self.records else np.nan

    @property
    def sd(self) -> float:
        """Standard deviation of F1 over seeds; NaN below two."""
        return float(self.values("f1").std(ddof=1)) if len(self.records) > 1 else np.nan

    @property
    def tau(self) -> float:
        """Mean of the thresholds τ that were best on dev."""
        return float(np.mean([record.result.analysis.threshold.tau for record in self.records]))

    @property
    def shifted_f1(self) -> float:
        """Mean F1 with the threshold that was best on dev."""
        scores: list[float] = []
        for record in self.records:
            threshold = record.result.analysis.threshold
            rates = threshold.dev if record.split == "dev" else threshold.test
            scores.append(rates.f1)
        return float(np.mean(scores))

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


def points(share: float) -> str:
    """Return a difference of F1 in points, with its sign. A small one gets up to four digits."""
    for digits in (2, 3, 4):
        text = f"{100 * share:+.{digits}f}"
        if float(text):
            return text
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
) -> Row:
    """Return a row. Of several finished runs of one seed the last counts."""
    by_seed = {record.seed: record for record in records}
    runs_of_seed = Counter(record.seed for record in records)
    last = tuple(by_seed[seed] for seed in sorted(by_seed))
    row = Row(
        setting,
        last,
        tuple(unfinished),
        repeated=tuple(sorted(seed for seed, runs in runs_of_seed.items() if runs > 1)),
    )
    if not last:
        return row
    resampled = stats.resampled_f1(np.stack([record.counts for record in last]))
    low, high = interval_of(resampled, row.values("f1"))
    claim = reference.rows.get(last[0].loss, NO_CLAIM)
    return replace(row, interval=(max(low, 0.0), min(high, 1.0)), claim=claim)


def interval_of(
    resampled: np.ndarray, observed: np.ndarray, level: float = stats.LEVEL
) -> Interval:
    """Return the interval of a mean over seeds; with one seed, over sentences alone."""
    if len(observed) > 1:
        low, high = stats.student_interval(resampled, observed, level=level)
    else:
        low, high = stats.bootstrap_interval(resampled, level=level)
    return float(low), float(high)


def with_contrasts(rows: Sequence[Row], baseline: Row | None) -> list[Row]:
    """Return the rows, each with its contrast with the baseline if they share a seed."""
    if baseline is None:
        return list(rows)
    others = [row for row in rows if row is not baseline and shared_seeds(row, baseline)]
    tested = sum(len(shared_seeds(row, baseline)) > 1 for row in others)
    contrasts = [contrast(row, baseline, tested) for row in others]
    adjusted_seeds = stats.holm(np.array([each.p_seeds for each in contrasts]))
    adjusted_sentences = stats.holm(np.array([each.p_sentences for each in contrasts]))
    by_setting: dict[str, Contrast] = {}
    for row, each, p, q in zip(others, contrasts, adjusted_seeds, adjusted_sentences, strict=True):
        by_setting[row.setting] = replace(
            each, adjusted_seeds=float(p), adjusted_sentences=float(q)
        )
    return [replace(row, contrast=by_setting.get(row.setting)) for row in rows]


def shared_seeds(row: Row, baseline: Row) -> tuple[int, ...]:
    """Return the seeds that both rows have."""
    return tuple(sorted(set(row.seeds) & set(baseline.seeds)))


def contrast(row: Row, baseline: Row, tested: int) -> Contrast:
    """Compare a row with the baseline over their shared seeds, before Holm's correction."""
    seeds = shared_seeds(row, baseline)
    counts, f1 = [], []
    for side in (row, baseline):
        records = [record for record in side.records if record.seed in seeds]
        counts.append(np.stack([record.counts for record in records]))
        f1.append(np.array([record.scores["f1"] for record in records]))
    x, y = f1
    several = len(seeds) > 1
    resampled = stats.resampled_f1(counts[0]) - stats.resampled_f1(counts[1])
    return Contrast(
        seeds=seeds,
        difference=float(x.mean() - y.mean()),
        interval=interval_of(resampled, x - y),
        corrected=interval_of(resampled, x - y, 1 - (1 - stats.LEVEL) / max(tested, 1)),
        tested=tested,
        p_seeds=stats.sign_flip(x - y) if several else np.nan,
        p_sentences=stats.approximate_randomisation(counts[0], counts[1]) if several else np.nan,
        g=stats.hedges_g(x, y),
        superiority=stats.superiority(x, y) if several else np.nan,
        order=stats.almost_stochastic_order(x, y) if len(seeds) >= ORDER_SEEDS else np.nan,
    )
