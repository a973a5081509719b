"""dry_run=true: what would be run, for how long, and nothing done."""

import re
import sys
from pathlib import Path

import pytest

from nersweep import __main__ as cli

SMALL = [
    "model.hidden=8", "model.layers=1", "model.heads=2", "train.precision=fp32",
    "data.train=200", "data.dev=40", "data.test=40", "train.epochs=2",
]  # fmt: skip


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """typed(...): the exit code of the command and what it printed, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["nersweep", *arguments, *SMALL])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code, out + err

    return run


def states(out: str) -> dict[str, str]:
    rows = re.findall(r"^(\S+-s\d+)  +(done|to do|goes on|the same as one above)", out, re.MULTILINE)
    return dict(reversed(rows))


def test_nothing_is_written_by_a_preview(typed):
    code, out = typed("-m", "loss=focal,dice", "seed=1,2", "dry_run=true")
    assert code == 0 and set(states(out).values()) == {"to do"} and len(states(out)) == 4
    assert "8 steps of it" in out and "nothing was done" in out
    assert not list(Path.cwd().iterdir())


def test_a_preview_of_one_run(typed):
    assert states(typed("loss=focal", "dry_run=True")[1]) == {"focal-g2-s1": "to do"}
    assert not list(Path.cwd().iterdir())


def test_what_is_done_and_what_is_typed_twice_is_told(typed):
    typed("loss=focal")
    _, out = typed("-m", "loss=focal", "focal_gamma=2,2.0,3", "dry_run=true")
    assert states(out) == {"focal-g2-s1": "done", "focal-g3-s1": "to do"}
    assert out.count("the same as one above") == 1 and "3 runs, 1 to be made" in out
    assert "1 runs of that shape" in out
    _, out = typed("loss=focal", "rerun=true", "dry_run=true")
    assert states(out) == {"focal-g2-s1": "to do"}


def test_a_fault_is_told_before_a_preview(typed):
    assert typed("loss=focal", "focal_gamma=-1", "dry_run=true")[0] == 1
