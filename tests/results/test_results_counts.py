"""The file of a run's counts."""

import numpy as np
import pytest

from nersweep.evaluation.counts import from_dense
from nersweep.results.counts import COUNTS, read_counts, write_counts


def test_each_split_has_its_counts(tmp_path):
    dense = np.arange(12).reshape(2, 2, 3) + np.array([0, 4, 4])
    dev, test = (
        from_dense(("LOC", "PER"), True, dense[:, :, None]),
        from_dense(("LOC", "PER"), False, 2 * dense[:, :, None]),
    )
    write_counts(tmp_path, {"dev": dev, "test": test})
    for split, counts in (("dev", dev), ("test", test)):
        again = read_counts(tmp_path, split)
        assert (again.lenient == counts.lenient).all() and again.marked == counts.marked


def test_a_run_of_an_older_version_has_none(tmp_path):
    assert read_counts(tmp_path, "test") is None


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", '{"test": 3}', '{"test": {"types": []}}'])
def test_a_damaged_file_is_named(text, tmp_path, faults_of):
    file = tmp_path / COUNTS
    file.parent.mkdir()
    file.write_text(text)
    (fault,) = faults_of(lambda: read_counts(tmp_path, "test"))
    assert fault.setting == str(file) and fault.must.startswith("not the counts of a run")
