"""F1, approximate randomisation and calibration, against enumeration and values by hand."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

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


def swapped(counts):
    return stats.approximate_randomisation(np.array(counts), np.array(counts))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: stats.f1([1, 2]), "shape"),
        (lambda: swapped([[[3, 2, 4]]]), "correct"),
        (lambda: swapped([[[3, 4, 2]]]), "correct"),
        (lambda: swapped([[[-1, 4, 2]]]), "correct"),
        (lambda: swapped(GOOD / 2), "whole"),
        (lambda: stats.approximate_randomisation(GOOD, GOOD[:, :1]), "shapes"),
        (lambda: stats.approximate_randomisation(GOOD, GOOD[:, ::-1]), "same sentences"),
        (lambda: stats.calibration_error([0.5, 1.1], [0, 1]), "confidences"),
        (lambda: stats.calibration_error([0.5], [0, 1]), "confidences"),
    ],
)
def test_impossible_values_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
