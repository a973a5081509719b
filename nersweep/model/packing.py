"""Attention over packed windows: all pieces of a batch stand in one row, without padding, and see their own window.

A linear layer then works on real pieces alone. For attention, windows of like length are laid side by side.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from nersweep.machine.device import put
from nersweep.model.dropout import Masks
from nersweep.model.dropout import dropout as drop

ATTENTION = "nersweep_packed"  # the name under which transformers knows `attend`
ROUND_TO = 16  # lengths of windows that lie side by side are rounded up to it: softmax in bf16 is slow else


class Places(NamedTuple):
    """Where the rows of a packed batch stand for attention: rows are T pieces × H heads, places are, group by group of
    windows of like length, windows × heads × length."""

    there: Tensor  # (P,), the row at each place, 0 where there is none
    back: Tensor  # (T·H,), the place of each row
    filled: Tensor  # (P, 1), 1 where there is a row and 0 elsewhere
    groups: list[
        tuple[slice, int, Tensor]
    ]  # places; length L; what is added to the scores: (n·H, 1 or L, L), 0 or -inf


class Layout:
    """Packed windows of these sizes (windows,), in pieces, one after another."""

    def __init__(self, sizes: np.ndarray, device: torch.device):
        self.sizes, self.device = sizes, device
        self.known: dict[tuple, Places] = {}

    def places(self, heads: int, window: int | None, causal: bool, dtype: torch.dtype) -> Places:
        """For H heads. window: a piece sees those less than so many away. causal: it sees none that follow."""
        key = heads, window, causal, dtype
        if key not in self.known:
            self.known[key] = self.lay_out(*key)
        return self.known[key]

    def lay_out(self, heads: int, window: int | None, causal: bool, dtype: torch.dtype) -> Places:
        starts = np.cumsum(self.sizes) - self.sizes
        lengths = -(-self.sizes // ROUND_TO) * ROUND_TO
        back = np.empty((self.sizes.sum(), heads), dtype=np.int64)
        there, filled, groups, at = [], [], [], 0
        for length in np.unique(lengths):
            chosen = np.flatnonzero(lengths == length)
            within = np.arange(length)
            holds = within < self.sizes[chosen, None]  # (n, L)
            piece = np.where(holds, starts[chosen, None] + within, 0)  # (n, L)
            shape = len(chosen), heads, int(length)
            there.append((piece[:, None] * heads + np.arange(heads)[:, None]).ravel())
            filled.append(np.broadcast_to(holds[:, None], shape).ravel())
            place = at + np.arange(np.prod(shape)).reshape(shape)
            back[piece[holds]] = place.swapaxes(1, 2)[holds]
            seen = holds[:, None]  # (n, 1, L), by the pieces of a window
            if window is not None or causal:
                away = within[:, None] - within
                near = (np.abs(away) < (window or length)) & ((away >= 0) | (not causal))
                seen = (seen & near) | np.eye(
                    length, dtype=bool
                )  # empty places see themselves, as all must see some
            bias = put(torch.from_numpy(np.repeat(seen, heads, axis=0)), self.device)
            bias = torch.zeros(bias.shape, dtype=dtype, device=self.device).masked_fill_(
                ~bias, -torch.inf
            )
            groups.append((place.size, int(length), bias))
            at += place.size
        there, filled = (
            torch.from_numpy(np.concatenate(there)),
            torch.from_numpy(np.concatenate(filled)),
        )
        return Places(
            put(there, self.device),
            put(torch.from_numpy(back.ravel()), self.device),
            put(filled[:, None], self.device).to(dtype),
            groups,
        )


class ToPlaces(torch.autograd.Function):
    """Rows to places. A row's gradient is that of its one place, so that nothing is added up."""

    @staticmethod
    def forward(ctx, rows: Tensor, places: Places) -> Tensor:
        ctx.places = places
        return rows.index_select(0, places.there)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.index_select(0, ctx.places.back), None


class ToRows(torch.autograd.Function):
    """Places to rows. A place without a row has no gradient."""

    @staticmethod
    def forward(ctx, at_places: Tensor, places: Places) -> Tensor:
        ctx.places = places
        return at_places.index_select(0, places.back)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.index_select(0, ctx.places.there).mul_(ctx.places.filled), None


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    scaling: float,
    layout: Layout,
    masks: Masks | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    softcap: float | None = None,
    **unused: object,
) -> tuple[Tensor, None]:
    """What transformers calls in each layer: query (1, H, T, D), key and value (1, G, T, D), G dividing H
    -> (1, T, H, D)."""
    if softcap is not None:
        raise ValueError(f"softcap={softcap}: must be None in packed attention")
    heads, size = query.shape[1], query.shape[3]
    causal = bool(getattr(module, "is_causal", False) if is_causal is None else is_causal)
    places = layout.places(heads, sliding_window, causal, query.dtype)

    def laid_out(x: Tensor) -> Tensor:
        x = (
            x[0].repeat_interleave(heads // x.shape[1], 0) if x.shape[1] < heads else x[0]
        )  # (H, T, D)
        return ToPlaces.apply(x.transpose(0, 1).reshape(-1, size), places)  # (P, D)

    # Split, and not sliced: the gradient of a slice is written into zeros of the whole, that of a split is joined.
    parts = (laid_out(x).split([count for count, *_ in places.groups]) for x in (query, key, value))
    outputs = []
    for (_, length, bias), *qkv in zip(places.groups, *parts, strict=True):
        q, k, v = (x.view(-1, length, size) for x in qkv)  # (n·H, L, D)
        scores = torch.baddbmm(
            bias.expand(-1, length, -1), q, k.transpose(1, 2), alpha=scaling
        )  # (n·H, L, L)
        outputs.append(torch.bmm(drop(scores.softmax(-1), dropout, masks), v).view(-1, size))
    return ToRows.apply(torch.cat(outputs), places).view(1, -1, heads, size), None


AttentionInterface.register(ATTENTION, attend)
