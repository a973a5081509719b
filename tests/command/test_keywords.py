"""Arguments of the doors that Hydra does not serve: read as text, refused all together."""

import sys
from dataclasses import dataclass

import pytest

from nersweep import terminal
from nersweep.command.keywords import keyword, read_keywords, run_program
from nersweep.faults import UserError


@dataclass
class Options:
    sweep: str | None = keyword("a sweep")
    uri: str | None = keyword("a store", "sqlite", name="tracking.uri", nullable=True)


def test_values_are_text_and_defaults_stay():
    assert read_keywords(Options, ["sweep=12345e67"]) == Options("12345e67", "sqlite")
    assert read_keywords(Options, ["tracking.uri=http://x?a=b"]) == Options(None, "http://x?a=b")


@pytest.mark.parametrize("empty", ["tracking.uri=", "tracking.uri=null"])
def test_an_address_can_be_left_empty_as_in_training(empty):
    assert read_keywords(Options, [empty]) == Options(None, None)


def test_all_faults_are_raised_together():
    with pytest.raises(UserError) as error:
        read_keywords(Options, ["swep=x", "sweep", "sweep=", "tracking.uri", "uri=x"])
    settings = [fault.setting for fault in error.value.faults]
    assert settings == ["swep=x", "sweep", "sweep=", "tracking.uri", "uri=x"]
    assert error.value.faults[0].remedy == "use one of sweep, tracking.uri"


def test_help_lists_every_name_and_runs_nothing(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["program", "--help"])
    run_program(Options, "python -m program", lambda options: pytest.fail("ran"))
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == "python -m program [name=value …]"
    assert [line.split() for line in lines] == [
        ["sweep=", "a", "sweep"],
        ["tracking.uri=", "a", "store"],
    ]


@pytest.mark.parametrize("error, code", [(ValueError("x"), 1), (KeyboardInterrupt(), 130)])
def test_errors_end_with_their_exit_code(error, code, monkeypatch):
    def action(options):
        raise error

    monkeypatch.setattr(sys, "argv", ["program", "sweep=a"])
    monkeypatch.setattr(terminal, "faults", [])
    with pytest.raises(SystemExit) as end:
        run_program(Options, "python -m program", action)
    assert end.value.code == code
