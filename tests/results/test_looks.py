"""The looks of a sweep are read as they were written."""

import json
from dataclasses import asdict, replace

import pytest

from nersweep.evaluation.inference import Verdict
from nersweep.faults import UserError
from nersweep.results.looks import LOOKS, Judgement, Look, Looks, read_looks, write_looks

JUDGEMENTS = (
    Judgement("focal-g2", 2, -0.5, -0.9, -0.1, Verdict.WORSE),
    Judgement("dice-s1", 1, 0.25, None, None, Verdict.UNDECIDED),
)
LOOKS_TAKEN = Looks(0.5, 0.0106, (1, 2, 3), "cross_entropy", False, (Look(2, JUDGEMENTS),))


def test_looks_are_read_as_they_were_written(tmp_path):
    assert read_looks(tmp_path) == ()
    sets = LOOKS_TAKEN, replace(LOOKS_TAKEN, name="wnut17", alpha=0.02)
    write_looks(tmp_path, sets)
    assert read_looks(tmp_path) == sets


def test_a_file_of_an_older_version_has_the_looks_of_one_set(tmp_path):
    values = asdict(LOOKS_TAKEN)
    del values["name"]
    (tmp_path / LOOKS).write_text(json.dumps(values))
    assert read_looks(tmp_path) == (LOOKS_TAKEN,)


@pytest.mark.parametrize("text", ["{", "[]", '{"resolution": 0.5}'])
def test_a_damaged_file_is_named(text, tmp_path):
    (tmp_path / LOOKS).write_text(text)
    with pytest.raises(UserError) as error:
        read_looks(tmp_path)
    assert error.value.faults[0].setting == str(tmp_path / LOOKS)
