"""The token and the CRF head: decoding that keeps to IOB2, and who trains the transitions."""

from itertools import pairwise

import pytest
import torch

from nersweep.batches.batch import Gold
from nersweep.labels import LabelSet
from nersweep.losses import CRFLoss, CrossEntropyLoss
from nersweep.model.heads.crf import CRFHead
from nersweep.model.heads.token import TokenHead

LABELS = LabelSet(["LOC", "PER"])


class Encoder:
    """The features are the emissions."""

    def classify(self, features):
        return features


def scores(seed=0, words=40):
    return torch.randn(words, len(LABELS), generator=torch.Generator().manual_seed(seed)) * 3


def legal(ids, lengths):
    start, step = LABELS.legal_transitions()
    sentences = torch.split(ids, lengths.tolist())
    return all(
        start[s[0]] and all(step[a, b] for a, b in pairwise(s))
        for s in map(torch.Tensor.tolist, sentences)
    )


def test_argmax_takes_each_words_best_label():
    decoded = TokenHead(Encoder(), LABELS).decode(scores(), torch.tensor([40]))
    assert decoded.labels.tolist() == scores().argmax(-1).tolist() and decoded.spans is None


@pytest.mark.parametrize(
    "make",
    [lambda: TokenHead(Encoder(), LABELS, decode="viterbi"), lambda: CRFHead(Encoder(), LABELS)],
)
def test_viterbi_gives_only_what_iob2_allows(make):
    lengths = torch.tensor([7, 1, 20, 12])
    assert not legal(scores().argmax(-1), lengths), "argmax is legal here: this test shows nothing"
    assert legal(make().decode(scores(), lengths).labels, lengths)


def test_viterbi_is_argmax_where_argmax_is_legal():
    lengths = torch.tensor([3, 2])
    ids = torch.tensor(LABELS.encode(["B-PER", "I-PER", "O", "O", "B-LOC"]))
    emissions = torch.eye(len(LABELS))[ids] + 0.1 * scores(1, 5)
    assert (
        TokenHead(Encoder(), LABELS, decode="viterbi").decode(emissions, lengths).labels.tolist()
        == ids.tolist()
    )


def test_an_unconstrained_crf_may_predict_illegal_transitions():
    lengths = torch.tensor([40])
    decoded = CRFHead(Encoder(), LABELS, constrained=False).decode(scores(), lengths)
    assert decoded.labels.tolist() == scores().argmax(-1).tolist()  # its transitions are 0


def test_only_the_crf_loss_trains_transitions():
    gold = Gold(torch.tensor(LABELS.encode(["B-PER", "I-PER", "O"])), torch.tensor([3]))
    for loss, trained in ((CRFLoss(), True), (CrossEntropyLoss(), False)):
        head = CRFHead(Encoder(), LABELS)
        emissions = scores(0, 3).requires_grad_()
        ((_, value),) = head.terms([loss], emissions, emissions, gold, gold).values()
        value.backward()
        assert (
            head.crf.transitions.grad is not None and bool(head.crf.transitions.grad.any())
        ) == trained
