"""New training sentences: their labels follow from the words that they are made of."""

from collections import Counter

import pytest

from nersweep.data.augment import (
    AllMethods,
    LabelWiseTokenReplacement,
    MentionReplacement,
    ShuffleInSegments,
    draw,
)
from nersweep.data.corpus import Sentence
from nersweep.labels import spans

METHODS = (MentionReplacement, LabelWiseTokenReplacement, ShuffleInSegments, AllMethods)


def sentence(words: str, tags: str) -> Sentence:
    """A sentence with a column that names each word's own tag and spelling."""
    split, labels = tuple(words.split()), tuple(tags.split())
    own = tuple(f"{word}/{tag}" for word, tag in zip(split, labels, strict=True))
    return Sentence(split, labels, {"own": own}, document="d")


TRAIN = [
    sentence("Ada Lovelace met Bo in Pau .", "B-PER I-PER O B-PER O B-LOC O"),
    sentence("It rained a lot today", "O O O O O"),
    sentence("New Ulm is big", "B-LOC I-LOC O O"),
    sentence("Cy Di sang", "B-PER B-PER O"),
]
MENTIONS = {
    "PER": {("Ada", "Lovelace"), ("Bo",), ("Cy",), ("Di",)},
    "LOC": {("Pau",), ("New", "Ulm")},
}


def test_mentions_become_mentions_of_the_same_type_and_other_words_stay():
    made = MentionReplacement(copies=50, probability=1, rarity=0).generate(TRAIN, 1)
    assert len(made) == 200
    found = {type_: set() for type_ in MENTIONS}
    outside = Counter()
    for each in made:
        rest = list(each.words)
        for start, end, type_ in spans(each.tags):
            found[type_].add(each.words[start:end])
            rest[start:end] = [None] * (end - start)
        outside[tuple(word for word in rest if word)] += 1
    assert found == MENTIONS
    # The sentence without an entity is no source; the others are, equally often up to one.
    assert outside.keys() == {("met", "in", "."), ("is", "big"), ("sang",)}
    assert set(outside.values()) <= {66, 67}


def test_mentions_of_one_type_are_equally_likely():
    made = MentionReplacement(copies=1000, probability=1, rarity=0).generate(TRAIN[3:], 1)
    pool = MentionReplacement(copies=1000, probability=1, rarity=0).generate(TRAIN, 1)
    assert {each.words for each in made} == {
        (a, b, "sang") for a in ("Cy", "Di") for b in ("Cy", "Di")
    }
    names = Counter(
        each.words[start:end] for each in pool for start, end, type_ in spans(each.tags)
        if type_ == "PER"
    )  # fmt: skip
    total = sum(names.values())
    assert [names[name] / total for name in MENTIONS["PER"]] == pytest.approx([0.25] * 4, abs=0.02)


def test_words_become_words_of_the_same_tag_as_frequent_as_in_training():
    made = LabelWiseTokenReplacement(copies=2000, probability=1, rarity=0).generate(TRAIN, 1)
    pools = {}
    for each in TRAIN:
        for word, tag in zip(each.words, each.tags, strict=True):
            pools.setdefault(tag, Counter())[word] += 1
    found = {}
    for each in made:
        for word, tag in zip(each.words, each.tags, strict=True):
            found.setdefault(tag, Counter())[word] += 1
    assert {each.tags for each in made} == {each.tags for each in TRAIN}
    for tag, pool in pools.items():
        assert found[tag].keys() == pool.keys()
        for word, count in pool.items():
            share = found[tag][word] / found[tag].total()
            assert share == pytest.approx(count / pool.total(), abs=0.02)


def test_segments_are_shuffled_each_within_itself():
    made = ShuffleInSegments(copies=2000, probability=1, rarity=0).generate(TRAIN[:1], 1)
    names, between = Counter(), set()
    for each in made:
        assert each.tags == TRAIN[0].tags
        names[each.words[:2]] += 1
        between.add(each.words[2:])
    assert names.keys() == {("Ada", "Lovelace"), ("Lovelace", "Ada")}
    assert names[("Ada", "Lovelace")] / 2000 == pytest.approx(0.5, abs=0.05)
    assert between == {("met", "Bo", "in", "Pau", ".")}  # segments of one word
    orders = {each.words for each in ShuffleInSegments(2000, 1).generate(TRAIN[1:2], 1)}
    assert len(orders) == 120  # 5!, all of them


