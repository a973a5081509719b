"""Boundary IoU: the overlap of gold spans with the probability of their type."""

import numpy as np
import pytest
import torch

from nersweep.labels import spans
from nersweep.losses import BoundaryIoULoss

LABELS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")


def some(*lengths: int, dtype=torch.float64, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(sum(lengths), len(LABELS), generator=generator, dtype=dtype) * 2
    return (
        logits,
        torch.randint(0, len(LABELS), (sum(lengths),), generator=generator),
        torch.tensor(lengths),
    )


def ids(*tags: str) -> torch.Tensor:
    return torch.tensor([LABELS.index(tag) for tag in tags])


def value_and_gradient(loss, logits, targets, lengths=None):
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits, targets, lengths)
    value.backward()
    return value.detach(), logits.grad


def formula(logits, targets, lengths, window):
    e = np.exp(logits.numpy() - logits.numpy().max(-1, keepdims=True))
    p, losses, begin = e / e.sum(-1, keepdims=True), [], 0
    for length in lengths.tolist():
        words, tags = (
            p[begin : begin + length],
            [LABELS[i] for i in targets[begin : begin + length]],
        )
        for start, end, type_ in spans(tags):
            m = words[:, LABELS.index(f"B-{type_}")] + words[:, LABELS.index(f"I-{type_}")]
            near = [
                t
                for t in range(length)
                if start - window <= t < end + window and not start <= t < end
            ]
            losses.append(1 - m[start:end].sum() / (end - start + sum(m[t] for t in near)))
        begin += length
    return np.mean(losses)


@pytest.mark.parametrize("window", [0, 1, 2, 50])
def test_value_is_that_of_the_formula(window):
    for seed in range(10):  # random labels: spans next to each other, and I that continues nothing
        logits, targets, lengths = some(7, 1, 0, 12, 2, seed=seed)
        value = BoundaryIoULoss(LABELS, window)(logits, targets, lengths)
        assert value.item() == pytest.approx(formula(logits, targets, lengths, window), rel=1e-9)


def test_six_words_by_hand():
    targets = ids("O", "B-LOC", "I-LOC", "O", "O", "B-PER")
    p = torch.tensor(
        [  # O, B-LOC, I-LOC, B-PER, I-PER
            [0.9, 0.1, 0.0, 0.0, 0.0],
            [0.2, 0.5, 0.3, 0.0, 0.0],
            [0.0, 0.2, 0.4, 0.0, 0.4],
            [0.8, 0.0, 0.2, 0.0, 0.0],
            [0.2, 0.2, 0.1, 0.5, 0.0],
            [0.1, 0.0, 0.0, 0.4, 0.5],
        ]
    )
    # LOC: 0.8 + 0.6 in the span of two, 0.1 and 0.2 beside it. PER: 0.9 in the span of one,
    # 0.5 beside it.
    expected = ((1 - 1.4 / (2 + 0.3)) + (1 - 0.9 / (1 + 0.5))) / 2
    assert BoundaryIoULoss(LABELS, window=1)(p.log(), targets).item() == pytest.approx(
        expected, rel=1e-6
    )


def test_gradient_is_that_of_the_value():
    logits, targets, lengths = some(5, 3)
    targets[2] = -100
    loss = BoundaryIoULoss(LABELS)
    lengths[0] -= 1
    assert torch.autograd.gradcheck(lambda x: loss(x, targets, lengths), logits.requires_grad_())


def test_spans_do_not_reach_over_the_end_of_a_sentence():
    logits, _, lengths = some(2, 3)
    targets, loss = ids("O", "B-LOC", "O", "O", "O"), BoundaryIoULoss(LABELS)
    value, gradient = value_and_gradient(loss, logits, targets, lengths)
    assert value == loss(logits[:2], targets[:2]) and not gradient[2:].any() and gradient[:2].any()
    _, gradient = value_and_gradient(
        loss, logits, targets
    )  # as one sentence, two more words are near
    assert gradient[2:4].any() and not gradient[4:].any()
    # Nor does a span go on in the next sentence.
    targets = ids("B-LOC", "I-LOC", "I-LOC", "O", "O")
    parts = [loss(logits[:2], targets[:2]), loss(logits[2:], targets[2:])]
    assert loss(logits, targets, lengths).item() == pytest.approx(sum(parts).item() / 2)


def test_rows_are_sentences():
    logits, targets, lengths = some(4, 4, 4)
    rows = BoundaryIoULoss(LABELS)(logits.reshape(3, 4, -1), targets.reshape(3, 4))
    assert torch.equal(rows, BoundaryIoULoss(LABELS)(logits, targets, lengths))


