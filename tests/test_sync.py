"""The doors beside training: python -m nersweep.sync and python -m nersweep.export."""

import csv
import json
import sys

import pytest
from examples import finished

from nersweep import export, sync
from nersweep.export import ExportArguments
from nersweep.results.card import Card, write_card
from nersweep.results.folder import METRICS
from nersweep.results.result import RESULT, write_result

TRACKER = """
def tracker(uri, output_dir):
    return Names()


class Names:
    name = address = "names"

    def open(self): ...

    def has(self, folder):
        return not (folder / "lost").exists()

    def sync(self, folder):
        print("synced", folder.name)

    def view(self):
        return ""
"""


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """An output folder with a run that was killed and a sweep that is over."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names_tracker.py").write_text(TRACKER)
    monkeypatch.syspath_prepend(tmp_path)
    for place, kind in (("runs/=focal-s1-12345678", "run"), ("sweeps/1a2b3c4d", "sweep")):
        folder = tmp_path / "outputs" / place
        folder.mkdir(parents=True)
        tags = {"setting": "=focal", "seed": "1"}
        card = Card(kind=kind, name=kind, experiment="tests", status="finished", tags=tags)
        write_card(folder, card)
    lines = [{"step": step, "loss": 0.5, "lr": 0.1, "grad_norm": 1.0} for step in (1, 2)]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    run = tmp_path / "outputs" / "runs" / "=focal-s1-12345678"
    (run / "metrics.jsonl").write_text(text + '{"step": 3, "lo')
    yield tmp_path / "outputs"
    sys.modules.pop("names_tracker", None)


@pytest.fixture
def ask(capsys, exit_code):
    """ask(module, *arguments): exit code, standard output and standard error."""

    def do(module, *arguments):
        code = exit_code(module.main, *arguments)
        return code, *map(str.splitlines, capsys.readouterr())

    return do


def test_sync_brings_every_folder_up_to_date(outputs, ask):
    code, out, err = ask(sync, "tracking.kind=names_tracker")
    assert (code, err) == (0, []) and out[-1] == "names has all of 2 runs, sweeps and studies"
    assert [line for line in out if line.startswith("synced")] == [
        "synced 1a2b3c4d",
        "synced =focal-s1-12345678",
    ]
    code, out, _ = ask(sync, "tracking.kind=names_tracker")
    assert code == 0 and "synced 1a2b3c4d" not in out
    (outputs / "sweeps" / "1a2b3c4d" / "lost").touch()
    code, out, _ = ask(sync, "tracking.kind=names_tracker")
    assert code == 0 and "synced 1a2b3c4d" in out


@pytest.mark.parametrize(
    "argument",
    [
        "tracking.uri=http://127.0.0.1:9",
        "tracking.uri=ftp://x",
        "output_dir=nowhere",
        "tracking.kind=nothing",
        "folder=x",
    ],
)
def test_a_failed_sync_is_one_line(outputs, ask, argument):
    code, _, err = ask(sync, argument)
    assert code == 1 and len(err) == 1 and err[0].startswith("nersweep: ")
    assert argument.partition("=")[0] in err[0]


def test_without_a_tracker_there_is_nothing_to_sync(outputs, ask):
    code, out, err = ask(sync, "tracking.kind=none")
    assert (code, err) == (0, []) and len(out) == 1 and "tracking.kind=none" in out[0]


@pytest.mark.parametrize("error", ["deleted", "KeyError"])
def test_a_folder_that_fails_does_not_stop_the_others(outputs, ask, error):
    refusal = """
    def sync(self, folder):
        from nersweep.faults import Fault, UserError

        print("synced", folder.name)
        raise UserError(Fault("tracking.experiment", folder.name, "deleted"))
