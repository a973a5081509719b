"""Influences against numerical derivatives, and values against the scores of the rest."""

import numpy as np
import pytest

from nersweep.evaluation import stats
from nersweep.evaluation.influence import Rate, cluster_counts, measure

RATES = [
    Rate(),
    Rate(beta=0),
    Rate(beta=np.inf),
    Rate(beta=2),
    Rate(types=(1,)),
    Rate(beta=0, types=(0, 2)),
    Rate(macro=True),
    Rate(beta=0.5, macro=True),
]


def generated(seed: int, clusters: int = 7, types: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    gold = rng.integers(1, 9, size=(clusters, types))
    correct = rng.binomial(gold, 0.7)
    return np.stack([correct, correct + rng.binomial(3, 0.3, gold.shape), gold], -1).astype(float)


@pytest.mark.parametrize("metric", RATES)
def test_the_influence_is_the_derivative_by_the_weight_of_a_cluster(metric):
    counts = generated(1)
    value, influence = metric.measure(counts)
    step = 1e-6
    for cluster in range(len(counts)):
        values = []
        for weight in (1 - step, 1 + step):
            weighted = counts.copy()
            weighted[cluster] *= weight
            values.append(metric.measure(weighted)[0])
        assert influence[cluster] == pytest.approx((values[1] - values[0]) / 2 / step, abs=1e-5)
    assert influence.sum() == pytest.approx(0, abs=1e-9)
    assert 0 < value < 100


def test_rates_by_hand():
    # Type 0: 3 of 4 predicted are right, of 6 gold; type 1: 1 of 2, of 2.
    counts = np.array([[[3, 4, 6], [1, 2, 2]]])
    for metric, value in (
        (Rate(), 8 / 14),
        (Rate(beta=0), 4 / 6),
        (Rate(beta=np.inf), 4 / 8),
        (Rate(beta=2), 5 * 4 / (4 * 8 + 6)),  # (1 + β²)·correct / (β²·gold + predicted)
        (Rate(types=(0,)), 6 / 10),
        (Rate(macro=True), (6 / 10 + 2 / 4) / 2),
    ):
        assert metric.measure(counts)[0] == pytest.approx(100 * value)


def test_micro_f1_is_that_of_stats_and_its_influence_that_of_the_formula():
    counts = generated(2)
    value, influence = Rate().measure(counts)
    correct, predicted, gold = counts.sum(1).T
    f1 = stats.f1(counts.sum((0, 1)))
    assert value == pytest.approx(100 * f1)
    expected = 100 * (2 * correct - f1 * (predicted + gold)) / (predicted + gold).sum()
    assert influence == pytest.approx(expected)


def test_macro_leaves_out_types_without_gold():
    counts = generated(3)
    counts[:, 2] = [0, 1, 0]
    value, influence = Rate(macro=True).measure(counts)
    assert influence == pytest.approx(Rate(macro=True).measure(counts[:, :2])[1])
    assert value == pytest.approx(
        np.mean([Rate(types=(type_,)).measure(counts)[0] for type_ in (0, 1)])
    )


@pytest.mark.parametrize("metric", RATES)
def test_a_run_that_predicts_nothing_is_worth_nothing(metric):
    counts = generated(4)
    counts[..., :2] = 0
    value, influence = metric.measure(counts)
    assert value == 0
    assert not influence.any()


def test_documents_sum_their_sentences():
    counts = np.arange(12).reshape(4, 1, 3)
    summed = cluster_counts(counts, [0, 1, 0, 1])
    assert summed.tolist() == [[[6, 8, 10]], [[12, 14, 16]]]
    with pytest.raises(ValueError, match="4 sentences, but 3 clusters"):
        cluster_counts(counts, [0, 1, 1])


@pytest.mark.parametrize(
    "counts", [np.zeros((2, 3)), np.zeros((0, 1, 3)), [[[2, 1, 3]]], [[[-1, 1, 1]]]]
)
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError, match="focal, seed 3"):
        measure("focal", {3: counts}, Rate())
