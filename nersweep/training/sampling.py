"""Choose the sentences of each optimiser step and its micro-batches."""

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from nersweep.batches.batch import Batch, Gold, Tokenised
from nersweep.labels import LabelSet

# A padded step is cut by length into twice as many parts: long sentences pad short ones.
PADDED_PARTS = 2


class MicroBatch(NamedTuple):
    """Sentences that go forward and backward together, their gold on the device."""

    inputs: list[Batch]  # on the host; the encoder takes one after another
    gold: Gold  # of these sentences
    step: Gold  # of the whole optimiser step


def epoch_batches(
    sentences: int, size: int, seed: int, epoch: int, importance: np.ndarray | None = None
) -> list[Sequence[int]]:
    """Return the sentences of each optimiser step, a function of seed and epoch alone.

    Without importance a plain shuffle; with importance (sentences,) as many draws with
    replacement, each sentence as likely as it is important.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    if importance is None:
        drawn = torch.randperm(sentences, generator=generator)
    else:
        weights = torch.from_numpy(importance)
        drawn = weights.multinomial(sentences, replacement=True, generator=generator)
    order = array("q", drawn.numpy().tobytes())  # 8 bytes a sentence; a list takes 40
    return [order[i : i + size] for i in range(0, sentences, size)]


def micro_batches(
    split: Tokenised,
    sentences: Sequence[int],
    accumulation: int,
    packed: bool,
    splits: bool,
    device: torch.device,
) -> Iterator[MicroBatch]:
    """Yield an optimiser step in parts of like length, at least `accumulation` of them.

    splits: whether the loss of a step is the sum over its parts. If not, the step is one
    micro-batch, and only the encoder takes it part by part.
    """
    step = split.gold(sentences).to(device)
    parts = accumulation if packed else accumulation * PADDED_PARTS
    groups = split.groups(sentences, -(-len(sentences) // parts), packed)
    for together in [[group] for group in groups] if splits else [groups]:
        inputs = [split.batch(group, packed) for group in together]
        gold = split.gold([i for group in together for i in group]).to(device)
        yield MicroBatch(inputs, gold, step)


def importance_of(
    sampler: str,
    tags: np.ndarray,
    sentence_words: np.ndarray,
    labels: LabelSet,
    threshold: float | None = None,
) -> np.ndarray | None:
    """Return how likely a sampler draws each sentence, (sentences,), at least 1; None: all alike.

    With c_t the words of type t in a sentence of l words, and r_t = −log2 of the share of t in all
    words:

        sC               1 + Σ_t c_t
        entity_balanced  sqrt(1 + Σ_t r_t·c_t), which the authors call sCR
        sCRD             (1 + Σ_t r_t·c_t) / sqrt(l)
        nsCRD            (1 + Σ_t r_t·sqrt(c_t)) / sqrt(l)
        repeat_factor    the largest of max(1, sqrt(threshold / f_t)), f_t the share of sentences
                         with type t, over the types of the sentence

    The first four are the resampling functions of Wang and Wang 2022, as in their published code.
    There they are rounded up to a number of copies; here a sentence is drawn in proportion, and one
    below 1 counts as 1, as there. The last is that of Gupta et al. 2019 (LVIS), with sentences for
    images; a threshold of None is the largest f_t.

    tags (words,): label ids; sentence_words (sentences + 1,): where sentences begin.
    """
    if sampler == "random":
        return None
    types = labels.type_ids[tags]
    lengths = np.diff(sentence_words)
    kinds = len(labels.types) + 1
    sentence_of = np.repeat(np.arange(len(lengths)), lengths)
    cells = np.bincount(sentence_of * kinds + types, minlength=len(lengths) * kinds)
    counts = cells.reshape(-1, kinds)[:, 1:]  # (sentences, types)
    if sampler == "repeat_factor":
        present = (counts > 0).mean(0)  # f_t
        limit = present.max() if threshold is None else threshold
        ratios = np.divide(limit, present, where=present > 0, out=np.ones_like(present))
        return np.asarray(np.where(counts > 0, np.sqrt(ratios), 1.0).max(1).clip(min=1))
    shares = counts.sum(0) / len(types)
    rareness = -np.log2(shares, where=shares > 0, out=np.zeros_like(shares))
    if sampler == "sC":
        return np.asarray(1.0 + counts.sum(1))
    if sampler == "entity_balanced":
        return np.asarray(np.sqrt(1 + counts @ rareness))
    amounts = np.sqrt(counts) if sampler == "nsCRD" else counts
    return np.asarray(((1 + amounts @ rareness) / np.sqrt(lengths)).clip(min=1))


def absent_shares(
    batches: Sequence[Sequence[int]], split: Tokenised, labels: LabelSet
) -> dict[str, float]:
    """Return for each type the share of steps without a word of it: they teach nothing of it."""
    present = np.zeros(len(labels.types) + 1)  # steps
    for batch in batches:
        types = labels.type_ids[split.labels[split.words_of(batch)]]
        present += np.bincount(types, minlength=len(present)) > 0
    shares = 1 - present[1:] / len(batches)
    return dict(zip(labels.types, shares.tolist(), strict=True))
