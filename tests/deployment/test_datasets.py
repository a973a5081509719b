"""Files that a command reads with a data set's settings."""

import pytest

from nersweep.deployment.datasets import read_tagged
from nersweep.faults import UserError


def test_a_file_is_read_by_the_settings_of_its_reader(tmp_path):
    file = tmp_path / "a"
    file.write_text("x;Tessa;person\ny;;_\nz;sang;_\n", encoding="utf-8")
    options = ["data=conll", "data.separator=';'", "data.scheme=bare", "data.outside=_"]
    (sentence,), notes = read_tagged([*options, "data.empty=drop", "data.word=2"], str(file))
    assert (sentence.words, sentence.tags) == (("Tessa", "sang"), ("B-person", "O"))
    assert any("types without a prefix" in note for note in notes)


def test_corrections_are_those_of_a_whole_data_set(tmp_path):
    file = tmp_path / "a"
    file.write_text("Tessa B-PER\n", encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_tagged(["data=conll", f"data.corrections={file}"], str(file))
    assert [fault.setting for fault in error.value.faults] == ["data.corrections"]
