"""Dropout with masks that cost little on CPU.

torch draws a mask there with one random number per element, 5 ns each; here an element takes 16
bits of SFC64 and four operations on 16-bit integers. Every element is still drawn by itself.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

CHUNK = 1 << 17  # draws at a time: they stay in the cache


class Masks:
    """A stream of masks, a function of the seed and of what was drawn before."""

    def __init__(self, seed: int):
        self.bits = np.random.SFC64(seed)

    def draw(self, shape: torch.Size, p: float) -> Tensor:
        """Return bf16 of this shape: 0 with probability p, in steps of 2^-15, else 1/(1-p)."""
        count = shape.numel()
        drawn = self.bits.random_raw(-(-count // 4)).view(np.int16)
        limit = np.int16(round(p * 2**15) - 2**14 - 1)
        factor = torch.tensor(1 / (1 - p), dtype=torch.bfloat16).view(torch.int16).numpy()
        for start in range(0, len(drawn), CHUNK):
            part = drawn[start : start + CHUNK]
            np.right_shift(part, 1, out=part)  # 15 bits, so that the difference does not overflow
            np.subtract(limit, part, out=part)
            np.right_shift(part, 15, out=part)  # all ones if negative: the element stays
            np.bitwise_and(part, factor, out=part)
        return torch.from_numpy(drawn[:count]).view(torch.bfloat16).view(shape)

    def state(self) -> Tensor:
        """Return what fixes the next masks."""
        return torch.from_numpy(self.bits.state["state"]["state"].view(np.int64).copy())

    def load(self, state: Tensor) -> None:
        """Continue from a state."""
        self.bits.state = self.bits.state | {"state": {"state": state.numpy().view(np.uint64)}}


class Masked(torch.autograd.Function):
    """Multiplies x by a mask, and so its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(mask)
        return x * mask

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        mask: Tensor = ctx.saved_tensors[0]
        return gradient * mask, None


def dropout(x: Tensor, p: float, masks: Masks | None) -> Tensor:
    """Return x with each element 0 with probability p, else divided by 1-p.

    torch draws if there are no masks.
    """
    if p == 0:
        return x
    if masks is None:
        return functional.dropout(x, p)
    masked: Tensor = Masked.apply(x, masks.draw(x.shape, p))  # type: ignore[no-untyped-call]
    return masked


class Dropout(nn.Module):
    """`nn.Dropout` with masks drawn here."""

    def __init__(self, p: float, masks: Masks):
        super().__init__()
        self.p, self.masks = p, masks

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.masks) if self.training else x


def use_masks(model: nn.Module, masks: Masks) -> None:
    """Replace every nn.Dropout by `Dropout`, in a model whose values are bf16 on CPU."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p, masks).train(child.training))
