"""Turn sentences into tensors."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from nersweep.machine.device import pinned, put

MOST_PIECES = 4096  # of a group, with padding: memory does not grow with the length of sentences
# The width T of a batch takes few values, multiples of these: oneDNN keeps memory for each shape.
PADDED_TO, PACKED_TO = 16, 64


@dataclass(frozen=True)
class Batch:
    """The encoder's input for some sentences.

    Words stand one after another (W,), in the order of their sentences, whatever windows they lie
    in. Packed, all windows stand in one row (1, T); padded, each has a row (R, T).
    """

    input_ids: Tensor  # (R, T)
    places: Tensor  # (W,), where in input_ids.flatten() each word is read
    sizes: np.ndarray  # (windows,), in pieces, in order; packed, the last may be padding
    pieces: int  # without padding
    packed: bool

    @property
    def attention_mask(self) -> Tensor:
        """Return 1 on pieces and 0 on padding, (R, T), for a padded batch."""
        places = torch.arange(self.input_ids.shape[1], device=self.input_ids.device)
        return (places < put(torch.from_numpy(self.sizes), places.device)[:, None]).long()

    @property
    def positions(self) -> Tensor:
        """Return each piece's place in its window, (1, T), for a packed batch."""
        starts = np.repeat(np.cumsum(self.sizes) - self.sizes, self.sizes)
        return put(torch.from_numpy(np.arange(len(starts)) - starts)[None], self.input_ids.device)

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device, without waiting for it."""
        return replace(self, input_ids=put(self.input_ids, device), places=put(self.places, device))


@dataclass(frozen=True)
class Gold:
    """The annotation of some sentences, whose words stand one after another."""

    labels: Tensor  # (W,), label ids
    lengths: Tensor  # (S,), words of each sentence; on the host, which lays out loops over words
    columns: dict[str, Tensor] = field(default_factory=dict)  # ids (W,) of further columns, by name
    pointers: Tensor | None = None  # (2, W), see `pointers`; None if the labels say as much

    def to(self, device: torch.device) -> "Gold":
        """Return it on a device, without waiting for it; the lengths stay on the host."""
        columns = {name: put(ids, device) for name, ids in self.columns.items()}
        pointers = None if self.pointers is None else put(self.pointers, device)
        return Gold(put(self.labels, device), pinned(self.lengths, device), columns, pointers)


@dataclass(frozen=True)
class Tokenised:
    """One split as flat arrays: windows of pieces, and each word's window, place and label."""

    pieces: np.ndarray  # all windows one after another, special pieces included
    window_starts: np.ndarray  # (windows + 1,), into pieces
    sentence_windows: np.ndarray  # (sentences + 1,), into windows
    sentence_words: np.ndarray  # (sentences + 1,), into the per-word arrays
    word_window: np.ndarray  # (words,), the window that a word is read from
    word_place: np.ndarray  # (words,), the place of the piece that it is read at there
    labels: np.ndarray  # (words,), label ids
    columns: dict[str, np.ndarray]  # ids (words,) of further columns, by name
    pad_id: int
    max_length: int  # pieces of a window
    spans: np.ndarray | None = None  # (n, 3), all entities, as `entity_rows` gives them

    def __len__(self) -> int:
        return len(self.sentence_words) - 1

    def lengths(self, sentences: Sequence[int] | None = None) -> np.ndarray:
        """Return the words of each of these sentences, or of all, (S,)."""
        chosen = np.arange(len(self)) if sentences is None else np.asarray(sentences)
        lengths: np.ndarray = self.sentence_words[chosen + 1] - self.sentence_words[chosen]
        return lengths

    def groups(
        self, sentences: Sequence[int], size: int, packed: bool, most: int = MOST_PIECES
    ) -> list[list[int]]:
        """Return sentences in groups of like length: at most `size`, and fewer if they are long.

        most: of the pieces of a group, with padding unless packed.
        """
        bounds = self.sentence_windows[np.asarray(sentences)[:, None] + [0, 1]]  # (S, 2)
        counts = np.diff(bounds)[:, 0].tolist()
        windows = dict(zip(sentences, counts, strict=True))
        counts = np.diff(self.window_starts[bounds])[:, 0].tolist()
        pieces = dict(zip(sentences, counts, strict=True))
        groups: list[list[int]] = []
        rows = longest = total = 0
        for i in sorted(sentences, key=lambda i: -pieces[i]):
            slots = total + pieces[i] if packed else (rows + windows[i]) * longest
            if not groups or len(groups[-1]) == size or slots > most:
                groups.append([])
                rows, total, longest = 0, 0, min(pieces[i], self.max_length)
            groups[-1].append(i)
            rows, total = rows + windows[i], total + pieces[i]
        return groups

    @cached_property
    def pointers(self) -> np.ndarray | None:
        """Where entities start and end, as in `pointers`; None if the labels say as much."""
        return None if self.spans is None else pointers(self.spans, len(self.labels))

    def words_of(self, sentences: Sequence[int]) -> np.ndarray:
        """Return the places (W,) of these sentences' words in the per-word arrays."""
        return ranges(self.sentence_words, sentences)

    def gold(self, sentences: Sequence[int]) -> Gold:
        """Return the annotation of these sentences."""
        words = self.words_of(sentences)
        columns = {name: torch.from_numpy(ids[words]) for name, ids in self.columns.items()}
        labels, lengths = self.labels[words], self.lengths(sentences)
        ends = None if self.pointers is None else torch.from_numpy(self.pointers[:, words])
        return Gold(torch.from_numpy(labels), torch.from_numpy(lengths), columns, ends)

    def batch(self, sentences: Sequence[int], packed: bool) -> Batch:
        """Return the pieces of these sentences."""
        windows = ranges(self.sentence_windows, sentences)
        words = self.words_of(sentences)
        sizes = self.window_starts[windows + 1] - self.window_starts[windows]
        pieces = self.pieces[ranges(self.window_starts, windows)]
        # A sentence's windows are neighbours, so they all move by as much as its first one.
        chosen = np.asarray(sentences)
        counts = self.sentence_windows[chosen + 1] - self.sentence_windows[chosen]
        shift = np.cumsum(counts) - counts - self.sentence_windows[chosen]
        window = self.word_window[words] + np.repeat(shift, self.lengths(sentences))
        if packed:
            places = (np.cumsum(sizes) - sizes)[window] + self.word_place[words]
            padding = -len(pieces) % PACKED_TO
            input_ids = np.pad(pieces, (0, padding), constant_values=self.pad_id)[None]
            # Padding forms windows too.
            whole, rest = divmod(padding, self.max_length)
            filling = [self.max_length] * whole + [rest] * bool(rest)
            sizes = np.concatenate([sizes, filling]).astype(np.int64)
        else:
            longest = min(-(-int(sizes.max()) // PADDED_TO) * PADDED_TO, self.max_length)
            places = window * longest + self.word_place[words]
            input_ids = np.full((len(windows), longest), self.pad_id, dtype=np.int64)
            input_ids[np.arange(longest) < sizes[:, None]] = pieces
        ids = torch.from_numpy(input_ids.astype(np.int64, copy=False))
        return Batch(ids, torch.from_numpy(places), sizes, len(pieces), packed)


def pointers(spans: np.ndarray, words: int) -> np.ndarray:
    """Return the type ids of the entities that start, and of those that end, at each word (2, W).

    spans: rows (start, end, type id). Of several at a word, the longest counts; 0 stands for none.
    """
    rows = spans[np.argsort(spans[:, 1] - spans[:, 0], kind="stable")]
    ids = np.zeros((2, words), dtype=np.int64)
    ids[0, rows[:, 0]] = rows[:, 2]  # of equal indices, the last value is assigned
    ids[1, rows[:, 1] - 1] = rows[:, 2]
    return ids


def ranges(starts: np.ndarray, chosen: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return the numbers from starts[i] to starts[i + 1], of each chosen i one after another."""
    return np.concatenate([np.arange(*starts[i : i + 2]) for i in chosen])
