"""Tokenised splits are made once, and never taken for others."""

import os
import random
import tracemalloc
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from forked import FORKED
from transformers import PreTrainedTokenizerFast

from nersweep.batches import cache
from nersweep.batches.batch import Tokenised
from nersweep.batches.windows import tokenise
from nersweep.data.corpus import Corpus, Sentence
from nersweep.labels import LabelSet
from nersweep.model.encoders.scratch import Scratch

LABELS = LabelSet(["PER"])
POS = {"pos": {"N": 0, "V": 1, "X": 2}}
SENTENCES = [
    Sentence(("Ada", "met", "Bob"), ("B-PER", "O", "B-PER"), {"pos": ("N", "V", "N")}),
    Sentence(("it", "rains"), ("O", "O"), {"pos": ("X", "V")}),
]
SCRATCH = Scratch(
    hidden=16, layers=1, heads=2, dropout=0.0, max_length=16, min_count=1, pieces="words"
)
CORPUS = Corpus("small", "here", SENTENCES, SENTENCES, SENTENCES)


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return SCRATCH.tokenizer(CORPUS)


@pytest.fixture(autouse=True)
def another_process():
    """What this process keeps is gone."""
    cache.recent.clear()


def same(one: Tokenised, other: Tokenised) -> bool:
    if one.columns.keys() != other.columns.keys():
        return False
    pairs = [
        (getattr(one, f.name), getattr(other, f.name))
        for f in fields(Tokenised)
        if f.name != "columns"
    ]
    pairs += [(ids, other.columns[name]) for name, ids in one.columns.items()]
    return all(
        np.array_equal(a, b) and np.asarray(a).dtype == np.asarray(b).dtype for a, b in pairs
    )


def refuse(*arguments: object) -> None:
    raise AssertionError("tokenised again")


@pytest.mark.parametrize("vocabularies", [{}, POS])
def test_the_second_time_it_is_read_from_the_file(vocabularies, tokenizer, tmp_path, monkeypatch):
    made = cache.tokenised(SENTENCES, LABELS, tokenizer, 16, vocabularies, tmp_path / "cache")
    assert same(made, tokenise(SENTENCES, LABELS, tokenizer, 16, vocabularies))
    monkeypatch.setattr(cache, "tokenise", refuse)
    assert (
        cache.tokenised(SENTENCES, LABELS, tokenizer, 16, vocabularies, tmp_path / "cache") is made
    )
    cache.recent.clear()
    again = cache.tokenised(
        SENTENCES, LABELS, SCRATCH.tokenizer(CORPUS), 16, vocabularies, tmp_path / "cache"
    )
    assert again is not made and same(again, made)
    assert [file.suffix for file in (tmp_path / "cache").iterdir()] == [".npz"]


def test_whatever_changes_the_arrays_changes_the_key(tokenizer):
    first, second = SENTENCES
    other_tokenizer = replace(SCRATCH, min_count=2).tokenizer(CORPUS)
    other_padding, other_unknown = SCRATCH.tokenizer(CORPUS), SCRATCH.tokenizer(CORPUS)
    other_padding.pad_token = "[SEP]"
    other_unknown.unk_token = "[SEP]"
    base = (SENTENCES, LABELS, tokenizer, 16, {})
    variants = [
        base,
        ([replace(first, words=("Ada", "met", "bob")), second], *base[1:]),
        ([replace(first, tags=("B-PER", "O", "O")), second], *base[1:]),
        ([second, first], *base[1:]),
        ([first], *base[1:]),
        ([Sentence(first.words + second.words, first.tags + second.tags)], *base[1:]),
        (SENTENCES, LabelSet(["LOC", "PER"]), *base[2:]),
        (SENTENCES, LABELS, other_tokenizer, 16, {}),
        (SENTENCES, LABELS, other_padding, 16, {}),
        (SENTENCES, LABELS, other_unknown, 16, {}),
        (SENTENCES, LABELS, tokenizer, 15, {}),
        (SENTENCES, LABELS, tokenizer, 16, POS),
        (SENTENCES, LABELS, tokenizer, 16, {"pos": {"N": 1, "V": 0, "X": 2}}),
        ([replace(first, columns={"pos": ("N", "V", "X")}), second], LABELS, tokenizer, 16, POS),
    ]
    keys = [cache.digest(*variant) for variant in variants]
    assert len(set(keys)) == len(variants)
    assert keys == [cache.digest(*variant) for variant in variants]


def test_a_sentence_ends_where_it_ends(tokenizer):
    labels, last = LabelSet(["PER", "PERS"]), ("O",)
    one = [Sentence(("a",), ("B-PER",)), Sentence(("Sun",), last)]
    other = [Sentence(("a",), ("B-PERS",)), Sentence(("un",), last)]
    assert cache.digest(one, labels, tokenizer, 16, {}) != cache.digest(
        other, labels, tokenizer, 16, {}
    )


def test_a_column_that_is_not_used_changes_nothing(tokenizer):
    plain = [Sentence(sentence.words, sentence.tags) for sentence in SENTENCES]
    assert len({cache.digest(s, LABELS, tokenizer, 16, {}) for s in (SENTENCES, plain)}) == 1


