"""The folder of a run: what is removed before it begins again from its start."""

from nersweep.results.card import CARD
from nersweep.results.folder import CHECKPOINT, METRICS, forget
from nersweep.results.result import RESULT


def test_a_run_that_begins_again_keeps_only_its_former_result(tmp_path):
    for name in (CARD, CHECKPOINT, METRICS, RESULT):
        (tmp_path / name).touch()
    for _ in range(2):
        forget(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [RESULT]
