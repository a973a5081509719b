"""Intervals and verdicts, against t tests, closed forms and degenerate cases."""

import numpy as np
import pytest
import scipy.stats
from sample_runs import SEEDS, generated, of_scores

from nersweep.evaluation.inference import Verdict, infer, mean_intervals, verdict
from nersweep.evaluation.influence import Rate, Sample, measure
from nersweep.evaluation.planning import foresee
from nersweep.evaluation.sequential import look


@pytest.mark.parametrize("n", [2, 3, 8, 20])
def test_two_settings_without_chance_in_documents_have_the_paired_t_test(n):
    rng = np.random.default_rng(n)
    a, b = 90 + rng.normal(size=n), 91 + rng.normal(size=n)
    contrast = infer([of_scores("a", a), of_scores("b", b)]).contrasts[0]
    test = scipy.stats.ttest_rel(b, a)
    expected = test.confidence_interval(0.95)
    width = expected.high - expected.low
    assert contrast.paired and contrast.seeds == n
    assert contrast.low == pytest.approx(expected.low, abs=0.02 * width)
    assert contrast.high == pytest.approx(expected.high, abs=0.02 * width)
    assert contrast.p == pytest.approx(test.pvalue, abs=0.005)


def test_p_is_dual_to_the_interval():
    rng = np.random.default_rng(8)
    outside = []
    for trial in range(60):
        shift = rng.normal(size=3)
        rows = [of_scores(f"r{row}", rng.normal(size=4) + shift[row - 1]) for row in range(4)]
        for alpha in (0.05, 0.2):
            result = infer(rows, alpha=alpha, draws=39)
            for contrast in result.contrasts:
                excludes = contrast.low > 0 or contrast.high < 0
                assert (contrast.p < alpha) == excludes, trial
                outside.append(excludes)
    assert 20 < sum(outside) < len(outside) - 20


def test_intervals_are_simultaneous():
    rng = np.random.default_rng(9)
    runs = [of_scores(f"r{row}", rng.normal(size=10)) for row in range(6)]
    alone = infer([runs[0], runs[1]]).contrasts[0]
    together = infer(runs).contrasts[0]
    assert together.standard_error == pytest.approx(alone.standard_error)  # 8 seeds: its own
    ratio = (together.high - together.low) / (alone.high - alone.low)
    # At least Dunnett's quantile for 5 settings and endless seeds, at most Bonferroni's.
    t = scipy.stats.t(9)
    assert 2.51 / 1.96 < ratio < t.isf(0.005) / t.isf(0.025)


def test_the_interval_of_a_mean_holds_on_its_own():
    rng = np.random.default_rng(16)
    runs = [of_scores(f"r{row}", 50 + rng.normal(size=9)) for row in range(6)]
    for sample, (low, high) in zip(runs, mean_intervals(runs), strict=True):
        scores = np.array(list(sample.scores.values()))
        expected = scipy.stats.ttest_1samp(scores, 0).confidence_interval(0.95)
        assert (low, high) == pytest.approx(expected, abs=0.02 * scores.std())


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [
        (0.6, 2, Verdict.MUCH_BETTER),
        (0.1, 2, Verdict.BETTER),
        (0.1, 0.2, Verdict.BETTER),
        (-0.4, 0.4, Verdict.SAME),
        (-0.5, 0.4, Verdict.UNDECIDED),
        (-0.6, 0.4, Verdict.UNDECIDED),
        (-0.3, -0.1, Verdict.WORSE),
        (-3, -0.6, Verdict.MUCH_WORSE),
    ],
)
def test_verdicts(low, high, answer):
    assert verdict(low, high, 0.5) is answer


def test_the_decision_is_that_of_the_posterior_t():
    rng = np.random.default_rng(10)
    a, b = 90 + rng.normal(size=9), 90.5 + rng.normal(size=9)
    result = infer([of_scores("a", a), of_scores("b", b)])
    posterior = scipy.stats.t(8, (b - a).mean(), (b - a).std(ddof=1) / 3)
    first, second = result.standings
    assert second.best == pytest.approx(posterior.sf(0), abs=0.005)
    assert first.best == pytest.approx(posterior.cdf(0), abs=0.005)
    grid = np.linspace(-9, 9, 40_001)
    loss = (np.maximum(grid, 0) * posterior.pdf(grid)).sum() * (grid[1] - grid[0])
    assert first.regret == pytest.approx(loss, abs=0.005)
    assert result.choice == ("b" if second.regret < first.regret else "a")
    assert first.candidate and second.candidate


def test_what_is_shown_to_be_worse_is_no_candidate():
    rng = np.random.default_rng(11)
    rows = [of_scores(f"r{row}", mean + 0.1 * rng.normal(size=5))
            for row, mean in enumerate([80, 90, 90.01, 70])]  # fmt: skip
    standings = infer(rows).standings
    assert [standing.candidate for standing in standings] == [False, True, True, False]


