"""Spans of characters: to words, to tags, and what is left out on the way."""

import random
from collections import Counter
from pathlib import Path

import pytest

from nersweep.data.jsonl import JsonFiles
from nersweep.data.spans import Mark, Text, code_points, reduced
from nersweep.labels import spans

FILE = Path("a.jsonl")


def read(text, *entities, tokens=None, starts=(), counts=None, **settings):
    """The sentences of one text. entities: (start, end, type) and the surface, if stored."""
    marks = [Mark(*entity[:3], 7, *entity[3:]) for entity in entities]
    reader = JsonFiles(train=__file__, **settings)
    counts = Counter() if counts is None else counts
    return reader.sentences(FILE, Text(text, marks, tokens, starts), counts)


def test_entities_become_tags_of_the_words_that_they_cover():
    (sentence,) = read("Tessa Lund sang.", (0, 10, "PER"), (0, 10, "PER"))
    assert sentence.words == ("Tessa", "Lund", "sang", ".")
    assert sentence.tags == ("B-PER", "I-PER", "O", "O") and sentence.entities is None


def test_blanks_at_the_edge_of_an_entity_cut_no_word():
    (sentence,) = read("a Lund b", (1, 7, "LOC"))
    assert sentence.tags == ("O", "B-LOC", "O")


@pytest.mark.parametrize("entity", [(1, 5), (0, 4), (3, 7)])
def test_an_entity_that_cuts_a_word_fails_or_is_widened_or_dropped(entity, faults_of):
    text, entity = "Tessa sang.", (*entity, "PER")
    (fault,) = faults_of(lambda: read(text, entity))
    assert fault.setting == "a.jsonl:7" and "cuts the word" in fault.must
    assert "data.misaligned" in fault.remedy
    counts = Counter()
    (wide,) = read(text, entity, misaligned="widen", counts=counts)
    ((start, end, _),) = spans(wide.tags)
    assert "".join(wide.words[start:end]) == text[: 5 if entity[1] < 6 else 10].replace(" ", "")
    (none,) = read(text, entity, misaligned="drop", counts=counts)
    assert set(none.tags) == {"O"} and list(counts.values()) == [1, 1]


def test_an_entity_of_blanks_holds_no_word(faults_of):
    (fault,) = faults_of(lambda: read("a  b", (1, 3, "X")))
    assert "holds no word" in fault.must
    (sentence,) = read("a  b", (1, 3, "X"), misaligned="widen")
    assert sentence.tags == ("O", "O")


@pytest.mark.parametrize("place", [(-1, 2), (3, 3), (3, 2), (3, 12), (20, 30)])
def test_an_entity_outside_the_text_fails_whatever_is_set(place, faults_of):
    for choice in ("fail", "widen", "drop"):
        (fault,) = faults_of(
            lambda choice=choice: read("Tessa sang.", (*place, "X"), misaligned=choice)
        )
        assert fault.setting == "a.jsonl:7" and "offsets go from 0 to 11" in fault.must


UNITS = {"codepoints": (2, 7), "utf16": (3, 8), "bytes": (5, 10)}  # of Tessa, by hand


@pytest.mark.parametrize("unit", UNITS)
def test_offsets_count_characters_or_utf16_or_bytes(unit, faults_of):
    text, entity = "😀 Tessa é", (*UNITS[unit], "PER", "Tessa")
    (sentence,) = read(text, entity, offsets=unit)
    assert sentence.words == ("😀", "Tessa", "é") and sentence.tags == ("O", "B-PER", "O")
    for other in UNITS.keys() - {unit}:
        (fault,) = faults_of(lambda other=other: read(text, entity, offsets=other))
        assert fault.remedy == f"set data.offsets={unit}, which fits"


