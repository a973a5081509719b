"""The precision–recall curve over τ: values by hand, and influences against derivatives."""

import numpy as np
import pytest

from nersweep.evaluation.counts import from_dense, from_json
from nersweep.evaluation.curve import CurveRate
from nersweep.evaluation.metric import AUC, metric_of

# Correct, predicted, gold of 10: precision and recall 1, .2; .8, .4; .5, .5; .2, .4.
POINTS = np.array([[0, 0, 10], [2, 2, 10], [4, 5, 10], [5, 10, 10], [4, 20, 10]], dtype=float)
METRICS = [CurveRate(), CurveRate(0.7), CurveRate(0.3)]


def test_values_by_hand():
    for metric, value in (
        (CurveRate(), 0.2 + 0.2 * 0.9 + 0.1 * 0.65),
        (CurveRate(0.7), 0.4 + 0.1 * (0.1 / 0.3)),  # a third of the way from .8 to .5
        (CurveRate(0.8), 0.4),
        (CurveRate(0.3), 0.5),  # the highest recall there is
    ):
        assert metric.measure(POINTS[None])[0] == pytest.approx(100 * value)
    assert CurveRate(0.9).measure(POINTS[None, 3:])[0] == 0


@pytest.mark.parametrize("metric", METRICS)
def test_the_influence_is_the_derivative_by_the_weight_of_a_document(metric):
    noise = np.random.default_rng(1).uniform(0.8, 1.2, size=(6, *POINTS.shape))
    counts, step = POINTS * noise, 1e-6
    value, influence = metric.measure(counts)
    for document in range(len(counts)):
        values = []
        for weight in (1 - step, 1 + step):
            weighted = counts.copy()
            weighted[document] *= weight
            values.append(metric.measure(weighted)[0])
        slope = (values[1] - values[0]) / 2 / step
        assert influence[document] == pytest.approx(slope, abs=1e-4)
    assert influence.sum() == pytest.approx(0, abs=1e-9) and value > 0


@pytest.mark.parametrize("metric", METRICS)
def test_a_run_without_a_correct_entity_is_worth_nothing(metric):
    counts = np.zeros((4, 5, 3))
    assert metric.measure(counts)[0] == 0
    counts[..., 1:] = 3
    value, influence = metric.measure(counts)
    assert value == 0 and not influence.any()


def test_curves_are_known_by_name_and_come_back_with_the_counts(faults_of):
    curve = from_dense(tuple("abcde"), None, POINTS.astype(int)[None, :, None])
    counts = from_dense(("PER",), True, np.array([[[[4, 5, 10]]]]))
    (fault,) = faults_of(lambda: AUC.counts(counts, "archive"))
    assert "counts over τ" in fault.must
    values = counts.to_json() | {"curve": curve.to_json()}
    again = from_json(values)
    assert (AUC.counts(again, "archive") == POINTS).all()
    metric = metric_of("recall@precision=.7", ())
    assert (metric.label, metric.of_epochs.name) == ("recall at precision .7", "f1")
    assert metric.of(None, POINTS.astype(int).tolist()) == pytest.approx(0.4 + 0.1 / 3)
    with pytest.raises(ValueError, match="other documents"):
        from_json(values | {"documents": 2})
    for name in ("strict/auc", "PER/auc", "recall@precision=1.5", "recall@precision=0"):
        (fault,) = faults_of(lambda name=name: metric_of(name, ("PER",)))
        assert "recall@precision=.9" in fault.remedy
