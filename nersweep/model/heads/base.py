"""What heads share: which classes a loss sees, and what is given to it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from nersweep.batches.batch import Gold
from nersweep.labels import LabelSet
from nersweep.losses.base import Loss, Terms
from nersweep.model.encoders.encoder import Encoder


class Decoded(NamedTuple):
    """Predictions for sentences whose words stand one after another."""

    labels: Tensor  # (W,), label ids
    spans: Tensor | None = None  # (n, 3), rows (start, end, type id), if they say more than labels


class Head(nn.Module, ABC):
    """From word features (W, H) to emissions; from emissions to a loss and to labels.

    The emissions are what the encoder's own classifier gives.

    gives: what it gives to a loss, by the names of `Loss.needs`. asks: what a loss must need,
    because nothing else trains it. pointers: how many times the loss is applied, each time by a
    module of its own, as losses may have a state.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"logits", "targets", "features", "step_targets"})
    asks: ClassVar[frozenset[str]] = frozenset()
    pointers: ClassVar[int] = 1

    def __init__(self, encoder: Encoder, labels: LabelSet):
        super().__init__()
        self.classify = encoder.classify  # its parameters are the encoder's, and are saved with it
        self.labels = labels

    @staticmethod
    @abstractmethod
    def classes(labels: LabelSet) -> tuple[str, ...]:
        """Return the classes that a loss sees; the first is that of words outside entities."""

    @classmethod
    def outputs(cls, labels: LabelSet) -> tuple[str, ...]:
        """Return the names of the scores that the encoder's classifier gives."""
        return cls.classes(labels)

    @staticmethod
    @abstractmethod
    def targets(gold: Gold, labels: LabelSet) -> tuple[Tensor, ...]:
        """Return the gold classes (W,) of each pointer."""

    @abstractmethod
    def terms(
        self, criteria: Sequence[Loss], emissions: Tensor, features: Tensor, gold: Gold, step: Gold
    ) -> Terms:
        """Return the terms of the training loss, with a criterion for each pointer.

        emissions, features and gold belong to a micro-batch; step is the gold of the whole
        optimiser step.
        """

    @abstractmethod
    def decode(self, emissions: Tensor, lengths: Tensor) -> Decoded:
        """Return the predictions for sentences of so many words each (S,)."""

    def probabilities(self, emissions: Tensor, lengths: Tensor, temperature: float = 1.0) -> Tensor:
        """Return the probabilities of the classes at each word, for each pointer, (P, W, C).

        temperature > 0 divides all scores: above 1, the probabilities are more even.
        """
        return torch.stack((emissions / temperature).chunk(self.pointers, -1)).softmax(-1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the emissions (W, outputs), raw scores, of features (W, H)."""
        return self.classify(features)
