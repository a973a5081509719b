"""Packed windows as one grid of static shape, for CUDA: one copy to the device, one kernel a layer.

Attention is `scaled_dot_product_attention` over N windows of L places each, padding included.
Batches of one shape differ in values alone, so a CUDA graph can repeat what was done with one.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nersweep.batches.batch import Batch
from nersweep.model.dropout import Masks
from nersweep.model.packing import Form, ToPlaces, ToRows

# T, L and N are rounded up to multiples of these: fewer shapes, and lengths that kernels like.
PIECES, LENGTH, WINDOWS = 128, 32, 8
EMPTY, FILLED, SEEN = 0, 1, 2  # a place: without a piece, with one, or empty but visible


def up(count: int, multiple: int) -> int:
    """Return the least multiple that is at least `count`."""
    return -(-count // multiple) * multiple


class Shape(NamedTuple):
    """T pieces in N windows of L places."""

    pieces: int
    windows: int
    length: int

    def parts(self) -> list[int]:
        """Return the sizes of the parts of a batch's values, in the order of `Grid`."""
        pieces, places = self.pieces, self.windows * self.length
        return [pieces, pieces, pieces, pieces, pieces + 1, places, places]


class Words(NamedTuple):
    """Where the features of words are: one row for each, then rows without a word."""

    rows: Tensor  # (T + 1,), the piece of each word
    back: Tensor  # (T,), the word of each piece; T, whose gradient is 0, if it has none


def values_of(batch: Batch, first_position: int) -> tuple[Shape, Tensor]:
    """Return the shape of a packed batch, and its values, int32, on the host.

    first_position: that of a window's first piece.
    """
    real = int(np.searchsorted(np.cumsum(batch.sizes), batch.pieces)) + 1
    sizes = batch.sizes[:real]
    longest = int(sizes.max())
    length, pieces = up(longest, LENGTH), up(batch.pieces, PIECES)
    # Padding fills windows too, so that each row has one place.
    whole, rest = divmod(pieces - batch.pieces, longest)
    sizes = np.concatenate([sizes, [longest] * whole, [rest] * bool(rest)]).astype(np.int64)
    shape = Shape(pieces, up(len(sizes) + 1, WINDOWS), length)

    ids = np.full(pieces, batch.input_ids[0, -1], dtype=np.int64)
    ids[: batch.pieces] = batch.input_ids[0, : batch.pieces]
    starts = np.cumsum(sizes) - sizes
    within = np.arange(pieces) - np.repeat(starts, sizes)
    place = np.repeat(np.arange(len(sizes)), sizes) * length + within  # (T,)
    row = np.zeros(shape.windows * length, dtype=np.int64)
    row[place] = np.arange(pieces)
    kind = np.zeros_like(row)
    kind[::length] = SEEN  # an empty window sees its first place: it must see some
    kind[place] = FILLED
    first = np.zeros(pieces + 1, dtype=np.int64)
    first[: len(batch.places)] = batch.places
    word = np.full(pieces, pieces)
    word[batch.places] = np.arange(len(batch.places))
    parts = [ids, within + first_position, place, word, first, row, kind]
    return shape, torch.from_numpy(np.concatenate(parts).astype(np.int32))


class Grid:
    """A packed batch by its shape and values, as `values_of` gives them, on a device."""

    def __init__(self, shape: Shape, values: Tensor):
        self.shape = shape
        ids, positions, self.back, word, first, self.rows, self.kind = values.split(shape.parts())
        self.input_ids, self.positions = ids[None], positions[None]  # (1, T)
        self.words = Words(first, word)
        self.filled: Tensor | None = None  # (N·L, 1), 1 with a piece and 0 if empty
        self.masks: dict[tuple[int | None, bool], Tensor] = {}

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, form: Form, masks: Masks | None
    ) -> Tensor:
        """Return the attention of a layer, (1, T, H, D), of three times (1, H, T, D)."""
        heads, _, size = query.shape[1:]
        if self.filled is None:
            self.filled = (self.kind == FILLED).to(query.dtype)[:, None]

        def laid_out(x: Tensor) -> Tensor:
            rows = x[0].transpose(0, 1).reshape(-1, heads * size)  # (T, H·D)
            at_places: Tensor = ToPlaces.apply(rows, self)  # type: ignore[no-untyped-call]
            return at_places.view(-1, self.shape.length, heads, size).transpose(1, 2)

        output = functional.scaled_dot_product_attention(
            laid_out(query),  # (N, H, L, D)
            laid_out(key),
            laid_out(value),
            attn_mask=self.visible(form.window, form.causal),
            dropout_p=form.dropout,
            scale=form.scaling,
        )
        at_places = output.transpose(1, 2).reshape(-1, heads * size)  # (N·L, H·D)
        rows: Tensor = ToRows.apply(at_places, self)  # type: ignore[no-untyped-call]
        return rows.view(1, -1, heads, size)

    def visible(self, window: int | None, causal: bool) -> Tensor:
        """Return which places of its window each place sees, (N, 1, L, L)."""
        key = window, causal
        if key not in self.masks:
            _, windows, length = self.shape
            visible = (self.kind != EMPTY).view(windows, 1, 1, length).expand(-1, -1, length, -1)
            if window is not None or causal:
                place = torch.arange(length, device=self.kind.device)
                distance = place[:, None] - place
                near = distance.abs() < (window or length)
                if causal:
                    near &= distance >= 0
                visible = (visible & near) | (distance == 0)
            self.masks[key] = visible
        return self.masks[key]

    def features(self, states: Tensor) -> Tensor:
        """Return the states (1, T, hidden) of the piece of each word, (T + 1, hidden).

        Rows after those of the words have no meaning; their gradient must be 0.
        """
        features: Tensor = ToPlaces.apply(states[0], self.words)  # type: ignore[no-untyped-call]
        return features
