"""The least number of data sets on which a setting differs: by hand, and by its error."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from nersweep.evaluation.conjunction import better_and_worse, conjunction
from nersweep.evaluation.inference import Contrast, Verdict

NAN = float("nan")


@pytest.mark.parametrize(
    "p_values, sets, p",
    [
        ([0.01], 1, 0.01),
        ([0.05], 0, 1.0),
        ([0.2, 0.01, 0.02], 2, 0.04),  # u = 3: .2; u = 2: 2 · .02
        ([0.04, 0.01, 0.03], 3, 0.04),  # all three: the largest, uncorrected
        ([0.2, 0.02, 0.3], 0, 1.0),  # u = 1: 3 · .02
        ([0.2, 0.01, NAN], 1, 0.03),  # a set without a p value counts as 1
    ],
)
def test_the_bound_is_the_largest_u_with_a_small_p(p_values, sets, p):
    assert conjunction(p_values) == (sets, len(p_values), pytest.approx(p))


def test_it_is_the_number_of_rejections_of_hochbergs_procedure():
    for p_values in product((0.001, 0.011, 0.013, 0.02, 0.024, 0.04, 0.06), repeat=4):
        ordered = sorted(p_values)
        rejected = 0
        for place, p in enumerate(ordered, 1):
            if p < 0.05 / (len(ordered) - place + 1):
                rejected = place
        assert conjunction(p_values).sets == rejected


@pytest.mark.parametrize("true", range(4))
def test_too_many_sets_are_said_in_at_most_five_percent(true):
    """Of 3 sets so many have an effect beyond doubt; 4 standard errors of 20,000 trials."""
    rng = np.random.default_rng(true)
    p_values = rng.random((20_000, 3))
    p_values[:, :true] = 1e-9
    wrong = np.mean([conjunction(row).sets > true for row in p_values.tolist()])
    assert wrong < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 20_000)


CONTRAST = Contrast("x", 1.0, 0.1, 0.5, 1.5, 0.001, 3, True, 0.01, 0.0, 2.0, Verdict.BETTER)


def test_better_and_worse_are_of_the_direction_of_the_difference():
    worse = replace(CONTRAST, difference=-1.0)
    open_ = replace(CONTRAST, difference=0.2, p=0.6)
    one_seed = replace(CONTRAST, difference=9.0, p=NAN)
    better, bad = better_and_worse([CONTRAST, worse, CONTRAST, open_, one_seed, None])
    assert (better.sets, better.of, better.p) == (2, 6, pytest.approx(0.005))
    assert (bad.sets, bad.p) == (1, pytest.approx(0.006))
