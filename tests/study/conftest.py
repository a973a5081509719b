"""Fixtures for the tests of studies."""

import pytest


@pytest.fixture(scope="module")
def output_dir(tmp_path_factory):
    """One for all studies of a module, because the tables of a tracking store take seconds."""
    return tmp_path_factory.mktemp("outputs")
