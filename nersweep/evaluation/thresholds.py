"""Choose on dev what a trained model may gain without training: thresholds, and a temperature.

A threshold is a shift of the scores before decoding. τ shifts all classes by their frequency, and
each type may have an offset beside it. A temperature divides the scores: it changes probabilities,
and no prediction.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from nersweep.evaluation import stats
from nersweep.evaluation.metrics import Rates, entities, entity_counts, is_among
from nersweep.labels import LabelSet
from nersweep.model.heads.base import Head

GROUP = 256  # sentences that are decoded together
TAU_STEPS = 10  # per unit of τ
TAU_START, TAU_BOUND = 2, 10  # |τ| searched at first, and at most
OFFSETS = tuple((np.arange(-8, 9) / 4).tolist())  # of a type
FEWEST = 30  # gold entities on dev of a type that may have an offset
TEMPERATURES = (0.05, 20.0)  # the range of T


@dataclass(frozen=True)
class Decoding:
    """A split that can be decoded again, from other scores than the head gave.

    emissions (W, outputs) on the device that decodes; lengths (S,), in words; targets (W, P), the
    gold class for each of P pointers; gold: the gold entities, rows (start, end, type).
    """

    head: Head
    labels: LabelSet
    emissions: Tensor
    lengths: np.ndarray
    targets: np.ndarray
    gold: np.ndarray

    def groups(self, scores: Tensor) -> Iterable[tuple[int, Tensor, np.ndarray]]:
        """Yield the first word, the scores and the lengths of some sentences at a time."""
        ends = np.concatenate([[0], np.cumsum(self.lengths)])
        for first in range(0, len(self.lengths), GROUP):
            lengths = self.lengths[first : first + GROUP]
            start, end = int(ends[first]), int(ends[first + len(lengths)])
            yield start, scores[start:end], lengths

    def predicted(self, shift: np.ndarray) -> np.ndarray:
        """Return the entities that are predicted after a shift, rows (start, end, type).

        shift (outputs,) is added to the scores of every word.
        """
        device, spans = self.emissions.device, []
        shifted = self.emissions + torch.from_numpy(shift.astype(np.float32)).to(device)
        for start, scores, lengths in self.groups(shifted):
            decoded = self.head.decode(scores, torch.from_numpy(lengths))
            if decoded.spans is None:
                rows = entities(decoded.labels.cpu().numpy(), lengths, self.labels)
            else:
                rows = decoded.spans.numpy()
            spans.append(rows + np.array([start, start, 0]))
        return np.concatenate(spans)

    def entities(self, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the entities that are correct, predicted and gold after a shift, as rows."""
        predicted = self.predicted(shift)
        return self.gold[is_among(self.gold, predicted)], predicted, self.gold

    def counts(self, shift: np.ndarray) -> np.ndarray:
        """Count entities by type, correct, predicted and gold, (types, 3), after a shift."""
        predicted = self.predicted(shift)
        return entity_counts(self.gold, predicted, len(self.emissions), len(self.labels.types))

    def rates(self, shift: np.ndarray) -> Rates:
        """Return the micro rates after a shift."""
        return Rates.from_counts(*self.counts(shift).sum(0).tolist())

    def probabilities(self, temperature: float) -> np.ndarray:
        """Return the probabilities (W, P, C) at a temperature."""
        parts: list[Tensor] = []
        for _, scores, lengths in self.groups(self.emissions.double()):
            of_group = self.head.probabilities(scores, torch.from_numpy(lengths), temperature)
            parts.append(of_group.movedim(0, 1))
        return torch.cat(parts).cpu().numpy()

    def cross_entropy(self, temperature: float) -> float:
        """Return the mean −log p of the gold classes at a temperature, in nats."""
        return stats.cross_entropy(self.probabilities(temperature), self.targets)


