"""Words, pieces, windows, batches: nothing is lost, nothing is read twice."""

import random
import tracemalloc
from collections.abc import Callable
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from nersweep.batches import windows as windows_module
from nersweep.batches.windows import owners, special_pieces, tokenise, windows, word_pieces
from nersweep.data.corpus import Corpus, Sentence
from nersweep.labels import LabelSet
from nersweep.model.encoders.scratch import Scratch
from nersweep.training.sampling import absent_shares, epoch_batches

LABELS = LabelSet(["PER"])
SCRATCH = Scratch(
    hidden=16, layers=1, heads=2, dropout=0.0, max_length=16, min_count=1, pieces="characters"
)


def sentences(lengths, seed=0):
    rng = random.Random(seed)
    word = lambda: "".join(rng.choice("abc") for _ in range(rng.randint(1, 5)))  # noqa: E731
    return [
        Sentence(tuple(word() for _ in range(n)), tuple(rng.choice(LABELS.names) for _ in range(n)))
        for n in lengths
    ]


@pytest.fixture(scope="module")
def tokenizer():
    train = sentences([30])
    return SCRATCH.tokenizer(Corpus("x", "x", train, train, train))


def context(word, bounds, sizes):
    """Pieces on the poorer side of a word in a window; a sentence's own ends cut nothing off."""
    start, end = bounds
    return min(
        sum(sizes[start:word]) if start else np.inf,
        sum(sizes[word:end]) if end < len(sizes) else np.inf,
    )


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
    batch, gold = split.batch(chosen, packed=False), split.gold(chosen)
    words = [word for i in chosen for word in data[i].words]
    tags = [tag for i in chosen for tag in data[i].tags]
    assert gold.labels.tolist() == LABELS.encode(tags)
    assert gold.lengths.tolist() == [25, 3, 1]
    assert batch.input_ids.shape[1] <= 16
    first = batch.input_ids.flatten()[batch.places].tolist()
    assert first == [ids[0] for ids in word_pieces(words, tokenizer)]
    # The whole word stands there, and the mask covers just what is no padding.
    flat, pad = batch.input_ids.flatten().tolist(), tokenizer.pad_token_id
    for place, pieces in zip(batch.places.tolist(), word_pieces(words, tokenizer), strict=True):
        assert flat[place : place + len(pieces)] == pieces
    assert ((batch.input_ids != pad) == batch.attention_mask.bool()).all()
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    assert (batch.input_ids[:, 0] == cls).all() and (batch.input_ids == sep).sum() == len(
        batch.input_ids
    )


def test_all_words_come_back_in_order_from_any_batches(tokenizer):
    data = sentences([5, 40, 2, 9, 1, 17], seed=4)
    split = tokenise(data, LABELS, tokenizer, max_length=12)
    counts = np.zeros(len(split.labels), dtype=int)
    for chosen in split.groups(range(len(split)), size=2, packed=False):
        where = split.words_of(chosen)
        assert split.gold(chosen).labels.tolist() == split.labels[where].tolist()
        counts[where] += 1
    assert (counts == 1).all()


def test_a_packed_batch_is_one_row_of_the_same_pieces(tokenizer):
    split = tokenise(sentences([3, 30, 3], seed=6), LABELS, tokenizer, max_length=12)
    packed, padded = (split.batch([1, 0, 2], packed=x) for x in (True, False))
    assert packed.input_ids.shape[0] == 1 and packed.input_ids.shape[1] % 64 == 0
    assert (
        packed.input_ids[0, : packed.pieces].tolist()
        == padded.input_ids[padded.attention_mask.bool()].tolist()
    )
    assert (packed.input_ids[0, packed.pieces :] == tokenizer.pad_token_id).all()
    assert (
        packed.input_ids.flatten()[packed.places].tolist()
        == padded.input_ids.flatten()[padded.places].tolist()
    )
    assert packed.pieces < packed.input_ids.shape[1], "nothing to fill up: this test shows less"
    # Positions begin anew with each window; what fills the row up is a window of its own.
    assert packed.positions[0].tolist() == [
        i for size in packed.sizes.tolist() for i in range(size)
    ]
    assert (
        packed.sizes.sum() == packed.input_ids.shape[1]
        and packed.sizes[: len(padded.sizes)].tolist() == padded.sizes.tolist()
    )


def test_packed_groups_are_bounded_by_their_pieces_alone(tokenizer):
    split = tokenise(sentences([60, *[3] * 200], seed=7), LABELS, tokenizer, max_length=64)
    assert len(split.groups(range(100), size=100, packed=True)) == 1
    assert len(split.groups(range(100), size=100, packed=False)) > 1


