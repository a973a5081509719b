"""What the tests of the command line share."""

import pytest
from hydra._internal.utils import get_args_parser

from nersweep import __main__ as cli
from nersweep.command import line
from nersweep.config import schema
from nersweep.faults import UserError


@pytest.fixture
def read():
    """read(*arguments): the command that they give, with its faults."""

    def read_line(*arguments):
        schema.register()
        options = get_args_parser().parse_args([str(argument) for argument in arguments])
        line.refuse(options)
        return line.read(options, cli.run_faults, cli.recommend)

    return read_line


@pytest.fixture
def faults(read, tmp_path, monkeypatch):
    """faults(*arguments): the faults of a command line, which leaves the current folder empty."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("NERSWEEP_DATA", raising=False)

    def faults_of_line(*arguments):
        try:
            faults = read(*arguments).faults
        except UserError as error:
            faults = error.faults
        assert not list(folder.iterdir())
        return list({str(fault): fault for fault in faults}.values())

    return faults_of_line


@pytest.fixture
def strangers(tmp_path):
    """strangers("experiment/mine", TEXT): the option that names a folder with this file."""

    def write(file, text, package="_global_", suffix=".yaml"):
        path = tmp_path / "strangers" / f"{file}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# @package {package}\n{text}\n", encoding="utf-8")
        return f"--config-dir={tmp_path / 'strangers'}"

    return write


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A module that leaves a file when it is imported."""
    text = "import pathlib\npathlib.Path('imported').touch()\nclass Loss: pass\n"
    (tmp_path / "evil.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
