"""The token head: each word is labelled by itself."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from nersweep.batches.batch import Gold
from nersweep.labels import LabelSet
from nersweep.losses.base import Loss, Terms
from nersweep.losses.crf import viterbi
from nersweep.model.encoders.encoder import Encoder
from nersweep.model.heads.base import Decoded, Head


class TokenHead(Head):
    """One score per label. decode: "argmax" takes each word's best label; "viterbi" the best sequence of labels that
    IOB2 allows, in which I-X follows only B-X or I-X."""

    gives = Head.gives | {"lengths", "step_lengths"}

    def __init__(
        self, encoder: Encoder, labels: LabelSet, decode: Literal["argmax", "viterbi"] = "argmax"
    ):
        super().__init__(encoder, labels)
        self.constrained = decode == "viterbi"
        start, step = (
            torch.from_numpy(allowed).float().log() for allowed in labels.legal_transitions()
        )  # 0 or -inf
        self.register_buffer("start", start, persistent=False)
        self.register_buffer("step", step, persistent=False)

    @staticmethod
    def classes(labels: LabelSet) -> tuple[str, ...]:
        return labels.names

    @staticmethod
    def targets(gold: Gold, labels: LabelSet) -> tuple[Tensor, ...]:
        return (gold.labels,)

    def given(self, emissions: Tensor, features: Tensor, gold: Gold, step: Gold) -> dict[str, Any]:
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
        return criterion.terms(self.given(emissions, features, gold, step))

    def decode(self, emissions: Tensor, lengths: Tensor) -> Decoded:
        if not self.constrained:
            return Decoded(emissions.argmax(-1))
        return Decoded(
            viterbi(emissions, lengths, self.start, self.step, torch.zeros_like(self.start))
        )
