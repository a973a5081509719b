"""Seeds until the answer is known: looks at the intervals after n = 2 … N seeds.

Repeated confidence intervals (Jennison & Turnbull 1989): at each look every setting has its
interval of evaluation/inference at one nominal level α′, chosen so that all intervals of all looks
hold together with probability 1 − α. A setting stops when its interval excludes 0 or lies within
the resolution. The baseline runs as long as any setting.

α′ is calibrated by simulating the procedure itself: R settings equal to the baseline, all of one
seed variance, none stopping. The simulation has no variance of documents, the same at all looks,
which would make the looks agree more: it is the worst case.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from nersweep.evaluation.family import (
    OWN,
    posterior_freedom,
    seed_variances,
    standard_normals,
    stretches,
)
from nersweep.evaluation.inference import ALPHA, Contrast, Verdict, infer
from nersweep.evaluation.influence import Floats, Sample

TRIALS = 20_000  # of a calibration
DRAWS = 19_999  # of a look, and of a distribution in a calibration
GRID = 4  # values of ν for which a look's distribution is drawn


@dataclass(frozen=True)
class Progress:
    """Where a sweep with looks stands.

    look: the seeds of the last completed look, 0 before the first. stopped: the contrasts of the
    settings that have their answer, by name, as they were when they stopped. open: the others, by
    name; None before the first look. next_runs: the runs that the next look lacks, as (name, seed);
    empty if the sweep is done. alpha: the nominal level α′ of the intervals. runs_at_most: how many
    runs may be left, with the next ones.
    """

    look: int
    stopped: dict[str, Contrast]
    open: dict[str, Contrast | None]
    next_runs: tuple[tuple[str, int], ...]
    alpha: float
    runs_at_most: int


class Calibration:
    """The distribution of the greatest statistic at each look, and the nominal level from it."""

    def __init__(self, rows: int, looks: tuple[int, ...], alpha: float) -> None:
        self.rows = rows
        self.looks = looks
        self.grids: dict[int, Floats] = {}  # values of ν (G,)
        self.maxima: dict[int, list[Floats]] = {}  # by ν, draws of the maximum, sorted
        for n in looks:
            own = n - 1.0
            most = max(own, rows * own / (1 + (rows - 1) / 4))
            self.grids[n] = np.geomspace(own, most, 1 if n > OWN or most == own else GRID)
            self.maxima[n] = []
            for nu in self.grids[n]:
                self.maxima[n].append(null_maxima(rows, own, float(nu)))
        self.level = self.nominal_level(alpha)

    def nominal_level(self, alpha: float) -> float:
        """Return α′: below it the smallest p of all looks falls with probability alpha."""
        rng = np.random.default_rng(2)
        seeds = max(self.looks)
        runs = rng.normal(size=(TRIALS, self.rows + 1, seeds))
        differences = runs[:, 1:] - runs[:, :1]
        smallest = np.ones(TRIALS)
        for n in self.looks:
            mean, error, nu = estimates(differences[..., :n])
            smallest = np.minimum(smallest, self.p(n, np.abs(mean / error).max(1), nu))
        return float(np.quantile(smallest, alpha))

    def p(self, n: int, statistics: Floats, nu: Floats) -> Floats:
        """Return the p of greatest statistics (T,) after n seeds, interpolated to ν (T,)."""
        columns: list[Floats] = []
        for maxima in self.maxima[n]:
            extreme = len(maxima) - np.searchsorted(maxima, statistics)
            columns.append((extreme + 1) / (len(maxima) + 1))
        return interpolate(self.grids[n], np.array(columns), nu)

    def quantile(self, n: int, nu: Floats) -> Floats:
        """Return q at the nominal level after n seeds, interpolated to ν (T,)."""
        quantiles: list[float] = []
        for maxima in self.maxima[n]:
            quantiles.append(float(np.quantile(maxima, 1 - self.level)))
        return np.asarray(np.interp(nu, self.grids[n], quantiles))


@lru_cache(maxsize=16)
def calibrate(rows: int, looks: tuple[int, ...], alpha: float = ALPHA) -> Calibration:
    """Return the calibration for R settings and these looks, 2 ≤ n ascending."""
    if rows < 1 or not looks or min(looks) < 2 or list(looks) != sorted(set(looks)):
        raise ValueError(f"rows={rows}, looks={looks}: must be ≥ 1, and ascending from 2 seeds on")
    return Calibration(rows, looks, alpha)


def null_maxima(rows: int, own: float, nu: float) -> Floats:
    """Return sorted draws of max_r |δ_r − d̄_r|/se_r without a variance of documents."""
    normals = standard_normals(DRAWS, 2 * rows + 1)
    drawn = np.sqrt(0.5) * (normals[:, :rows] + normals[:, -1:])
    drawn *= stretches(np.full(rows, nu), np.full(rows, own), DRAWS)
    return np.sort(np.abs(drawn).max(1))


def estimates(differences: Floats) -> tuple[Floats, Floats, Floats]:
    """Return d̄ and its error over seeds (T, R), and ν (T,), for differences (T, R, n)."""
    n = differences.shape[-1]
    freedom = np.full(differences.shape[1], n - 1.0)
    variances, prior = seed_variances(differences.var(-1, ddof=1), freedom)
    nu = posterior_freedom(prior, freedom)[:, 0]
    return differences.mean(-1), np.sqrt(variances / n), nu


def interpolate(grid: Floats, values: Floats, points: Floats) -> Floats:
    """Interpolate values (G, T), each column at its own of the points (T,)."""
    if len(grid) == 1:
        return np.asarray(values[0])
    upper = np.clip(np.searchsorted(grid, points), 1, len(grid) - 1)
    weight = (points - grid[upper - 1]) / (grid[upper] - grid[upper - 1])
    columns = np.arange(len(points))
    low, high = values[upper - 1, columns], values[upper, columns]
    return np.asarray(low + np.clip(weight, 0, 1) * (high - low))


def look(
    samples: Sequence[Sample],
    seeds: Sequence[int],
    resolution: float,
    alpha: float = ALPHA,
    failed: Collection[tuple[str, int]] = (),
) -> Progress:
    """Return where a sweep stands, from the runs there are: the same runs give the same plan.

    samples: the baseline first; those without a run are empty. seeds: the N seeds of the plan, in
    their order; a look uses the first n. failed: runs that will not be repeated, as (name, seed);
    looks do without them. Every look is taken again from the first on, so runs of a later look, or
    of other seeds, change nothing. Raises ValueError for fewer than two seeds.
    """
    if len(seeds) < 2 or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds={list(seeds)}: must be at least two, all different")
    baseline, rows = samples[0], samples[1:]
    calibration = calibrate(len(rows), tuple(range(2, len(seeds) + 1)), alpha)
    answers: dict[str, Contrast | None] = {row.name: None for row in rows}
    lengths: dict[str, int] = {}  # of settings that stopped, in seeds
    completed = 0
    missing: list[tuple[str, int]] = []
    for n in range(2, len(seeds) + 1):
        running = [sample for sample in rows if sample.name not in lengths]
        if running:
            missing = missing_runs([baseline, *running], seeds[:n], failed)
        if missing or not running:
            break
        completed = n
        current: list[Sample] = []
        for sample in samples:
            part = sample.first(list(seeds[: lengths.get(sample.name, n)]))
            if part.scores:
                current.append(part)
        if baseline.name != current[0].name:
            break  # every run of the baseline failed: nothing can be compared
        inference = infer(current, resolution, calibration.level, DRAWS)
        for contrast in inference.contrasts:
            if contrast.name not in lengths:
                answers[contrast.name] = contrast
                if contrast.verdict is not Verdict.UNDECIDED:
                    lengths[contrast.name] = n
    stopped: dict[str, Contrast] = {}
    still_open: dict[str, Contrast | None] = {}
    for name, answer in answers.items():
        if name in lengths and answer:
            stopped[name] = answer
        else:
            still_open[name] = answer
    left = [baseline] + [sample for sample in rows if sample.name in still_open]
    at_most = len(missing_runs(left, seeds, failed)) if missing else 0
    return Progress(completed, stopped, still_open, tuple(missing), calibration.level, at_most)


def missing_runs(
    samples: Sequence[Sample], seeds: Sequence[int], failed: Collection[tuple[str, int]]
) -> list[tuple[str, int]]:
    """Return the runs that are neither there nor failed, as (name, seed), seed by seed."""
    missing: list[tuple[str, int]] = []
    for seed in seeds:
        for sample in samples:
            run = sample.name, seed
            if seed not in sample.scores and run not in failed:
                missing.append(run)
    return missing


def most_runs(rows: int, seeds: int) -> int:
    """Return the largest number of runs of a sweep: all seeds of all settings and the baseline."""
    return (rows + 1) * seeds


def expected_runs(
    effects: Sequence[float],
    seeds: int,
    resolution: float,
    seed_sd: float = 0.2,
    document_sd: float = 0.1,
    alpha: float = ALPHA,
    trials: int = 2000,
) -> float:
    """Return the expected number of runs of a sweep, the baseline's included.

    effects: the assumed true differences of the settings from the baseline, in points. seed_sd: of
    a run; document_sd: of a difference, over test sets. Quantiles are those without a variance of
    documents, which are slightly too large; so is the result.
    """
    count = len(effects)
    calibration = calibrate(count, tuple(range(2, seeds + 1)), alpha)
    rng = np.random.default_rng(3)
    runs = seed_sd * rng.normal(size=(trials, count + 1, seeds))
    luck = document_sd * rng.normal(size=(trials, count, 1))
    differences = runs[:, 1:] - runs[:, :1] + np.reshape(effects, (count, 1)) + luck
    lengths = np.full((trials, count), seeds)
    is_open = np.ones((trials, count), dtype=bool)
    for n in range(2, seeds):
        mean, error, nu = estimates(differences[..., :n])
        half = calibration.quantile(n, nu)[:, None] * np.hypot(error, document_sd)
        decided = (np.abs(mean) > half) | (np.abs(mean) + half < resolution)
        lengths[is_open & decided] = n
        is_open &= ~decided
    return float((lengths.sum(1) + lengths.max(1)).mean())