def test_code_points_of_random_texts():
    rng = random.Random(3)
    for _ in range(50):
        text = "".join(rng.choices("aé東😀", k=8))
        for unit, encoding, width in (("utf16", "utf-16-le", 2), ("bytes", "utf-8", 1)):
            index = code_points(text, unit) or {i: i for i in range(len(text) + 1)}
            for place in range(len(text) + 1):
                assert index[len(text[:place].encode(encoding)) // width] == place


def test_an_offset_within_a_character_is_refused(faults_of):
    (fault,) = faults_of(lambda: read("😀 a", (1, 4, "X"), offsets="utf16"))
    assert "within a character" in fault.must


def test_a_surface_may_write_blanks_otherwise():
    (sentence,) = read("New\nLund  x", (0, 8, "LOC", "New Lund"))
    assert sentence.tags == ("B-LOC", "I-LOC", "O")


def test_lines_are_sentences_unless_an_entity_runs_over_the_end():
    text = "a b\r\n\r\nc d\ne f"
    assert [s.words for s in read(text)] == [("a", "b"), ("c", "d"), ("e", "f")]
    first, second = read(text, (9, 12, "X"), (0, 1, "Y"))
    assert first.words == ("a", "b") and first.tags == ("B-Y", "O")
    assert second.words == ("c", "d", "e", "f") and second.tags == ("O", "B-X", "I-X", "O")


def test_a_text_may_say_where_sentences_begin():
    assert [s.words for s in read("a b. c d", starts=[0, 5])] == [("a", "b", "."), ("c", "d")]


def test_own_tokens_are_the_words_but_for_blank_ones(faults_of):
    tokens = [Mark(0, 8, "", 7, "New Lund"), Mark(8, 9, "", 7, "\n"), Mark(9, 11, "", 7, "it")]
    first, second = read("New Lund\nit's", (0, 8, "LOC"), tokens=tokens)
    assert first.words == ("New Lund",) and first.tags == ("B-LOC",) and second.words == ("it",)
    for tokens in ([Mark(0, 4, "", 7), Mark(3, 5, "", 7)], [Mark(0, 99, "", 7)]):
        (fault,) = faults_of(lambda tokens=tokens: read("New Lund", tokens=tokens))
        assert fault.setting == "a.jsonl:7"


def test_each_character_may_be_a_word():
    (sentence,) = read("のe\u0301 葛\U000e0100", (0, 3, "X"), words="characters")
    assert sentence.words == ("の", "e\u0301", "葛\U000e0100") and sentence.tags[1] == "I-X"


NESTED = [(2, 3, "A"), (0, 3, "B"), (0, 1, "C"), (2, 6, "D"), (7, 8, "E")]


@pytest.mark.parametrize(
    ("rule", "kept"), [("outermost", "BE"), ("longest", "CDE"), ("first", "CAE")]
)
def test_rules_for_overlaps(rule, kept):
    assert "".join(type_ for _, _, type_ in reduced(NESTED, rule)) == kept
    counts = Counter()
    entities = [(2 * start, 2 * end - 1, type_) for start, end, type_ in NESTED]
    (sentence,) = read("a b c d e f g h", *entities, overlaps=rule, counts=counts)
    assert "".join(type_ for _, _, type_ in spans(sentence.tags)) == kept
    assert sorted(sentence.entities) == sorted(NESTED)
    assert list(counts.values()) == [5 - len(kept)]


def test_overlaps_may_fail(faults_of):
    (fault,) = faults_of(lambda: read("a b c", (0, 3, "A"), (2, 3, "B"), overlaps="fail"))
    assert fault.setting == "a.jsonl:7" and fault.must == "A [0, 3] and B [2, 3] overlap"


def test_reduced_entities_share_no_word_and_nothing_more_fits():
    rng = random.Random(5)
    for _ in range(200):
        entities = []
        for _ in range(6):
            start = rng.randrange(10)
            entities.append((start, rng.randrange(start + 1, 12), rng.choice("AB")))
        for rule in ("outermost", "longest", "first"):
            kept = reduced(entities, rule)
            taken = [word for start, end, _ in kept for word in range(start, end)]
            assert len(taken) == len(set(taken))
            for start, end, type_ in entities:
                assert (start, end, type_) in kept or set(taken) & set(range(start, end))


def test_blanks_in_types_are_read_as_a_line_and_no_two_types_become_one(faults_of):
    (sentence,) = read("a b", (0, 1, "Titre 2"))
    assert sentence.tags == ("B-Titre_2", "O")
    (fault,) = faults_of(lambda: read("a b", (0, 1, "Titre 2"), (2, 3, "Titre_2")))
    assert fault.setting == "a.jsonl:7: type Titre_2"