def test_ignored_tokens_change_nothing():
    logits, targets, lengths = some(5, 2, 3)
    value, gradient = value_and_gradient(BoundaryIoULoss(LABELS), logits, targets, lengths)
    real = torch.tensor(
        [[1, 0, 1, 1, 1, 1, 0], [0, 1, 1, 0, 0, 0, 0], [1, 0, 0, 1, 0, 1, 0], [0] * 7]
    ).bool()
    padded = torch.full((4, 7, len(LABELS)), torch.nan, dtype=logits.dtype)
    padded[real] = logits
    padded_targets = torch.full((4, 7), -100)
    padded_targets[real] = targets
    for given in (None, lengths):  # those of the real words
        other, other_gradient = value_and_gradient(
            BoundaryIoULoss(LABELS), padded, padded_targets, given
        )
        assert torch.equal(other, value)
        assert torch.equal(other_gradient[real], gradient) and not other_gradient[~real].any()


@pytest.mark.parametrize("label", [-100, 0], ids=["all ignored", "all O"])
def test_without_spans_value_and_gradient_are_zero(label):
    logits, targets, lengths = some(3, 4, dtype=torch.float32)
    for given in (None, lengths if label == 0 else torch.tensor([0, 0])):
        value, gradient = value_and_gradient(
            BoundaryIoULoss(LABELS), logits, torch.full_like(targets, label), given
        )
        assert value == 0 and gradient is not None and not gradient.any()


@pytest.mark.parametrize("scale", [1e3, -1e3])
def test_extreme_logits_stay_finite(scale):
    logits = torch.eye(5) * scale
    for targets in (torch.arange(5), torch.arange(5).flip(0)):
        value, gradient = value_and_gradient(BoundaryIoULoss(LABELS), logits, targets)
        assert value.isfinite() and gradient.isfinite().all()


def test_half_precision_agrees_with_float32_to_a_hundredth():
    logits, targets, lengths = some(120, 80, dtype=torch.float32)
    value, gradient = value_and_gradient(BoundaryIoULoss(LABELS), logits, targets, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        low, low_gradient = value_and_gradient(
            BoundaryIoULoss(LABELS), logits.bfloat16(), targets, lengths
        )
    assert low.dtype == torch.float32
    assert low.item() == pytest.approx(value.item(), rel=0.01)
    assert (low_gradient - gradient).norm() < 0.01 * gradient.norm()


def test_a_perfect_prediction_costs_nothing_and_differs_from_a_nearly_perfect_one():
    targets, loss = ids("B-LOC", "I-LOC", "O", "B-PER", "I-PER"), BoundaryIoULoss(LABELS)
    near, far = (torch.nn.functional.one_hot(targets, 5) * scale for scale in (30.0, 20.0))
    assert 0 < loss(near, targets) < loss(far, targets) < 1e-7  # 1 - (1-x) would be 0 in float32
    assert loss(near * 100, targets) == 0


def test_a_near_span_of_the_same_type_counts_as_outside():
    logits = torch.nn.functional.one_hot(ids("B-PER", "B-PER", "O", "O", "B-PER", "B-LOC"), 5) * 1e3
    # The first two are beside each other, 1/(1+1); the last two have none of their type
    # within two tokens.
    assert BoundaryIoULoss(LABELS)(logits, logits.argmax(-1)).item() == pytest.approx(
        (1 / 2 + 1 / 2 + 0 + 0) / 4
    )


def test_spurious_spans_cost_nothing():
    logits, _, _ = some(8)
    targets, loss = (
        ids("B-LOC", "O", "O", "O", "O", "O", "O", "O"),
        BoundaryIoULoss(LABELS, window=2),
    )
    spurious = logits.clone()
    spurious[5:, 3] += 100
    assert torch.equal(loss(spurious, targets), loss(logits, targets))


def test_a_type_absent_from_the_batch_does_no_harm():
    logits, _, _ = some(4)
    targets = ids("B-LOC", "I-LOC", "O", "O")
    value, gradient = value_and_gradient(BoundaryIoULoss(LABELS), logits, targets)
    assert value.isfinite() and gradient.isfinite().all()


def test_the_order_of_labels_does_not_matter_nor_a_missing_one():
    logits, targets, lengths = some(6, 6)
    order = torch.tensor([3, 0, 4, 2, 1])
    shuffled = BoundaryIoULoss([LABELS[i] for i in order])(
        logits[:, order], order.argsort()[targets], lengths
    )
    assert shuffled.item() == pytest.approx(
        BoundaryIoULoss(LABELS)(logits, targets, lengths).item()
    )
    # B-LOC alone, without I-LOC: m is p(B-LOC), here ½ in the span and beside it.
    assert BoundaryIoULoss(["O", "B-LOC"])(
        torch.zeros(2, 2), torch.tensor([0, 1])
    ).item() == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("make", "subject"),
    [
        (lambda: BoundaryIoULoss(LABELS, -1), "window=-1"),
        (lambda: BoundaryIoULoss(["O", "S-LOC", "B-"]), "labels=['S-LOC', 'B-']"),
        (
            lambda: BoundaryIoULoss(LABELS)(torch.zeros(2, 3), torch.zeros(2).long()),
            "logits=(2, 3)",
        ),
        (lambda: BoundaryIoULoss(LABELS)(*some(3)[:2], torch.tensor([2])), "lengths=2 words"),
    ],
)
def test_arguments_outside_their_range_are_refused_by_name(make, subject, assert_refused_as):
    assert_refused_as(make, subject)
