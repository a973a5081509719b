"""The conditional random field is checked against all its paths, one by one."""

from itertools import pairwise, product

import pytest
import torch
from torch.nn import functional

from nersweep.labels import LabelSet
from nersweep.losses import CRF, CRFLoss
from nersweep.losses.crf import log_partition, viterbi

LENGTHS = torch.tensor([3, 1, 5, 2, 5])
LABELS = LabelSet(["PER", "LOC"])


def drawn(lengths=LENGTHS, classes: int = 3, allowed=(), dtype=torch.float64, seed: int = 0):
    """A CRF with random scores; random emissions and targets of sentences with these lengths."""
    generator = torch.Generator().manual_seed(seed)
    crf = CRF(classes, *allowed).to(dtype)
    for scores in crf.parameters():
        scores.data = torch.randn(scores.shape, generator=generator, dtype=dtype)
    words = int(lengths.sum())
    emissions = torch.randn(words, classes, generator=generator, dtype=dtype) * 2
    targets = crf.decode(
        torch.randn(words, classes, generator=generator, dtype=dtype), lengths
    )  # a path that is legal
    return crf, emissions, targets


def score(crf, emissions, path):
    """Of one path over the words of one sentence, by the definition."""
    start, transitions, end = crf.scores()
    steps = sum(transitions[a, b] for a, b in pairwise(path))
    return (
        start[path[0]]
        + sum(row[label] for row, label in zip(emissions, path, strict=True))
        + steps
        + end[path[-1]]
    )


def every_score(crf, emissions):
    paths = list(product(range(emissions.shape[1]), repeat=len(emissions)))
    return paths, torch.stack([score(crf, emissions, path) for path in paths])


def by_enumeration(crf, emissions, targets, lengths=LENGTHS):
    """log Z - score(gold path) of each sentence, from all its paths."""
    return torch.stack(
        [
            every_score(crf, rows)[1].logsumexp(0) - score(crf, rows, gold.tolist())
            for rows, gold in zip(
                emissions.split(lengths.tolist()), targets.split(lengths.tolist()), strict=True
            )
        ]
    )


def gradients(crf, emissions, value):
    """Of a function of emissions, those of the emissions and of the field's parameters."""
    emissions = emissions.detach().clone().requires_grad_()
    return torch.autograd.grad(value(emissions), [emissions, *crf.parameters()])


def close(result, expected, atol=1e-10):
    return all(torch.allclose(a, b, atol=atol) for a, b in zip(result, expected, strict=True))


MASKS = {
    "free": (None, None),
    "grammar": (
        torch.tensor([1, 1, 0]),
        torch.tensor([[1, 1, 0], [1, 1, 1], [1, 1, 1]]),
    ),  # O, B and I
    "first word only": (
        None,
        torch.tensor([[1, 1, 0], [1, 1, 0], [1, 1, 0]]),
    ),  # a label that nothing may precede
}


@pytest.fixture(params=MASKS.values(), ids=MASKS.keys())
def allowed(request):
    return request.param


def test_the_partition_function_is_the_sum_over_all_paths(allowed):
    crf, emissions, targets = drawn(allowed=allowed)
    expected = by_enumeration(crf, emissions, targets)
    assert expected.isfinite().all()
    assert torch.allclose(crf.neg_log_likelihood(emissions, targets, LENGTHS), expected, atol=1e-10)


def test_the_gradient_is_that_of_the_sum_over_all_paths(allowed):
    crf, emissions, targets = drawn(allowed=allowed)
    of_each = torch.tensor(
        [1.0, -0.5, 2.0, 0.0, 0.3], dtype=torch.float64
    )  # each sentence has its own
    result = gradients(
        crf, emissions, lambda x: crf.neg_log_likelihood(x, targets, LENGTHS) @ of_each
    )
    expected = gradients(crf, emissions, lambda x: by_enumeration(crf, x, targets) @ of_each)
    assert close(result, expected)
    for gradient, mask in zip(result[1:3], (crf.start_allowed, crf.step_allowed), strict=True):
        assert not gradient[~mask].any()


