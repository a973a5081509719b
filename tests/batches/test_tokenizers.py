"""Words have the pieces of running text with tokenisers of any kind, and are read at content."""

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from nersweep.batches import cache, windows
from nersweep.batches.windows import Reading, offsets, special_pieces, tokenise, word_pieces
from nersweep.data.corpus import Sentence
from nersweep.labels import LabelSet

LABELS = LabelSet(["PER"])


def byte_level(**settings) -> PreTrainedTokenizerFast:
    """A tokeniser of bytes, in which "ab" and " a" are pieces of their own."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("a", "b"), ("Ġ", "a")]
    ids = {piece: i for i, piece in enumerate([*letters, "ab", "Ġa"])}
    backend = Tokenizer(models.BPE(ids, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(**settings)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="!")


def sentencepiece(scheme: str) -> PreTrainedTokenizerFast:
    scores = {"<unk>": 0.0, "▁": -3.0, "▁a": -1.0, "a": -2.0, "b": -2.0, "中": -2.0, "文": -2.0}
    backend = Tokenizer(models.Unigram(list(scores.items()), unk_id=0))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    backend.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", pad_token="<unk>")


def normalising(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The same tokeniser, with a normaliser that puts the blank before a text."""
    tokenizer.backend_tokenizer.normalizer = normalizers.Prepend(" ")
    return tokenizer


TOKENIZERS = {
    "bytes": byte_level(add_prefix_space=False),
    "bytes that add the blank": byte_level(add_prefix_space=True),
    "bytes whose normaliser adds it": normalising(byte_level(add_prefix_space=False)),
    "sentencepiece": sentencepiece("always"),
    "sentencepiece at the beginning": sentencepiece("first"),
    "sentencepiece that adds none": sentencepiece("never"),
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_word_has_the_pieces_that_it_has_in_a_sentence(kind):
    tokenizer = TOKENIZERS[kind]
    (before,) = windows.encode(["b"], tokenizer)
    for word in ("a", "ab", "ba", "aab"):
        (sentence,) = windows.encode([f"b {word}"], tokenizer)
        assert word_pieces([word], tokenizer) == [sentence[len(before) :]], word
        assert tokenizer.convert_ids_to_tokens(sentence[len(before)])[0] in "▁Ġ"


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_word_is_read_at_its_first_piece_with_content_or_at_its_last(kind):
    tokenizer = TOKENIZERS[kind]
    words = ["a", "ab", "中文"]
    pieces = word_pieces(words, tokenizer)
    first, last = (list(offsets(pieces, tokenizer, Reading(x, True))) for x in (False, True))
    for ids, place in zip(pieces, first, strict=True):
        tokens = tokenizer.convert_ids_to_tokens(ids)
        assert tokens[place] not in ("▁", "Ġ") and set(tokens[:place]) <= {"▁", "Ġ"}
    assert first[0] == 0 and first[2] == 1
    assert last == [len(ids) - 1 for ids in pieces]


def test_a_word_of_blanks_alone_is_read_at_its_only_piece():
    tokenizer = TOKENIZERS["sentencepiece"]
    blank = tokenizer.convert_tokens_to_ids("▁")
    assert list(offsets([[blank]], tokenizer, windows.FIRST)) == [0]


def test_a_letter_that_looks_like_a_blank_is_content():
    backend = Tokenizer(models.WordPiece({"[UNK]": 0, "Ġ": 1, "##o": 2}, unk_token="[UNK]"))
    backend.decoder = decoders.WordPiece()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    pieces = word_pieces(["Ġo"], tokenizer)
    assert pieces == [[1, 2]] and list(offsets(pieces, tokenizer, windows.FIRST)) == [0]


def test_labels_follow_the_piece_that_is_read():
    tokenizer = TOKENIZERS["sentencepiece"]
    data = [Sentence(("a", "中文", "b"), ("O", "B-PER", "O"))]
    for reading, expected in ((windows.FIRST, "▁a 中 b"), (Reading(True, False), "▁a 文 b")):
        batch = tokenise(data, LABELS, tokenizer, 16, reading=reading).batch([0], packed=True)
        read = tokenizer.convert_ids_to_tokens(batch.input_ids.flatten()[batch.places].tolist())
        assert " ".join(read) == expected


def test_a_piece_that_sees_nothing_ahead_has_the_window_with_most_before_it():
    sizes = [1] * 20
    bounds = windows.windows(sizes, 8)
    for word, (window, place) in enumerate(windows.owners(sizes, bounds, ahead=False)):
        before = [word - start for start, end in bounds if start <= word < end]
        assert place == max(before) == word - bounds[window][0]


def test_slow_tokenizers_work_and_have_a_key(tmp_path):
    tokenizer, other = ByT5Tokenizer(extra_ids=0), ByT5Tokenizer(extra_ids=1)
    assert not tokenizer.is_fast
    assert special_pieces(tokenizer) == ([], [tokenizer.eos_token_id])
    data = [Sentence(("Ada", "b"), ("B-PER", "O"))]
    split = cache.tokenised(data, LABELS, tokenizer, 16, {}, tmp_path)
    assert bytes(split.pieces[:-1].astype("u1") - 3) == b" Ada b"  # three specials come first
    assert split.word_place.tolist() == [1, 5]
    key = cache.digest(data, LABELS, tokenizer, 16, {})
    assert key == cache.digest(data, LABELS, ByT5Tokenizer(extra_ids=0), 16, {})
    assert key != cache.digest(data, LABELS, other, 16, {})
    assert key != cache.digest(data, LABELS, tokenizer, 16, {}, Reading(True, False))


def test_without_an_unknown_piece_another_stands_in_and_is_named_once(capsys):
    windows.note_once.cache_clear()
    backend = Tokenizer(models.BPE({"a": 0, "</s>": 1}, []))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")
    assert word_pieces(["a", "中", "文"], tokenizer) == [[0], [1], [1]]
    assert capsys.readouterr().out.count("</s>") == 1
