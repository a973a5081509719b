"""Words to pieces, and long sentences to windows."""

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
        of_words = [
            pieces_of[word][:room] for word in sentence.words
        ]  # a word longer than a window loses its end
        first_window = len(window_starts) - 1
        sizes = [len(p) for p in of_words]
        bounds = windows(sizes, room)
        for start, end in bounds:
            pieces.extend(
                before + [piece for word in of_words[start:end] for piece in word] + after
            )
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
            column: np.fromiter(
                (known[value] for s in sentences for value in s.columns[column]), dtype=np.int64
            )
            for column, known in (vocabularies or {}).items()
        },
        pad_id=tokenizer.pad_token_id,
        max_length=max_length,
    )


def word_pieces(words: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    """The pieces of each word, at least one: a word of which the tokeniser leaves nothing becomes the unknown piece.

    Byte-level tokenisers (RoBERTa, ModernBERT) tell a word's beginning by the space before it, so they are given one.
    """
    byte_level = "ByteLevel" in json.dumps(
        json.loads(tokenizer.backend_tokenizer.to_str())["pre_tokenizer"]
    )
    ask = {
        "add_special_tokens": False,
        "return_attention_mask": False,
        "return_token_type_ids": False,
    }
    found: list[list[int]] = []
    for start in range(0, len(words), WORDS_AT_ONCE):
        texts = [
            f" {word}" if byte_level else word for word in words[start : start + WORDS_AT_ONCE]
        ]
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