def test_probabilities_and_logarithms_give_the_same(allowed):
    crf, emissions, _ = drawn(allowed=allowed, dtype=torch.float32)
    start, transitions, end = crf.scores()
    with torch.no_grad():
        z = log_partition(emissions, LENGTHS, start, transitions, end)
    gold = torch.stack(
        [score(crf, rows, [0] * len(rows)) for rows in emissions.split(LENGTHS.tolist())]
    )
    other = (
        crf.neg_log_likelihood(emissions, torch.zeros(len(emissions), dtype=torch.long), LENGTHS)
        + gold
    )
    assert torch.allclose(z, other, rtol=1e-5)


def test_gradcheck(allowed):
    crf, emissions, targets = drawn(allowed=allowed)
    names = [name for name, _ in crf.named_parameters()]

    def value(x, *parameters):
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(crf, given, (x,))

    crf.forward = lambda x: crf.neg_log_likelihood(x, targets, LENGTHS)
    assert torch.autograd.gradcheck(value, (emissions.requires_grad_(), *crf.parameters()))


def test_the_decoded_path_is_the_best_of_all(allowed):
    for seed in range(5):
        crf, emissions, _ = drawn(allowed=allowed, seed=seed)
        result = crf.decode(emissions, LENGTHS).split(LENGTHS.tolist())
        for rows, labels in zip(emissions.split(LENGTHS.tolist()), result, strict=True):
            paths, scores = every_score(crf, rows)
            assert tuple(labels.tolist()) == paths[scores.argmax()]


def test_without_transitions_it_is_cross_entropy_and_argmax():
    crf = CRF(4)
    _, emissions, targets = drawn(classes=4, dtype=torch.float32)
    expected = functional.cross_entropy(emissions, targets, reduction="sum")
    assert crf.neg_log_likelihood(emissions, targets, LENGTHS).sum().item() == pytest.approx(
        expected.item(), rel=1e-6
    )
    assert torch.equal(crf.decode(emissions, LENGTHS), emissions.argmax(-1))


def test_the_grammar_of_iob2():
    start, step = LABELS.legal_transitions()
    crf = CRF(len(LABELS), start, step)
    wanted = ["I-PER", "O", "I-PER", "I-LOC", "B-LOC", "I-PER"]
    emissions = torch.full((6, len(LABELS)), -1000.0)
    emissions[torch.arange(6), LABELS.encode(wanted)] = 1000.0
    for lengths in ([6], [2, 4], [1] * 6):
        tags = LABELS.decode(crf.decode(emissions, torch.tensor(lengths)).tolist())
        for sentence in torch.tensor(LABELS.encode(tags)).split(lengths):
            assert start[sentence[0]] and step[sentence[:-1], sentence[1:]].all()
    for gold, legal in (
        (["O", "I-PER"], False),
        (["I-PER", "O"], False),
        (["B-LOC", "I-PER"], False),
        (["B-PER", "I-PER"], True),
        (["I-PER", "I-PER"], False),
    ):
        value = crf.neg_log_likelihood(
            torch.zeros(2, 5), torch.tensor(LABELS.encode(gold)), torch.tensor([2])
        )
        assert value.isfinite().item() == legal


def test_a_forbidden_gold_path_has_an_infinite_loss_and_finite_gradients():
    crf = CRF(len(LABELS), *LABELS.legal_transitions())
    gold = torch.tensor(LABELS.encode(["O", "I-PER", "O"]))
    assert crf.neg_log_likelihood(torch.zeros(3, 5), gold, torch.tensor([3])) == torch.inf
    result = gradients(
        crf,
        torch.zeros(3, 5),
        lambda x: crf.neg_log_likelihood(x, gold, torch.tensor([3])).clamp(max=1e9).sum(),
    )
    assert all(gradient.isfinite().all() for gradient in result)


