"""Sentences to tensors: words to pieces, long sentences to windows, sentences to batches.

A word is labelled and predicted at its first piece. No word is dropped: a sentence longer than the encoder's limit is
cut into overlapping windows, and each word belongs to the window in which it has most context.
"""

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from nersweep.data import Sentence
from nersweep.device import pinned, put
from nersweep.labels import LabelSet

MOST_PIECES = 4096  # of a group, with padding: memory does not grow with the length of sentences
# T takes few values, multiples of these, because oneDNN keeps memory for each shape that it has seen.
PADDED_TO, PACKED_TO = 16, 64
WORDS_AT_ONCE = 1024  # of a call of the tokeniser, which takes 1 to 2 kB a word while it lasts


@dataclass(frozen=True)
class Batch:
    """What the encoder sees of some sentences. Words stand one after another (W,), in the order of their sentences,
    whatever windows they lie in. Packed, all windows stand in one row (1, T); padded, each has a row (R, T)."""

    input_ids: Tensor  # (R, T)
    first: Tensor  # (W,), where each word's first piece lies in input_ids.flatten()
    sizes: np.ndarray  # (windows,), their pieces, in order; packed, the last may be windows of padding
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
    lengths: Tensor  # (S,), words of each sentence; on the host, where loops over words are laid out
    columns: dict[str, Tensor] = field(default_factory=dict)  # further annotations, ids (W,) under the column's name

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
        bounds = self.sentence_windows[np.asarray(sentences)[:, None] + [0, 1]]  # (S, 2), into windows
        windows = dict(zip(sentences, np.diff(bounds)[:, 0].tolist(), strict=True))
        pieces = dict(zip(sentences, np.diff(self.window_starts[bounds])[:, 0].tolist(), strict=True))
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
        return Gold(torch.from_numpy(self.labels[words]), torch.from_numpy(self.lengths(sentences)), columns)

    def batch(self, sentences: Sequence[int], packed: bool) -> Batch:
        windows = np.concatenate([np.arange(*self.sentence_windows[i : i + 2]) for i in sentences])
        words = self.words_of(sentences)
        sizes = self.window_starts[windows + 1] - self.window_starts[windows]
        pieces = np.concatenate([self.pieces[slice(*self.window_starts[w : w + 2])] for w in windows])
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
            sizes = np.concatenate([sizes, [self.max_length] * whole, [rest] * bool(rest)]).astype(np.int64)
        else:
            longest = min(-(-int(sizes.max()) // PADDED_TO) * PADDED_TO, self.max_length)
            first = window * longest + self.word_place[words]
            input_ids = np.full((len(windows), longest), self.pad_id, dtype=np.int64)
            input_ids[np.arange(longest) < sizes[:, None]] = pieces
        ids, first = torch.from_numpy(input_ids.astype(np.int64, copy=False)), torch.from_numpy(first)
        return Batch(ids, first, sizes, len(pieces), packed)


def tokenise(
    sentences: Sequence[Sentence],
    labels: LabelSet,
    tokenizer: PreTrainedTokenizerFast,
    max_length: int,
    vocabularies: Mapping[str, Mapping[str, int]] | None = None,
) -> Tokenised:
    """max_length: pieces of a window, special ones included. vocabularies: the ids of further columns to be kept, by
    the column's name."""
    words = list(dict.fromkeys(word for sentence in sentences for word in sentence.words))
    pieces_of = dict(zip(words, word_pieces(words, tokenizer), strict=True))
    before, after = special_pieces(tokenizer)
    room = max_length - len(before) - len(after)

    pieces = array("i")
    window_starts, sentence_windows, sentence_words = (array("q", [0]) for _ in range(3))
    word_window, word_place, ids = (array("q") for _ in range(3))
    for sentence in sentences:
        of_words = [pieces_of[word][:room] for word in sentence.words]  # a word longer than a window loses its end
        first_window = len(window_starts) - 1
        sizes = [len(p) for p in of_words]
        bounds = windows(sizes, room)
        for start, end in bounds:
            pieces.extend(before + [piece for word in of_words[start:end] for piece in word] + after)
            window_starts.append(len(pieces))
        for window, place in owners(sizes, bounds):
            word_window.append(first_window + window)
            word_place.append(len(before) + place)
        ids.extend(labels.encode(sentence.tags))
        sentence_windows.append(len(window_starts) - 1)
        sentence_words.append(len(ids))
    arrays = [window_starts, sentence_windows, sentence_words, word_window, word_place, ids]
    return Tokenised(
        np.frombuffer(pieces, dtype=np.int32),
        *(np.frombuffer(a, dtype=np.int64) for a in arrays),
        columns={
            column: np.fromiter((known[value] for s in sentences for value in s.columns[column]), dtype=np.int64)
            for column, known in (vocabularies or {}).items()
        },
        pad_id=tokenizer.pad_token_id,
        max_length=max_length,
    )


def word_pieces(words: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    """The pieces of each word, at least one: a word of which the tokeniser leaves nothing becomes the unknown piece.

    Byte-level tokenisers (RoBERTa, ModernBERT) tell a word's beginning by the space before it, so they are given one.
    """
    byte_level = "ByteLevel" in json.dumps(json.loads(tokenizer.backend_tokenizer.to_str())["pre_tokenizer"])
    ask = {"add_special_tokens": False, "return_attention_mask": False, "return_token_type_ids": False}
    found: list[list[int]] = []
    for start in range(0, len(words), WORDS_AT_ONCE):
        texts = [f" {word}" if byte_level else word for word in words[start : start + WORDS_AT_ONCE]]
        found += [ids or [tokenizer.unk_token_id] for ids in tokenizer(texts, **ask)["input_ids"]]
    return found


def special_pieces(tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[int]]:
    """What the tokeniser puts before and after a sentence."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    at = next(i for i in range(len(whole)) if whole[i : i + len(plain)] == plain)
    return whole[:at], whole[at + len(plain) :]


def windows(sizes: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Cuts words of so many pieces into windows (start, end) of at most `room` pieces: one if all fit, else windows
    that overlap by about half. Every size must be in [1, room]."""
    ends = np.cumsum([0, *sizes])
    found: list[tuple[int, int]] = []
    start = 0
    while True:
        end = int(np.searchsorted(ends, ends[start] + room, side="right")) - 1
        found.append((start, end))
        if end == len(sizes):
            return found
        middle = int(np.searchsorted(ends, ends[start] + room // 2, side="right")) - 1
        start = max(middle, start + 1)


def owners(sizes: Sequence[int], bounds: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """For each word, in order: the window in which its first piece has most context (the larger of the smaller side;
    a sentence's own beginning and end do not count as cut), and the piece's place there."""
    ends = np.cumsum([0, *sizes])
    for word in range(len(sizes)):
        contexts = {}
        for window, (start, end) in enumerate(bounds):
            if start <= word < end:
                left = np.inf if start == 0 else ends[word] - ends[start]
                right = np.inf if end == len(sizes) else ends[end] - ends[word]
                contexts[window] = min(left, right)
        best = max(contexts, key=contexts.__getitem__)
        yield best, int(ends[word] - ends[bounds[best][0]])


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
        drawn = torch.from_numpy(importance).multinomial(sentences, replacement=True, generator=generator)
    order = array("q", drawn.numpy().tobytes())  # 8 bytes a sentence, and a list of whole numbers 40
    return [order[i : i + size] for i in range(0, sentences, size)]


def absent_shares(batches: Sequence[Sequence[int]], split: Tokenised, labels: LabelSet) -> dict[str, float]:
    """For each type, the share of steps with no word of it: whatever the loss, such a step teaches nothing of it."""
    present = np.zeros(len(labels.types) + 1)  # steps
    for batch in batches:
        types = labels.type_ids[split.labels[split.words_of(batch)]]
        present += np.bincount(types, minlength=len(present)) > 0
    shares = 1 - present[1:] / len(batches)
    return dict(zip(labels.types, shares.tolist(), strict=True))