def test_a_file_that_is_broken_anywhere_is_replaced(tokenizer, tmp_path):
    expected = tokenise(SENTENCES, LABELS, tokenizer, 16, POS)
    cache.tokenised(SENTENCES, LABELS, tokenizer, 16, POS, tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    rng = random.Random(0)
    broken = [whole[: rng.randrange(len(whole))] for _ in range(40)]
    # The directory of the archive is at its end, and has no checksum.
    for place in [rng.randrange(len(whole)) for _ in range(100)] + list(
        range(len(whole) - 900, len(whole))
    ):
        broken.append(
            whole[:place] + bytes([whole[place] ^ rng.choice([1, 8, 255])]) + whole[place + 1 :]
        )
    broken += [b"", b"no archive", bytes(len(whole))]
    for content in broken:
        file.write_bytes(content)
        result = cache.read(file, POS)
        assert result is None or same(result, expected)
    assert cache.read(file, POS) is None  # the last was of zeros

    cache.recent.clear()
    assert same(cache.tokenised(SENTENCES, LABELS, tokenizer, 16, POS, tmp_path), expected)
    assert file.read_bytes() != content and same(cache.read(file, POS), expected)


def long_split(seed: int) -> list[Sentence]:
    rng = random.Random(seed)
    return [
        Sentence(tuple(rng.choice(("Ada", "met", "Bob")) for _ in range(10)), ("O",) * 10)
        for _ in range(2000)
    ]


def make_all(folder: Path, rounds: int, meeting) -> None:
    """In a process of its own: makes each split at the same time as the other process."""
    tokenizer = SCRATCH.tokenizer(CORPUS)
    for seed in range(rounds):
        sentences = long_split(seed)
        meeting.wait(60)
        assert same(
            cache.tokenised(sentences, LABELS, tokenizer, 16, {}, folder),
            tokenise(sentences, LABELS, tokenizer, 16),
        )


def write_often(folder: Path, times: int, done) -> None:
    tokenizer = SCRATCH.tokenizer(CORPUS)
    split = tokenise(long_split(0) * 10, LABELS, tokenizer, 16)
    for _ in range(times):
        cache.write(folder / "split.npz", split)
    done.set()


def test_two_processes_at_once_have_whole_data(tmp_path):
    meeting = FORKED.Barrier(2)
    other = FORKED.Process(target=make_all, args=(tmp_path, 4, meeting))
    other.start()
    make_all(tmp_path, 4, meeting)
    other.join(60)
    assert other.exitcode == 0
    assert len(list(tmp_path.glob("*.npz"))) == len(list(tmp_path.iterdir())) == 4


def test_a_file_is_whole_while_another_process_writes_it(tmp_path):
    done = FORKED.Event()
    other = FORKED.Process(target=write_often, args=(tmp_path, 15, done))
    other.start()
    file, reads = tmp_path / "split.npz", 0
    while not done.is_set():
        assert other.is_alive() or done.is_set()
        if file.exists():
            result = cache.read(file, [])
            assert result is not None and len(result) == 20_000
            reads += 1
    other.join(60)
    assert other.exitcode == 0 and reads > 3
    assert os.listdir(tmp_path) == ["split.npz"]


def test_a_failed_write_leaves_the_old_file(tokenizer, tmp_path):
    file, split = tmp_path / "split.npz", tokenise(SENTENCES, LABELS, tokenizer, 16)
    cache.write(file, split)
    with pytest.raises(
        TypeError
    ):  # numpy writes one array after another, up to the one that it cannot
        cache.write(
            file, replace(split, columns={"pos": np.array([(i for i in ())], dtype=object)})
        )
    assert same(cache.read(file, []), split) and os.listdir(tmp_path) == ["split.npz"]


def test_writing_holds_no_second_copy(tokenizer, tmp_path):
    split = tokenise(SENTENCES, LABELS, tokenizer, 16)
    column = np.zeros(1_000_000, dtype=np.int64)
    split = replace(split, columns={str(i): column for i in range(8)})
    tracemalloc.start()
    cache.write(tmp_path / "split.npz", split)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * column.nbytes  # of 8


def test_the_process_keeps_the_last_splits(tokenizer, tmp_path):
    splits = [SENTENCES * n for n in range(1, cache.LIMIT + 3)]
    for sentences in splits:
        cache.tokenised(sentences, LABELS, tokenizer, 16, {}, tmp_path)
    assert list(cache.recent) == [cache.digest(s, LABELS, tokenizer, 16, {}) for s in splits[2:]]
    assert len(list(tmp_path.iterdir())) == len(splits)


def test_overlapping_entities_are_kept_and_make_another_split(tmp_path, tokenizer):
    nested = [replace(SENTENCES[0], entities=((0, 1, "PER"), (0, 3, "PER"))), SENTENCES[1]]

    def split(sentences):
        cache.recent.clear()
        return cache.tokenised(sentences, LABELS, tokenizer, 16, POS, tmp_path)

    assert split(SENTENCES).spans is None and split(SENTENCES).gold([0]).pointers is None
    for _ in range(2):  # made, and read from the folder
        assert split(nested).spans.tolist() == [[0, 1, 1], [0, 3, 1]]
    assert split(nested).gold([1, 0]).pointers.tolist() == [[0, 0, 1, 0, 0], [0, 0, 1, 0, 1]]
    assert len(list(tmp_path.iterdir())) == 2


def test_overlapping_entities_belong_to_the_checksum_and_give_labels():
    nested = [replace(SENTENCES[0], entities=((0, 1, "X"), (0, 3, "PER"))), SENTENCES[1]]
    corpus = Corpus("small", "here", nested, SENTENCES, SENTENCES)
    assert corpus.labels.types == ("PER", "X") and corpus.checksum != CORPUS.checksum
