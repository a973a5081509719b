"""What further seeds would show, by the standard errors of evaluation/family with n changed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nersweep.evaluation.differences import difference_of
from nersweep.evaluation.family import Family, critical
from nersweep.evaluation.inference import ALPHA, Verdict, check, verdict
from nersweep.evaluation.influence import Sample

DRAWS = 19_999
MOST_SEEDS = 1000  # the largest number of seeds that planning considers
ENDLESS = 10**9


@dataclass(frozen=True)
class Outlook:
    """What further seeds would do for a setting, if its difference stays what it is.

    more_seeds: how many would decide it, 0 if it is decided; None if no number up to MOST_SEEDS
    would. limit: the half width of its interval with endless seeds, in points, the least that this
    test set can see; NaN where one seed tells nothing about it.
    """

    more_seeds: int | None
    limit: float


def foresee(
    samples: Sequence[Sample],
    resolution: float = 0.5,
    alpha: float = ALPHA,
    draws: int = DRAWS,
) -> dict[str, Outlook]:
    """Return the outlook of each setting but the baseline, by name; all get as many seeds.

    Arguments and errors are those of `infer`.
    """
    check(samples, resolution, alpha, draws)
    differences = [difference_of(sample, samples[0]) for sample in samples[1:]]
    tested = [difference for difference in differences if difference.testable]
    planner = Planner(Family(tested, draws), resolution, alpha)
    outlooks: dict[str, Outlook] = {}
    for difference in differences:
        if difference.testable:
            row = tested.index(difference)
            outlooks[difference.name] = Outlook(planner.further_seeds(row), planner.limit(row))
        elif difference.is_zero:
            outlooks[difference.name] = Outlook(0, 0.0)
        elif np.isinf(difference.documents):
            outlooks[difference.name] = Outlook(None, np.inf)
        else:
            outlooks[difference.name] = Outlook(1, np.nan)
    return outlooks


class Planner:
    """Intervals with other numbers of seeds, if differences and variances stay what they are."""

    def __init__(self, family: Family, resolution: float, alpha: float) -> None:
        self.family = family
        self.resolution = resolution
        self.alpha = alpha
        self.quantiles: dict[int, float] = {}

    def quantile(self, seeds: int) -> float:
        """Return q with so many seeds for each setting."""
        if seeds not in self.quantiles:
            maxima = np.sort(self.family.statistics(seeds).max(1))
            self.quantiles[seeds] = critical(maxima, self.alpha)
        return self.quantiles[seeds]

    def limit(self, row: int) -> float:
        """Return the half width of a setting's interval with endless seeds."""
        return self.quantile(ENDLESS) * float(self.family.errors(ENDLESS)[row])

    def decides(self, row: int, seeds: int) -> bool:
        """Whether so many seeds would decide, the difference being what it is."""
        difference = float(self.family.means[row])
        half = self.quantile(seeds) * float(self.family.errors(seeds)[row])
        answer = verdict(difference - half, difference + half, self.resolution)
        return answer is not Verdict.UNDECIDED

    def further_seeds(self, row: int) -> int | None:
        """Return how many more seeds would decide; None if MOST_SEEDS would not."""
        now = self.family.differences[row].seeds
        if self.decides(row, now):
            return 0
        low, high = now, now + 1
        while not self.decides(row, high):
            if high >= MOST_SEEDS:
                return None
            low, high = high, min(2 * high, MOST_SEEDS)
        while high - low > 1:
            middle = (low + high) // 2
            if self.decides(row, middle):
                high = middle
            else:
                low = middle
        return high - now
