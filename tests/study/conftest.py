"""Fixtures for the tests of studies."""

import pytest

from nersweep import terminal


@pytest.fixture(scope="module")
def output_dir(tmp_path_factory):
    """One for all studies of a module, because the tables of a tracking store take seconds."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(autouse=True)
def no_printed_faults():
    terminal.faults.clear()
    yield
    terminal.faults.clear()
