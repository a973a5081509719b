"""Attention over packed windows: all pieces of a batch form one row, each sees its own window.

A linear layer then works on real pieces alone. For attention, windows of like length are laid side
by side.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from nersweep.machine.device import put
from nersweep.model.dropout import Masks
from nersweep.model.dropout import dropout as drop

ATTENTION = "nersweep_packed"  # the name under which transformers knows `attend`
ROUND_TO = 16  # lengths are rounded up to multiples of it: else softmax in bf16 is slow


class Group(NamedTuple):
    """Windows of like length, n of them, each of length L once padded."""

    places: int  # n·H·L
    length: int  # L
    bias: Tensor  # (n·H, 1 or L, L), added to the scores: 0 or -inf


class Places(NamedTuple):
    """Where attention has the rows of a packed batch.

    Rows are T pieces × H heads; places are, group by group, windows × heads × length.
    """

    rows: Tensor  # (P,), the row at each place, 0 if it is empty
    back: Tensor  # (T·H,), the place of each row
    filled: Tensor  # (P, 1), 1 with a row and 0 if empty
    groups: list[Group]


class Form(NamedTuple):
    """Forms attention: what a piece sees of its window, and how much of that is dropped."""

    scaling: float
    dropout: float
    window: int | None  # a piece sees those less than so many away
    causal: bool  # it sees none that follow


class Windows(Protocol):
    """Knows where the windows of a packed batch lie."""

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, form: Form, masks: Masks | None
    ) -> Tensor:
        """Return the attention of a layer, (1, T, H, D), of three times (1, H, T, D)."""


class Moves(Protocol):
    """Moves rows to places: the row at each place, (P,), and the place of each row, (T,)."""

    @property
    def rows(self) -> Tensor: ...

    @property
    def back(self) -> Tensor: ...


class Layout:
    """Packed windows of these sizes (windows,), in pieces, one after another."""

    def __init__(self, sizes: np.ndarray, device: torch.device):
        self.sizes, self.device = sizes, device
        self.cache: dict[tuple[object, ...], Places] = {}

    def places(self, heads: int, window: int | None, causal: bool, dtype: torch.dtype) -> Places:
        """Return the places for H heads, in the same order for all layers.

        window: a piece sees those less than so many away. causal: it sees none that follow.
        """
        key = heads, window, causal, dtype
        if key not in self.cache:
            self.cache[key] = self.lay_out(heads, window, causal, dtype)
        return self.cache[key]

    def lay_out(self, heads: int, window: int | None, causal: bool, dtype: torch.dtype) -> Places:
        """Build the places, as `places` describes them."""
        starts = np.cumsum(self.sizes) - self.sizes
        lengths = -(-self.sizes // ROUND_TO) * ROUND_TO
        back = np.empty((self.sizes.sum(), heads), dtype=np.int64)
        rows, filled, groups, total = [], [], [], 0
        for length in np.unique(lengths).tolist():
            chosen = np.flatnonzero(lengths == length)
            within = np.arange(length)
            holds = within < self.sizes[chosen, None]  # (n, L)
            piece = np.where(holds, starts[chosen, None] + within, 0)  # (n, L)
            shape = len(chosen), heads, length
            rows.append((piece[:, None] * heads + np.arange(heads)[:, None]).ravel())
            filled.append(np.broadcast_to(holds[:, None], shape).ravel())
            place = total + np.arange(np.prod(shape)).reshape(shape)
            back[piece[holds]] = place.swapaxes(1, 2)[holds]
            visible = self.visible(holds, window, causal)
            bias = self.bias(np.repeat(visible, heads, axis=0), dtype)
            groups.append(Group(place.size, length, bias))
            total += place.size
        occupied = torch.from_numpy(np.concatenate(filled))[:, None]
        return Places(
            rows=put(torch.from_numpy(np.concatenate(rows)), self.device),
            back=put(torch.from_numpy(back.ravel()), self.device),
            filled=put(occupied, self.device).to(dtype),
            groups=groups,
        )

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, form: Form, masks: Masks | None
    ) -> Tensor:
        """Return the attention of a layer, (1, T, H, D), of three times (1, H, T, D)."""
        heads, size = query.shape[1], query.shape[3]
        places = self.places(heads, form.window, form.causal, query.dtype)
        counts = [group.places for group in places.groups]

        # Split, and not sliced: the gradient of a slice is written into zeros of the whole, that of
        # a split is joined.
        def by_group(x: Tensor) -> tuple[Tensor, ...]:
            rows = x[0].transpose(0, 1).reshape(-1, size)
            laid_out: Tensor = ToPlaces.apply(rows, places)  # type: ignore[no-untyped-call]
            groups: tuple[Tensor, ...] = laid_out.split(counts)
            return groups  # each (n·H·L, D)

        parts = zip(places.groups, by_group(query), by_group(key), by_group(value), strict=True)
        outputs = []
        for group, *tensors in parts:
            q, k, v = (x.view(-1, group.length, size) for x in tensors)  # (n·H, L, D)
            bias = group.bias.expand(-1, group.length, -1)
            scores = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=form.scaling)  # (n·H, L, L)
            weights = drop(scores.softmax(-1), form.dropout, masks)
            outputs.append(torch.bmm(weights, v).view(-1, size))
        joined: Tensor = ToRows.apply(torch.cat(outputs), places)  # type: ignore[no-untyped-call]
        return joined.view(1, -1, heads, size)

    @staticmethod
    def visible(holds: np.ndarray, window: int | None, causal: bool) -> np.ndarray:
        """Return which places the pieces of a window see, (n, 1 or L, L)."""
        pieces = holds[:, None]
        if window is None and not causal:
            return pieces
        length = holds.shape[1]
        distance = np.arange(length)[:, None] - np.arange(length)
        near = (np.abs(distance) < (window or length)) & ((distance >= 0) | (not causal))
        # Empty places see themselves, as all must see some.
        visible: np.ndarray = (pieces & near) | np.eye(length, dtype=bool)
        return visible

    def bias(self, visible: np.ndarray, dtype: torch.dtype) -> Tensor:
        """Return 0 where a place is visible, and -inf elsewhere."""
        mask = put(torch.from_numpy(visible), self.device)
        zeros = torch.zeros(mask.shape, dtype=dtype, device=self.device)
        return zeros.masked_fill_(~mask, -torch.inf)


class ToPlaces(torch.autograd.Function):
    """Moves rows to places. A row's gradient is that of its one place: nothing is added up."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Moves) -> Tensor:
        ctx.places = places
        return rows.index_select(0, places.rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.index_select(0, ctx.places.back), None


class ToRows(torch.autograd.Function):
    """Moves places to rows. An empty place has no gradient."""

    @staticmethod
    def forward(ctx: Any, at_places: Tensor, places: Places) -> Tensor:
        ctx.places = places
        return at_places.index_select(0, places.back)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.index_select(0, ctx.places.rows).mul_(ctx.places.filled), None


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    scaling: float,
    layout: Windows,
    masks: Masks | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    softcap: float | None = None,
    **unused: object,
) -> tuple[Tensor, None]:
    """Return the attention of a layer, (1, T, H, D); transformers calls it.

    query (1, H, T, D), key and value (1, G, T, D), G dividing H.
    """
    if softcap is not None:
        raise ValueError(f"softcap={softcap}: must be None in packed attention")
    causal = bool(getattr(module, "is_causal", False) if is_causal is None else is_causal)
    if (shared := query.shape[1] // key.shape[1]) > 1:
        key, value = (x.repeat_interleave(shared, 1) for x in (key, value))
    form = Form(scaling, dropout, sliding_window, causal)
    return layout.attend(query, key, value, form, masks), None


AttentionInterface.register(ATTENTION, attend)
