"""The tagger: encoder, head and losses together, and its predictions."""

from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from nersweep.batches.batch import Gold, Tokenised
from nersweep.losses.base import Loss, Terms
from nersweep.model.auxiliary import AuxiliaryHeads
from nersweep.model.encoder import Encoder
from nersweep.model.heads.base import Head
from nersweep.training import gradients


class Predictions(NamedTuple):
    """Of the words of a split, in the order of its sentences."""

    labels: np.ndarray  # (words,), label ids
    emissions: np.ndarray  # (words, outputs), the head's raw scores
    probabilities: np.ndarray  # (words, pointers, classes)
    spans: np.ndarray | None = (
        None  # (n, 3), rows (start, end, type id), where the head predicts spans
    )


class Tagger(nn.Module):
    """Encoder, head, loss and, where there are any, auxiliary heads: everything that has parameters; and what is seen
    of their gradients."""

    def __init__(self, encoder: Encoder, head: Head, loss: Loss, aux: AuxiliaryHeads | None = None):
        super().__init__()
        self.encoder, self.head, self.aux = encoder, head, aux
        self.criteria = nn.ModuleList([loss, *(deepcopy(loss) for _ in range(head.pointers - 1))])
        self.norms = gradients.GradientNorms()

    def terms(self, emissions: Tensor, features: Tensor, gold: Gold, step: Gold) -> Terms:
        """The terms of the training loss, for word features (W, hidden) of a micro-batch of the step and the head's
        emissions of them."""
        terms = self.head.terms(self.criteria, emissions, features, gold, step)
        return self.aux.terms(terms, features, gold, step) if self.aux else terms

    def observe(self, emissions: Tensor, gold: Gold, words: int) -> None:
        """Takes the gradients of a micro-batch's emissions into `norms`; words: of the whole step."""
        probabilities = self.head.probabilities(emissions.detach(), gold.lengths)
        pull = None if emissions.grad is None else emissions.grad * words
        self.norms.add(probabilities, self.head.targets(gold, self.head.labels), pull)


@torch.inference_mode()
def predict(tagger: Tagger, split: Tokenised, device: torch.device) -> Predictions:
    tagger.eval()
    encoder = tagger.encoder
    places, found, spans = [], [], []
    for sentences in split.groups(range(len(split)), 64, encoder.packed):
        features = encoder.features(split.batch(sentences, encoder.packed).to(device))
        lengths = split.gold(sentences).lengths.to(device)
        emissions = tagger.head(features.float())
        decoded = tagger.head.decode(emissions, lengths)
        probabilities = tagger.head.probabilities(emissions, lengths).movedim(0, 1)
        words = split.words_of(sentences)
        places.append(words)
        found.append([x.cpu().numpy() for x in (decoded.labels, emissions, probabilities)])
        if decoded.spans is not None:
            start, end, types = decoded.spans.numpy().T
            spans.append(np.stack([words[start], words[end - 1] + 1, types], axis=1))
    order = np.argsort(np.concatenate(places))
    arrays = [np.concatenate(parts)[order] for parts in zip(*found, strict=True)]
    return Predictions(*arrays, np.concatenate(spans) if spans else None)
