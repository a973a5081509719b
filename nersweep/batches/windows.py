"""Split words into pieces, and long sentences into windows."""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from nersweep.batches.batch import Tokenised
from nersweep.data.corpus import Sentence, entity_rows
from nersweep.labels import LabelSet
from nersweep.terminal import console

WORDS_AT_ONCE = 1024  # of a call of the tokeniser, which takes 1 to 2 kB a word while it lasts
BLANKS = frozenset(" ▁Ġ")  # how tokenisers write one
PROBES = "a", "1", "я", "中"  # words, of which a tokeniser knows at least one


class Reading(NamedTuple):
    """Where an encoder's feature of a word is read.

    last: at the word's last piece, which has seen all of it in a causal model; else at its first
    piece with content. ahead: that piece sees later ones, so a window's end is context too.
    """

    last: bool = False
    ahead: bool = True


FIRST = Reading()


def tokenise(
    sentences: Sequence[Sentence],
    labels: LabelSet,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    vocabularies: Mapping[str, Mapping[str, int]] | None = None,
    reading: Reading = FIRST,
) -> Tokenised:
    """Return sentences as windows of at most max_length pieces, special ones included.

    vocabularies: the ids of further columns to keep, by the column's name.
    """
    words = list(dict.fromkeys(word for sentence in sentences for word in sentence.words))
    before, after = special_pieces(tokenizer)
    room = max_length - len(before) - len(after)
    # A word longer than a window loses its end.
    pieces_of: dict[str, list[int]] = {}
    for word, spelling in zip(words, word_pieces(words, tokenizer), strict=True):
        pieces_of[word] = spelling[:room]
    offset_of = dict(zip(words, offsets(pieces_of.values(), tokenizer, reading), strict=True))

    pieces = array("i")
    window_starts, sentence_windows, sentence_words = (array("q", [0]) for _ in range(3))
    word_window, word_place, ids = (array("q") for _ in range(3))
    for sentence in sentences:
        pieces_by_word = [pieces_of[word] for word in sentence.words]
        first_window = len(window_starts) - 1
        sizes = [len(word) for word in pieces_by_word]
        bounds = windows(sizes, room)
        for start, end in bounds:
            pieces.extend(before)
            # Without words and special pieces a window would be empty.
            for spelling in pieces_by_word[start:end] or [[tokenizer.pad_token_id]]:
                pieces.extend(spelling)
            pieces.extend(after)
            window_starts.append(len(pieces))
        owned = owners(sizes, bounds, reading.ahead)
        for word, (window, place) in zip(sentence.words, owned, strict=True):
            word_window.append(first_window + window)
            word_place.append(len(before) + place + offset_of[word])
        ids.extend(labels.encode(sentence.tags))
        sentence_windows.append(len(window_starts) - 1)
        sentence_words.append(len(ids))
    columns = {}
    for column, vocabulary in (vocabularies or {}).items():
        values = (value for sentence in sentences for value in sentence.columns[column])
        columns[column] = np.fromiter(map(vocabulary.__getitem__, values), dtype=np.int64)
    return Tokenised(
        pieces=np.frombuffer(pieces, dtype=np.int32),
        window_starts=np.frombuffer(window_starts, dtype=np.int64),
        sentence_windows=np.frombuffer(sentence_windows, dtype=np.int64),
        sentence_words=np.frombuffer(sentence_words, dtype=np.int64),
        word_window=np.frombuffer(word_window, dtype=np.int64),
        word_place=np.frombuffer(word_place, dtype=np.int64),
        labels=np.frombuffer(ids, dtype=np.int64),
        columns=columns,
        pad_id=tokenizer.pad_token_id,
        max_length=max_length,
        spans=entity_rows(sentences, labels),
    )


