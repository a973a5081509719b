"""What the checks of a data set find, by hand."""

import pytest

from nersweep.data.corpus import Corpus, Sentence, note_copies
from nersweep.diagnosis.flaws import FEW, find_flaws


def sentence(text):
    """ "Ann/B-PER sings" """
    pairs = [word.partition("/") for word in text.split()]
    return Sentence(tuple(word for word, _, _ in pairs), tuple(tag or "O" for _, _, tag in pairs))


CLEAN = [sentence("Ann/B-PER saw New/B-LOC Lund/I-LOC")] * FEW


def flaws_of(train, dev=(), test=()):
    corpus = Corpus("mine", "here", [*CLEAN, *map(sentence, train)], *(
        [sentence(text) for text in split] for split in (dev, test)
    ))  # fmt: skip
    return {flaw.name.split()[0]: flaw for flaw in find_flaws(corpus)}


def test_clean_data_have_none():
    assert flaws_of([]) == {}


def test_equal_sentences_contradict_each_other_across_splits():
    flaws = flaws_of(["Bo/B-PER fell", "it rains", "it rains"], test=["Bo fell", "it rains"])
    flaw = flaws.pop("contradicting")
    assert not flaws and flaw.places == 1
    assert flaw.statement.startswith("1 of the 3 sentences")  # those of CLEAN repeat too
    assert flaw.examples == (f"Bo fell: Bo PER (train {FEW + 1}); no entity (test 1)",)


@pytest.mark.parametrize("type_, kinds", [
    ("loc", {"types", "similar"}),
    ("-LOC", {"types", "similar", "mistyped"}),
    ("BLOC", {"types", "mistyped"}),
    ("B-LOC", {"types", "mistyped"}),
    ("LOC`", {"types", "similar", "mistyped"}),
    ("LOC2", {"types"}),
])  # fmt: skip
def test_types_that_no_one_meant(type_, kinds):
    corpus = Corpus("mine", "here", [*CLEAN, sentence(f"Oslo/B-{type_}")], [], [])
    names = {flaw.name for flaw in find_flaws(corpus)}
    expected = {f"types with fewer than {FEW} entities in train"}
    if "similar" in kinds:
        expected.add("types that differ only in case or punctuation")
    if "mistyped" in kinds:
        expected.add("types that look mistyped")
    assert names == expected


@pytest.mark.parametrize("entity, oddity", [
    ("Lund/B-LOC ./I-LOC", "1 end with '.'"),
    ("(/B-LOC Lund/I-LOC", "1 begin with '('"),
    ("Lund/B-LOC \u200b/I-LOC", "1 end with '\\u200b'"),
    ("\u00a0Lund/B-LOC", "1 have a blank at the edge"),
    ("$/B-LOC St./I-LOC", ""),
])  # fmt: skip
def test_ragged_edges(entity, oddity):
    pairs = [word.split("/") for word in entity.split(" ")]
    words, tags = zip(*pairs, strict=True)
    corpus = Corpus("mine", "here", CLEAN, [], [Sentence(words, tags)])
    found = [example for flaw in find_flaws(corpus) for example in flaw.examples]
    assert len(found) == bool(oddity)
    assert all(example.startswith(f"{oddity}: ") for example in found)


def test_shared_sentences_are_counted_for_each_two_splits():
    a, b, c = sentence("Ann/B-PER fell"), sentence("it rains"), sentence("it snows")
    relabelled = sentence("Ann fell")
    notes = note_copies(Corpus("mine", "here", [a], [b, c, relabelled], [b, b, a, c]))
    assert [note.partition(",")[0] for note in notes] == [
        "dev: 1 of 3 sentences (33.3%) are in train too",
        "test: 1 of 4 sentences (25.0%) are in train too",
        "test: 4 of 4 sentences (100.0%) are in dev too",
    ]
    assert note_copies(Corpus("mine", "here", [a], [b], [c])) == []
    assert "memory alone" in note_copies(Corpus("mine", "here", [a], [b], [a]))[0]
