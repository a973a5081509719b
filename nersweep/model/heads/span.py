"""The span head: two pointers, to the first and to the last word of each entity."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nersweep.batches.batch import Gold
from nersweep.labels import LabelSet
from nersweep.losses.base import Loss, Terms
from nersweep.machine.device import put
from nersweep.model.heads.base import Decoded, Head


class SpanHead(Head):
    """For each word two classifications over O and the types: does an entity of this type start here, does one end
    here. The loss is the mean of both; class weights follow the counts of starts, which are those of ends.

    Each start is joined with the nearest end of its type at or after it in the sentence. Such spans may overlap, and
    are scored as they are; where labels are wanted, a span that overlaps an earlier one is left out.
    """

    pointers = 2

    @staticmethod
    def classes(labels: LabelSet) -> tuple[str, ...]:
        return ("O", *labels.types)

    @classmethod
    def outputs(cls, labels: LabelSet) -> tuple[str, ...]:
        return tuple(
            f"{pointer}-{name}" for pointer in ("START", "END") for name in cls.classes(labels)
        )

    @staticmethod
    def targets(gold: Gold, labels: LabelSet) -> tuple[Tensor, ...]:
        """Of IOB2 labels: the type at B- and O elsewhere; the type at words that no I- follows and O elsewhere."""
        device = gold.labels.device
        begins, types = (
            put(torch.from_numpy(x), device)[gold.labels] for x in (labels.begins, labels.type_ids)
        )
        goes_on = torch.roll((types > 0) & ~begins, -1)  # is the next word inside
        goes_on.index_fill_(0, put(gold.lengths.cumsum(0) - 1, device), False)
        return types * begins, types * ~goes_on

    def terms(
        self, criteria: Sequence[Loss], emissions: Tensor, features: Tensor, gold: Gold, step: Gold
    ) -> Terms:
        scores = emissions.chunk(2, -1)
        targets, step_targets = (self.targets(x, self.labels) for x in (gold, step))
        start, end = (
            criterion.terms(
                {"logits": z, "targets": y, "features": features, "step_targets": step_y}
            )
            for criterion, z, y, step_y in zip(criteria, scores, targets, step_targets, strict=True)
        )
        return {
            name: (weight, (value + end[name][1]) / 2) for name, (weight, value) in start.items()
        }

    def decode(self, emissions: Tensor, lengths: Tensor) -> Decoded:
        starts, ends = (
            scores.argmax(-1).cpu().numpy() for scores in emissions.chunk(2, -1)
        )  # (W,) type ids
        sentences = np.repeat(np.arange(len(lengths)), lengths.cpu().numpy())  # (W,)
        rows = [
            joined(np.flatnonzero(starts == i), np.flatnonzero(ends == i), sentences, i)
            for i in set(starts) - {0}
        ]
        spans = np.concatenate([np.zeros((0, 3), dtype=np.int64), *rows])
        spans = spans[np.lexsort((spans[:, 2], spans[:, 1], spans[:, 0]))]
        return Decoded(torch.from_numpy(labels_of(spans, len(starts))), torch.from_numpy(spans))


def joined(starts: np.ndarray, ends: np.ndarray, sentences: np.ndarray, type_id: int) -> np.ndarray:
    """Each start with the nearest end at or after it in its sentence: rows (start, end, type id), end exclusive."""
    at = np.searchsorted(ends, starts)
    starts, at = starts[at < len(ends)], at[at < len(ends)]
    rows = np.stack([starts, ends[at] + 1, np.full(len(starts), type_id)], axis=1)
    return rows[sentences[rows[:, 0]] == sentences[rows[:, 1] - 1]]


def labels_of(spans: np.ndarray, words: int) -> np.ndarray:
    """Label ids (W,) of spans in their order; one that overlaps an earlier one is left out."""
    ids = np.zeros(words, dtype=np.int64)
    for start, end, type_id in spans.tolist():
        if not ids[start:end].any():
            ids[start], ids[start + 1 : end] = (
                2 * type_id - 1,
                2 * type_id,
            )  # B-X and I-X, as LabelSet numbers them
    return ids
