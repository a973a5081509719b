"""Several data sets as one."""

from collections import Counter
from dataclasses import dataclass

import pytest

from nersweep.data.corpus import Corpus, Sentence, document_numbers, types_of
from nersweep.data.mix import Mix, repeated, retag
from nersweep.faults import Fault, UserError


@dataclass(frozen=True)
class Fixed:
    """A data set of one-word sentences: a tag for each, in each split."""

    name: str
    train: str
    dev: str
    test: str
    documents: bool = False
    notes: tuple[str, ...] = ()

    def load(self):
        splits = []
        for split in (self.train, self.dev, self.test):
            sentences = []
            for i, tag in enumerate(split.split()):
                columns = {"pos": ("X",), self.name: ("Y",)}
                document = i // 2 if self.documents else None
                sentences.append(Sentence((f"{self.name}{i}",), (tag,), columns, document))
            splits.append(sentences)
        return Corpus(self.name, f"{self.name}.txt", *splits, self.notes)


NEWS = Fixed("news", "B-PER B-LOC B-MISC O", "B-PER B-LOC O", "B-LOC B-MISC", documents=True)
TWEETS = Fixed("tweets", "B-person B-product", "B-person", "B-person B-product B-person")
SETS = {"news": NEWS, "tweets": TWEETS}
PERSON = {"person": "PER"}


def tags(sentences):
    return [sentence.tags[0] for sentence in sentences]


def words(sentences):
    return [sentence.words[0] for sentence in sentences]


def test_sets_are_concatenated_and_types_renamed():
    corpus = Mix(sets=SETS, map={**PERSON, "product": "O"}).load()
    assert tags(corpus.train) == ["B-PER", "B-LOC", "B-MISC", "O", "B-PER", "O"]
    assert words(corpus.test) == ["news0", "news1", "tweets0", "tweets1", "tweets2"]
    assert corpus.labels.types == ("LOC", "MISC", "PER")
    assert corpus.source == "news: news.txt; tweets: tweets.txt"
    assert "tweets has no LOC, MISC, which other sets have" in corpus.notes
    assert "train: 4 of news, 2 of tweets" in corpus.notes


def test_a_map_of_one_set_comes_before_that_of_all():
    sets = {"a": Fixed("a", "B-x B-y", "B-x", "B-x"), "b": Fixed("b", "B-x B-y", "B-x", "B-x")}
    corpus = Mix(sets=sets, map={"x": "ONE", "b": {"x": "TWO"}}).load()
    assert tags(corpus.train) == ["B-ONE", "B-y", "B-TWO", "B-y"]


def test_another_set_is_scored_on_the_types_that_both_have():
    corpus = Mix(sets=SETS, map=PERSON, train=["news"], test=["tweets"]).load()
    assert types_of(corpus.train) | types_of(corpus.dev) | types_of(corpus.test) == {"PER"}
    assert words(corpus.dev) == ["news0", "news1", "news2"]
    assert tags(corpus.test) == ["B-PER", "O", "B-PER"]
    notes = "\n".join(corpus.notes)
    assert "train: not scored, as not both train and test have them: LOC (1 entities)" in notes
    assert "test: not scored, as not both train and test have them: product (1 entities)" in notes


def test_a_test_set_that_is_trained_on_keeps_its_types():
    corpus = Mix(sets=SETS, map=PERSON, test=["tweets"]).load()
    assert types_of(corpus.train) == {"LOC", "MISC", "PER", "product"}


@pytest.mark.parametrize(
    ("temperature", "small"), [(1.0, 10), (2.0, 20), (float("inf"), 40), (4.0, 28)]
)
def test_a_set_counts_by_the_temperature(temperature, small):
    """10 sentences beside 40: 40·(1/4)^(1/T)."""
    sentences = [Sentence((str(i),), ("O",)) for i in range(10)]
    counts = Counter(words(repeated(sentences, 40, temperature)))
    assert sum(counts.values()) == small
    assert len(counts) == 10 and max(counts.values()) - min(counts.values()) <= 1
    assert len(repeated(sentences, 10, temperature)) == 10


