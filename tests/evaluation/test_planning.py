"""Further seeds, against t tests and closed forms."""

import numpy as np
import pytest
import scipy.stats
from sample_runs import of_scores

from nersweep.evaluation.influence import Sample
from nersweep.evaluation.planning import foresee


@pytest.mark.parametrize("n", [3, 5])
def test_the_further_seeds_are_those_at_which_t_decides(n):
    rng = np.random.default_rng(n)
    scores = rng.normal(size=n)
    scores = (scores - scores.mean()) / scores.std(ddof=1) + 0.4  # mean .4, sd 1
    runs = [of_scores("a", np.zeros(n)), of_scores("b", scores)]
    needed = n
    while scipy.stats.t.isf(0.025, needed - 1) / np.sqrt(needed) > 0.4:
        needed += 1
    outlook = foresee(runs, resolution=0.1)["b"]
    assert outlook.more_seeds == pytest.approx(needed - n, abs=1)
    assert outlook.limit == pytest.approx(0, abs=1e-4)


def test_no_number_of_seeds_decides_what_the_documents_cannot_show():
    rng = np.random.default_rng(12)
    influence = rng.normal(size=100)
    base = of_scores("a", [90.0, 90.2], clusters=100)
    row = Sample("b", {1: 90.3, 2: 90.6}, {1: influence, 2: influence})
    outlook = foresee([base, row])["b"]
    assert outlook.more_seeds is None
    assert outlook.limit == pytest.approx(1.96 * 10 * influence.std(ddof=1), rel=0.02)


def test_draws_of_one_corpus_show_no_more_than_their_overlap_allows():
    base = of_scores("a", np.zeros(4)).drawn(0.25)
    row = of_scores("b", [0.0, 1.0, 2.0, 5.0]).drawn(0.25)  # mean 2, s² 14/3
    outlook = foresee([base, row])["b"]
    assert outlook.limit == pytest.approx(1.96 * np.sqrt(0.25 * 14 / 3), rel=0.02)
    assert outlook.more_seeds is None