def prior_shift(head: Head, counts: np.ndarray) -> np.ndarray:
    """Return −log π_c of each output, (outputs,): τ times it is the shift by τ.

    π_c is the class's share of the training words: above 0, rare classes are predicted more often.
    Menon et al. 2021, eq. 9, with τ = 1. counts (classes,), where a class that training lacks
    counts as one word.
    """
    shares = np.maximum(counts, 1) / counts.sum()
    return np.tile(-np.log(shares), head.pointers)


def scan(decoding: Decoding, prior: np.ndarray, taus: Iterable[float]) -> dict[float, np.ndarray]:
    """Return the counts by type (types, 3) at each τ. prior: as `prior_shift` gives it."""
    return {tau: decoding.counts(tau * prior) for tau in taus}


def best_tau(dev: Decoding, prior: np.ndarray) -> tuple[float, bool]:
    """Return the τ with the best micro F1, and whether it is at the bound of what was searched.

    Steps of .1 from −2 to 2. While an end is as good as the best, the search goes on by one unit
    there, to −10 or 10 at most. Of equals, the τ nearest 0.
    """
    f1: dict[int, float] = {}  # by τ in steps
    low, high = -TAU_START * TAU_STEPS, TAU_START * TAU_STEPS
    bound, wider = TAU_BOUND * TAU_STEPS, True
    while wider:
        places = [place for place in range(low, high + 1) if place not in f1]
        counts = scan(dev, prior, [place / TAU_STEPS for place in places])
        for place in places:
            f1[place] = Rates.from_counts(*counts[place / TAU_STEPS].sum(0).tolist()).f1
        best = max(f1.values())
        down = low > -bound and f1[low] == best
        up = high < bound and f1[high] == best
        low, high, wider = low - TAU_STEPS * down, high + TAU_STEPS * up, down or up
    place = min(f1, key=lambda place: (-f1[place], abs(place), place))
    return place / TAU_STEPS, abs(place) == bound


def type_shift(head: Head, labels: LabelSet, offsets: np.ndarray) -> np.ndarray:
    """Return the shift (outputs,) that adds the offset of each type, (types,), to its classes.

    Those are B- and I- of the type; the type itself, for both pointers of a span head.
    """
    classes = head.classes(labels)
    if tuple(classes) == labels.names:
        types = labels.type_ids
    else:
        types = np.array([labels.types.index(x) + 1 if x in labels.types else 0 for x in classes])
    return np.tile(np.concatenate([[0.0], offsets])[types], head.pointers)


def best_offsets(dev: Decoding, start: np.ndarray) -> np.ndarray:
    """Return the offsets (types,) with the best micro F1, beside a shift to start from.

    Coordinate ascent: type by type, each takes the best of −2, −1.75, … 2 with the others held,
    until none changes. Of equals, the offset nearest 0. A type with fewer than 30 gold entities
    keeps 0: a choice for it would fit the noise of dev.
    """
    support = np.bincount(dev.gold[:, 2], minlength=len(dev.labels.types) + 1)[1:]
    offsets = np.zeros(len(support))
    scores: dict[tuple[float, ...], float] = {}

    def f1(type_id: int, offset: float) -> float:
        others = offsets.copy()
        others[type_id] = offset
        key = tuple(others.tolist())
        if key not in scores:
            scores[key] = dev.rates(start + type_shift(dev.head, dev.labels, others)).f1
        return scores[key]

    changes = True
    while changes:
        before = offsets.copy()
        for type_id in np.flatnonzero(support >= FEWEST).tolist():
            offsets[type_id] = min(OFFSETS, key=lambda x: (-f1(type_id, x), abs(x), x))
        changes = bool((offsets != before).any())
    return offsets


def best_temperature(dev: Decoding) -> float:
    """Return the T in [.05, 20] that minimises the cross entropy of words.

    One T divides all scores, of both pointers and of a CRF's transitions too, so no prediction
    changes. Convex in 1/T, so with one minimum, but for a CRF: there p is a word's marginal.
    Guo et al. 2017, section 4.2.
    """
    low, high = np.log(TEMPERATURES)
    result = minimize_scalar(
        lambda log_t: dev.cross_entropy(float(np.exp(log_t))),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-3},
    )
    return float(np.exp(result.x))
