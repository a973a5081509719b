"""Seeds until the answer is known: looks at the intervals after n = 2 … N seeds.

Repeated confidence intervals (Jennison & Turnbull 1989): at each look every setting has its
interval of evaluation/inference at one nominal level α′, chosen so that all intervals of all looks
hold together with probability 1 − α. A setting stops when its interval excludes 0 or lies within
the resolution. The baseline runs as long as any setting.

α′ comes from simulated sweeps: R settings equal to the baseline, all of one seed variance, none
stopping. With T_n = max_r |d̄_r|/(s̃_r/√n) after n seeds, the intervals of level α′ that fail in a
share α of the sweeps are those with α′ the α quantile of min_n P(T_n ≥ t_n). The simulation has no
variance of documents. It would be the same at all looks and make them agree more: without it α′ is
smallest.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from nersweep.evaluation.differences import difference_of
from nersweep.evaluation.family import Family, seed_variances
from nersweep.evaluation.inference import ALPHA, Contrast, Verdict, check, simultaneous
from nersweep.evaluation.influence import Floats, Sample

TRIALS = 20_000  # of a calibration
DRAWS = 19_999  # of a look


@dataclass(frozen=True)
class Progress:
    """Where a sweep with looks stands.

    look: the seeds of the last completed look, 0 before the first. stopped: the contrasts of the
    settings that have their answer, by name, as they were when they stopped. open: the others, by
    name; None before the first look, and for a setting whose runs all failed, which gets no more.
    looks: of each completed look its seeds and the contrasts of the settings that it judged. runs:
    all runs that the looks have asked for up to now, as (name, seed). next_runs: those of them that
    the next look lacks; empty if the sweep is done. alpha: the nominal level α′ of the intervals.
    runs_at_most: how many runs may be left, with the next ones.
    """

    look: int
    stopped: dict[str, Contrast]
    open: dict[str, Contrast | None]
    looks: tuple[tuple[int, tuple[Contrast, ...]], ...]
    runs: tuple[tuple[str, int], ...]
    next_runs: tuple[tuple[str, int], ...]
    alpha: float
    runs_at_most: int


@dataclass(frozen=True)
class Calibration:
    """level: the nominal level α′. quantiles: that of T_n at this level, by n."""

    level: float
    quantiles: dict[int, float]


@lru_cache(maxsize=16)
def calibrate(rows: int, looks: tuple[int, ...], alpha: float = ALPHA) -> Calibration:
    """Return the calibration for R settings and these looks, 2 ≤ n ascending: see the module."""
    if rows < 1 or not looks or min(looks) < 2 or list(looks) != sorted(set(looks)):
        raise ValueError(f"rows={rows}, looks={looks}: must be ≥ 1, and ascending from 2 seeds on")
    rng = np.random.default_rng(2)
    runs = rng.normal(size=(max(looks), TRIALS, rows + 1))
    differences = runs[..., 1:] - runs[..., :1]
    shares = np.arange(1, TRIALS + 1) / TRIALS
    smallest = np.ones(TRIALS)
    statistics: dict[int, Floats] = {}
    for n in looks:
        mean, error = estimates(differences[:n])
        statistics[n] = np.abs(mean / error).max(1)
        order = np.argsort(-statistics[n])  # the k-th greatest has the share k/TRIALS
        smallest[order] = np.minimum(smallest[order], shares)
    level = float(np.quantile(smallest, alpha))
    quantiles: dict[int, float] = {}
    for n in looks:
        quantiles[n] = float(np.quantile(statistics[n], 1 - level))
    return Calibration(level, quantiles)


def estimates(differences: Floats) -> tuple[Floats, Floats]:
    """Return d̄ and s̃/√n (T, R) of differences (n, T, R)."""
    n, _, rows = differences.shape
    variances, _ = seed_variances(differences.var(0, ddof=1), np.full(rows, n - 1.0))
    return differences.mean(0), np.sqrt(variances / n)


def look(
    samples: Sequence[Sample],
    seeds: Sequence[int],
    resolution: float,
    alpha: float = ALPHA,
    failed: Collection[tuple[str, int]] = (),
    first: int = 2,
) -> Progress:
    """Return where a sweep stands, from the runs there are: the same runs give the same plan.

    samples: the baseline first; those without a run are empty. seeds: the N seeds of the plan, in
    their order; a look uses the first n. failed: runs that will not be repeated, as (name, seed);
    looks do without them, and a setting whose runs have all failed at a look gets no more. first:
    the seeds of the first look, from 2 to N. Every look is taken again from the first on, so runs
    of a later look, or of other seeds, change nothing. Raises ValueError for fewer than two seeds.
    """
    if len(seeds) < 2 or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds={list(seeds)}: must be at least two, all different")
    baseline, rows = samples[0], samples[1:]
    calibration = calibrate(len(rows), tuple(range(first, len(seeds) + 1)), alpha)
    answers: dict[str, Contrast | None] = {row.name: None for row in rows}
    lengths: dict[str, int] = {}  # of settings that get no more runs, in seeds
    stopped: dict[str, Contrast] = {}
    looks: list[tuple[int, tuple[Contrast, ...]]] = []
    latest = first  # of the looks that were begun
    missing: list[tuple[str, int]] = []
    for n in range(first, len(seeds) + 1):
        running = [row for row in rows if row.name not in lengths]
        if not running:
            break
        latest = n
        missing = missing_runs([baseline, *running], seeds[:n], failed)
        if missing:
            break
        current: list[Sample] = []
        for sample in samples:
            part = sample.first(list(seeds[: lengths.get(sample.name, n)]))
            if part.scores:
                current.append(part)
            else:
                lengths[sample.name] = n
        if baseline.name in lengths:
            break  # every run of the baseline failed: nothing can be compared
        judged = contrasts(current, resolution, calibration.level)
        judged = [contrast for contrast in judged if contrast.name not in lengths]
        looks.append((n, tuple(judged)))
        for contrast in judged:
            answers[contrast.name] = contrast
            if contrast.verdict is not Verdict.UNDECIDED:
                lengths[contrast.name] = n
                stopped[contrast.name] = contrast
    runs: list[tuple[str, int]] = []
    for sample in samples:
        runs += [(sample.name, seed) for seed in seeds[: lengths.get(sample.name, latest)]]
    left = [baseline] + [row for row in rows if row.name not in lengths]
    return Progress(
        look=looks[-1][0] if looks else 0,
        stopped=stopped,
        open={name: answer for name, answer in answers.items() if name not in stopped},
        looks=tuple(looks),
        runs=tuple(runs),
        next_runs=tuple(missing),
        alpha=calibration.level,
        runs_at_most=len(missing_runs(left, seeds, failed)) if missing else 0,
    )


def contrasts(samples: Sequence[Sample], resolution: float, level: float) -> list[Contrast]:
    """Return the contrasts that `infer` gives, without its standings."""
    check(samples, resolution, level, DRAWS)
    differences = [difference_of(sample, samples[0]) for sample in samples[1:]]
    family = Family([each for each in differences if each.testable], DRAWS)
    return simultaneous(differences, family, resolution, level)[0]


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


def expected_runs(
    effects: Sequence[float],
    seeds: int,
    resolution: float,
    seed_sd: float = 0.2,
    document_sd: float = 0.1,
    alpha: float = ALPHA,
    trials: int = 2000,
    first: int = 2,
) -> float:
    """Return the expected number of runs of a sweep, the baseline's included.

    effects: the assumed true differences of the settings from the baseline, in points. seed_sd: of
    a run; document_sd: of a difference, over test sets. first: the seeds of the first look.
    The result is too large, by 11% and 22% in two checks against simulated sweeps: the quantiles
    are those without a variance of documents.
    """
    count = len(effects)
    calibration = calibrate(count, tuple(range(first, seeds + 1)), alpha)
    rng = np.random.default_rng(3)
    runs = seed_sd * rng.normal(size=(seeds, trials, count + 1))
    luck = document_sd * rng.normal(size=(trials, count))
    differences = runs[..., 1:] - runs[..., :1] + np.array(effects) + luck
    lengths = np.full((trials, count), seeds)
    is_open = np.ones((trials, count), dtype=bool)
    for n in range(first, seeds):
        mean, error = estimates(differences[:n])
        half = calibration.quantiles[n] * np.hypot(error, document_sd)
        decided = (np.abs(mean) > half) | (np.abs(mean) + half < resolution)
        lengths[is_open & decided] = n
        is_open &= ~decided
    return float((lengths.sum(1) + lengths.max(1)).mean())
