"""Schemes of tags."""

from collections import Counter
from functools import partial
from itertools import pairwise

import pytest

from nersweep.data.corpus import Sentence
from nersweep.data.normalise import assemble, normalised
from nersweep.data.schemes import SCHEMES, is_iob1, scheme_of
from nersweep.labels import spans

# Two entities of one type side by side, one of a word, a longer one at the end.
ENTITIES = [(0, 2, "PER"), (2, 3, "PER"), (4, 5, "LOC"), (6, 9, "PER")]
WRITTEN = {
    "IOB1": "I-PER I-PER B-PER O I-LOC O I-PER I-PER I-PER",
    "IOB2": "B-PER I-PER B-PER O B-LOC O B-PER I-PER I-PER",
    "BIOES": "B-PER E-PER S-PER O S-LOC O B-PER I-PER E-PER",
    "BILOU": "B-PER L-PER U-PER O U-LOC O B-PER I-PER L-PER",
    "BMES": "B-PER E-PER S-PER O S-LOC O B-PER M-PER E-PER",
    "BMEWO": "B-PER E-PER W-PER O W-LOC O B-PER M-PER E-PER",
}
STYLES = {
    "B-PER": lambda tag: tag,
    "B_PER": lambda tag: tag.replace("-", "_", 1),
    "b-per": str.lower,
    "b_per": lambda tag: tag.replace("-", "_", 1).lower(),
}


def corpus_of(*sentences, **settings):
    """A corpus with these tags in train, dev and test, all of them in each."""
    group = []
    for tags in sentences:
        words = tuple(f"w{i}" for i in range(len(tags)))
        group.append(Sentence(words, tuple(tags)))
    splits = {"train": group, "dev": group, "test": group}
    return assemble("a", "here", splits, normalise=partial(normalised, **settings))


@pytest.mark.parametrize("sign", ["O", "0", "_"])
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("scheme", WRITTEN)
def test_one_annotation_in_every_scheme(scheme, style, sign):
    tags = [sign if tag == "O" else STYLES[style](tag) for tag in WRITTEN[scheme].split()]
    entities = spans(corpus_of(tags).train[0].tags)
    assert [(start, end, type_.upper()) for start, end, type_ in entities] == ENTITIES
    named = corpus_of(tags, scheme=scheme, outside=sign)
    assert spans(named.train[0].tags) == entities


@pytest.mark.parametrize("scheme", WRITTEN)
def test_the_scheme_is_said_unless_it_is_iob2(scheme):
    expected = () if scheme == "IOB2" else (f"tags are {scheme}",)
    assert corpus_of(WRITTEN[scheme].split()).notes == expected


def test_styles_and_signs_are_said():
    (note,) = corpus_of(["b_per", "i_per", "_"]).notes
    assert note == "tags are IOB2, written as b_per, with _ for O"


def test_inside_alone_makes_one_entity_of_neighbours():
    corpus = corpus_of(["I-PER", "I-PER", "O", "I-LOC", "I-PER"])
    assert corpus.train[0].tags == ("B-PER", "I-PER", "O", "B-LOC", "B-PER")
    assert corpus.notes == ("tags are IO",)


def test_types_without_prefixes_make_one_entity_of_neighbours():
    corpus = corpus_of(["person", "person", "O", "O", "place", "person", "O"])
    assert corpus.train[0].tags == ("B-person", "I-person", "O", "O", "B-place", "B-person", "O")
    assert "types without a prefix" in corpus.notes[0]


def test_prefixes_without_types_are_one_type():
    corpus = corpus_of(["B", "I", "O", "B"])
    assert corpus.train[0].tags == ("B-ENTITY", "I-ENTITY", "O", "B-ENTITY")
    assert "ENTITY" in corpus.notes[0]


def test_all_splits_decide_the_scheme():
    """What is IOB1 in dev makes nothing of IOB2 in train; one E in test makes all BIOES."""
    iob2 = [Sentence(("a", "b"), ("B-PER", "O"))]
    stray = [Sentence(("a", "b"), ("I-PER", "O"))]
    corpus = assemble("a", "here", {"train": iob2, "dev": stray, "test": iob2})
    assert corpus.notes == ("dev: 1 I- tags began an entity and are read as B-",)
    bioes = [Sentence(("a", "b"), ("B-PER", "E-PER"))]
    corpus = assemble("a", "here", {"train": stray, "dev": stray, "test": bioes})
    assert corpus.notes[0] == "tags are BIOES"


def test_stray_inside_tags_do_not_make_iob2_data_iob1():
    tags = ["O", "B-PER", "O", "I-PER", "O"]
    assert not is_iob1(Counter(pairwise(tags)))
    assert is_iob1(Counter(pairwise(["O", "I-PER", "B-PER", "O"])))


