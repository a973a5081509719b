"""The tagger: encoder, head and losses together, and its predictions."""

from collections.abc import Sequence
from copy import deepcopy
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from nersweep.batches.batch import Batch, Gold, Tokenised
from nersweep.faults import blame
from nersweep.losses.base import Loss, Terms
from nersweep.model.auxiliary import AuxiliaryHeads
from nersweep.model.encoders.encoder import Encoder
from nersweep.model.heads.base import Head

EVALUATED = 64  # sentences at a time
GRID_PLACES = 32768  # of a grid, for which as many sentences are evaluated at a time


class Predictions(NamedTuple):
    """Predictions for the words of a split, in the order of its sentences."""

    labels: np.ndarray  # (words,), label ids
    emissions: np.ndarray  # (words, outputs), the head's raw scores
    probabilities: np.ndarray  # (words, pointers, classes)
    spans: np.ndarray | None = None  # (n, 3), rows (start, end, type id) of a head that has spans


class Tagger(nn.Module):
    """Encoder, head, loss and, if there are any, auxiliary heads: everything with parameters."""

    def __init__(self, encoder: Encoder, head: Head, loss: Loss, aux: AuxiliaryHeads | None = None):
        super().__init__()
        self.encoder, self.head, self.aux = encoder, head, aux
        self.criteria = nn.ModuleList([loss])  # one for each pointer, as a loss may have a state
        for _ in range(head.pointers - 1):
            self.criteria.append(deepcopy(loss))
        self.splits = loss.splits  # whether the values of micro-batches add up to that of the step

    def forward(self, inputs: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """Return features (W, hidden) in float32 and emissions (W, outputs) of all these words."""
        features = torch.cat([self.encoder.features(batch) for batch in inputs]).float()
        return features, self.head(features)

    def terms(self, emissions: Tensor, features: Tensor, gold: Gold, step: Gold) -> Terms:
        """Return the terms of the training loss of a micro-batch.

        emissions (W, outputs), features (W, hidden) and gold are those of the micro-batch; step is
        the gold of the whole optimiser step.
        """
        criteria = cast("Sequence[Loss]", self.criteria)
        with blame("loss", type(criteria[0]), passing=(torch.OutOfMemoryError,)):
            terms = self.head.terms(criteria, emissions, features, gold, step)
        return self.aux.terms(terms, features, gold, step) if self.aux else terms


def weighted_sum(terms: Terms) -> Tensor:
    """Return the training loss: the sum of its terms, each times its weight."""
    weighted = [weight * value for weight, value in terms.values()]
    return sum(weighted[1:], start=weighted[0])


@torch.inference_mode()
def predict(
    tagger: Tagger,
    split: Tokenised,
    device: torch.device,
    shift: Tensor | None = None,
    temperature: float = 1.0,
) -> Predictions:
    """Return the predictions for all words of a split.

    shift (outputs,) is added to the scores of every word before decoding, a threshold chosen after
    training. temperature divides them for the probabilities. Each leaves the other's result alone.
    """
    tagger.eval()
    packed, everything = tagger.encoder.packed, range(len(split))
    if tagger.encoder.grid:
        groups = split.groups(everything, len(split), packed=False, most=GRID_PLACES)
    else:
        groups = split.groups(everything, EVALUATED, packed)
    places, labels, scores, probabilities, spans = [], [], [], [], []
    for sentences in groups:
        _, emissions = tagger([split.batch(sentences, packed)])
        lengths = split.gold(sentences).lengths.to(device)
        shifted = emissions if shift is None else emissions + shift
        decoded = tagger.head.decode(shifted, lengths)
        words = split.words_of(sentences)
        places.append(words)
        labels.append(decoded.labels)
        scores.append(emissions)
        of_classes = tagger.head.probabilities(emissions, lengths, temperature)
        probabilities.append(of_classes.movedim(0, 1))
        if decoded.spans is not None:
            start, end, types = decoded.spans.numpy().T
            spans.append(np.stack([words[start], words[end - 1] + 1, types], axis=1))
    order = np.argsort(np.concatenate(places))
    return Predictions(
        torch.cat(labels).cpu().numpy()[order],
        torch.cat(scores).cpu().numpy()[order],
        torch.cat(probabilities).cpu().numpy()[order],
        np.concatenate(spans) if spans else None,
    )
