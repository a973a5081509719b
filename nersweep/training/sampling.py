"""Which sentences an optimiser step sees."""

from array import array
from collections.abc import Sequence

import numpy as np
import torch

from nersweep.batches.batch import Tokenised
from nersweep.labels import LabelSet


def entity_importance(split: Tokenised, labels: LabelSet) -> np.ndarray:
    """How much a sentence adds of rare types, (sentences,), at least 1: sqrt(1 + Σ_t r_t·c_t), c_t the words of type t
    in it and r_t = -log2 of the share of t in all words. Wang and Wang 2022, the resampling function sCR, there rounded
    up to a number of copies."""
    types = labels.type_ids[split.labels]
    shares = np.bincount(types, minlength=len(labels.types) + 1) / len(types)
    rareness = -np.log2(shares, where=shares > 0, out=np.zeros_like(shares))
    rareness[0] = 0.0  # O
    return np.sqrt(1 + np.add.reduceat(rareness[types], split.sentence_words[:-1]))


def epoch_batches(
    sentences: int, size: int, seed: int, epoch: int, importance: np.ndarray | None = None
) -> list[Sequence[int]]:
    """The sentences of each optimiser step, a function of seed and epoch alone, whatever the loss: a plain shuffle;
    with importance (sentences,) as many draws with replacement, each sentence as likely as it is important."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    if importance is None:
        drawn = torch.randperm(sentences, generator=generator)
    else:
        drawn = torch.from_numpy(importance).multinomial(
            sentences, replacement=True, generator=generator
        )
    order = array(
        "q", drawn.numpy().tobytes()
    )  # 8 bytes a sentence, and a list of whole numbers 40
    return [order[i : i + size] for i in range(0, sentences, size)]


def absent_shares(
    batches: Sequence[Sequence[int]], split: Tokenised, labels: LabelSet
) -> dict[str, float]:
    """For each type, the share of steps with no word of it: whatever the loss, such a step teaches nothing of it."""
    present = np.zeros(len(labels.types) + 1)  # steps
    for batch in batches:
        types = labels.type_ids[split.labels[split.words_of(batch)]]
        present += np.bincount(types, minlength=len(present)) > 0
    shares = 1 - present[1:] / len(batches)
    return dict(zip(labels.types, shares.tolist(), strict=True))
