"""On how many of several data sets a setting differs: partial conjunction.

Of k data sets, with p_(1) ≤ … ≤ p_(k) the p values of one setting,

    p^{u/k} = (k − u + 1) · p_(u)

is a p value of the hypothesis that the setting differs on fewer than u of them, whatever the
dependence between data sets: Benjamini & Heller 2008, eq. 4, with Bonferroni's combination. The
largest u with p^{u/k} < α is a lower bound of the number of data sets that holds with probability
1 − α where data sets are independent, or dependent as encoders on one test set are: it is the
number of rejections of Hochberg 1988.
"""

from collections.abc import Sequence
from typing import NamedTuple

from nersweep.evaluation.inference import ALPHA, Contrast


class Conjunction(NamedTuple):
    """A setting differs on at least `sets` of `of` data sets. p: p^{u/k} at that bound, 1 at 0."""

    sets: int
    of: int
    p: float


def conjunction(p_values: Sequence[float], alpha: float = ALPHA) -> Conjunction:
    """Return the bound of p values, one for each data set; NaN counts as 1."""
    ordered = sorted(p if p == p else 1.0 for p in p_values)
    count = len(ordered)
    for u in range(count, 0, -1):
        p = (count - u + 1) * ordered[u - 1]
        if p < alpha:
            return Conjunction(u, count, p)
    return Conjunction(0, count, 1.0)


def better_and_worse(
    contrasts: Sequence[Contrast | None], alpha: float = ALPHA
) -> tuple[Conjunction, Conjunction]:
    """Return on how many data sets a setting is better than the baseline, and on how many worse.

    contrasts: of each data set; None where the setting cannot be compared, which counts for
    neither. The p values are two-sided, so both statements hold together.
    """
    better: list[float] = []
    worse: list[float] = []
    for contrast in contrasts:
        better.append(contrast.p if contrast and contrast.difference > 0 else 1.0)
        worse.append(contrast.p if contrast and contrast.difference < 0 else 1.0)
    return conjunction(better, alpha), conjunction(worse, alpha)
