"""Which seeds are paired, and what a difference varies by."""

import numpy as np
import pytest
import scipy.stats
from sample_runs import of_scores

from nersweep.evaluation.inference import infer


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