def test_tags_that_bioes_forbids_are_counted():
    notes = corpus_of(["B-PER", "O", "S-PER", "B-PER", "E-PER"]).notes
    assert notes[1] == "train: 1 neighbouring tags do not fit BIOES, such as B- before O"
    assert len(notes) == 4


def test_hyphens_and_blanks_in_types():
    corpus = corpus_of(["B-GPE-LOC", "I-GPE-LOC", "O", "B-Titre 2", "I-Titre 2"])
    assert corpus.train[0].tags == ("B-GPE-LOC", "I-GPE-LOC", "O", "B-Titre_2", "I-Titre_2")
    assert corpus.notes == ("blanks in types are read as _: Titre 2",)


def test_two_types_never_become_one(assert_refused_as):
    assert_refused_as(lambda: corpus_of(["B-Titre 2", "B-Titre_2", "O"]), "type=Titre_2")


@pytest.mark.parametrize(
    ("tags", "settings", "tag", "hint"),
    [
        ("B-PER I-PER O PER", {}, "PER", "B-PER"),
        ("B-PER I-PER O B_PER", {}, "B_PER", "B-PER"),
        ("B-PER I-PER O b-PER", {}, "b-PER", "B-PER"),
        ("B-PER I-PER _ 0", {}, "_", "data.outside=_"),
        ("B-PER I-PER O 0", {}, "0", "mend"),
        ("B-PER E-PER S-PER S-PER U-PER O", {}, "U-PER", "BIOES"),
        ("B-PER L-PER O", {"scheme": "BIOES"}, "L-PER", "data.scheme=BILOU"),
        ("B-PER B-PER O", {"scheme": "IO"}, "B-PER", "data.scheme=IOB2"),
        ("PER O O", {"scheme": "IOB2"}, "PER", "data.scheme=bare"),
        ("NN VB NN O", {}, "NN", "data.scheme=bare"),
        ("person _ _", {}, "person", "data.outside"),
        ("PER-B PER-I O O O", {}, "PER-B", "data.scheme=bare"),
        ("B:PER I:PER O O O", {}, "B:PER", "B-PER"),
        ("e-mail O O", {}, "e-mail", "data.scheme=bare"),
    ],
)
def test_a_tag_that_fits_nothing_is_named_with_what_would_fit(tags, settings, tag, hint, faults_of):
    (fault,) = faults_of(lambda: corpus_of(tags.split(), **settings))
    assert (fault.setting, fault.value) == ("train, sentence 1: tag", tag)
    assert hint in str(fault)


def test_a_scheme_read_as_types_keeps_its_prefixes():
    corpus = corpus_of(["B-PER", "I-PER", "O"], scheme="bare")
    assert corpus.train[0].tags == ("B-B-PER", "B-I-PER", "O")


def test_types_that_may_be_slips_are_named_with_their_entities():
    often = ["B-ORG", "O", "B-PER", "O"] * 50
    corpus = corpus_of([*often, "B--ORG", "O"], [*often, "B-org", "B-MIS1`", "I-MIS1`"])
    (note,) = corpus.notes
    assert note.endswith("-ORG (3; ORG has 300), org (3; ORG has 300), MIS1` (3)")


def test_a_type_of_two_entities_is_named_in_large_data_alone():
    one = [Sentence(("a", "b", "c"), ("B-PER", "O", "B-GPE"))]
    two = [Sentence(("a", "b"), ("B-PER", "B-GPE"))]
    few = [Sentence(("a",), ("B-PER",))]
    small = assemble("a", "here", {"train": one, "dev": two, "test": few})
    assert small.notes == ()
    large = assemble("a", "here", {"train": one, "dev": two, "test": few * 100})
    assert large.notes == ("types that may be mistyped, with their entities: GPE (2)",)


def test_the_schemes_that_can_be_set_are_those_that_exist():
    assert set(WRITTEN) | {"IO", "bare"} == set(SCHEMES)
    assert scheme_of({"O": 3}).notes() == []


def test_line_breaks_in_words_do_not_break_files_of_predictions():
    words = ("a\nb", "\r\n", "c\u2028")
    group = [Sentence(words, ("B-X", "O", "O"))]
    corpus = assemble("a", "here", {"train": group, "dev": group, "test": group})
    assert corpus.train[0].words == ("a␣b", "␣", "c\u2028")


def test_types_of_overlapping_entities_are_named_as_those_of_tags():
    entities = ((0, 1, "New Name"), (0, 2, "Old Name"))
    group = [Sentence(("a", "b"), ("B-Old Name", "I-Old Name"), entities=entities)]
    corpus = assemble("a", "here", {"train": group, "dev": group, "test": group})
    assert corpus.train[0].entities == ((0, 1, "New_Name"), (0, 2, "Old_Name"))
