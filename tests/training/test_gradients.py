"""What is seen of the gradients in training is what autograd says."""

import pytest
import torch

from nersweep.losses import CrossEntropyLoss, FocalLoss
from nersweep.training.gradients import BINS, GradientHistogram, histogram


def measure(loss, words: int = 200, classes: int = 5):
    generator = torch.Generator().manual_seed(3)
    logits = (
        3 * torch.randn(words, classes, generator=generator, dtype=torch.float64)
    ).requires_grad_()
    targets = torch.randint(classes, (words,), generator=generator)
    loss(logits, targets).backward()
    norms = GradientHistogram(dtype=torch.float64)
    norms.add(logits.detach().softmax(-1)[None], (targets,), logits.grad * words)
    g = 1 - logits.detach().softmax(-1).gather(-1, targets[:, None])[:, 0]
    return norms, g, targets


def test_cross_entropy_pulls_as_hard_as_a_word_is_hard():
    norms, _, _ = measure(CrossEntropyLoss())
    result = norms.read()
    assert sum(map(sum, result.norms)) > 1
    for norm, pull in zip(result.norms, result.pulls, strict=True):
        assert pull == pytest.approx(norm)


def test_words_are_counted_in_the_bin_of_their_norm_and_apart_where_they_are_in_no_entity():
    norms, g, targets = measure(FocalLoss(gamma=2.0))
    result = norms.read()
    for row, mine in enumerate((targets == 0, targets > 0)):
        for i in range(BINS):
            inside = mine & (g >= i / BINS) & (g < (i + 1) / BINS)
            assert result.words[row][i] == inside.sum()
            assert result.norms[row][i] == pytest.approx(float(g[inside].sum()))


def test_the_focal_loss_pulls_less_at_easy_words():
    plain, focal = (
        measure(loss)[0].read().pulls for loss in (CrossEntropyLoss(), FocalLoss(gamma=2.0))
    )
    for kind in (0, 1):
        assert 0 < sum(focal[kind][: BINS // 5]) < 0.2 * sum(plain[kind][: BINS // 5])


def test_reading_starts_a_new_count():
    norms, _, _ = measure(CrossEntropyLoss())
    assert sum(map(sum, norms.read().words)) == 200
    assert sum(map(sum, norms.read().words)) == 0


def test_two_pointers_count_each_word_twice():
    probabilities = torch.tensor(
        [[[0.9, 0.1], [0.25, 0.75]], [[0.5, 0.5], [1.0, 0.0]]]
    )  # (P, W, C)
    targets = torch.tensor([0, 1]), torch.tensor([1, 0])
    result = histogram(probabilities.movedim(0, 1).numpy(), targets)
    outside, entities = (torch.tensor(row).nonzero().flatten().tolist() for row in result.words)
    assert outside == [0, 3] and entities == [7, 15]  # g = 0, .1; .25, .5
