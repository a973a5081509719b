"""What several tests of studies need."""

import pytest

from nersweep import terminal


@pytest.fixture(scope="module")
def output_dir(tmp_path_factory):
    """One for all studies here: to make the tables of a tracking store takes seconds."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(autouse=True)
def nothing_told():
    terminal.faults.clear()
    yield
    terminal.faults.clear()
