"""Thresholds and temperatures chosen on dev, against searches spelled out slowly."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax

from nersweep.evaluation.metrics import entities, entity_counts
from nersweep.evaluation.stats import cross_entropy
from nersweep.evaluation.thresholds import (
    FEWEST,
    OFFSETS,
    Decoding,
    best_offsets,
    best_tau,
    best_temperature,
    prior_shift,
    scan,
    type_shift,
)
from nersweep.labels import LabelSet
from nersweep.model.heads.crf import CRFHead
from nersweep.model.heads.span import SpanHead
from nersweep.model.heads.token import TokenHead

LABELS = LabelSet(["LOC", "PER"])
PER_ALONE = LabelSet(["PER"])
NOTHING = np.zeros((0, 3), dtype=np.int64)


class Encoder:
    def classify(self, features):
        return features


def words(emissions, gold, labels=LABELS):
    """Sentences of one word each, which a token head labels. gold: label ids."""
    gold = np.array(gold)
    lengths = np.ones(len(gold), dtype=np.int64)
    scores = torch.tensor(np.array(emissions), dtype=torch.float32)
    head = TokenHead(Encoder(), labels)
    return Decoding(head, labels, scores, lengths, gold[:, None], entities(gold, lengths, labels))


def slow_f1(decoding, shift):
    """Micro F1 of one-word sentences: a label is an entity of its type unless it is O."""
    predicted = (decoding.emissions.numpy() + shift.astype(np.float32)).argmax(-1)
    types = decoding.labels.type_ids
    gold, predicted = types[decoding.targets[:, 0]], types[predicted]
    right = ((gold == predicted) & (gold > 0)).sum()
    return 2 * right / ((gold > 0).sum() + (predicted > 0).sum())


def random_words(seed, bias=0.0, size=2000):
    """Scores in which labels are likely, but for a bias in favour of O."""
    rng = np.random.default_rng(seed)
    gold = rng.choice(5, size=size, p=[0.6, 0.1, 0.1, 0.1, 0.1])
    emissions = rng.normal(size=(size, 5))
    emissions[np.arange(size), gold] += 2
    emissions[:, 0] += bias
    return words(emissions, gold)


@pytest.mark.parametrize("make", [TokenHead, CRFHead, SpanHead])
def test_no_shift_changes_nothing_and_a_large_one_finds_more(make):
    head = make(Encoder(), LABELS)
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 12, size=300)
    emissions = rng.normal(size=(lengths.sum(), len(head.outputs(LABELS)))).astype(np.float32)
    gold = entities(rng.integers(len(LABELS), size=lengths.sum()), lengths, LABELS)
    prior = prior_shift(head, np.array([900, *[20] * (len(head.classes(LABELS)) - 1)]))
    scores = torch.from_numpy(emissions)
    decoded = head.decode(scores, torch.from_numpy(lengths))
    predicted = (
        entities(decoded.labels.numpy(), lengths, LABELS)
        if decoded.spans is None
        else decoded.spans.numpy()
    )
    split = Decoding(head, LABELS, scores, lengths, np.zeros((len(scores), 1), int), gold)
    counts = scan(split, prior, (-1.0, 0.0, 0.3))
    assert counts[0.0].tolist() == entity_counts(gold, predicted, len(emissions), 2).tolist()
    found = [by_type.sum(0)[1] for by_type in counts.values()]
    assert found == sorted(set(found))


def test_one_shift_is_that_of_the_prior():
    # p(PER | x) < p(O | x), but the likelihood ratio is in favour of PER: π is (.9, .1).
    split = words(np.log([[0.8, 0.2, 1e-9]]), [1], PER_ALONE)
    prior = prior_shift(split.head, np.array([90, 10, 0]))
    counts = scan(split, prior, (0.5, 1.0))
    result = [by_type.tolist() for by_type in counts.values()]
    assert result == [[[0, 0, 1]], [[1, 1, 1]]]  # log .8/.2 = 1.39; log 9 = 2.2


@pytest.mark.parametrize("bias", [-9.0, -1.0, 0.0, 1.0, 9.0])
def test_tau_is_the_best_of_all_up_to_its_bound(bias):
    split = random_words(1, bias)
    prior = prior_shift(split.head, np.array([600, 100, 100, 100, 100]))
    tau, at_bound = best_tau(split, prior)
    all_taus = np.arange(-100, 101) / 10
    f1 = np.array([slow_f1(split, tau * prior) for tau in all_taus])
    assert slow_f1(split, tau * prior) == f1.max() and not at_bound
    assert abs(tau) == np.abs(all_taus[f1 == f1.max()]).min()
    assert (abs(tau) > 2) == (abs(bias) == 9)  # the search went on past its first end


def test_a_tau_that_ends_at_its_bound_says_so():
    # Each further step of τ finds one more entity at least, without end.
    margins = np.arange(1, 200) / 10
    emissions = np.stack([margins, np.zeros(199), np.full(199, -99.0)], 1)
    split = words(emissions, [1] * 199, PER_ALONE)
    prior = prior_shift(split.head, np.array([80, 20, 1]))
    assert best_tau(split, prior) == (10.0, True)
    wrong = words(-emissions[:, [1, 0, 2]], [0] * 199, PER_ALONE)
    assert best_tau(wrong, prior) == (0.0, False)  # F1 is 0 everywhere: nothing speaks for a shift


@pytest.mark.parametrize("seed", range(3))
def test_offsets_are_the_best_of_each_type_with_the_others_held(seed):
    split = random_words(seed)
    lean = np.array([0.0, -1.5, -1.5, 0.75, 0.75])  # LOC is scored too low, PER too high
    split = words(split.emissions.numpy() + lean, split.targets[:, 0])
    offsets = best_offsets(split, np.zeros(5))
    best = slow_f1(split, type_shift(split.head, LABELS, offsets))
    for i, offset in product(range(2), OFFSETS):
        other = offsets.copy()
        other[i] = offset
        assert slow_f1(split, type_shift(split.head, LABELS, other)) <= best
    assert offsets[0] > 0.5 > -0.25 > offsets[1]
    assert best > slow_f1(split, np.zeros(5))


def test_a_type_that_dev_hardly_has_gets_no_offset():
    margin = np.array([[1.0, 0.0, -9.0, -9.0, -9.0]])  # LOC is missed by one
    few, enough = (words(margin.repeat(n, 0), [1] * n) for n in (FEWEST - 1, FEWEST))
    assert best_offsets(few, np.zeros(5)).tolist() == [0.0, 0.0]
    assert best_offsets(enough, np.zeros(5)).tolist() == [1.25, 0.0]


def test_an_offset_goes_to_all_classes_of_its_type():
    offsets = np.array([1.0, -2.0])
    token, span = TokenHead(Encoder(), LABELS), SpanHead(Encoder(), LABELS)
    shift = dict(zip(LABELS.names, type_shift(token, LABELS, offsets), strict=True))
    assert shift == {"O": 0, "B-LOC": 1, "I-LOC": 1, "B-PER": -2, "I-PER": -2}
    shift = dict(zip(span.outputs(LABELS), type_shift(span, LABELS, offsets), strict=True))
    assert shift == {"START-O": 0, "START-LOC": 1, "START-PER": -2,
                     "END-O": 0, "END-LOC": 1, "END-PER": -2}  # fmt: skip


def test_the_temperature_of_words_is_that_of_a_plain_minimiser():
    split = random_words(4)
    z, gold = 3 * split.emissions.double().numpy(), split.targets[:, 0]

    def loss(beta):
        return -log_softmax(beta * z, -1)[np.arange(len(z)), gold].mean()

    expected = minimize(loss, [1.0], method="Nelder-Mead", options={"xatol": 1e-8})
    sharper = words(z, gold)
    assert best_temperature(sharper) == pytest.approx(1 / expected.x[0], rel=2e-3)
    # Labels drawn from the probabilities of z / 3 are calibrated at 3.
    rng = np.random.default_rng(0)
    z = rng.normal(scale=6, size=(20_000, 5))
    drawn = (log_softmax(z / 3, -1) + rng.gumbel(size=z.shape)).argmax(-1)
    assert best_temperature(words(z, drawn)) == pytest.approx(3, rel=0.05)


def test_two_pointers_share_a_temperature():
    rng = np.random.default_rng(0)
    z = rng.normal(scale=4, size=(500, 2, 3))
    targets = (log_softmax(z / 2, -1) + rng.gumbel(size=z.shape)).argmax(-1)  # (W, P)
    head, scores = SpanHead(Encoder(), LABELS), torch.from_numpy(z.reshape(500, 6))
    split = Decoding(head, LABELS, scores, np.full(50, 10), targets, NOTHING)

    def loss(beta):
        return -np.take_along_axis(log_softmax(beta * z, -1), targets[..., None], -1).mean()

    expected = minimize(loss, [1.0], method="Nelder-Mead", options={"xatol": 1e-8})
    assert best_temperature(split) == pytest.approx(1 / expected.x[0], rel=2e-3)


def test_a_temperature_divides_the_score_of_a_whole_path():
    torch.manual_seed(0)
    head = CRFHead(Encoder(), LABELS).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    z, t = torch.randn(3, 5, dtype=torch.float64), 1.7
    start, transitions, end = head.crf.scores()
    scores = {}
    for path in product(range(5), repeat=3):
        score = start[path[0]] + end[path[2]] + sum(z[i, y] for i, y in enumerate(path))
        scores[path] = (
            score + transitions[path[0], path[1]] + transitions[path[1], path[2]]
        ).item()
    weights = {path: np.exp(score / t) for path, score in scores.items()}
    expected = np.zeros((3, 5))
    for path, weight in weights.items():
        expected[range(3), path] += weight / sum(weights.values())
    assert head.probabilities(z, torch.tensor([3]), t)[0].numpy() == pytest.approx(expected)
    # The best path is the same at any temperature.
    assert tuple(head.decode(z, torch.tensor([3])).labels.tolist()) == max(weights, key=weights.get)


def test_the_temperature_of_a_crf_minimises_the_cross_entropy_of_its_marginals():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    head = CRFHead(Encoder(), LABELS, constrained=False)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    lengths = rng.integers(1, 8, size=60)
    gold = rng.integers(5, size=lengths.sum())
    z = torch.from_numpy(rng.normal(scale=3, size=(len(gold), 5)))
    z[np.arange(len(gold)), gold] += 4
    split = Decoding(head, LABELS, z, lengths, gold[:, None], NOTHING)
    grid = np.geomspace(0.05, 20, 121)
    losses = []
    for t in grid:
        p = head.probabilities(z, torch.from_numpy(lengths), float(t))[0].numpy()
        losses.append(-np.log(p[np.arange(len(gold)), gold]).mean())
    nearest = grid[np.argmin(losses)]
    assert best_temperature(split) == pytest.approx(nearest, rel=0.06)
    assert 0.06 < nearest < 19


def test_cross_entropy_is_the_mean_of_words_and_pointers():
    p = np.array([[[0.5, 0.5], [0.25, 0.75]], [[1.0, 0.0], [0.0, 1.0]]])  # (W, P, C)
    mean = cross_entropy(p, np.array([[0, 0], [0, 1]]))
    assert mean == pytest.approx((np.log(2) + np.log(4)) / 4)
    assert cross_entropy(p.astype(np.float32), np.array([[0, 0], [1, 1]])) == pytest.approx(
        (np.log(2) + np.log(4) + 126 * np.log(2)) / 4  # float32's smallest is 2^-126
    )
