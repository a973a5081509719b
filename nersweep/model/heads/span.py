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
    """Two classifications per word over O and the types: does an entity start, does one end here.

    The loss is the mean of both; class weights follow the counts of starts, which are those of
    ends. Each start is joined with the nearest end of its type at or after it in the sentence. Such
    spans may overlap, and are scored as they are; if labels are wanted, a span that overlaps an
    earlier one is left out. Nested entities are learnt unless two start, or end, at one word: a
    pointer gives one class, and there it learns the longest. Scores count all of them.
    """

    pointers = 2

    @staticmethod
    def classes(labels: LabelSet) -> tuple[str, ...]:
        return ("O", *labels.types)

    @classmethod
    def outputs(cls, labels: LabelSet) -> tuple[str, ...]:
        classes = cls.classes(labels)
        starts = [f"START-{name}" for name in classes]
        return (*starts, *(f"END-{name}" for name in classes))

    @staticmethod
    def targets(gold: Gold, labels: LabelSet) -> tuple[Tensor, ...]:
        """Return the gold classes of both pointers, two of (W,).

        The type at B- and O elsewhere; the type at words that no I- follows and O elsewhere. Where
        entities overlap, their starts and ends; of several at a word, the longest's.
        """
        if gold.pointers is not None:
            return gold.pointers[0], gold.pointers[1]
        device = gold.labels.device
        begins = put(torch.from_numpy(labels.begins), device)[gold.labels]
        types = put(torch.from_numpy(labels.type_ids), device)[gold.labels]
        followed = torch.roll((types > 0) & ~begins, -1)  # by a word inside the entity
        followed.index_fill_(0, put(gold.lengths.cumsum(0) - 1, device), False)
        return types * begins, types * ~followed

    def terms(
        self, criteria: Sequence[Loss], emissions: Tensor, features: Tensor, gold: Gold, step: Gold
    ) -> Terms:
        targets, step_targets = self.targets(gold, self.labels), self.targets(step, self.labels)
        pointers = zip(criteria, emissions.chunk(2, -1), targets, step_targets, strict=True)
        both = []
        for criterion, scores, target, step_target in pointers:
            arguments = {"logits": scores, "targets": target, "features": features}
            both.append(criterion.terms(arguments | {"step_targets": step_target}))
        start, end = both
        means: Terms = {}
        for name, (weight, value) in start.items():
            means[name] = weight, (value + end[name][1]) / 2
        return means

    def decode(self, emissions: Tensor, lengths: Tensor) -> Decoded:
        start_scores, end_scores = emissions.chunk(2, -1)
        starts = start_scores.argmax(-1).cpu().numpy()  # (W,), type ids
        ends = end_scores.argmax(-1).cpu().numpy()
        sentences = np.repeat(np.arange(len(lengths)), lengths.cpu().numpy())  # (W,)
        rows = [np.zeros((0, 3), dtype=np.int64)]
        for i in set(starts) - {0}:
            rows.append(
                joined(np.flatnonzero(starts == i), np.flatnonzero(ends == i), sentences, i)
            )
        spans = np.concatenate(rows)
        spans = spans[np.lexsort((spans[:, 2], spans[:, 1], spans[:, 0]))]
        return Decoded(torch.from_numpy(labels_of(spans, len(starts))), torch.from_numpy(spans))


def joined(starts: np.ndarray, ends: np.ndarray, sentences: np.ndarray, type_id: int) -> np.ndarray:
    """Join each start with the nearest end at or after it in its sentence.

    Returns rows (start, end, type id), end exclusive.
    """
    at = np.searchsorted(ends, starts)
    starts, at = starts[at < len(ends)], at[at < len(ends)]
    rows = np.stack([starts, ends[at] + 1, np.full(len(starts), type_id)], axis=1)
    inside: np.ndarray = rows[sentences[rows[:, 0]] == sentences[rows[:, 1] - 1]]
    return inside


def labels_of(spans: np.ndarray, words: int) -> np.ndarray:
    """Return label ids (W,) of spans in their order; one that overlaps an earlier is left out."""
    ids = np.zeros(words, dtype=np.int64)
    for start, end, type_id in spans.tolist():
        if not ids[start:end].any():
            # B-X and I-X, as LabelSet numbers them.
            ids[start], ids[start + 1 : end] = 2 * type_id - 1, 2 * type_id
    return ids
