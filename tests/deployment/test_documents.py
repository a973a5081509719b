"""Texts to tag: lines of files, words and their places, long texts in parts."""

import random
from itertools import pairwise

import pytest

from nersweep.deployment.documents import (
    chunks,
    of_json,
    of_line,
    of_text,
    of_words,
    parts,
    read_lines,
)
from nersweep.faults import UserError


def test_words_lie_where_their_offsets_say():
    for document in (
        of_text("Ada's  house, 東京."),
        of_words(["New York", "é", ""]),
        of_line(" a\tb"),
    ):
        for word, (start, end) in zip(document.words, document.offsets, strict=True):
            assert document.text[start:end] == word
    assert of_line(" a\tb ").text == "a b" and of_line("").words == []


def test_each_line_is_a_text_and_its_bytes_are_counted(tmp_path):
    file = tmp_path / "texts"
    file.write_bytes("\ufeffAda\r\n\n  Kim é".encode())
    sizes = []
    texts = [document.text for document in read_lines(file, of_text, sizes.append)]
    assert texts == ["Ada", "", "  Kim é"] and sum(sizes) == file.stat().st_size


def test_a_json_line_keeps_its_fields():
    document = of_json('{"id": 7, "text": "Ada"}')
    assert (document.words, document.fields["id"], document.given) == (["Ada"], 7, False)


@pytest.mark.parametrize(
    ("content", "parse", "place"),
    [
        (b"Ada\n\xff\xfeA\x00", of_text, ":2"),
        (b"Ada\x00", of_text, ":1"),
        (b"x" * (2**24 + 1), of_text, ":1"),
        (b'{"text": "a"}\n[1]\n', of_json, ":2"),
        (b'{"text": "a"}\n\n', of_json, ":2"),
        (b'{"texts": "a"}', of_json, ":1"),
        (b'{"text": "\\ud83d"}', of_json, ":1"),
        (b'{"text": "a", "deep": ' + b"[" * 10**5, of_json, ":1"),
    ],
)
def test_a_line_that_is_no_text_is_named(content, parse, place, tmp_path):
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(UserError) as error:
        list(read_lines(tmp_path / "bad", parse, [].append))
    assert error.value.faults[0].setting == f"{tmp_path / 'bad'}{place}"


def test_chunks_hold_all_documents_in_order_and_little_more_than_their_size():
    rng = random.Random(1)
    documents = [of_words(["w"] * rng.choice([0, 1, 5, 30])) for _ in range(200)]
    groups = list(chunks(documents, most=20))
    assert [document for group in groups for document in group] == documents
    for group in groups:
        assert sum(len(document.words) + 1 for document in group[:-1]) < 20
    assert list(chunks([])) == []


def test_a_long_text_is_cut_after_the_ends_of_sentences():
    rng = random.Random(1)
    for length in (0, 1, 8, 9, 100):
        text = rng.choices(["a", "."], [9, 1], k=length)
        bounds = parts(text, most=8)
        assert [start for start, _ in bounds] == [0, *[end for _, end in bounds[:-1]]]
        assert bounds[-1][1] == length and max(end - start for start, end in bounds) <= 8
        for (start, end), _ in pairwise(bounds):
            last_quarter = text[start + 6 : start + 8]
            assert text[end - 1] == "." or "." not in last_quarter
    assert parts(["a"] * 6 + [".", "a", "a"], most=8) == [(0, 7), (7, 9)]
