"""How hard the words of training are, and how hard each pulls: histograms of gradient norms."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

BINS = 30
EVERY = 10  # steps of training between two that are looked at


class GradientNorms(nn.Module):
    """Of the words that it is shown, in equal bins of g = 1 - p_y, which is the norm of cross entropy's gradient at the
    score of the gold class: how many there are, the sum of their g, and the sum of |∂L/∂z_y| under the loss that is
    trained, times the words of the step. Words outside entities apart from the others. Li, Liu & Wang 2019, section
    3.1, with softmax for sigmoid."""

    def __init__(self):
        super().__init__()
        self.register_buffer(
            "sums", torch.zeros(3, 2, BINS)
        )  # words, g, |∂L/∂z_y| x O, entities x bins

    @torch.no_grad()
    def add(
        self, probabilities: Tensor, targets: Sequence[Tensor], pull: Tensor | None = None
    ) -> None:
        """probabilities (P, W, C) of P pointers; targets, for each its gold classes (W,); pull (W, P·C), the gradient
        of the loss at the scores, None where it has none. Waits for no device."""
        gold = torch.stack(list(targets))[..., None]  # (P, W, 1)
        hard = 1 - probabilities.gather(-1, gold).flatten()  # (P·W,)
        pulls = (
            torch.stack(pull.chunk(len(gold), -1)).gather(-1, gold)
            if pull is not None
            else torch.zeros_like(gold)
        )
        place = (hard * BINS).long().clamp(0, BINS - 1) + BINS * (gold.flatten() > 0)
        values = torch.stack([torch.ones_like(hard), hard, pulls.flatten().abs().to(hard.dtype)])
        self.sums.view(3, -1).index_add_(1, place, values.to(self.sums.dtype))

    def read(self) -> dict[str, list[list[float]]]:
        """The sums, as lists (O, entities) of bins, which begin anew at 0."""
        words, norms, pulls = self.sums.tolist()
        self.sums.zero_()
        return {"words": words, "norms": norms, "pulls": pulls}


def histogram(probabilities: np.ndarray, targets: Sequence[Tensor]) -> dict[str, list[list[float]]]:
    """The same of words that were only predicted: probabilities (W, P, C)."""
    norms = GradientNorms()
    norms.add(torch.from_numpy(probabilities).movedim(1, 0), targets)
    found = norms.read()
    return {name: found[name] for name in ("words", "norms")}
