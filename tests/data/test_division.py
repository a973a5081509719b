"""Splits that are drawn: shares, folds, subsets and new draws."""

from collections import Counter
from dataclasses import replace
from itertools import chain, pairwise
from random import Random

import pytest

from nersweep.data.corpus import Sentence, document_numbers, types_of
from nersweep.data.division import Division, Unit, stratify, units_of

RARE = ("LOC",) * 60 + ("ORG",) * 12 + ("GAME",) * 4 + ("EVENT",) * 3


def corpus(count=200, documents=0, types=RARE):
    """Sentences of one word each, the first of which are entities of these types."""
    tags = [f"B-{type_}" for type_ in types] + ["O"] * (count - len(types))
    order = sorted(range(count), key=lambda i: i * 7919 % count)
    sentences = []
    for place, i in enumerate(order):
        document = f"d{place * documents // count}" if documents else None
        sentences.append(Sentence((f"w{i}",), (tags[i],), document=document))
    return sentences


class Draw(Division):
    """A division of data without dev and test."""

    def given(self):
        return {"train"}


def words(sentences):
    return [sentence.words[0] for sentence in sentences]


def drawn(sentences, **settings):
    return Draw(**settings).divide({"train": sentences})


def test_no_sentence_is_lost_or_doubled_and_each_split_keeps_its_order():
    sentences = corpus()
    splits = drawn(sentences, dev_share=0.1, test_share=0.2).splits
    assert sorted(words(chain(*splits.values()))) == sorted(words(sentences))
    place = {word: i for i, word in enumerate(words(sentences))}
    for part in splits.values():
        assert words(part) == sorted(words(part), key=place.get)
    assert abs(len(splits["dev"]) - 20) <= 1 and abs(len(splits["test"]) - 40) <= 1


@pytest.mark.parametrize("seed", range(10))
def test_rare_types_occur_in_each_part_and_others_by_their_share(seed):
    splits = drawn(corpus(), dev_share=0.1, test_share=0.1, split_seed=seed).splits
    counts = {split: Counter(s.tags[0] for s in part) for split, part in splits.items()}
    assert [counts[split]["B-EVENT"] for split in ("train", "dev", "test")] == [1, 1, 1]
    assert [counts[split]["B-GAME"] for split in ("train", "dev", "test")] == [2, 1, 1]
    assert [counts[split]["B-LOC"] for split in ("train", "dev", "test")] == [48, 6, 6]


def test_a_seed_gives_one_split_and_another_seed_another():
    one, again, other = (words(drawn(corpus(), split_seed=s).splits["dev"]) for s in (1, 1, 2))
    assert one == again != other


def test_the_order_comes_from_random_random_alone():
    units = [Unit([Sentence((str(i),), ("O",))], set()) for i in range(5)]
    random = Random(3)
    keys = [random.random() for _ in units]
    first = min(range(5), key=keys.__getitem__)
    assert stratify(units, [0.2, 0.8], 3)[first] == 1  # what wants most comes first


def test_documents_stay_whole():
    sentences = corpus(documents=20)
    splits = drawn(sentences, dev_share=0.2, test_share=0.2).splits
    documents = {split: {s.document for s in part} for split, part in splits.items()}
    assert not documents["train"] & documents["dev"] | documents["dev"] & documents["test"]
    assert [len(documents[split]) for split in ("train", "dev", "test")] == [12, 4, 4]


def test_documents_of_several_files_that_share_an_id_stay_apart():
    a, b = Sentence(("a",), ("O",), document=1), Sentence(("b",), ("O",), document=1)
    other = replace(a, document=2)
    units = units_of({"train": [a, a, other], "dev": [b]})
    assert [len(unit.sentences) for unit in units] == [2, 1, 1]
    assert len({unit.sentences[0].document for unit in units}) == 3
    before = replace(a, document=None)  # of a file whose first mark comes later
    (first, _) = units_of({"train": [before, a]})
    assert first.sentences[0].document is not None
    unmarked = units_of({"train": [before], "dev": [before]})
    assert [unit.sentences[0].document for unit in unmarked] == [None, None]


def test_folds_test_each_sentence_once_and_train_on_the_others():
    sentences = corpus()
    tests, pools = [], set()
    for fold in range(5):
        splits, notes, pool, number = drawn(sentences, folds=5, fold=fold, dev_share=0.1)
        assert number == fold and f"fold {fold} of 5" in " ".join(notes)
        assert sorted(words(chain(*splits.values()))) == sorted(words(sentences))
        assert abs(len(splits["test"]) - 40) <= 1 and abs(len(splits["dev"]) - 20) <= 1
        assert types_of(splits["dev"]) == {"LOC", "ORG", "GAME", "EVENT"}
        tests += words(splits["test"])
        pools.add(pool)
    assert sorted(tests) == sorted(words(sentences)) and len(pools) == 1
    assert drawn(sentences, folds=4, fold=0).pool not in pools


def test_smaller_shares_lie_within_larger_ones():
    sentences, subsets = corpus(documents=50), []
    whole = drawn(sentences).splits
    for share in (0.1, 0.25, 0.5, 1.0):
        splits = drawn(sentences, share=share).splits
        assert splits["dev"] == whole["dev"] and splits["test"] == whole["test"]
        subsets.append(words(splits["train"]))
    for smaller, larger in pairwise(subsets):
        assert set(smaller) < set(larger)
    assert subsets[-1] == words(whole["train"])
    assert abs(len(subsets[1]) - len(subsets[-1]) / 4) <= 4  # a document