def test_the_same_runs_give_the_same_numbers():
    runs = [generated("a", 1, 0.7), generated("b", 2, 0.71), generated("c", 3, 0.6)]
    assert infer(runs) == infer(runs)


# What cannot be compared


def test_one_seed_has_no_interval_and_needs_a_second():
    rows = [of_scores("a", [90]), of_scores("b", [91])]
    contrast = infer(rows).contrasts[0]
    assert contrast.difference == 1
    assert (contrast.low, contrast.high) == (-np.inf, np.inf)
    assert np.isnan(contrast.p) and contrast.verdict is Verdict.UNDECIDED
    assert foresee(rows)["b"].more_seeds == 1
    assert infer(rows).choice == "a"
    assert all(np.isnan(standing.best) for standing in infer(rows).standings)


def test_a_setting_of_one_seed_leaves_the_others_alone():
    rng = np.random.default_rng(13)
    rows = [of_scores("a", rng.normal(size=4)), of_scores("b", rng.normal(size=4))]
    alone, joined = infer(rows), infer([*rows, of_scores("c", [5.0])])
    assert joined.contrasts[0] == alone.contrasts[0]
    assert joined.contrasts[1].verdict is Verdict.UNDECIDED
    assert np.isnan(joined.standings[2].best) and joined.standings[2].candidate


def test_equal_runs_are_the_same_and_leave_the_others_alone():
    base, other = generated("a", 1, 0.7), generated("b", 2, 0.6)
    equal = Sample("twin", base.scores, base.influences)
    alone, joined = infer([base, other]), infer([base, other, equal])
    assert joined.contrasts[0] == alone.contrasts[0]
    twin = joined.contrasts[1]
    assert (twin.low, twin.high, twin.p, twin.verdict) == (0, 0, 1, Verdict.SAME)
    assert joined.standings[0].best == pytest.approx(joined.standings[2].best)
    assert foresee([base, equal])["twin"].more_seeds == 0


def test_two_names_of_one_setting_get_one_interval():
    base, other = generated("a", 1, 0.7), generated("b", 2, 0.6)
    first, second = infer([base, other, Sample("c", other.scores, other.influences)]).contrasts
    assert (first.low, first.high) == (second.low, second.high)
    assert np.isfinite(first.low)


def test_one_document_says_nothing_of_others():
    rng = np.random.default_rng(14)
    rows = [of_scores(name, rng.normal(size=5), clusters=1) for name in "ab"]
    assert infer(rows).contrasts[0].verdict is Verdict.UNDECIDED
    outlook = foresee(rows)["b"]
    assert outlook.more_seeds is None and outlook.limit == np.inf


@pytest.mark.parametrize(("rate", "score"), [(Rate(), 0), (Rate(beta=0), 100)])
def test_other_predictions_with_the_score_0_or_100_are_undecided(rate, score):
    rows = []
    for name, predicted in (("a", 1), ("b", 3)):
        counts = np.zeros((60, 1, 3))
        counts[::predicted, 0, 1] = predicted
        counts[..., 2] = 5
        counts[..., 0] = counts[..., 1] * score / 100
        rows.append(measure(name, {seed: counts for seed in SEEDS}, rate))
    contrast = infer([*rows, generated("c", 1, 0.7)]).contrasts[0]
    assert (contrast.low, contrast.high) == (-np.inf, np.inf)
    assert np.isnan(contrast.p) and contrast.verdict is Verdict.UNDECIDED
    assert foresee(rows)["b"].more_seeds is None
    progress = look(rows, list(SEEDS), 0.5)
    assert (progress.look, list(progress.open)) == (5, ["b"])


def test_a_setting_that_predicts_nothing_is_worse():
    base = generated("a", 1, 0.7)
    counts = np.zeros((60, 1, 3))
    counts[..., 2] = 5
    row = measure("b", {seed: counts for seed in SEEDS}, Rate())
    contrast = infer([base, row]).contrasts[0]
    assert contrast.verdict is Verdict.MUCH_WORSE
    assert contrast.difference == pytest.approx(-np.mean(list(base.scores.values())))


@pytest.mark.parametrize("arguments", [{"resolution": 0}, {"alpha": 0}, {"alpha": 1}, {"draws": 0}])
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match="must be"):
        infer([generated("a", 1, 0.7), generated("b", 2, 0.7)], **arguments)


def test_other_clusters_and_settings_without_runs_are_refused():
    base = generated("a", 1, 0.7)
    with pytest.raises(ValueError, match=r"\[59, 60\] clusters"):
        infer([base, generated("b", 2, 0.7, clusters=59)])
    with pytest.raises(ValueError, match="b: must have at least one run"):
        infer([base, Sample("b", {}, {})])
