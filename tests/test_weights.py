"""Class weights, against values worked out by hand on the label counts of CoNLL-2003."""

from fractions import Fraction

import numpy as np
import pytest

from nersweep.weights import Effective, Inverse, InverseSqrt, Manual, effective_numbers

# O, B-LOC, I-LOC, B-MISC, I-MISC, B-ORG, I-ORG, B-PER, I-PER
CONLL = np.array([169578, 7140, 1157, 3438, 1155, 6321, 3704, 6600, 4528])


def test_inverse_on_conll():
    # N = 203621, K = 9: O gets 203621 / (9 · 169578).
    raw = Inverse(normalize="none")(CONLL)
    assert raw[0] == pytest.approx(0.133417, abs=1e-6)
    assert raw[4] == pytest.approx(19.588360, abs=1e-6)
    assert raw == pytest.approx([203621 / (9 * count) for count in CONLL.tolist()])
    # Their mean is the normaliser: Σ 1/n_c = .00292706, times 203621 / 81.
    total = sum(1 / n for n in (169578, 7140, 1157, 3438, 1155, 6321, 3704, 6600, 4528))
    assert Inverse()(CONLL) == pytest.approx([9 / (count * total) for count in CONLL.tolist()])


def test_effective_on_conll():
    # By exact fractions: (1-β) / (1-β^n) with β = 999/1000.
    beta = Fraction(999, 1000)
    expected = [float((1 - beta) / (1 - beta**count)) for count in CONLL.tolist()]
    assert Effective(beta=0.999, normalize="none")(CONLL) == pytest.approx(expected, rel=1e-12)


def test_inverse_sqrt_is_the_square_root_of_inverse():
    assert InverseSqrt(normalize="none")(CONLL) ** 2 == pytest.approx(
        Inverse(normalize="none")(CONLL)
    )


@pytest.mark.parametrize(
    ("beta", "ratio"), [(0.99, 1.00001), (0.999, 1.5), (0.9999, 9), (0.99999, 71)]
)
def test_effective_weights_spread_with_beta_as_published_for_conll(beta, ratio):
    weights = Effective(beta=beta)(CONLL)
    assert weights.max() / weights.min() == pytest.approx(ratio, rel=0.03 if beta > 0.99 else 1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999])
def test_the_effective_number_is_a_geometric_series(beta):
    counts = np.array([0, 1, 2, 50])
    series = [sum(beta**i for i in range(n)) for n in counts]
    assert effective_numbers(counts, beta) == pytest.approx(series)


def test_effective_keeps_its_digits_near_one():
    # In the limit β -> 1 the effective number is the count: weights are the inverse counts.
    weights = Effective(beta=1 - 1e-13)(CONLL)
    assert weights == pytest.approx(Inverse()(CONLL), rel=1e-7)


def test_beta_zero_is_uniform():
    assert Effective(beta=0.0)(CONLL) == pytest.approx(np.ones(9))


def test_equal_counts_give_equal_weights():
    for scheme in (Inverse(), InverseSqrt(), Effective(beta=0.99)):
        assert scheme(np.full(5, 17)) == pytest.approx(np.ones(5))


def test_each_normaliser_fixes_its_mean():
    assert Inverse(normalize="mean")(CONLL).mean() == pytest.approx(1)
    assert Inverse(normalize="entity_mean")(CONLL)[1:].mean() == pytest.approx(1)
    weights = InverseSqrt(normalize="token_mean")(CONLL)
    assert (weights * CONLL).sum() / CONLL.sum() == pytest.approx(1)


def test_a_class_that_never_occurs_weighs_one_and_moves_no_other():
    with_absent = np.array([*CONLL, 0])
    for scheme in (
        Inverse(smoothing=5),
        InverseSqrt(normalize="entity_mean"),
        Effective(normalize="token_mean"),
    ):
        weights = scheme(with_absent)
        assert weights[-1] == 1
        assert weights[:-1] == pytest.approx(scheme(CONLL))


def test_o_can_be_pinned_or_held_down_and_every_weight_capped():
    assert Inverse(o_weight="one")(CONLL)[0] == 1
    common, rare = np.array([100, 1, 1]), np.array([1, 100, 100])
    assert Inverse(o_weight="cap")(common)[0] == Inverse()(common)[0] < 1
    assert Inverse(o_weight="cap")(rare)[0] == 1 < Inverse()(rare)[0]
    capped = Inverse(cap=2.0)(CONLL)
    assert capped.max() == 2 and (capped == np.minimum(Inverse()(CONLL), 2)).all()


def test_smoothing_draws_weights_together():
    # (10 + 90) and (10 + 10): the ratio falls from 9 to 5.
    weights = Inverse(smoothing=10)(np.array([90, 10]))
    assert weights[1] / weights[0] == pytest.approx(100 / 20)


@pytest.mark.parametrize(
    ("scheme", "options"),
    [
        (Effective, {"beta": 1.0}),
        (Effective, {"beta": -0.1}),
        (Effective, {"beta": float("nan")}),
        (Inverse, {"smoothing": -1.0}),
        (Inverse, {"cap": 0.0}),
    ],
)
def test_options_outside_their_range_are_refused_by_name(scheme, options, assert_refused_as):
    (name,) = options
    assert_refused_as(lambda: scheme(**options), f"{name}=")


NAMES = ("O", "B-PER", "I-PER")


def test_manual_weights_by_list_and_by_name():
    counts = np.array([90, 6, 4])
    assert Manual(values=[0.5, 2, 3])(counts, NAMES).tolist() == [0.5, 2, 3]
    assert Manual(values={"I-PER": 3, "O": 0.5})(counts, NAMES).tolist() == [0.5, 1, 3]
    # The mean over tokens: (90 · .5 + 6 · 2 + 4 · 3) / 100 = .69.
    assert Manual(values=[0.5, 2, 3], normalize="token_mean")(counts, NAMES) == pytest.approx(
        np.array([0.5, 2, 3]) / 0.69
    )
    assert Manual(values=[0.5, 2, 3], o_weight="one", cap=2.5)(counts, NAMES).tolist() == [
        1,
        2,
        2.5,
    ]


@pytest.mark.parametrize(
    ("values", "must"),
    [
        ({}, "must weigh at least one class"),
        ([1, 2], "2 weights for 3 classes, which are O, B-PER, I-PER"),
        ({"PER": 2}, "no class PER; there are O, B-PER, I-PER"),
        ({"O": -1}, "the weight of O must be a finite number ≥ 0"),
        ([1, float("nan"), 1], "the weight of 1 must be a finite number ≥ 0"),
        ([1, True, 1], "the weight of 1 must be a finite number ≥ 0"),
    ],
)
def test_manual_weights_that_fit_no_class_are_refused(values, must, faults_of):
    (fault,) = faults_of(lambda: Manual(values=values)(np.array([90, 6, 4]), NAMES))
    assert (fault.setting, fault.must) == ("values", must)


def test_weights_of_zero_alone_stay_zero():
    assert Manual(values=[0, 0, 0], normalize="mean")(np.array([90, 6, 4]), NAMES).tolist() == [
        0,
        0,
        0,
    ]
