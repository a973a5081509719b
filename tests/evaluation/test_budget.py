"""The expected best of k trials is that of all draws, and its band holds the truth."""

from itertools import combinations, product

import numpy as np
import pytest

from nersweep.evaluation.budget import expected_best, expected_best_band, expected_gain


@pytest.mark.parametrize("values", [[0.5], [0.3, 0.1], [0.2, 0.9, 0.2, 0.4]])
def test_it_is_the_mean_of_the_maxima_of_all_draws(values):
    expected = expected_best(np.array(values))
    for k, value in enumerate(expected, 1):
        maxima = [max(draw) for draw in product(values, repeat=k)]
        assert value == pytest.approx(np.mean(maxima), abs=1e-12)


def test_one_trial_is_worth_the_mean_and_more_are_worth_more():
    values = np.random.default_rng(1).normal(80, 2, 12)
    expected = expected_best(values)
    assert expected[0] == pytest.approx(values.mean())
    assert (np.diff(expected) > 0).all() and expected[-1] < values.max()


def test_the_order_of_trials_does_not_count():
    values = np.random.default_rng(2).normal(size=9)
    assert expected_best(values) == pytest.approx(expected_best(values[::-1]))


def test_the_band_of_one_trial_holds_the_mean_in_about_95_percent():
    rng, held = np.random.default_rng(3), 0
    for _ in range(200):
        low, high = expected_best_band(rng.normal(size=30))
        held += low[0] <= 0 <= high[0]
    assert 176 <= held <= 200  # 95% of 200, with four standard deviations below


def test_equal_trials_have_no_band():
    low, high = expected_best_band(np.full(5, 0.7))
    assert low == pytest.approx(np.full(5, 0.7)) and high == pytest.approx(np.full(5, 0.7))


@pytest.mark.parametrize("values", [[0.3, 0.1], [0.2, 0.9, 0.2], [0.5, 0.7, 0.1, 0.6, 0.2]])
def test_the_gain_is_that_over_all_subsets_of_half_the_trials(values):
    more, gain = expected_gain(np.array(values))
    maxima = [max(subset) for subset in combinations(values, len(values) - more)]
    assert more == len(values) // 2
    assert gain == pytest.approx(max(values) - np.mean(maxima), abs=1e-12)


def test_more_trials_bring_less_than_the_gain_on_average():
    rng, gains, brought = np.random.default_rng(4), [], []
    for _ in range(2000):
        values = rng.normal(size=18)
        more, gain = expected_gain(values[:12])
        gains.append(gain)
        brought.append(values[: 12 + more].max() - values[:12].max())
    assert np.mean(gains) > np.mean(brought) > 0
