"""The looks of a sweep are read as they were written."""

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
    assert read_looks(tmp_path) is None
    write_looks(tmp_path, LOOKS_TAKEN)
    assert read_looks(tmp_path) == LOOKS_TAKEN


@pytest.mark.parametrize("text", ["{", "[]", '{"resolution": 0.5}'])
def test_a_damaged_file_is_named(text, tmp_path):
    (tmp_path / LOOKS).write_text(text)
    with pytest.raises(UserError) as error:
        read_looks(tmp_path)
    assert error.value.faults[0].setting == str(tmp_path / LOOKS)
