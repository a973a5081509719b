"""Statistics over seeds, against enumeration of all cases, closed forms, and values worked out by
hand."""

from fractions import Fraction
from itertools import combinations_with_replacement, permutations, product
from math import comb, factorial, gamma, pi, prod, sqrt

import numpy as np
import pytest
import scipy.stats

from nersweep.evaluation import stats


def generated(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Counts (*shape, 3), the last of shape being sentences: of one to three entities with some
    found, some wrong."""
    gold = np.broadcast_to(rng.integers(1, 4, size=shape[-1]), shape)
    correct = rng.binomial(gold, 0.7)
    return np.stack([correct, correct + rng.binomial(2, 0.2, size=shape), gold], axis=-1)


def exact_f1(counts: np.ndarray) -> Fraction:
    correct, predicted, gold = (int(value) for value in counts.sum(0))
    return Fraction(2 * correct, predicted + gold)


def test_f1_is_the_harmonic_mean_of_precision_and_recall():
    # 6 of 8 predicted are right, 6 of 12 gold are found: P 3/4, R 1/2, F1 3/5.
    assert stats.f1([[6, 8, 12], [0, 3, 0], [0, 0, 0]]) == pytest.approx([3 / 5, 0, 0])


# The bootstrap


def test_resampled_scores_are_those_of_all_draws_of_sentences_the_same_for_all_runs():
    counts = generated(np.random.default_rng(3), 2, 2, 3)
    chances = {}  # the four runs' F1 -> its probability, over all multisets of three sentences
    for drawn in combinations_with_replacement(range(3), 3):
        scores = tuple(float(exact_f1(run[list(drawn)])) for run in counts.reshape(4, 3, 3))
        chance = factorial(3) / prod(factorial(drawn.count(i)) for i in range(3)) / 27
        chances[scores] = chances.get(scores, 0) + chance
    replicates = 20_000
    outcomes, times = np.unique(
        stats.resampled_f1(counts, replicates).reshape(-1, 4), axis=0, return_counts=True
    )
    assert len(outcomes) == len(chances) > 5
    for scores, count in zip(outcomes, times, strict=True):
        chance = next(
            value
            for known, value in chances.items()
            if known == pytest.approx(tuple(scores), abs=1e-12)
        )
        assert count / replicates == pytest.approx(chance, abs=0.01)


def test_rows_share_their_draws_whether_tested_together_or_alone():
    counts = generated(np.random.default_rng(4), 3, 2, 40)
    together = stats.resampled_f1(counts, 450, seed=7)
    assert together.shape == (450, 3, 2)
    for row in range(3):
        assert np.array_equal(stats.resampled_f1(counts[row], 450, seed=7), together[:, row])
    assert not np.array_equal(stats.resampled_f1(counts, 450, seed=8), together)
    assert len(np.unique(together[:, 0, 0])) > 100  # later batches of replicates are new draws


def test_bootstrap_interval_has_the_percentiles_of_all_joint_draws():
    counts = generated(np.random.default_rng(5), 2, 4)
    counts[1, :, 0] = counts[1, :, 0] // 2  # the second seed is much worse
    means = [
        float(np.mean([exact_f1(counts[seed][list(sentences)]) for seed in seeds]))
        for seeds in product(range(2), repeat=2)
        for sentences in product(range(4), repeat=4)
    ]
    resampled = stats.resampled_f1(counts, 40_000)
    assert stats.bootstrap_interval(resampled) == pytest.approx(
        np.quantile(means, [0.025, 0.975]), abs=0.006
    )
    # Sentences alone would not do.
    assert stats.bootstrap_interval(resampled)[1] > np.quantile(resampled.mean(1), 0.975) + 0.02


def test_intervals_of_a_difference_pair_seeds_and_sentences():
    counts = generated(np.random.default_rng(6), 4, 60)
    better = counts.copy()
    better[:, :, 0] = np.minimum(counts[:, :, 1], counts[:, :, 2])  # whatever is predicted is right
    a, b = stats.resampled_f1(counts), stats.resampled_f1(better)
    low, high = stats.bootstrap_interval(b - a)
    alone = [np.subtract(*stats.bootstrap_interval(x)[::-1]) for x in (a, b)]
    assert 0 < low < stats.f1(better.sum(1)).mean() - stats.f1(counts.sum(1)).mean() < high
    assert high - low < np.hypot(*alone)
    same = stats.student_interval(a - a, np.zeros(4))
    assert same == (0, 0) == stats.bootstrap_interval(a - a)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_student_interval_is_that_of_t_where_all_sentences_are_alike(seeds):
    run = np.array([[3, 4, 5], [4, 4, 5], [2, 4, 5], [3, 3, 5], [4, 5, 5]])[:seeds]
    counts = np.repeat(run[:, None], 30, axis=1)
    scores = stats.f1(counts.sum(1))
    result = np.array(stats.student_interval(stats.resampled_f1(counts, 2000), scores))
    expected = np.array(
        scipy.stats.t.interval(0.95, seeds - 1, scores.mean(), scipy.stats.sem(scores))
    )
    assert result - scores.mean() == pytest.approx(expected - scores.mean(), rel=0.01)


def test_both_intervals_are_over_sentences_where_all_runs_are_alike():
    counts = np.repeat(generated(np.random.default_rng(8), 1, 50), 3, axis=0)
    resampled = stats.resampled_f1(counts)
    expected = np.quantile(resampled[:, 0], [0.025, 0.975])
    assert stats.bootstrap_interval(resampled) == pytest.approx(expected)
    assert stats.student_interval(resampled, stats.f1(counts.sum(1))) == pytest.approx(expected)


def test_one_seed_has_an_interval_over_sentences_and_none_over_seeds():
    counts = generated(np.random.default_rng(9), 1, 50)
    resampled = stats.resampled_f1(counts)
    assert stats.bootstrap_interval(resampled) == pytest.approx(
        np.quantile(resampled[:, 0], [0.025, 0.975])
    )
    assert np.isnan(stats.student_interval(resampled, stats.f1(counts.sum(1)))).all()
    assert np.isnan(stats.interval_of_mean([0.9])).all()


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    # One entity a sentence is found with a chance of its own, .7 on average, and never
    # replaced: F1 1.4/1.7 in the end.
    rng, truth, trials = np.random.default_rng(10), 1.4 / 1.7, 300
    held = np.zeros(2)
    for trial in range(trials):
        result = rng.random((8, 150)) < rng.beta(3.5, 1.5, size=150)
        counts = np.stack([result, result, np.ones_like(result)], axis=-1).astype(int)
        resampled = stats.resampled_f1(counts, 400, seed=trial)
        intervals = (
            stats.bootstrap_interval(resampled),
            stats.student_interval(resampled, stats.f1(counts.sum(1))),
        )
        held += [low <= truth <= high for low, high in intervals]
    assert (held / trials > 0.92).all()
    assert (held / trials < 0.99).all()


def test_t_interval_by_hand():
    # 1..5: mean 3, s √2.5, and the .975 quantile of t with 4 degrees of freedom is 2.776 in
    # every table.
    assert stats.interval_of_mean([1, 2, 3, 4, 5]) == pytest.approx(
        (3 - 2.776 / sqrt(2), 3 + 2.776 / sqrt(2)), abs=1e-3
    )


# Tests


def flips(differences) -> Fraction:
    """The sign-flip p by enumeration, exact for integers and fractions."""
    sums = [
        sum(s * d for s, d in zip(signs, differences, strict=True))
        for signs in product((1, -1), repeat=len(differences))
    ]
    return Fraction(sum(abs(value) >= abs(sums[0]) for value in sums), len(sums))


def test_sign_flip_is_the_share_of_all_assignments_with_ties():
    rng = np.random.default_rng(11)
    for _ in range(200):
        tenths = [int(value) for value in rng.integers(-9, 10, size=rng.integers(1, 9))]
        expected = float(flips(tenths))
        assert stats.sign_flip(tenths) == expected
        assert stats.sign_flip([value / 10 for value in tenths]) == expected
        thirds = [Fraction(value, 3) for value in tenths]
        assert stats.sign_flip([float(value) for value in thirds]) == expected


def test_sign_flip_counts_ties_of_scores_that_floats_miss():
    a = np.array([90.6, 90.9, 91.2, 91.1, 91.1, 90.5])
    b = np.array([90.5, 90.6, 90.5, 91.5, 91.2, 91.4])
    # The differences are 1, 3, 7, −4, −1 and −9 tenths; on floats 54 of 64 sums seem as far
    # from 0, and are 56.
    exact = flips([1, 3, 7, -4, -1, -9])
    naive = np.mean(
        [abs(np.dot(s, a - b)) >= abs(np.sum(a - b)) for s in product((1, -1), repeat=6)]
    )
    assert exact == Fraction(56, 64) != naive
    assert stats.sign_flip(a - b) == float(exact) == stats.sign_flip((a - b) / 100)


def test_sign_flip_on_many_seeds_draws_assignments():
    # 26 differences of one size: the sum's law is binomial.
    ones = np.where(np.arange(26) < 17, 1.0, -1.0)
    exact = 2 * sum(comb(26, k) for k in range(17, 27)) / 2**26
    assert stats.sign_flip(ones) == pytest.approx(exact, abs=0.005)
    assert stats.sign_flip(np.ones(40)) == 1 / 100_000 == stats.smallest_p(40)
    assert stats.sign_flip(np.ones(20)) == 2**-19 == stats.smallest_p(20)


def test_five_seeds_cannot_give_less_than_one_in_sixteen():
    assert stats.smallest_p(5) == 0.0625 == stats.sign_flip([0.3, 0.9, 0.2, 0.4, 0.1])
    assert stats.smallest_p(1) == 1 == stats.sign_flip([2.0]) == stats.sign_flip([0.0, 0.0, 0.0])
    assert stats.sign_flip([1e-16] * 6) == 1  # what floats leave of equal scores
    assert [stats.smallest_p(n) <= 0.05 for n in (5, 6)] == [False, True]


@pytest.mark.parametrize("seed", range(4))
def test_approximate_randomisation_approaches_all_swaps(seed):
    a, b = generated(np.random.default_rng(20 + seed), 2, 2, 7)

    def difference(swapped) -> Fraction:
        chosen = np.array(swapped, dtype=bool)[:, None]
        runs = [(np.where(chosen, y, x), np.where(chosen, x, y)) for x, y in zip(a, b, strict=True)]
        return sum((exact_f1(x) - exact_f1(y) for x, y in runs), Fraction(0))

    differences = [abs(difference(swapped)) for swapped in product((0, 1), repeat=7)]
    exact = np.mean([value >= differences[0] for value in differences])
    assert stats.approximate_randomisation(a, b, draws=40_000) == pytest.approx(exact, abs=0.012)
    assert stats.approximate_randomisation(b, a, draws=40_000) == pytest.approx(exact, abs=0.012)


def test_approximate_randomisation_at_its_ends():
    a = generated(np.random.default_rng(30), 3, 50)
    best = np.repeat(a[:, :, 2:], 3, axis=2)
    assert stats.approximate_randomisation(a, a) == 1
    assert stats.approximate_randomisation(a, best, draws=999) == 1 / 1000


def test_holm_by_hand():
    # .005·4, .01·3, .03·2, and .04·1 is raised to .06.
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([0.01, np.nan, 0.8, 0.7]) == pytest.approx([0.03, np.nan, 1, 1], nan_ok=True)
    assert stats.holm([]).shape == (0,)


def test_holm_rejects_what_the_stepwise_procedure_rejects():
    rng = np.random.default_rng(31)
    for _ in range(200):
        p, alpha = rng.integers(0, 40, size=rng.integers(1, 7)) / 200, rng.choice([0.0497, 0.1003])
        rejected = set()
        for step, i in enumerate(
            np.argsort(p)
        ):  # the smallest against α/m, the next against α/(m−1), until one fails
            if p[i] > alpha / (len(p) - step):
                break
            rejected.add(int(i))
        assert set(np.flatnonzero(stats.holm(p) <= alpha).tolist()) == rejected


# Effect sizes


def two_valued(mean: float, sd: float, n: int) -> np.ndarray:
    """n values, half above and half below, of this mean and sample sd."""
    return mean + sd * np.sqrt((n - 1) / n) * np.tile([1, -1], n // 2)


def test_hedges_g_of_a_worked_example():
    # Means 103 and 100, sds 5.5 and 4.5, 50 each: s = √25.25, d = .5970, J = 1 − 3/391 to
    # four digits, g = .5924.
    assert stats.hedges_g(two_valued(103, 5.5, 50), two_valued(100, 4.5, 50)) == pytest.approx(
        0.5924, abs=5e-5
    )


@pytest.mark.parametrize(
    ("n", "correction"), [(2, 1 / sqrt(pi)), (3, sqrt(2 / pi)), (5, gamma(4) / (2 * gamma(3.5)))]
)
def test_the_correction_for_few_runs_in_closed_form(n, correction):
    a = np.arange(n, dtype=float)
    assert stats.hedges_g(a + 2, a) == pytest.approx(correction * 2 / a.std(ddof=1))


def test_hedges_g_is_unbiased():
    rng = np.random.default_rng(40)
    result = [stats.hedges_g(a + 1, b) for a, b in rng.normal(size=(8000, 2, 4))]
    assert np.mean(result) == pytest.approx(1, abs=4 * np.std(result) / sqrt(8000))
    assert np.std(result) / sqrt(8000) < 0.015  # without J the mean is 1.15


def test_hedges_g_pools_by_degrees_of_freedom():
    # Sums of squares 2 and 50 over 2 + 1 degrees of freedom.
    expected = (2 - 10) / sqrt(52 / 3) * gamma(1.5) / (sqrt(1.5) * gamma(1))
    assert stats.hedges_g([1, 2, 3], [5, 15]) == pytest.approx(expected)


def test_hedges_g_of_constant_rows():
    same = [0.912] * 3  # whose mean is not .912 in floats
    assert stats.hedges_g(same, same) == 0
    assert stats.hedges_g([0.913] * 3, same) == np.inf == -stats.hedges_g(same, [0.913] * 3)
    assert np.isnan(stats.hedges_g([1.0], [2.0, 3.0]))


def test_superiority_is_the_share_of_pairs():
    # 3 beats 1 and 2, ties 3; 2 beats 1, ties 2; of six pairs 3 + 2 · ½.
    assert stats.superiority([3, 2], [1, 2, 3]) == pytest.approx(4 / 6)
    assert stats.superiority([2, 3], [0, 1]) == 1
    rng = np.random.default_rng(41)
    a, b = rng.integers(0, 5, size=7), rng.integers(0, 5, size=4)
    assert stats.superiority(a, b) + stats.superiority(b, a) == pytest.approx(1)


# Power


def test_power_is_how_often_the_t_test_sees_the_difference():
    rng = np.random.default_rng(42)
    for n, difference in ((3, 0.5), (5, 0.3), (9, 0.3), (4, 0.0)):
        a, b = (
            90 + difference + 0.2 * rng.normal(size=(20_000, n)),
            90 + 0.2 * rng.normal(size=(20_000, n)),
        )
        share = np.mean(scipy.stats.ttest_ind(a, b, axis=1).pvalue < 0.05)
        assert stats.power(0.2, difference, n) == pytest.approx(share, abs=0.012)


def test_a_difference_is_as_visible_upwards_as_downwards_and_at_any_scale():
    assert (
        stats.power(0.2, -0.3, 6) == stats.power(0.2, 0.3, 6) == pytest.approx(stats.power(2, 3, 6))
    )
    assert stats.power(0.2, 1000, 3) == 1


@pytest.mark.parametrize(("difference", "seeds"), [(0.3, 9), (0.5, 4)])
def test_the_rule_of_thumb(difference, seeds):
    assert stats.seeds_needed(0.2, difference) == seeds


@pytest.mark.parametrize(
    ("difference", "target", "alpha"), [(0.05, 0.8, 0.05), (0.2, 0.9, 0.01), (3, 0.8, 0.05)]
)
def test_seeds_needed_is_the_least_number(difference, target, alpha):
    n = stats.seeds_needed(0.2, difference, target, alpha)
    assert stats.power(0.2, difference, n, alpha) >= target
    assert n == 2 or stats.power(0.2, difference, n - 1, alpha) < target


# Stochastic order


@pytest.mark.parametrize(
    ("a", "b", "ratio"),
    [
        ([1, 4], [2, 3], 1 / 2),  # −1 on one half, +1 on the other
        ([5, 1], [2, 3], 1 / 5),  # −1 and +2
        ([0, 3], [1, 1, 1], 1 / 5),
        ([0, 3], [2, 1, 2], 2 / 3),  # −1 on a third, −2 on a sixth, +1 on a half: 1 of 3/2
        ([3, 4], [1, 2], 0),
        ([2, 3], [2, 2, 2], 0),
        ([1, 2], [3, 4], 1),
        ([1, 2], [2, 1, 1, 2], 1 / 2),  # the same distribution
    ],
)
def test_violation_ratio_by_hand(a, b, ratio):
    assert stats.violation_ratio(np.array(a), np.array(b)) == pytest.approx(ratio)
    assert stats.violation_ratio(np.array(b), np.array(a)) == pytest.approx(1 - ratio)


def test_violation_ratio_is_the_integral_over_quantiles():
    rng = np.random.default_rng(50)
    for n, m in ((5, 5), (3, 7), (4, 6), (1, 8)):
        a, b = rng.normal(size=n), rng.normal(size=m)
        levels = (np.arange(n * m * 10) + 0.5) / (
            n * m * 10
        )  # no level on a step, so the sum is the integral
        gaps = np.quantile(a, levels, method="inverted_cdf") - np.quantile(
            b, levels, method="inverted_cdf"
        )
        assert stats.violation_ratio(a, b) == pytest.approx(
            np.sum(gaps**2 * (gaps < 0)) / np.sum(gaps**2)
        )


def test_almost_stochastic_order_adds_the_spread_of_all_redraws():
    a, b = np.array([3.0, 4.5, 6.0]), np.array([1.0, 3.5, 4.0])
    redrawn = [
        stats.violation_ratio(a[list(i)], b[list(j)])
        for i in product(range(3), repeat=3)
        for j in product(range(3), repeat=3)
    ]
    for alpha, quantile in ((0.05, 1.644854), (0.4, 0.253347)):
        for x, y in ((a, b), (b, a)):  # the second is above 1 with alpha .05
            bound = stats.almost_stochastic_order(x, y, alpha, replicates=40_000)
            expected = stats.violation_ratio(x, y) + quantile * np.std(redrawn)
            assert bound == pytest.approx(min(expected, 1), abs=0.01)


def test_almost_stochastic_order_at_its_ends():
    low, high = np.array([90.1, 90.4, 90.2]), np.array([91.3, 91.0, 91.9])
    assert stats.almost_stochastic_order(high, low) == 0
    assert stats.almost_stochastic_order(low, high) == 1
    # What the docstring warns of: of three and three equal runs, one order in twenty is all
    # of a above all of b.
    runs = np.array([1.0, 2, 3, 4, 5, 6])
    above = [min(order[:3]) > max(order[3:]) for order in permutations(runs)]
    assert np.mean(above) == pytest.approx(1 / 20)


# Calibration


def test_no_predictions_are_not_miscalibrated():
    result = stats.calibration_error([], [], bins=3)
    assert (
        result.error == 0
        and result.counts.tolist() == [0, 0, 0]
        and np.isnan(result.confidence).all()
    )


def test_calibration_error_by_hand():
    result = stats.calibration_error([0.9, 0.9, 0.5, 0.3], [1, 0, 1, 0], bins=5)
    # Bins of .2: two at .9 are right half the time, one at .5 is right, one at .3 is wrong:
    # (2·.4 + .5 + .3) / 4.
    assert result.error == pytest.approx(0.4)
    assert result.counts.tolist() == [0, 1, 1, 0, 2]
    assert result.accuracy == pytest.approx([np.nan, 0, 1, np.nan, 0.5], nan_ok=True)
    assert result.confidence == pytest.approx([np.nan, 0.3, 0.5, np.nan, 0.9], nan_ok=True)
    assert result.edges == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])


def test_bins_are_closed_above_and_the_first_below_too():
    assert stats.calibration_error([0.0, 0.25, 0.5, 1.0], [0, 0, 0, 0], bins=4).counts.tolist() == [
        2,
        1,
        0,
        1,
    ]


def test_the_error_of_predictions_as_right_as_they_say_vanishes():
    rng = np.random.default_rng(60)
    confidence = rng.random(400_000)
    assert stats.calibration_error(confidence, rng.random(400_000) < confidence).error < 0.005
    assert stats.calibration_error(
        confidence, rng.random(400_000) < confidence**2
    ).error == pytest.approx(1 / 6, abs=0.005)


# Bad input

GOOD = np.array([[[1, 2, 2], [0, 1, 3]]])  # (seeds, sentences, 3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: stats.f1([1, 2]), "shape"),
        (lambda: stats.resampled_f1(GOOD[0]), "shape"),
        (lambda: stats.resampled_f1(np.array([[[3, 2, 4]]])), "correct"),
        (lambda: stats.resampled_f1(np.array([[[3, 4, 2]]])), "correct"),
        (lambda: stats.resampled_f1(np.array([[[-1, 4, 2]]])), "correct"),
        (lambda: stats.resampled_f1(GOOD / 2), "whole"),
        (lambda: stats.resampled_f1(np.concatenate([GOOD, GOOD[:, ::-1]])), "same sentences"),
        (lambda: stats.student_interval(np.zeros((9, 3)), np.zeros(2)), "observed"),
        (lambda: stats.approximate_randomisation(GOOD, GOOD[:, :1]), "shapes"),
        (lambda: stats.approximate_randomisation(GOOD, GOOD[:, ::-1]), "same sentences"),
        (lambda: stats.sign_flip([]), "differences"),
        (lambda: stats.sign_flip([0.1, np.nan]), "differences"),
        (lambda: stats.smallest_p(0), "n=0"),
        (lambda: stats.holm([0.1, 1.2]), "p="),
        (lambda: stats.holm([-0.1]), "p="),
        (lambda: stats.power(0, 1, 5), "sd=0"),
        (lambda: stats.power(1, 1, 1), "n=1"),
        (lambda: stats.seeds_needed(1, 0), "difference=0"),
        (lambda: stats.seeds_needed(1, 1, target=1), "target=1"),
        (lambda: stats.almost_stochastic_order([1], [2], alpha=0), "alpha=0"),
        (lambda: stats.calibration_error([0.5, 1.1], [0, 1]), "confidences"),
        (lambda: stats.calibration_error([0.5], [0, 1]), "confidences"),
    ],
)
def test_impossible_values_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