def test_a_sentence_drawn_twice_has_windows_of_its_own_twice(tokenizer):
    data = sentences([3, 30, 2], seed=6)
    split = tokenise(data, LABELS, tokenizer, max_length=12)
    batch = split.batch([1, 2, 1], packed=False)
    once, rows = split.batch([1], packed=False), len(split.batch([1], packed=False).input_ids)
    assert len(batch.input_ids) == 2 * rows + 1
    width = batch.input_ids.shape[1]
    assert torch.equal(batch.places[:30], once.places)
    assert torch.equal(batch.places[32:], once.places + (rows + 1) * width)


def test_further_columns_are_kept_as_ids(tokenizer):
    data = [
        Sentence(("a", "b"), ("O", "O"), {"pos": ("DT", "NN")}),
        Sentence(("c",), ("O",), {"pos": ("NN",)}),
    ]
    split = tokenise(
        data, LABELS, tokenizer, max_length=12, vocabularies={"pos": {"DT": 0, "NN": 1}}
    )
    assert split.gold([1, 0]).columns["pos"].tolist() == [1, 0, 1]


def test_groups_are_of_like_length_and_bounded_in_size_and_in_pieces(tokenizer):
    data = sentences([3, 40, 5, 4, 1500, 41, 1400, 2], seed=5)
    split = tokenise(data, LABELS, tokenizer, max_length=64)
    groups = split.groups(range(8), size=3, packed=False)
    assert sorted(i for group in groups for i in group) == list(range(8))
    assert [sorted(group) for group in groups] == [[4], [6], [1, 2, 5], [0, 3, 7]]
    for group in groups[2:]:
        assert split.batch(group, packed=False).input_ids.numel() <= 4096


def test_a_word_longer_than_a_window_keeps_its_beginning(tokenizer):
    data = [Sentence(("a", "b" * 50, "c"), ("O", "B-PER", "O"))]
    split = tokenise(data, LABELS, tokenizer, max_length=10)
    batch = split.batch([0], packed=False)
    first = batch.input_ids.flatten()[batch.places].tolist()
    assert first == [tokenizer.convert_tokens_to_ids(p) for p in "abc"]


def test_a_word_without_pieces_becomes_the_unknown_piece(tokenizer):
    assert word_pieces(["a", " ", "é"], tokenizer)[1:] == [[tokenizer.unk_token_id]] * 2


def test_words_have_the_same_pieces_in_groups_of_any_size(tokenizer, monkeypatch):
    words = ["a", "cab", "é", "bb", "abc", "c", "ba"]
    alone = [word_pieces([word], tokenizer)[0] for word in words]
    for at_once in (1, 3, 7, 8):
        monkeypatch.setattr(windows_module, "WORDS_AT_ONCE", at_once)
        assert word_pieces(words, tokenizer) == alone


def test_byte_level_pieces_know_where_a_word_starts():
    backend = Tokenizer(
        models.BPE({"Ġ": 0, "a": 1, "Ġa": 2, "<unk>": 3}, [("Ġ", "a")], unk_token="<unk>")
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    assert word_pieces(["a", "aa"], tokenizer) == [[2], [2, 1]]


def test_special_pieces_are_what_the_tokenizer_puts_around(tokenizer):
    assert special_pieces(tokenizer) == ([tokenizer.cls_token_id], [tokenizer.sep_token_id])


def most_memory(made: Callable[[], object]) -> int:
    """Bytes, what it gives included."""
    tracemalloc.start()
    made()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_memory_grows_with_the_arrays_alone(tokenizer):
    data = sentences([10] * 200, seed=8) * 10
    split = tokenise(data, LABELS, tokenizer, max_length=64)  # also warms up what is made once
    arrays = sum(x.nbytes for x in vars(split).values() if isinstance(x, np.ndarray))
    assert most_memory(lambda: tokenise(data, LABELS, tokenizer, max_length=64)) < 1.5 * arrays
    words = ["".join(letters) for letters in product("abc", repeat=8)]
    assert most_memory(lambda: word_pieces(words, tokenizer)) < 600 * len(words)
    steps = epoch_batches(len(split), 32, seed=1, epoch=1)
    assert most_memory(lambda: epoch_batches(len(split), 32, seed=1, epoch=1)) < 24 * len(split)
    assert most_memory(lambda: absent_shares(steps, split, LABELS)) < 16 * len(split)
