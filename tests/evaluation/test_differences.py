"""Which seeds are paired, and what a difference varies by."""

import numpy as np
import pytest
import scipy.stats
from sample_runs import of_scores

from nersweep.evaluation.differences import difference_of
from nersweep.evaluation.inference import infer, mean_intervals


def test_settings_without_common_seeds_have_welchs_t_test():
    rng = np.random.default_rng(5)
    a, b = 90 + rng.normal(size=12), 91.5 + 2 * rng.normal(size=9)
    contrast = infer([of_scores("a", a), of_scores("b", b, first=50)]).contrasts[0]
    test = scipy.stats.ttest_ind(b, a, equal_var=False)
    assert not contrast.paired
    assert contrast.freedom == pytest.approx(test.df)
    assert contrast.p == pytest.approx(test.pvalue, abs=0.005)
    assert contrast.low == pytest.approx(test.confidence_interval(0.95).low, abs=0.05)


def test_seeds_are_paired_where_at_least_half_are_shared():
    a = of_scores("a", [90, 91, 92, 93, 94])
    contrast = infer([a, of_scores("b", [92, 93.1, 95.2], first=2)]).contrasts[0]
    assert contrast.paired and contrast.seeds == 3
    assert contrast.difference == pytest.approx((1 + 1.1 + 2.2) / 3)
    apart = infer([a, of_scores("b", [1, 2, 3, 4, 5], first=4)]).contrasts[0]
    assert not apart.paired and apart.seeds == 5
    assert apart.difference == pytest.approx(3 - 92)


def test_draws_of_one_corpus_have_the_corrected_variance():
    base = of_scores("a", [1.0, 1.0, 1.0, 1.0]).drawn(0.25)
    row = of_scores("b", [1.0, 2.0, 3.0, 6.0]).drawn(0.25)
    difference = difference_of(row, base)
    variance = np.var([0, 1, 2, 5], ddof=1)
    assert difference.variance == pytest.approx((1 / 4 + 0.25) * variance)  # Nadeau & Bengio
    assert (difference.documents, difference.freedom, difference.seeds) == (0, 3, 4)
    contrast = infer([base, row]).contrasts[0]
    half = scipy.stats.t.isf(0.025, 3) * np.sqrt(variance / 2)
    assert contrast.high - contrast.difference == pytest.approx(half, rel=0.02)


def test_draws_without_pairs_are_corrected_as_well():
    base = of_scores("a", [1.0, 3.0]).drawn(0.5)
    row = of_scores("b", [2.0, 3.0, 7.0], first=8).drawn(0.5)
    difference = difference_of(row, base)
    assert not difference.paired
    assert difference.variance == pytest.approx(2 * (1 / 2 + 0.5) + 7 * (1 / 3 + 0.5))


def test_one_draw_tells_nothing():
    base, row = (of_scores(name, [score]).drawn(0.5) for name, score in (("a", 1), ("b", 2)))
    (contrast,) = infer([base, row]).contrasts
    assert np.isinf(contrast.high) and np.isnan(contrast.p)
    assert np.isnan(mean_intervals([row])).all()