def test_viterbi_takes_scores_of_minus_infinity():
    start, step = (torch.as_tensor(mask) for mask in LABELS.legal_transitions())
    zero = torch.zeros(5)
    emissions = torch.tensor([[0.0, 1, 0, 0, 0], [0, 0, 0, 0, 3], [0, -torch.inf, 0, 0, 9]])
    start, step = (
        zero.masked_fill(~start, -torch.inf),
        torch.zeros(5, 5).masked_fill(~step, -torch.inf),
    )
    labels = viterbi(emissions, torch.tensor([3]), start, step, zero)
    assert LABELS.decode(labels.tolist()) == ["B-PER", "I-PER", "I-PER"]
    end = zero.clone()
    end[LABELS.ids["I-PER"]] = -torch.inf
    assert (
        LABELS.decode(viterbi(emissions, torch.tensor([3]), start, step, end).tolist())[-1]
        != "I-PER"
    )


@pytest.mark.parametrize("scale", [100.0, 1000.0, -1000.0])
def test_extreme_emissions_stay_exact(allowed, scale):
    crf, emissions, targets = drawn(allowed=allowed)
    emissions = emissions.sign() * scale
    expected = by_enumeration(crf, emissions, targets)
    expected_gradients = gradients(crf, emissions, lambda x: by_enumeration(crf, x, targets).sum())
    crf = crf.float()
    emissions = emissions.float()
    value = crf.neg_log_likelihood(emissions, targets, LENGTHS)
    assert value.isfinite().all() and torch.allclose(value.double(), expected, rtol=1e-5, atol=1e-3)
    result = gradients(crf, emissions, lambda x: crf.neg_log_likelihood(x, targets, LENGTHS).sum())
    assert close([g.double() for g in result], [g.double() for g in expected_gradients], atol=2e-3)


@pytest.mark.parametrize("parameter", ["start", "transitions", "end"])
def test_extreme_parameters_stay_exact(parameter):
    crf, emissions, targets = drawn()
    with torch.no_grad():
        getattr(crf, parameter).mul_(500)
    expected = by_enumeration(crf, emissions, targets)
    value = crf.float().neg_log_likelihood(emissions.float(), targets, LENGTHS)
    assert torch.allclose(value.double(), expected, rtol=1e-5, atol=1e-3)


def test_the_only_way_may_lead_through_an_improbable_word():
    # O is e^2000 times as likely as B-PER, and then I-PER, which only B-PER may precede,
    # e^2000 times as likely as O.
    crf, _, _ = drawn(torch.tensor([4]), 5, LABELS.legal_transitions())
    for place in range(3):
        emissions = torch.full((4, 5), -1000.0)
        emissions[:, 0] = 1000
        emissions[place + 1] = emissions[place + 1].roll(LABELS.ids["I-PER"])
        targets, lengths = torch.zeros(4, dtype=torch.long), torch.tensor([4])
        expected = by_enumeration(crf.double(), emissions.double(), targets, lengths)
        of_all = gradients(
            crf,
            emissions.double(),
            lambda x, y=targets, n=lengths: by_enumeration(crf, x, y, n).sum(),
        )
        value = crf.float().neg_log_likelihood(emissions, targets, lengths)
        result = gradients(
            crf, emissions, lambda x, y=targets, n=lengths: crf.neg_log_likelihood(x, y, n).sum()
        )
        assert torch.allclose(value.double(), expected, atol=1e-3)
        assert close([g.double() for g in result], of_all, atol=1e-3)


