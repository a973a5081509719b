"""Words, pieces, windows, batches: nothing is lost, nothing is read twice."""

import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from nersweep.batching import epoch_batches, owners, special_pieces, tokenise, windows, word_pieces
from nersweep.data import Corpus, Sentence
from nersweep.encoder import Scratch
from nersweep.labels import LabelSet

LABELS = LabelSet(["PER"])
SCRATCH = Scratch(hidden=16, layers=1, heads=2, dropout=0.0, max_length=16, min_count=1, pieces="characters")


def sentences(lengths, seed=0):
    rng = random.Random(seed)
    word = lambda: "".join(rng.choice("abc") for _ in range(rng.randint(1, 5)))  # noqa: E731
    return [
        Sentence(tuple(word() for _ in range(n)), tuple(rng.choice(LABELS.names) for _ in range(n))) for n in lengths
    ]


@pytest.fixture(scope="module")
def tokenizer():
    train = sentences([30])
    return SCRATCH.tokenizer(Corpus("x", "x", train, train, train))


def context(word, bounds, sizes):
    """Pieces on the poorer side of a word in a window; a sentence's own ends cut nothing off."""
    start, end = bounds
    return min(sum(sizes[start:word]) if start else np.inf, sum(sizes[word:end]) if end < len(sizes) else np.inf)


@pytest.mark.parametrize("room", [5, 6, 14])
def test_every_word_is_read_once_where_it_has_most_context(room):
    rng = random.Random(room)
    for _ in range(200):
        sizes = [rng.randint(1, 5) for _ in range(rng.randint(1, 40))]
        bounds = windows(sizes, room)
        assert bounds[0][0] == 0 and bounds[-1][1] == len(sizes)
        assert all(sum(sizes[a:b]) <= room and a < b for a, b in bounds)
        places = list(owners(sizes, bounds))
        assert len(places) == len(sizes)
        for word, (window, place) in enumerate(places):
            start, end = bounds[window]
            assert start <= word < end and place == sum(sizes[start:word])
            assert context(word, bounds[window], sizes) == max(
                context(word, (a, b), sizes) for a, b in bounds if a <= word < b
            )


def test_a_sentence_that_fits_is_one_window():
    assert windows([1, 2, 3], 6) == [(0, 3)]


def test_windows_overlap():
    bounds = windows([1] * 20, 8)
    assert all(next_start < end for (_, end), (next_start, _) in pairwise(bounds))


def test_a_batch_holds_the_pieces_and_labels_of_its_words(tokenizer):
    data = sentences([3, 12, 1, 25, 7])
    split = tokenise(data, LABELS, tokenizer, max_length=16)
    chosen = [3, 0, 2]
    batch = split.batch(chosen)
    words = [word for i in chosen for word in data[i].words]
    tags = [tag for i in chosen for tag in data[i].tags]
    assert batch.targets.tolist() == LABELS.encode(tags)
    assert batch.lengths.tolist() == [25, 3, 1]
    assert batch.input_ids.shape[1] <= 16
    first = batch.input_ids.flatten()[batch.first].tolist()
    assert first == [ids[0] for ids in word_pieces(words, tokenizer)]
    # The whole word stands there, and the mask covers just what is no padding.
    flat, pad = batch.input_ids.flatten().tolist(), tokenizer.pad_token_id
    for place, pieces in zip(batch.first.tolist(), word_pieces(words, tokenizer), strict=True):
        assert flat[place : place + len(pieces)] == pieces
    assert ((batch.input_ids != pad) == batch.attention_mask.bool()).all()
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    assert (batch.input_ids[:, 0] == cls).all() and (batch.input_ids == sep).sum() == len(batch.input_ids)


def test_all_words_come_back_in_order_from_any_batches(tokenizer):
    data = sentences([5, 40, 2, 9, 1, 17], seed=4)
    split = tokenise(data, LABELS, tokenizer, max_length=12)
    seen = np.zeros(len(split.targets), dtype=int)
    for chosen in split.groups(range(len(split)), size=2):
        batch = split.batch(chosen)
        where = split.words_of(chosen)
        assert batch.targets.tolist() == split.targets[where].tolist()
        seen[where] += 1
    assert (seen == 1).all()


def test_groups_are_of_like_length_and_bounded_in_size_and_in_pieces(tokenizer):
    data = sentences([3, 40, 5, 4, 1500, 41, 1400, 2], seed=5)
    split = tokenise(data, LABELS, tokenizer, max_length=64)
    groups = split.groups(range(8), size=3)
    assert sorted(i for group in groups for i in group) == list(range(8))
    assert [sorted(group) for group in groups] == [[4], [6], [1, 2, 5], [0, 3, 7]]
    for group in groups[2:]:
        assert split.batch(group).input_ids.numel() <= 4096


def test_a_word_longer_than_a_window_keeps_its_beginning(tokenizer):
    data = [Sentence(("a", "b" * 50, "c"), ("O", "B-PER", "O"))]
    split = tokenise(data, LABELS, tokenizer, max_length=10)
    batch = split.batch([0])
    first = batch.input_ids.flatten()[batch.first].tolist()
    assert first == [tokenizer.convert_tokens_to_ids(p) for p in "abc"]


def test_a_word_of_which_nothing_is_left_becomes_the_unknown_piece(tokenizer):
    assert word_pieces(["a", " ", "é"], tokenizer)[1:] == [[tokenizer.unk_token_id]] * 2


def test_byte_level_pieces_know_where_a_word_begins():
    backend = Tokenizer(models.BPE({"Ġ": 0, "a": 1, "Ġa": 2, "<unk>": 3}, [("Ġ", "a")], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    assert word_pieces(["a", "aa"], tokenizer) == [[2], [2, 1]]


def test_special_pieces_are_what_the_tokenizer_puts_around(tokenizer):
    assert special_pieces(tokenizer) == ([tokenizer.cls_token_id], [tokenizer.sep_token_id])


def test_order_is_a_function_of_seed_and_epoch_alone():
    torch.manual_seed(1)
    once = epoch_batches(100, 32, seed=1, epoch=2)
    torch.manual_seed(2)
    assert epoch_batches(100, 32, seed=1, epoch=2) == once
    assert [len(b) for b in once] == [32, 32, 32, 4] and sorted(i for b in once for i in b) == list(range(100))
    assert epoch_batches(100, 32, seed=1, epoch=3) != once != epoch_batches(100, 32, seed=2, epoch=2)