def word_pieces(words: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Return the pieces that each word has after a blank, at least one.

    A word of which the tokeniser leaves nothing becomes the unknown piece; where there is none, a
    special piece that there is.
    """
    space = " " if needs_blank(tokenizer) else ""
    pieces: list[list[int]] = []
    for start in range(0, len(words), WORDS_AT_ONCE):
        chunk = words[start : start + WORDS_AT_ONCE]
        encoded = encode([space + word for word in chunk], tokenizer)
        for ids in encoded:
            pieces.append(ids or [stand_in(tokenizer)])
    return pieces


def encode(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Return the pieces of texts, without special ones."""
    encoded = tokenizer(
        texts, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False
    )
    pieces: list[list[int]] = encoded["input_ids"]
    return pieces


def needs_blank(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether a word alone has other pieces than after a blank, and with a blank has those.

    Byte-level tokenisers (RoBERTa, ModernBERT) recognise a word's beginning by the blank before
    it, unless they add it themselves.
    """
    for word in PROBES:
        alone, blank, twice = encode([word, f" {word}", f"{word} {word}"], tokenizer)
        second = twice[len(alone) :]
        if alone and tokenizer.unk_token_id not in alone:
            return second != alone and second == blank
    return False


def stand_in(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the unknown piece, or another one if there is none."""
    if tokenizer.unk_token_id is not None:
        return int(tokenizer.unk_token_id)
    for piece in (tokenizer.mask_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id):
        if piece is not None:
            name = tokenizer.convert_ids_to_tokens(piece)
            note_once(f"the tokeniser has no piece for some words; they become {name}")
            return int(piece)
    return 0


@cache
def note_once(text: str) -> None:
    """Print a note, once in a process."""
    console.print(f"note: {text}")


def offsets(
    pieces: Iterable[list[int]], tokenizer: PreTrainedTokenizerBase, reading: Reading
) -> Iterator[int]:
    """Yield for each word the place among its pieces at which it is read.

    SentencePiece puts a lone blank first where no piece begins with both: before Chinese, say.
    """
    is_blank: dict[int, bool] = {}
    for ids in pieces:
        place = 0
        for piece in ids[:-1]:
            if piece not in is_blank:
                token = str(tokenizer.convert_ids_to_tokens(piece))
                text = str(tokenizer.decode([piece]))  # Ġ is a letter in some vocabularies
                is_blank[piece] = BLANKS.issuperset(token) and not text.strip()
            if not is_blank[piece]:
                break
            place += 1
        yield len(ids) - 1 if reading.last else place


def special_pieces(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Return what the tokeniser puts before and after a sentence."""
    (plain,) = encode(["a"], tokenizer)
    whole: list[int] = tokenizer("a")["input_ids"]
    at = next(i for i in range(len(whole)) if whole[i : i + len(plain)] == plain)
    return whole[:at], whole[at + len(plain) :]


def windows(sizes: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Cut words of so many pieces into windows (start, end) of at most `room` pieces.

    One window if all words fit, else windows that overlap by about half. Every size must be in
    [1, room].
    """
    ends = np.cumsum([0, *sizes])
    bounds: list[tuple[int, int]] = []
    start = 0
    while True:
        end = int(np.searchsorted(ends, ends[start] + room, side="right")) - 1
        bounds.append((start, end))
        if end == len(sizes):
            return bounds
        middle = int(np.searchsorted(ends, ends[start] + room // 2, side="right")) - 1
        start = max(middle, start + 1)


def owners(
    sizes: Sequence[int], bounds: Sequence[tuple[int, int]], ahead: bool = True
) -> Iterator[tuple[int, int]]:
    """Yield for each word, in order, its window and its first piece's place there.

    That is the window in which the piece has most context: the larger of the smaller side, or what
    is before it, unless it sees ahead. A sentence's own beginning and end cut nothing off.
    """
    ends = list(accumulate(sizes, initial=0))
    if len(bounds) == 1:
        for place in ends[:-1]:
            yield 0, place
        return
    first = 0  # window that does not end before the word
    for word in range(len(sizes)):
        while bounds[first][1] <= word:
            first += 1
        contexts = {}
        for window in range(first, len(bounds)):
            start, end = bounds[window]
            if start > word:
                break
            left = np.inf if start == 0 else ends[word] - ends[start]
            right = np.inf if end == len(sizes) or not ahead else ends[end] - ends[word]
            contexts[window] = min(left, right)
        best = max(contexts, key=contexts.__getitem__)
        yield best, ends[word] - ends[bounds[best][0]]
