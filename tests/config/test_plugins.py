"""The loss and the data format of docs/extending.md, by the user's permission alone."""

import json
import re
import sys
from pathlib import Path

import pytest

from nersweep import __main__ as cli
from nersweep.config.build import locate
from nersweep.config.plugins import VARIABLE, declared, plugins
from nersweep.run.identity import source

DOCUMENT = Path(__file__).parents[2] / "docs" / "extending.md"
FILE = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.S | re.M)  # a block with the name of a file
MODULES = ("my_losses", "my_formats", "my_more")
SENTENCES = "Ada/B-PER lives/O in/O Paris/B-LOC\n" * 8
SMALL = [
    "data=slashed", "data.path=.", "loss=squared_error", "train.epochs=1", "model.hidden=8",
    "model.layers=1", "model.heads=2", "train.precision=fp32",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory, with the files of the document and a data set."""
    files = dict(FILE.findall(DOCUMENT.read_text(encoding="utf-8")))
    assert len(files) == 4
    for split in ("train", "dev", "test"):
        files[f"{split}.txt"] = SENTENCES
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def permission(monkeypatch):
    monkeypatch.setenv(VARIABLE, "my_losses,my_formats")


@pytest.fixture
def run(exit_code):
    """run(*arguments): the exit code of a small run with the options of the folder conf."""

    def call(*arguments):
        return exit_code(cli.main, "--config-dir=conf", *SMALL, *arguments)

    return call


def test_a_run_uses_a_loss_and_a_data_format_from_outside(folder, permission, run):
    assert run("squared_error_power=3") == 0
    (file,) = folder.glob("outputs/runs/*/result.json")
    result = json.loads(file.read_text(encoding="utf-8"))
    assert result["status"] == "finished"
    assert result["config"]["squared_error_power"] == 3


def test_a_fault_of_an_outside_loss_names_its_knob(folder, permission, capsys, run):
    assert run("squared_error_power=-1") == 1
    assert capsys.readouterr().err == "nersweep: squared_error_power=-1: must be > 0\n"


def test_a_fault_in_outside_data_names_file_and_line(folder, permission, capsys, run):
    (folder / "dev.txt").write_text("Ada/B-PER\nlives\n", encoding="utf-8")
    assert run() == 1
    assert capsys.readouterr().err == "nersweep: dev.txt:2: expected word/TAG pairs\n"


def test_blank_lines_of_outside_data_are_skipped(folder, permission, run):
    (folder / "dev.txt").write_text(f"\n{SENTENCES}\n\n", encoding="utf-8")
    assert run() == 0


@pytest.mark.parametrize(
    ("module", "line", "setting"),
    [
        ("my_formats", "    def load(self)", "data._target_=my_formats.Slashed"),
        ("my_losses", "    def per_token(self", "loss._target_=my_losses.SquaredErrorLoss"),
    ],
)
def test_an_exception_of_an_outside_class_is_the_users(
    module, line, setting, folder, permission, capsys, run
):
    file = folder / f"{module}.py"
    text = file.read_text(encoding="utf-8")
    body = re.compile(rf"({re.escape(line)}.*:\n)")
    file.write_text(body.sub(r"\1        nothing\n", text), encoding="utf-8")
    assert run() == 1
    error = capsys.readouterr().err
    assert f"{setting}: raised NameError: name 'nothing' is not defined; set " in error
    assert "internal error" not in error


COMPOUND = """
# @package _global_
loss:
  _target_: nersweep.losses.compound.CompoundLoss
  weights: {mine: 0.5}
  terms:
    mine: {_target_: my_losses.SquaredErrorLoss}
    focal: {_target_: nersweep.losses.focal.FocalLoss}
"""


@pytest.fixture
def compound(folder):
    (folder / "conf" / "loss" / "two.yaml").write_text(COMPOUND.lstrip(), encoding="utf-8")


def test_an_outside_loss_is_a_term_of_a_compound_one(folder, permission, compound, run):
    assert run("loss=two") == 0
    (file,) = folder.glob("outputs/runs/*/metrics.jsonl")
    step = json.loads(file.read_text(encoding="utf-8").splitlines()[0])
    mine, focal = step["terms"]["mine"], step["terms"]["focal"]
    assert step["loss"] == pytest.approx(0.5 * mine + focal)


@pytest.mark.parametrize("method", ["per_token", "__init__"])
def test_an_exception_of_an_outside_term_names_it(
    method, folder, permission, compound, capsys, run
):
    file = folder / "my_losses.py"
    body = re.compile(rf"(    def {method}\(self.*:\n)")
    text = body.sub(r"\1        nothing\n", file.read_text(encoding="utf-8"))
    file.write_text(text, encoding="utf-8")
    assert run("loss=two") == 1
    (line,) = capsys.readouterr().err.splitlines()
    place = "loss.terms.mine._target_=my_losses.SquaredErrorLoss"
    assert f"{place}: raised NameError: name 'nothing' is not defined; set " in line


def test_a_class_that_is_no_loss_is_refused(folder, permission, faults_of):
    with (folder / "my_losses.py").open("a", encoding="utf-8") as file:
        file.write("\n\nclass Terms:\n    def terms(self, available): ...\n")
    (fault,) = faults_of(lambda: locate("loss", "my_losses.Terms"))
    assert fault.must == "must derive from nersweep.losses.Loss"


def test_a_configuration_folder_alone_imports_nothing(folder, monkeypatch, capsys, run):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert run() == 1
    error = capsys.readouterr().err
    assert "loss._target_=my_losses.SquaredErrorLoss" in error
    assert "data._target_=my_formats.Slashed" in error
    assert not {*MODULES} & sys.modules.keys()


@pytest.mark.parametrize("name", ["nothing", "require", "TokenLoss", "Tensor"])
def test_only_a_loss_of_the_plugin_itself_is_a_loss(name, folder, permission, assert_refused_as):
    assert_refused_as(lambda: locate("loss", f"my_losses.{name}"), "loss._target_=my_losses.")


def test_a_plugin_is_no_class(folder, permission, assert_refused_as):
    assert_refused_as(lambda: locate("loss", "my_losses"), "loss._target_=my_losses")


def test_a_plugin_that_cannot_be_imported_is_refused_with_the_reason(folder, permission, faults_of):
    (folder / "my_losses.py").write_text("import nothing_of_this_name\n", encoding="utf-8")
    (fault,) = faults_of(lambda: locate("loss", "my_losses.SquaredErrorLoss"))
    assert "nothing_of_this_name" in fault.must


def test_the_name_of_a_plugin_is_a_whole_name(folder, monkeypatch, assert_refused_as):
    monkeypatch.setenv(VARIABLE, "my")
    assert_refused_as(lambda: locate("loss", "my_losses.SquaredErrorLoss"), "loss._target_=")


def test_a_name_that_is_no_module_is_refused(monkeypatch, assert_refused_as):
    monkeypatch.setenv(VARIABLE, "my-losses")
    assert_refused_as(plugins, f"{VARIABLE}=my-losses")


def test_an_installed_package_declares_plugins_as_entry_points(tmp_path, monkeypatch):
    about = tmp_path / "mine-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: mine\nVersion: 1\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(
        "[nersweep.plugins]\nmine = my_losses\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    declared.cache_clear()
    assert plugins() == ("my_losses",)
    declared.cache_clear()


def test_a_base_class_in_a_plugin_enters_the_fingerprint(folder, monkeypatch):
    (folder / "my_more.py").write_text(
        "from my_losses import SquaredErrorLoss\n\n\nclass Loud(SquaredErrorLoss):\n    pass\n",
        encoding="utf-8",
    )
    monkeypatch.setenv(VARIABLE, "my_losses,my_more")
    target = locate("loss", "my_more.Loud")
    before = source(target)
    with (folder / "my_losses.py").open("a", encoding="utf-8") as file:
        file.write("# an edit\n")
    source.cache_clear()
    assert source(target) != before
