"""Corrections of labels from a file: what they change, and what does not fit the data."""

import json
from dataclasses import replace

import pytest

from nersweep.config import schema
from nersweep.config.check import check_overrides
from nersweep.config.compose import Composer
from nersweep.data.corpus import Corpus, Sentence, read
from nersweep.data.corrections import Corrected, correct, read_corrections
from nersweep.faults import UserError


def sentence(text):
    """ "Ann/B-PER sings" """
    pairs = [word.partition("/") for word in text.split()]
    return Sentence(tuple(word for word, _, _ in pairs), tuple(tag or "O" for _, _, tag in pairs))


TRAIN = [sentence("Ann/B-PER saw Lund/B-PER"), sentence("Ann/B-LOC saw Lund/B-LOC")]
TEST = [sentence("Old/B-LOC Lund/I-LOC Ann/B-PER fell"), sentence("Ann/B-PER saw Lund/B-PER")]
CORPUS = Corpus("mine", "here", TRAIN, [sentence("it rains")], TEST)


def line(text, gold, proposed):
    return json.dumps({"words": text.split(), "gold": gold, "proposed": proposed}) + "\n"


SAW = line("Ann saw Lund", [[2, 3, "PER"]], [[2, 3, "LOC"]])


@pytest.fixture
def corrected(tmp_path):
    """corrected(*lines): CORPUS with them."""

    def apply(*lines):
        file = tmp_path / "corrections.jsonl"
        file.write_text("".join(lines), encoding="utf-8")
        return correct(CORPUS, read_corrections(file), file)

    return apply


def test_all_sentences_of_the_words_with_the_gold_entities_change_and_nothing_else(corrected):
    corpus = corrected(SAW)
    right = ("B-PER", "O", "B-LOC")
    assert corpus.train == [replace(TRAIN[0], tags=right), TRAIN[1]]
    assert corpus.test == [TEST[0], replace(TEST[1], tags=right)]
    assert corpus.dev == CORPUS.dev
    assert corpus.notes[0].startswith("1 of 1 corrections of ")
    assert corpus.notes[0].endswith("applied, to 1 train, 1 test sentences")
    assert corpus.checksum != CORPUS.checksum


def test_entities_are_added_removed_and_resized_beside_others(corrected):
    text = "Old Lund Ann fell"
    corpus = corrected(
        line(text, [[0, 2, "LOC"]], [[1, 2, "LOC"]]),
        line(text, [[2, 3, "PER"]], []),
        "\n",
        line(text, [], [[3, 4, "PER"]]),
    )
    assert corpus.test[0].tags == ("O", "B-LOC", "O", "B-PER")
    assert "3 of 3" in corpus.notes[0]


def test_a_correction_that_already_holds_changes_nothing(corrected):
    corpus = corrected(SAW, SAW)
    assert "1 of 2" in corpus.notes[0]
    assert corpus.checksum == corrected(SAW).checksum


@pytest.mark.parametrize(
    "bad, reason",
    [
        (line("Ann saw Bob", [], [[2, 3, "PER"]]), "no sentence of the data has these words"),
        (line("Ann saw Lund", [[1, 3, "PER"]], []), "other entities"),
        (line("Ann saw Lund", [[2, 3, "PER"]], [[2, 3, "loc"]]), "loc: no such type"),
        (line("Ann saw Lund", [], [[2, 4, "PER"]]), "outside a sentence of 3 words"),
        (line("Ann saw Lund", [[0, 2, "PER"], [1, 3, "PER"]], []), "overlaps"),
        ('{"words": ["Ann"]}\n', "gold"),
        ("[" * 100_000 + "\n", "not a correction"),
        ("Ann\n", "not a correction"),
    ],
)
def test_what_does_not_fit_is_one_fault_with_its_line(corrected, bad, reason):
    with pytest.raises(UserError) as error:
        corrected(SAW, bad)
    (fault,) = error.value.faults
    assert fault.setting.endswith("corrections.jsonl:2")
    assert reason in fault.must


def test_the_setting_works_with_a_data_set_of_any_kind(tmp_path):
    schema.register()
    plain = check_overrides(Composer(), ["data.train=20"]).parts.data
    with_entity = next(each for each in read(plain).train if set(each.tags) != {"O"})
    gold = [[0, 1, "PER"]] if with_entity.tags[0] == "B-PER" else []
    file = tmp_path / "c.jsonl"
    file.write_text(line(" ".join(with_entity.words), gold, gold), encoding="utf-8")
    data = check_overrides(Composer(), ["data.train=20", f"data.corrections={file}"]).parts.data
    assert data == Corrected(plain, str(file))
    for value in (tmp_path / "none.jsonl", 3):
        with pytest.raises(UserError) as error:
            check_overrides(Composer(), [f"data.corrections={value}"])
        assert [fault.setting for fault in error.value.faults] == ["data.corrections"]