def test_only_training_is_repeated():
    corpus = Mix(sets=SETS, map=PERSON, temperature=float("inf")).load()
    assert Counter(words(corpus.train))["tweets0"] == 2
    assert set(Counter(words(corpus.test)).values()) == {1}


def test_documents_of_sets_stay_apart_and_columns_are_those_that_all_have():
    corpus = Mix(sets=SETS, map=PERSON).load()
    assert document_numbers(corpus.train).tolist() == [0, 0, 1, 1, 2, 3]
    assert {frozenset(sentence.columns) for sentence in corpus.train} == {frozenset({"pos"})}
    unmarked = {"a": Fixed("a", "B-x", "B-x", "B-x"), "b": Fixed("b", "B-x", "B-x", "B-x")}
    assert {s.document for s in Mix(sets=unmarked).load().train} == {None}


def test_notes_of_a_set_carry_its_name():
    sets = {"news": NEWS, "b": Fixed("b", "B-PER", "B-PER", "B-PER", notes=("odd",))}
    assert "b: odd" in Mix(sets=sets).load().notes


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"train": ["new"]}, "train"),
        ({"test": []}, "test"),
        ({"dev": ["news", "news"]}, "dev"),
        ({"train": ["news"]}, "sets"),
        ({"temperature": 0.5}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"map": {"person": 3}}, "map.person"),
        ({"map": {"person": "a b"}}, "map.person"),
        ({"map": {"nope": {"person": "PER"}}}, "map.nope"),
    ],
)
def test_what_does_not_exist_or_is_out_of_range_is_refused(settings, setting, faults_of):
    (fault,) = faults_of(lambda: Mix(sets=SETS, **settings))
    assert fault.setting == setting


@pytest.mark.parametrize(
    ("types", "setting"),
    [
        ({"persom": "PER"}, "data.map.persom"),
        ({"tweets": {"PER": "person"}}, "data.map.tweets.PER"),
    ],
)
def test_a_map_of_an_unknown_type_is_refused(types, setting, faults_of):
    (fault,) = faults_of(Mix(sets=SETS, map=types).load)
    assert fault.setting == setting and "person" in fault.must


def test_sets_without_a_type_in_common_are_not_scored(faults_of):
    (fault,) = faults_of(Mix(sets=SETS, train=["news"], test=["tweets"]).load)
    assert (fault.setting, fault.value) == ("data.test", ["tweets"])


def test_a_fault_of_a_set_has_its_name(faults_of):
    class Broken:
        def load(self):
            raise UserError(Fault("data.dev_share", 0.1, "too small"))

    (fault,) = faults_of(Mix(sets={"a": Broken()}).load)
    assert fault.setting == "data.sets.a.dev_share"


def test_folds_of_a_set_are_refused(faults_of):
    class Folded(Fixed):
        folds = 5

    (fault,) = faults_of(lambda: Mix(sets={"a": Folded("a", "O", "O", "O")}))
    assert (fault.setting, fault.value) == ("sets.a.folds", 5)


def test_overlapping_entities_are_mapped_and_what_remains_is_tagged():
    entities = ((0, 2, "ORG"), (1, 2, "LOC"))
    sentence = Sentence(("a", "b"), ("B-ORG", "I-ORG"), entities=entities)
    (renamed,) = retag([sentence], {"LOC": "GPE"})
    assert renamed.tags == sentence.tags and renamed.entities == ((0, 2, "ORG"), (1, 2, "GPE"))
    (inner,) = retag([sentence], {"ORG": "O"})
    assert (inner.tags, inner.entities) == (("O", "B-LOC"), None)
    both = Sentence(
        ("a", "b", "c", "d"),
        ("B-ORG", "I-ORG", "B-PER", "I-PER"),
        entities=((0, 2, "ORG"), (1, 2, "LOC"), (2, 4, "PER"), (3, 4, "LOC")),
    )
    (inner,) = retag([both], {"ORG": "O"})
    assert inner.tags == ("O", "B-LOC", "B-PER", "I-PER")
    assert inner.entities == both.entities[1:]
