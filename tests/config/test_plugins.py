"""A loss and a data format from outside the package, by the user's leave alone."""

import json
import sys

import pytest

from nersweep import __main__ as cli
from nersweep.config.build import locate
from nersweep.config.plugins import VARIABLE, plugins
from nersweep.faults import UserError
from nersweep.run.identity import source

LOSS = """
from nersweep.losses import TokenLoss
from nersweep.losses.base import gold_log_probabilities, require


class SquaredErrorLoss(TokenLoss):
    def __init__(self, power=2.0, weight=None, reduction="mean"):
        super().__init__(weight, reduction)
        require(power > 0, "power", power, "> 0")
        self.power = power

    def per_token(self, logits, targets):
        return (self.power * gold_log_probabilities(logits, targets)[1]).exp()
"""
LOSS_OPTION = """
# @package _global_
squared_error_power: 2.0
loss:
  _target_: lab_losses.SquaredErrorLoss
  power: ${squared_error_power}
  reduction: mean
"""
FORMAT = """
from dataclasses import dataclass

from nersweep.data.corpus import Sentence
from nersweep.data.normalise import assemble


@dataclass(frozen=True)
class Slashed:
    text: str

    def load(self):
        words, tags = zip(*[pair.split("/") for pair in self.text.split()])
        sentences = [Sentence(words, tags)] * 8
        return assemble("slashed", "text", {split: sentences for split in ("train", "dev", "test")})
"""
FORMAT_OPTION = """
_target_: lab_formats.Slashed
text: Ada/B-PER lives/O in/O Paris/B-LOC
"""
SMALL = [
    "data=slashed", "loss=squared_error", "train.epochs=1", "model.hidden=8", "model.layers=1",
    "model.heads=2", "train.precision=fp32",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two modules that can be imported and a configuration folder that names their classes."""
    for name, text in {
        "lab_losses.py": LOSS,
        "lab_formats.py": FORMAT,
        "conf/loss/squared_error.yaml": LOSS_OPTION,
        "conf/data/slashed.yaml": FORMAT_OPTION,
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.lstrip(), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("lab_losses", "lab_formats"):
        sys.modules.pop(name, None)


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["nersweep", "--config-dir=conf", *SMALL, *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code


def test_a_run_uses_a_loss_and_a_data_format_from_outside(folder, monkeypatch):
    monkeypatch.setenv(VARIABLE, "lab_losses,lab_formats")
    assert run(monkeypatch, "squared_error_power=3") == 0
    (file,) = folder.glob("outputs/runs/*/result.json")
    result = json.loads(file.read_text(encoding="utf-8"))
    assert result["status"] == "finished"
    assert result["config"]["squared_error_power"] == 3


def test_a_fault_of_an_outside_loss_names_its_knob(folder, monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, "lab_losses,lab_formats")
    assert run(monkeypatch, "squared_error_power=-1") == 1
    assert capsys.readouterr().err == "nersweep: squared_error_power=-1: must be > 0\n"


def test_a_configuration_folder_alone_imports_nothing(folder, monkeypatch, capsys):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert run(monkeypatch) == 1
    lines = capsys.readouterr().err.splitlines()
    assert {line.partition(":")[2].partition("=")[0].strip() for line in lines} == {
        "loss._target_",
        "data._target_",
    }
    assert not {"lab_losses", "lab_formats"} & sys.modules.keys()


@pytest.mark.parametrize(
    "target", ["lab_losses.nothing", "lab_losses.require", "lab_losses.TokenLoss", "lab_losses"]
)
def test_only_a_loss_of_the_plugin_itself_is_a_loss(target, folder, monkeypatch):
    monkeypatch.setenv(VARIABLE, "lab_losses")
    with pytest.raises(UserError) as error:
        locate("loss", target)
    assert error.value.faults[0].setting == "loss._target_"


def test_a_plugin_that_cannot_be_imported_is_refused_with_the_reason(folder, monkeypatch):
    (folder / "lab_losses.py").write_text("import nothing_of_this_name\n", encoding="utf-8")
    monkeypatch.setenv(VARIABLE, "lab_losses")
    with pytest.raises(UserError) as error:
        locate("loss", "lab_losses.SquaredErrorLoss")
    assert "nothing_of_this_name" in error.value.faults[0].must


def test_the_name_of_a_plugin_ends_where_its_name_ends(folder, monkeypatch):
    monkeypatch.setenv(VARIABLE, "lab")
    with pytest.raises(UserError):
        locate("loss", "lab_losses.SquaredErrorLoss")


def test_a_name_that_is_no_module_is_refused(monkeypatch):
    monkeypatch.setenv(VARIABLE, "my-losses")
    with pytest.raises(UserError) as error:
        plugins()
    assert (error.value.faults[0].setting, error.value.faults[0].value) == (VARIABLE, "my-losses")


def test_a_subclass_in_a_plugin_enters_the_fingerprint_with_its_base(folder, monkeypatch):
    (folder / "lab_more.py").write_text(
        "from lab_losses import SquaredErrorLoss\n\n\nclass Loud(SquaredErrorLoss):\n    pass\n",
        encoding="utf-8",
    )
    monkeypatch.setenv(VARIABLE, "lab_losses,lab_more")
    target = locate("loss", "lab_more.Loud")
    before = source(target)
    with (folder / "lab_losses.py").open("a", encoding="utf-8") as file:
        file.write("# an edit\n")
    source.cache_clear()
    assert source(target) != before
    sys.modules.pop("lab_more", None)
