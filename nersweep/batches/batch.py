"""Sentences to tensors."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from nersweep.machine.device import pinned, put

MOST_PIECES = 4096  # of a group, with padding: memory does not grow with the length of sentences


# T takes few values, multiples of these, because oneDNN keeps memory for each shape that it has seen.
PADDED_TO, PACKED_TO = 16, 64


@dataclass(frozen=True)
class Batch:
    """What the encoder sees of some sentences. Words stand one after another (W,), in the order of their sentences,
    whatever windows they lie in. Packed, all windows stand in one row (1, T); padded, each has a row (R, T)."""

    input_ids: Tensor  # (R, T)
    first: Tensor  # (W,), where each word's first piece lies in input_ids.flatten()
    sizes: (
        np.ndarray
    )  # (windows,), their pieces, in order; packed, the last may be windows of padding
    pieces: int  # that are no padding
    packed: bool

    @property
    def attention_mask(self) -> Tensor:
        """(R, T), 1 on pieces and 0 on padding, of a padded batch."""
        places = torch.arange(self.input_ids.shape[1], device=self.input_ids.device)
        return (places < put(torch.from_numpy(self.sizes), places.device)[:, None]).long()

    @property
    def positions(self) -> Tensor:
        """(1, T), each piece's place in its window, of a packed batch."""
        starts = np.repeat(np.cumsum(self.sizes) - self.sizes, self.sizes)
        return put(torch.from_numpy(np.arange(len(starts)) - starts)[None], self.input_ids.device)

    def to(self, device: torch.device) -> "Batch":
        return replace(self, input_ids=put(self.input_ids, device), first=put(self.first, device))


@dataclass(frozen=True)
class Gold:
    """What is true of some sentences, whose words stand one after another."""

    labels: Tensor  # (W,), label ids
    lengths: (
        Tensor  # (S,), words of each sentence; on the host, where loops over words are laid out
    )
    columns: dict[str, Tensor] = field(
        default_factory=dict
    )  # further annotations, ids (W,) under the column's name

    def to(self, device: torch.device) -> "Gold":
        columns = {name: put(ids, device) for name, ids in self.columns.items()}
        return Gold(put(self.labels, device), pinned(self.lengths, device), columns)


@dataclass(frozen=True)
class Tokenised:
    """One split as flat arrays: windows of pieces, and for each word its window, its place there and its label."""

    pieces: np.ndarray  # all windows one after another, special pieces included
    window_starts: np.ndarray  # (windows + 1,), into pieces
    sentence_windows: np.ndarray  # (sentences + 1,), into windows
    sentence_words: np.ndarray  # (sentences + 1,), into the per-word arrays
    word_window: np.ndarray  # (words,), the window that a word is read from
    word_place: np.ndarray  # (words,), the place of its first piece in that window
    labels: np.ndarray  # (words,), label ids
    columns: dict[str, np.ndarray]  # further annotations, ids (words,) under the column's name
    pad_id: int
    max_length: int  # pieces of a window

    def __len__(self) -> int:
        return len(self.sentence_words) - 1

    def lengths(self, sentences: Sequence[int] | None = None) -> np.ndarray:
        """Words of each of these sentences, or of all, (S,)."""
        chosen = np.arange(len(self)) if sentences is None else np.asarray(sentences)
        return self.sentence_words[chosen + 1] - self.sentence_words[chosen]

    def groups(self, sentences: Sequence[int], size: int, packed: bool) -> list[list[int]]:
        """These sentences in groups of like length: of at most `size`, and fewer where they are long."""
        bounds = self.sentence_windows[
            np.asarray(sentences)[:, None] + [0, 1]
        ]  # (S, 2), into windows
        windows = dict(zip(sentences, np.diff(bounds)[:, 0].tolist(), strict=True))
        pieces = dict(
            zip(sentences, np.diff(self.window_starts[bounds])[:, 0].tolist(), strict=True)
        )
        found: list[list[int]] = []
        rows = longest = total = 0
        for i in sorted(sentences, key=lambda i: -pieces[i]):
            slots = total + pieces[i] if packed else (rows + windows[i]) * longest
            if not found or len(found[-1]) == size or slots > MOST_PIECES:
                found.append([])
                rows, total, longest = 0, 0, min(pieces[i], self.max_length)
            found[-1].append(i)
            rows, total = rows + windows[i], total + pieces[i]
        return found

    def words_of(self, sentences: Sequence[int]) -> np.ndarray:
        """Where the words of these sentences stand in the per-word arrays, (W,)."""
        return np.concatenate([np.arange(*self.sentence_words[i : i + 2]) for i in sentences])

    def gold(self, sentences: Sequence[int]) -> Gold:
        words = self.words_of(sentences)
        columns = {name: torch.from_numpy(ids[words]) for name, ids in self.columns.items()}
        return Gold(
            torch.from_numpy(self.labels[words]), torch.from_numpy(self.lengths(sentences)), columns
        )

    def batch(self, sentences: Sequence[int], packed: bool) -> Batch:
        windows = np.concatenate([np.arange(*self.sentence_windows[i : i + 2]) for i in sentences])
        words = self.words_of(sentences)
        sizes = self.window_starts[windows + 1] - self.window_starts[windows]
        pieces = np.concatenate(
            [self.pieces[slice(*self.window_starts[w : w + 2])] for w in windows]
        )
        # A sentence's windows are neighbours: a word's is its sentence's first window, and so many further.
        chosen = np.asarray(sentences)
        counts = self.sentence_windows[chosen + 1] - self.sentence_windows[chosen]
        shift = np.cumsum(counts) - counts - self.sentence_windows[chosen]
        window = self.word_window[words] + np.repeat(shift, self.lengths(sentences))
        if packed:
            first = (np.cumsum(sizes) - sizes)[window] + self.word_place[words]
            padding = -len(pieces) % PACKED_TO
            input_ids = np.concatenate([pieces, np.full(padding, self.pad_id, pieces.dtype)])[None]
            whole, rest = divmod(padding, self.max_length)  # what fills the row up is windows too
            sizes = np.concatenate([sizes, [self.max_length] * whole, [rest] * bool(rest)]).astype(
                np.int64
            )
        else:
            longest = min(-(-int(sizes.max()) // PADDED_TO) * PADDED_TO, self.max_length)
            first = window * longest + self.word_place[words]
            input_ids = np.full((len(windows), longest), self.pad_id, dtype=np.int64)
            input_ids[np.arange(longest) < sizes[:, None]] = pieces
        ids, first = (
            torch.from_numpy(input_ids.astype(np.int64, copy=False)),
            torch.from_numpy(first),
        )
        return Batch(ids, first, sizes, len(pieces), packed)