@pytest.mark.parametrize("method", METHODS)
def test_columns_move_with_their_words(method):
    own = {value for each in TRAIN for value in each.columns["own"]}
    for each in method(copies=20, probability=0.7).generate(TRAIN, 1):
        words = [value.partition("/")[0] for value in each.columns["own"]]
        assert tuple(words) == each.words and len(each.tags) == len(each.words)
        assert set(each.columns["own"]) <= own


@pytest.mark.parametrize("method", METHODS)
def test_new_sentences_are_a_function_of_the_seed(method):
    one, same, other = (method(copies=5).generate(TRAIN, seed) for seed in (1, 1, 2))
    assert one == same != other


def test_the_draws_are_the_same_on_every_machine():
    """Worked out with Python's Mersenne Twister of seed 1: .13436, .84743, .76377, …"""
    made = ShuffleInSegments(copies=1, probability=0.8, rarity=0).generate(TRAIN[2:3], 1)
    # The offset takes .134; .847 is no shuffle of the name; .764 is one of "is big", .255 < ½ swaps
    assert made[0].words == ("New", "Ulm", "big", "is")


def test_probability_is_that_of_a_change():
    rng = [
        each.words != TRAIN[3].words
        for each in MentionReplacement(copies=4000, probability=0.1).generate(TRAIN[3:], 1)
    ]
    # Two mentions; each is drawn anew with .1, and is then the other one with ½.
    assert sum(rng) / len(rng) == pytest.approx(1 - 0.95**2, abs=0.015)


@pytest.mark.parametrize(("rarity", "ratio"), [(0, 1), (0.5, 2**0.5), (1, 2), (2, 4)])
def test_sentences_with_rare_types_are_taken_more_often(rarity, ratio):
    """PER has four entities and LOC two: n_max / n_LOC is 2."""
    weights = LabelWiseTokenReplacement(rarity=rarity).weigh(TRAIN)
    assert weights == pytest.approx([ratio, 1, ratio, 1])
    assert MentionReplacement(rarity=rarity).weigh(TRAIN) == pytest.approx([ratio, 0, ratio, 1])


def test_a_draw_gives_each_place_its_share():
    class Fixed:
        def random(self):
            return 0.5

    assert draw([1, 1, 1], 6, Fixed()) == [0, 0, 1, 1, 2, 2]
    assert draw([3, 0, 1], 4, Fixed()) == [0, 0, 0, 2]
    assert draw([1, 1], 0, Fixed()) == []


NESTED = Sentence(
    ("University", "of", "Ulm", "opened"), ("B-ORG", "I-ORG", "I-ORG", "O"), {},
    entities=((0, 3, "ORG"), (2, 3, "LOC")),
)  # fmt: skip


def test_overlapping_mentions_keep_their_borders():
    shuffled = ShuffleInSegments(copies=50, probability=1).generate([NESTED], 1)
    assert {each.words[2:] for each in shuffled} == {("Ulm", "opened")}
    assert {each.words[:2] for each in shuffled} == {("University", "of"), ("of", "University")}
    replaced = LabelWiseTokenReplacement(copies=5, probability=1).generate([NESTED], 1)
    assert {each.entities for each in (*shuffled, *replaced)} == {NESTED.entities}
    assert MentionReplacement(rarity=0).weigh([NESTED, *TRAIN]) == [0, 1, 0, 1, 1]
    made = MentionReplacement(copies=50, probability=1).generate([NESTED, *TRAIN], 1)
    assert all("Ulm" not in each.words or "New" in each.words for each in made)


def test_all_ways_take_turns():
    made = AllMethods(copies=3, probability=1, rarity=0).generate(TRAIN[2:3], 1)
    assert made[0].words == TRAIN[2].words  # its only mention stands for itself
    assert made[1].tags == TRAIN[2].tags and set(made[1].words[:2]) <= {"New", "Ulm"}
    assert sorted(made[2].words) == sorted(TRAIN[2].words)


def test_wrong_settings_are_refused_together(faults_of):
    faults = faults_of(lambda: MentionReplacement(copies=0, probability=0, rarity=-1))
    assert [fault.setting for fault in faults] == ["copies", "probability", "rarity"]


def test_training_data_without_entities_is_refused(assert_refused_as):
    with_none = TRAIN[1:2]
    with pytest.raises(ValueError, match="no mention to replace"):
        MentionReplacement().generate(with_none, 1)
