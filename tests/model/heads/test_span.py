"""The two-pointer head: what it learns from, and how its pointers are joined."""

import functools
import operator
from dataclasses import replace

import numpy as np
import pytest
import torch

from nersweep.batches.batch import Gold, pointers
from nersweep.labels import LabelSet, spans
from nersweep.losses import CrossEntropyLoss, DiceLoss, GHMCLoss
from nersweep.model.heads.span import SpanHead, joined, labels_of
from nersweep.model.tagger import Tagger

LABELS = LabelSet(["LOC", "PER"])
NONE, LOC, PER = range(3)


class Encoder:
    """The features are the emissions."""

    def classify(self, features):
        return features


def gold(*sentences):
    ids = [LABELS.encode(tags.split()) for tags in sentences]
    return Gold(
        torch.tensor(functools.reduce(operator.iadd, ids, [])), torch.tensor([len(x) for x in ids])
    )


def emissions(starts, ends):
    """Sure pointers: type ids of each word."""
    return torch.cat([torch.eye(3)[starts], torch.eye(3)[ends]], dim=1) * 9


def head():
    return SpanHead(Encoder(), LABELS)


def test_targets_are_the_first_and_the_last_word_of_each_entity():
    starts, ends = SpanHead.targets(
        gold("B-PER I-PER O B-LOC", "B-LOC B-LOC I-LOC", "O B-PER"), LABELS
    )
    assert starts.tolist() == [PER, NONE, NONE, LOC, LOC, LOC, NONE, NONE, PER]
    assert ends.tolist() == [NONE, PER, NONE, LOC, LOC, NONE, LOC, NONE, PER]


def test_targets_decode_to_the_entities_they_encode():
    rng = np.random.default_rng(0)
    for _ in range(50):
        tags = [str(rng.choice(LABELS.names)) for _ in range(12)]
        tags = [
            t if t[0] != "I" or (i and tags[i - 1][2:] == t[2:]) else f"B-{t[2:]}"
            for i, t in enumerate(tags)
        ]
        true = gold(" ".join(tags))
        decoded = head().decode(emissions(*SpanHead.targets(true, LABELS)), true.lengths)
        result = [(a, b, LABELS.types[t - 1]) for a, b, t in decoded.spans.tolist()]
        assert result == spans(tags)
        assert decoded.labels.tolist() == true.labels.tolist()


def test_nested_entities_are_learnt_but_where_they_share_a_start_or_an_end():
    rows = np.array([[0, 4, PER], [1, 2, LOC], [4, 6, LOC], [4, 5, PER]])
    true = gold("B-PER I-PER I-PER I-PER B-LOC I-LOC")
    true = replace(true, pointers=torch.from_numpy(pointers(rows, 6)))
    starts, ends = SpanHead.targets(true, LABELS)
    assert starts.tolist() == [PER, LOC, NONE, NONE, LOC, NONE]  # at word 4 the longest
    assert ends.tolist() == [NONE, LOC, NONE, PER, PER, LOC]
    decoded = head().decode(emissions(starts, ends), true.lengths)
    assert decoded.spans.tolist() == rows[:3].tolist()


def test_a_start_is_joined_with_the_nearest_end_of_its_type_at_or_after_it():
    starts, ends = [PER, PER, LOC, NONE, NONE], [NONE, LOC, NONE, PER, LOC]
    decoded = head().decode(emissions(starts, ends), torch.tensor([5]))
    assert decoded.spans.tolist() == [[0, 4, PER], [1, 4, PER], [2, 5, LOC]]
    # Labels hold no overlap: the span that begins first stays.
    assert LABELS.decode(decoded.labels.tolist()) == ["B-PER", "I-PER", "I-PER", "I-PER", "O"]


def test_pointers_are_not_joined_over_a_sentences_end():
    decoded = head().decode(emissions([PER, NONE, NONE], [NONE, NONE, PER]), torch.tensor([2, 1]))
    assert decoded.spans.shape == (0, 3) and not decoded.labels.any()


def test_no_pointer_gives_no_span():
    decoded = head().decode(emissions([NONE] * 3, [NONE] * 3), torch.tensor([3]))
    assert decoded.spans.shape == (0, 3) and decoded.labels.tolist() == [0, 0, 0]
    assert joined(np.array([], dtype=int), np.array([2]), np.zeros(3, dtype=int), 1).shape == (0, 3)
    assert labels_of(np.zeros((0, 3), dtype=int), 2).tolist() == [0, 0]


@pytest.mark.parametrize(
    "loss", [CrossEntropyLoss(), DiceLoss()], ids=lambda loss: type(loss).__name__
)
def test_the_loss_is_the_mean_over_both_pointers(loss):
    true = gold("B-PER I-PER O")
    features = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    starts, ends = SpanHead.targets(true, LABELS)
    expected = (loss(features[:, :3], starts) + loss(features[:, 3:], ends)) / 2
    ((weight, value),) = head().terms([loss, loss], features, features, true, true).values()
    assert weight == 1 and value.item() == pytest.approx(expected.item())


def test_a_loss_with_a_state_has_one_for_each_pointer():
    true = gold("B-PER I-PER O B-PER I-PER")
    tagger = Tagger(torch.nn.Identity(), head(), GHMCLoss(momentum=0.5))
    features = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    tagger.terms(features, features, true, true)
    alone = GHMCLoss(momentum=0.5), GHMCLoss(momentum=0.5)
    for loss, scores, targets in zip(
        alone, features.chunk(2, -1), SpanHead.targets(true, LABELS), strict=True
    ):
        loss(scores, targets)
    for loss, criterion in zip(alone, tagger.criteria, strict=True):
        assert criterion.average.tolist() == loss.average.tolist()
    assert alone[0].average.tolist() != alone[1].average.tolist(), (
        "both pointers are alike: this test shows nothing"
    )


def test_outputs_are_named_by_pointer_and_type():
    assert SpanHead.classes(LABELS) == ("O", "LOC", "PER")
    assert SpanHead.outputs(LABELS) == (
        "START-O",
        "START-LOC",
        "START-PER",
        "END-O",
        "END-LOC",
        "END-PER",
    )