def test_a_resample_draws_all_files_with_their_sizes_by_the_seed():
    sentences = corpus(300)
    files = {"train": sentences[:200], "dev": sentences[200:240], "test": sentences[240:]}
    one, other = (Division(resample=True, split_seed=seed).divide(files) for seed in (1, 2))
    for splits in (one.splits, other.splits):
        assert [abs(len(splits[s]) - len(files[s])) <= 1 for s in files] == [True] * 3
        assert sorted(words(chain(*splits.values()))) == sorted(words(sentences))
    assert words(one.splits["test"]) != words(other.splits["test"])
    assert one.pool == other.pool != ""


def test_without_a_setting_given_splits_stay_as_they_are():
    files = {"train": corpus(50, types=()), "dev": corpus(5, types=()), "test": []}
    splits, notes, pool, fold = Division().divide(files)
    assert splits == files and (list(notes), pool, fold) == ([], "", 0)


def test_what_was_drawn_is_said():
    _, notes, _, _ = drawn(corpus(documents=20), dev_share=0.2, test_share=0.1, share=0.5)
    assert notes[0] == (
        "dev is 40 of the 200 sentences of data.train, drawn with data.split_seed=1: 4 of 20 "
        "documents"
    )
    assert notes[2] == "train is 70 of 140 sentences, data.share=0.5 drawn with data.split_seed=1"


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"dev_share": 0.0}, "dev_share"),
        ({"dev_share": 1.0}, "dev_share"),
        ({"test_share": -0.1}, "test_share"),
        ({"dev_share": 0.6, "test_share": 0.4}, "dev_share"),
        ({"share": 0.0}, "share"),
        ({"share": 1.5}, "share"),
        ({"split_seed": -1}, "split_seed"),
        ({"folds": 1, "fold": 0}, "folds"),
        ({"folds": 5}, "fold"),
        ({"folds": 5, "fold": 5}, "fold"),
        ({"folds": 5, "fold": -1}, "fold"),
        ({"fold": 1}, "fold"),
        ({"folds": 5, "fold": 0, "test_share": 0.1}, "fold"),
        ({"folds": 5, "test_share": 0.1}, "folds"),
        ({"folds": 2, "fold": 0, "dev_share": 0.5}, "dev_share"),
    ],
)
def test_settings_out_of_range_or_at_odds_are_one_fault(settings, setting, faults_of):
    (fault,) = faults_of(lambda: Draw(**settings))
    assert fault.setting == setting


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"dev_share": 0.1}, "dev_share"),
        ({"test_share": 0.1}, "test_share"),
        ({"folds": 5, "fold": 0}, "fold"),
    ],
)
def test_shares_of_splits_that_the_data_have_are_refused(settings, setting, faults_of):
    (fault,) = faults_of(lambda: Division(**settings))
    assert fault.setting == setting


def test_a_type_that_a_split_would_lack_is_refused_unless_it_may_be_absent(faults_of):
    sentences = corpus(types=("LOC",) * 50 + ("EVENT",) * 2)
    (fault,) = faults_of(lambda: drawn(sentences))
    assert fault.setting in ("data.dev_share", "data.test_share") and fault.value == 0.1
    assert "EVENT (2)" in fault.must and "data.absent=keep" in fault.remedy
    notes = drawn(sentences, absent="keep").notes
    assert [note for note in notes if note.endswith(" has no entity of EVENT")]


def test_a_split_without_any_entity_is_refused_always(faults_of):
    sentences = corpus(types=("LOC",) * 2)
    faults = faults_of(lambda: drawn(sentences, absent="keep"))
    assert len(faults) == 1 and "LOC (2)" in faults[0].must


@pytest.mark.parametrize("documents", [0, 2])
def test_fewer_units_than_splits_or_folds_are_refused(documents, faults_of):
    sentences = corpus(4 if documents else 2, documents=documents, types=())
    (fault,) = faults_of(lambda: drawn(sentences, dev_share=0.3))
    kind = "documents" if documents else "sentences"
    assert (fault.setting, fault.value) == ("data.dev_share", 0.3)
    assert fault.must.startswith(f"2 {kind} ") and "≥ 3" in fault.must
    assert bool(fault.remedy) == (kind == "documents")
    (fault,) = faults_of(lambda: drawn(sentences, folds=5, fold=0))
    assert (fault.setting, fault.value) == ("data.folds", 5) and "≥ 5" in fault.must


def test_a_single_mark_of_a_document_is_a_header():
    sentences = corpus(documents=1)
    divided = drawn(sentences, dev_share=0.1, test_share=0.2)
    assert divided.splits == drawn(corpus(), dev_share=0.1, test_share=0.2).splits
    assert not [note for note in divided.notes if "documents" in note]
    given = {"train": sentences, "dev": sentences[:9], "test": sentences[:9]}
    assert len(Division(share=0.25).divide(given).splits["train"]) == 50


def test_numbers_of_documents_survive_a_draw():
    splits = drawn(corpus(documents=20), dev_share=0.2, test_share=0.2).splits
    assert document_numbers(splits["test"]).max() + 1 == 4