"""
    accepting = '    def sync(self, folder):\n        print("synced", folder.name)\n'
    if error == "KeyError":
        refusal = refusal.replace(
            'UserError(Fault("tracking.experiment", folder.name, "deleted"))',
            "KeyError(folder.name)",
        )
    text = TRACKER.replace(accepting, refusal)
    (outputs.parent / "names_tracker.py").write_text(text)
    code, out, err = ask(sync, "tracking.kind=names_tracker")
    assert (code, len(err)) == (1, 2) and all(error in line for line in err)
    assert sum(line.startswith("synced") for line in out) == 2


@pytest.fixture(params=["damaged", "older"])
def unreadable(outputs, request):
    """The file of a finished run that cannot be read, beside the other folders."""
    folder = outputs / "runs" / "a-s1-12345678"
    folder.mkdir()
    write_card(folder, Card(kind="run", name="a-s1", experiment="tests"))
    (folder / METRICS).touch()
    result = finished("a")
    write_result(folder, result)
    file = folder / RESULT
    values = json.loads(file.read_text())
    if request.param == "damaged":
        values["best_epoch"] += 1
    else:
        del values["checksum"]
    file.write_text(json.dumps(values))
    return file


def test_sync_names_a_result_that_cannot_be_read_and_sends_nothing_of_it(unreadable, ask):
    output_dir = f"output_dir={unreadable.parents[2]}"
    code, out, err = ask(sync, output_dir, "tracking.kind=names_tracker")
    assert code == 1 and len(err) == 1 and str(unreadable) in err[0]
    synced = [line for line in out if line.startswith("synced")]
    assert synced == ["synced 1a2b3c4d", "synced =focal-s1-12345678"]


def test_export_names_a_result_that_cannot_be_read_and_writes_the_others(unreadable, ask):
    code, _, err = ask(export, f"output_dir={unreadable.parents[2]}")
    assert code == 1 and len(err) == 1 and str(unreadable) in err[0]
    with open(unreadable.parents[2] / "export" / "scores.csv", newline="") as file:
        assert [run["run"] for run in csv.DictReader(file)] == ["'=focal-s1-12345678"]


def test_export_writes_curves_and_scores(outputs, ask):
    code, out, err = ask(export)
    assert (code, err) == (0, []) and len(out) == 1
    with open(outputs / "export" / "curves.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 3  # the line that was cut off is left out
    first = rows[0]
    assert first["run"] == "'=focal-s1-12345678" and first["setting"] == "'=focal"
    assert [first[name] for name in ("seed", "step", "name", "value")] == [
        "1",
        "1",
        "train/loss",
        "0.5",
    ]
    with open(outputs / "export" / "scores.csv", newline="") as file:
        (run,) = csv.DictReader(file)
    assert run["status"] == "running"
    code, out, _ = ask(export, "--help")
    assert code == 0 and any("curves.csv" in line for line in out)


def test_export_has_the_final_scores_of_a_run(tmp_path):
    folder = tmp_path / "runs" / "x"
    folder.mkdir(parents=True)
    (folder / METRICS).touch()
    result = finished("x", 3)
    write_result(folder, result)
    export.export(ExportArguments(output_dir=str(tmp_path), folder=str(tmp_path / "csv")))
    with open(tmp_path / "csv" / "scores.csv", newline="") as file:
        (run,) = csv.DictReader(file)
    assert (run["setting"], run["seed"], run["status"]) == ("x", "3", "finished")
    assert float(run["test/f1"]) == result.test.f1 and float(run["dev/f1"]) == result.dev.f1


def test_export_to_a_folder_that_cannot_be_written_to_names_its_setting(outputs, ask):
    code, out, (line,) = ask(export, "folder=/proc/x")
    assert (code, out) == (1, []) and line.startswith("nersweep: folder=/proc/x: cannot be written")
    assert line.endswith("set folder=DIR")


def test_export_of_nothing_is_one_line(tmp_path, ask):
    code, _, err = ask(export, f"output_dir={tmp_path}")
    assert code == 1 and len(err) == 1 and "output_dir=" in err[0]
