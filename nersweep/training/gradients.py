"""Histograms of gradient norms: how hard words are, and how strongly each pulls."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from nersweep.training.history import Histogram

BINS = 30


class GradientHistogram:
    """Counts words in equal bins of g = 1 - p_y, the gradient norm of cross entropy.

    g is the norm at the score of the gold class. Each bin has the number of words, the sum of
    their g, and the sum of |∂L/∂z_y| under the loss that is trained, times the words of the step;
    words outside entities and inside are counted apart. Li, Liu & Wang 2019, section 3.1, with
    softmax for sigmoid.
    """

    def __init__(self, device: torch.device | None = None, dtype: torch.dtype = torch.float32):
        # words, g, |∂L/∂z_y| × O, entities × bins
        self.sums = torch.zeros(3, 2, BINS, device=device, dtype=dtype)

    @torch.no_grad()
    def add(
        self, probabilities: Tensor, targets: Sequence[Tensor], pull: Tensor | None = None
    ) -> None:
        """Count some words, without waiting for the device.

        probabilities (P, W, C) of P pointers; targets: the gold classes (W,) of each pointer;
        pull (W, P·C): the gradient of the loss at the scores, None if it has none.
        """
        gold = torch.stack(list(targets))[..., None]  # (P, W, 1)
        hard = 1 - probabilities.gather(-1, gold).flatten()  # (P·W,)
        if pull is None:
            pulls = torch.zeros_like(hard)
        else:
            pulls = torch.stack(pull.chunk(len(gold), -1)).gather(-1, gold).flatten().abs()
        place = (hard * BINS).long().clamp(0, BINS - 1) + BINS * (gold.flatten() > 0)
        values = torch.stack([torch.ones_like(hard), hard, pulls.to(hard.dtype)])  # (3, P·W)
        self.sums.view(3, -1).index_add_(1, place, values.to(self.sums.dtype))

    def read(self) -> Histogram:
        """Return the sums, as lists (O, entities) of bins, and count from 0 again."""
        words, norms, pulls = self.sums.tolist()
        self.sums.zero_()
        return Histogram(words, norms, pulls)


def histogram(probabilities: np.ndarray, targets: Sequence[Tensor]) -> Histogram:
    """Return the words and norms of words that were only predicted: probabilities (W, P, C)."""
    counted = GradientHistogram()
    counted.add(torch.from_numpy(probabilities).movedim(1, 0), targets)
    return replace(counted.read(), pulls=None)
