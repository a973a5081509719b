"""The token head: each word is labelled on its own."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from nersweep.batches.batch import Gold
from nersweep.labels import LabelSet
from nersweep.losses.base import Loss, Terms
from nersweep.losses.crf import viterbi
from nersweep.model.encoders.encoder import Encoder
from nersweep.model.heads.base import Decoded, Head


class TokenHead(Head):
    """One score per label.

    decode: "argmax" takes each word's best label; "viterbi" the best sequence of labels that IOB2
    allows, in which I-X follows only B-X or I-X.
    """

    start: Tensor  # (C,), 0 or -inf
    step: Tensor  # (C, C), 0 or -inf

    gives = Head.gives | {"lengths", "step_lengths"}

    def __init__(
        self, encoder: Encoder, labels: LabelSet, decode: Literal["argmax", "viterbi"] = "argmax"
    ):
        super().__init__(encoder, labels)
        self.constrained = decode == "viterbi"
        start, step = labels.legal_transitions()
        self.register_buffer("start", torch.from_numpy(start).float().log(), persistent=False)
        self.register_buffer("step", torch.from_numpy(step).float().log(), persistent=False)

    @staticmethod
    def classes(labels: LabelSet) -> tuple[str, ...]:
        return labels.names

    @staticmethod
    def targets(gold: Gold, labels: LabelSet) -> tuple[Tensor, ...]:
        return (gold.labels,)

    def loss_arguments(
        self, emissions: Tensor, features: Tensor, gold: Gold, step: Gold
    ) -> dict[str, object]:
        """Return what a loss may need, by the names of `Loss.needs`."""
        return {
            "logits": emissions,
            "targets": gold.labels,
            "lengths": gold.lengths,
            "features": features,
            "step_targets": step.labels,
            "step_lengths": step.lengths,
        }

    def terms(
        self, criteria: Sequence[Loss], emissions: Tensor, features: Tensor, gold: Gold, step: Gold
    ) -> Terms:
        (criterion,) = criteria
        return criterion.terms(self.loss_arguments(emissions, features, gold, step))

    def decode(self, emissions: Tensor, lengths: Tensor) -> Decoded:
        if not self.constrained:
            return Decoded(emissions.argmax(-1))
        end = torch.zeros_like(self.start)
        return Decoded(viterbi(emissions, lengths, self.start, self.step, end))