def test_scores_of_any_size_lose_nothing():
    lengths = torch.tensor([4])
    for seed in range(300):
        generator = torch.Generator().manual_seed(seed)
        crf, emissions, _ = drawn(lengths, seed=seed)
        with torch.no_grad():
            for scores in (emissions, *crf.parameters()):
                size = torch.tensor([1.0, 20, 40, 60, 100])[
                    torch.randint(0, 5, (1,), generator=generator)
                ]
                scores.copy_((scores.sign() * size).float())
        targets = torch.randint(0, 3, (4,), generator=generator)
        expected = log_partition(emissions, lengths, *crf.scores()) - score(
            crf, emissions, targets.tolist()
        )
        value = crf.float().neg_log_likelihood(emissions.float(), targets, lengths)
        assert value.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-3), seed


@pytest.mark.parametrize(
    ("emissions", "transitions", "end"),
    [
        ([[-80.0, -100, 0]], torch.zeros(3, 3), [-70.0, 0, -130]),  # in the first word alone
        (
            torch.zeros(4, 3),
            [[-30.0, -40, -55], [-66, -30, -66], [-80, 0, -80]],
            [-50.0, -66, 0],
        ),  # in a step alone
    ],
)
def test_numbers_too_small_for_float32_are_noticed(emissions, transitions, end):
    crf, emissions = CRF(3), torch.as_tensor(emissions)
    crf.transitions.data, crf.end.data = torch.as_tensor(transitions), torch.as_tensor(end)
    targets, lengths = torch.zeros(len(emissions), dtype=torch.long), torch.tensor([len(emissions)])
    value = crf.neg_log_likelihood(emissions, targets, lengths).double()
    assert torch.allclose(
        value, by_enumeration(crf.double(), emissions.double(), targets, lengths), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_ordinary_scores_need_no_logarithms(shift, monkeypatch):
    monkeypatch.setattr("nersweep.losses.crf.log_partition", None)
    lengths = torch.tensor([40, 1, 12])
    crf, emissions, targets = drawn(lengths, 5, LABELS.legal_transitions(), torch.float32)
    expected = crf.neg_log_likelihood(emissions * 3, targets, lengths)
    with torch.no_grad():
        for scores in crf.parameters():
            scores += shift
    value = crf.neg_log_likelihood(emissions * 3 - shift, targets, lengths)
    assert value.isfinite().all() and torch.allclose(value, expected, rtol=1e-3)


def test_a_long_sentence_of_extreme_emissions_stays_finite():
    lengths = torch.tensor([300, 7])
    crf, emissions, targets = drawn(lengths, 5, LABELS.legal_transitions(), torch.float32)
    for scale in (1.0, 1000.0):
        value = crf.neg_log_likelihood(emissions.sign() * scale, targets, lengths)
        result = gradients(
            crf,
            emissions.sign() * scale,
            lambda x: crf.neg_log_likelihood(x, targets, lengths).sum(),
        )
        assert value.isfinite().all() and all(gradient.isfinite().all() for gradient in result)


def test_a_certain_gold_path_costs_nothing():
    # log Z and the path's score are both 1e5, where float32 has two decimals; their
    # difference has more.
    lengths = torch.tensor([100])
    crf = CRF(3)
    targets = torch.arange(100) % 3
    emissions = functional.one_hot(targets, 3) * 12.0 + 1000
    expected = functional.cross_entropy(emissions.double(), targets, reduction="sum")
    assert crf.neg_log_likelihood(emissions, targets, lengths).item() == pytest.approx(
        expected.item(), rel=1e-2
    )


def test_a_sentence_alone_is_the_same_among_others(allowed):
    crf, emissions, targets = drawn(allowed=allowed)
    sizes = LENGTHS.tolist()
    together = crf.neg_log_likelihood(emissions, targets, LENGTHS)
    labels = crf.decode(emissions, LENGTHS)
    result = gradients(crf, emissions, lambda x: crf.neg_log_likelihood(x, targets, LENGTHS).sum())[
        0
    ]
    rows = zip(
        *(x.split(sizes) for x in (emissions, targets, labels, result)), together, strict=True
    )
    for x, y, decoded, gradient, value in rows:
        alone = torch.tensor([len(x)])
        assert torch.allclose(crf.neg_log_likelihood(x, y, alone)[0], value)
        assert torch.equal(crf.decode(x, alone), decoded)
        of_one = gradients(
            crf, x, lambda x, y=y, alone=alone: crf.neg_log_likelihood(x, y, alone).sum()
        )[0]
        assert torch.allclose(of_one, gradient)


def test_sentences_without_words_cost_nothing():
    crf, emissions, targets = drawn()
    gaps = torch.tensor([0, 3, 0, 1, 5, 2, 5, 0])
    value = crf.neg_log_likelihood(emissions, targets, gaps)
    assert torch.allclose(value[gaps > 0], crf.neg_log_likelihood(emissions, targets, LENGTHS))
    assert not value[gaps == 0].any()
    assert torch.equal(crf.decode(emissions, gaps), crf.decode(emissions, LENGTHS))
    assert torch.allclose(
        log_partition(emissions, gaps, *crf.scores())[gaps == 0], torch.zeros(3).double()
    )


def test_the_order_of_the_sentences_changes_nothing():
    crf, emissions, targets = drawn()
    sizes = LENGTHS.tolist()
    rows, gold = emissions.split(sizes)[::-1], targets.split(sizes)[::-1]
    other = crf.neg_log_likelihood(torch.cat(rows), torch.cat(gold), LENGTHS.flip(0))
    assert torch.allclose(other.flip(0), crf.neg_log_likelihood(emissions, targets, LENGTHS))


def test_half_precision_agrees_with_float32_to_a_hundredth():
    lengths = torch.tensor([30, 12, 25])
    crf, emissions, targets = drawn(lengths, 5, LABELS.legal_transitions(), torch.float32)
    value = crf.neg_log_likelihood(emissions, targets, lengths).sum()
    expected = gradients(
        crf, emissions, lambda x: crf.neg_log_likelihood(x, targets, lengths).sum()
    )
    with torch.autocast("cpu", torch.bfloat16):
        low = crf.neg_log_likelihood(emissions.bfloat16(), targets, lengths).sum()
        result = gradients(
            crf, emissions, lambda x: crf.neg_log_likelihood(x.bfloat16(), targets, lengths).sum()
        )
        same = gradients(
            crf, emissions, lambda x: crf.neg_log_likelihood(x, targets, lengths).sum()
        )
    assert low.dtype == torch.float32 and low.item() == pytest.approx(value.item(), rel=0.01)
    for gradient, other, exact in zip(result, same, expected, strict=True):
        assert (gradient - exact).norm() < 0.01 * exact.norm()
        assert torch.equal(other, exact)  # only the emissions' own rounding is lost


# The loss.


@pytest.mark.parametrize("reduction", ["token_mean", "mean", "sum"])
def test_reductions(reduction):
    crf, emissions, targets = drawn()
    total = crf.neg_log_likelihood(emissions, targets, LENGTHS).sum().item()
    value = CRFLoss(reduction)(emissions, targets, LENGTHS, crf).item()
    assert value == pytest.approx(total / {"token_mean": 16, "mean": 5, "sum": 1}[reduction])


@pytest.mark.parametrize("reduction", ["token_mean", "mean", "sum"])
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_micro_batches_add_up_to_the_step(reduction, parts):
    lengths = torch.tensor([9, 2, 14, 5, 1, 1, 20, 3])
    crf, emissions, targets = drawn(lengths, 5, LABELS.legal_transitions(), torch.float32)
    loss, sizes = CRFLoss(reduction), lengths.tolist()
    expected = gradients(crf, emissions, lambda x: loss(x, targets, lengths, crf))

    def in_parts(x):
        rows, gold = x.split(sizes), targets.split(sizes)
        size = len(sizes) // parts
        return sum(
            loss(
                torch.cat(rows[i : i + size]),
                torch.cat(gold[i : i + size]),
                lengths[i : i + size],
                crf,
                targets,
                lengths,
            )
            for i in range(0, len(sizes), size)
        )

    assert in_parts(emissions).item() == pytest.approx(
        loss(emissions, targets, lengths, crf).item(), rel=1e-6
    )
    for result, exact in zip(gradients(crf, emissions, in_parts), expected, strict=True):
        assert (result - exact).norm() <= 1e-6 * exact.norm()


@pytest.mark.parametrize("reduction", ["token_mean", "mean", "sum"])
@pytest.mark.parametrize("lengths", [[], [0, 0]])
def test_without_words_value_and_gradient_are_zero(reduction, lengths):
    lengths = torch.tensor(lengths, dtype=torch.long)
    crf, emissions = CRF(3), torch.zeros(0, 3, requires_grad=True)
    value = CRFLoss(reduction)(emissions, torch.zeros(0, dtype=torch.long), lengths, crf)
    value.backward()
    assert value == 0 and emissions.grad is not None
    assert not len(crf.decode(emissions, lengths))


def test_the_masks_move_with_the_module_and_are_not_saved():
    crf = CRF(len(LABELS), *LABELS.legal_transitions())
    assert set(crf.state_dict()) == {"start", "transitions", "end"}
    assert crf.to("meta").step_allowed.is_meta


GOLD = torch.zeros(16, dtype=torch.long)


@pytest.mark.parametrize(
    ("make", "subject"),
    [
        (lambda: CRFLoss("none"), "reduction=none"),
        (lambda: CRF(0), "classes=0"),
        (lambda: CRF(3, torch.ones(2)), "start_allowed=(2,)"),
        (
            lambda: CRF(3, None, torch.ones(3)),
            "step_allowed=(3,)",
        ),
        (lambda: CRF(2, torch.zeros(2)), "start_allowed=[False, False]"),
        (
            lambda: CRF(3).neg_log_likelihood(torch.zeros(16, 3), GOLD - 100, LENGTHS),
            "targets=-100",
        ),
        (
            lambda: CRF(3).neg_log_likelihood(torch.zeros(16, 3), GOLD + 3, LENGTHS),
            "targets=3",
        ),
        (
            lambda: CRF(3).neg_log_likelihood(torch.zeros(16, 3), GOLD[1:], LENGTHS),
            "targets=(15,)",
        ),
        (
            lambda: CRF(3).neg_log_likelihood(torch.zeros(16, 4), GOLD, LENGTHS),
            "emissions=(16, 4)",
        ),
        (
            lambda: CRF(3).neg_log_likelihood(torch.zeros(17, 3), GOLD, LENGTHS),
            "lengths=[3, 1, 5, 2, 5]",
        ),
        (
            lambda: CRF(3).decode(torch.zeros(15, 3), LENGTHS),
            "lengths=[3, 1, 5, 2, 5]",
        ),
    ],
)
def test_arguments_outside_their_range_are_refused_by_name(make, subject, assert_refused_as):
    assert_refused_as(make, subject)


@pytest.mark.parametrize("allowed", [(), LABELS.legal_transitions()], ids=["all", "IOB2"])
def test_marginals_are_sums_over_paths(allowed):
    classes = len(LABELS) if allowed else 3
    crf, emissions, _ = drawn(torch.tensor([3, 1, 4]), classes, allowed)
    result = crf.marginals(emissions, torch.tensor([3, 1, 4])).split([3, 1, 4])
    for rows, marginals in zip(emissions.split([3, 1, 4]), result, strict=True):
        paths, scores = every_score(crf, rows)
        shares = scores.softmax(0)
        expected = torch.zeros_like(rows)
        for path, share in zip(paths, shares, strict=True):
            for word, label in enumerate(path):
                expected[word, label] += share
        assert torch.allclose(marginals, expected, atol=1e-12)
