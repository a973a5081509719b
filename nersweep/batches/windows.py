"""Split words into pieces, and long sentences into windows."""

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from transformers import PreTrainedTokenizerFast

from nersweep.batches.batch import Tokenised
from nersweep.data.corpus import Sentence
from nersweep.labels import LabelSet

WORDS_AT_ONCE = 1024  # of a call of the tokeniser, which takes 1 to 2 kB a word while it lasts


def tokenise(
    sentences: Sequence[Sentence],
    labels: LabelSet,
    tokenizer: PreTrainedTokenizerFast,
    max_length: int,
    vocabularies: Mapping[str, Mapping[str, int]] | None = None,
) -> Tokenised:
    """Return sentences as windows of at most max_length pieces, special ones included.

    vocabularies: the ids of further columns to keep, by the column's name.
    """
    words = list(dict.fromkeys(word for sentence in sentences for word in sentence.words))
    pieces_of = dict(zip(words, word_pieces(words, tokenizer), strict=True))
    before, after = special_pieces(tokenizer)
    room = max_length - len(before) - len(after)

    pieces = array("i")
    window_starts, sentence_windows, sentence_words = (array("q", [0]) for _ in range(3))
    word_window, word_place, ids = (array("q") for _ in range(3))
    for sentence in sentences:
        # A word longer than a window loses its end.
        pieces_by_word = [pieces_of[word][:room] for word in sentence.words]
        first_window = len(window_starts) - 1
        sizes = [len(word) for word in pieces_by_word]
        bounds = windows(sizes, room)
        for start, end in bounds:
            pieces.extend(before)
            for word in pieces_by_word[start:end]:
                pieces.extend(word)
            pieces.extend(after)
            window_starts.append(len(pieces))
        for window, place in owners(sizes, bounds):
            word_window.append(first_window + window)
            word_place.append(len(before) + place)
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
    )


def word_pieces(words: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    """Return the pieces of each word, at least one.

    A word of which the tokeniser leaves nothing becomes the unknown piece. Byte-level tokenisers
    (RoBERTa, ModernBERT) recognise a word's beginning by a space before it, so they get one.
    """
    rules = json.loads(tokenizer.backend_tokenizer.to_str())["pre_tokenizer"]
    space = " " if "ByteLevel" in json.dumps(rules) else ""
    pieces: list[list[int]] = []
    for start in range(0, len(words), WORDS_AT_ONCE):
        texts = [space + word for word in words[start : start + WORDS_AT_ONCE]]
        encoded = tokenizer(
            texts,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        for ids in encoded["input_ids"]:
            pieces.append(ids or [tokenizer.unk_token_id])
    return pieces


def special_pieces(tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[int]]:
    """Return what the tokeniser puts before and after a sentence."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
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


def owners(sizes: Sequence[int], bounds: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield for each word, in order, its window and its first piece's place there.

    That is the window in which the piece has most context: the larger of the smaller side. A
    sentence's own beginning and end cut nothing off.
    """
    ends = np.cumsum([0, *sizes]).tolist()
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
            right = np.inf if end == len(sizes) else ends[end] - ends[word]
            contexts[window] = min(left, right)
        best = max(contexts, key=contexts.__getitem__)
        yield best, ends[word] - ends[bounds[best][0]]
