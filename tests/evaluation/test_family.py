"""Standard errors: documents, seeds, and what settings lend each other."""

import numpy as np
import pytest
from sample_runs import of_scores

from nersweep.evaluation.differences import difference_of
from nersweep.evaluation.family import (
    Family,
    moderate,
    posterior_freedom,
    seed_variances,
    stretches,
)
from nersweep.evaluation.inference import Verdict, infer
from nersweep.evaluation.influence import Sample


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


def test_a_variance_of_zero_borrows_from_the_others():
    rows = [of_scores("a", [90, 91, 92]), of_scores("b", [91, 92, 93])]
    rows.append(of_scores("c", [90, 92, 91]))
    first, second = infer(rows).contrasts
    assert first.seed_variance > 0
    assert second.low < 0 < second.high
    alone = infer(rows[:2]).contrasts[0]  # nothing to borrow from: the difference is 1, always
    assert (alone.low, alone.high, alone.verdict) == (1, 1, Verdict.MUCH_BETTER)


def test_lending_widens_an_interval_and_never_narrows_it():
    variances = np.array([0.4, 0.5, 0.9])
    lent, _ = seed_variances(variances, np.full(3, 2.0))
    assert lent == pytest.approx([0.6, 0.6, 0.9])  # the mean of the three, and its own
    own, _ = seed_variances(variances, np.full(3, 7.0))
    assert own.tolist() == variances.tolist()  # from 8 seeds on


def test_degrees_of_freedom_count_what_variances_share():
    # Variances of differences from one baseline correlate by ¼: five are worth 5/(1 + 4/4).
    endless = np.array(np.inf)
    assert posterior_freedom(endless, np.full(5, 2.0)) == pytest.approx(np.full(5, 5.0))
    assert posterior_freedom(endless, np.full(2, 2.0)) == pytest.approx(np.full(2, 3.2))
    assert posterior_freedom(np.array(0.5), np.full(5, 2.0)) == pytest.approx(np.full(5, 2.5))
    assert posterior_freedom(endless, np.array([2.0, 7.0]))[1] == 7


def test_settings_share_the_part_of_chi_squared_that_is_lent():
    tau = stretches(np.full(3, 6.0), np.full(3, 2.0), 40_000)
    chi = 6 / tau**2
    assert chi.mean(0) == pytest.approx(np.full(3, 6), rel=0.02)
    assert chi.var(0) == pytest.approx(np.full(3, 12), rel=0.05)
    assert np.corrcoef(chi.T)[np.triu_indices(3, 1)] == pytest.approx([4 / 6] * 3, abs=0.02)


def test_draws_have_the_covariance_of_the_family():
    rng = np.random.default_rng(15)
    base = of_scores("a", rng.normal(size=12), clusters=30)
    settings = []
    for name in "bcd":
        influence = 0.2 * rng.normal(size=30)
        scores = dict(enumerate(rng.normal(size=12), start=1))
        settings.append(Sample(name, scores, dict.fromkeys(scores, influence)))
    family = Family([difference_of(sample, base) for sample in settings], 60_000)
    drawn = np.cov(family.deviations().T)
    seeds, documents = np.diag(family.variances) / 12, np.diag(family.documents)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        gaps = [settings[row].influences[1] for row in (first, second)]
        documents[first, second] = documents[second, first] = 30 * np.cov(gaps)[0, 1]
        shared = np.sqrt(seeds[first, first] * seeds[second, second]) / 2
        seeds[first, second] = seeds[second, first] = shared
    assert family.covariance() == pytest.approx(seeds + documents)
    # t with 11 degrees of freedom has the variance 11/9; stretches are drawn apart, E τ = 1.075.
    assert drawn.diagonal() == pytest.approx((11 / 9 * seeds + documents).diagonal(), rel=0.03)
    expected = 1.075**2 * seeds[0, 1] + documents[0, 1]
    assert drawn[0, 1] == pytest.approx(expected, abs=0.02 * drawn[0, 0])
