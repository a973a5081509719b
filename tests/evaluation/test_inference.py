"""Intervals and verdicts, against t tests, closed forms and degenerate cases."""

import numpy as np
import pytest
import scipy.stats

from nersweep.evaluation.family import moderate
from nersweep.evaluation.inference import Verdict, infer, verdict
from nersweep.evaluation.influence import Rate, Sample, measure
from nersweep.evaluation.planning import foresee

SEEDS = range(1, 6)


def of_scores(name: str, scores, first: int = 1, clusters: int = 2) -> Sample:
    """Return runs without influence of documents."""
    seeds = range(first, first + len(scores))
    influences = {seed: np.zeros(clusters) for seed in seeds}
    return Sample(name, dict(zip(seeds, map(float, scores), strict=True)), influences)


def generated(name: str, seed: int, chance: float, seeds=SEEDS, clusters: int = 60) -> Sample:
    rng = np.random.default_rng(99)
    gold = rng.integers(1, 9, size=(clusters, 1))
    common = rng.random((clusters, 1))
    counts = {}
    for number in seeds:
        noise = 0.1 * np.random.default_rng((seed, number)).normal(size=(clusters, 1))
        correct = np.clip(np.round(gold * (chance + 0.2 * common + noise)), 0, gold)
        counts[number] = np.stack([correct, gold, gold], -1)
    return measure(name, counts, Rate())


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


def test_settings_without_chance_in_seeds_have_the_interval_of_documents():
    rng = np.random.default_rng(6)
    runs = []
    for name in ("a", "b"):
        influence = rng.normal(size=200)
        scores = {1: 90.0 + (name == "b"), 2: 90.0 + (name == "b")}
        runs.append(Sample(name, scores, {seed: influence for seed in scores}))
    contrast = infer(runs).contrasts[0]
    gap = runs[1].influences[1] - runs[0].influences[1]
    error = np.sqrt(200) * gap.std(ddof=1)
    assert contrast.standard_error == pytest.approx(error)
    assert contrast.high - 1 == pytest.approx(1.96 * error, rel=0.01)


def test_the_interaction_of_seeds_and_documents_counts_once():
    # Two seeds whose documents differ by ±x about their mean: W = C·var(x)·2/1/2.
    rng = np.random.default_rng(7)
    mean, x = 3 * rng.normal(size=50), rng.normal(size=50)
    base = of_scores("a", [90, 90], clusters=50)
    row = Sample("b", {1: 91.0, 2: 91.5}, {1: mean + x, 2: mean - x})
    contrast = infer([base, row]).contrasts[0]
    whole, interaction = 50 * mean.var(ddof=1), 50 * x.var(ddof=1)
    assert contrast.document_variance == pytest.approx(whole - interaction)
    row = Sample("b", row.scores, {1: 0.1 * mean + x, 2: 0.1 * mean - x})
    contrast = infer([base, row]).contrasts[0]
    assert contrast.document_variance == pytest.approx(0.01 * whole / 4)


def test_moderated_variances_by_hand():
    # Two variances with 4 degrees of freedom, c·e^±a, with 2a² = ψ′(2) + ψ′(1): ν0 = 2. ψ′(1) =
    # π²/6, ψ′(2) = π²/6 − 1. ψ(2) = ψ(1) + 1, so s0² = exp(log c − ψ(2) + log 2 + ψ(1)) = 2c/e.
    c, a = 0.3, np.sqrt(np.pi**2 / 6 - 0.5)
    variances = c * np.exp([a, -a])
    moderated, prior, location = moderate(variances, np.array([4.0, 4.0]))
    assert prior == pytest.approx(2)
    assert location == pytest.approx(2 * c / np.e)
    assert moderated == pytest.approx((2 * location + 4 * variances) / 6)


def test_variances_that_differ_less_than_by_chance_are_pooled():
    variances, freedom = np.array([1.0, 1.1, 0.8]), np.array([2.0, 2.0, 6.0])
    moderated, prior, location = moderate(variances, freedom)
    assert prior == np.inf
    assert location == pytest.approx((2 * 1 + 2 * 1.1 + 6 * 0.8) / 10)
    assert moderated == pytest.approx([location] * 3)


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


def test_a_variance_of_zero_borrows_from_the_others():
    rows = [of_scores("a", [90, 91, 92]), of_scores("b", [91, 92, 93])]
    rows.append(of_scores("c", [90, 92, 91]))
    first, second = infer(rows).contrasts
    assert first.seed_variance > 0
    assert second.low < 0 < second.high
    alone = infer(rows[:2]).contrasts[0]  # nothing to borrow from: the difference is 1, always
    assert (alone.low, alone.high, alone.verdict) == (1, 1, Verdict.MUCH_BETTER)


def test_one_document_says_nothing_of_others():
    rng = np.random.default_rng(14)
    rows = [of_scores(name, rng.normal(size=5), clusters=1) for name in "ab"]
    assert infer(rows).contrasts[0].verdict is Verdict.UNDECIDED
    outlook = foresee(rows)["b"]
    assert outlook.more_seeds is None and outlook.limit == np.inf


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
