"""The command line: one line for what is wrong and nothing half-written, the same files for the same runs."""

import json
import re
import shutil
import sys
from dataclasses import fields

import pytest

from nersweep.report import answer
from nersweep.report.sources import ReportConfig
from nersweep.tracking import state


@pytest.fixture
def asked(monkeypatch, capsys, tmp_path):
    """asked(*typed): exit code, and lines of standard output and of standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NERSWEEP_TRACEBACK", "")

    def ask(*typed):
        monkeypatch.setattr(sys, "argv", ["nersweep.report", *typed])
        monkeypatch.setattr(answer.terminal, "faults", [])
        code = 0
        try:
            answer.main()
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        return code, printed.out.splitlines(), printed.err.splitlines()

    return ask


@pytest.fixture
def sweep(runs, tmp_path):
    """A sweep of copied runs, which no tracker knows."""
    listed = []
    for folder in runs:
        name, mark = folder.name, f"{len(listed):08x}"
        shutil.copytree(folder, tmp_path / "outputs" / "runs" / f"{name}-{mark}")
        listed.append({"name": name, "fingerprint": mark + "0" * 56})
    file = tmp_path / "outputs" / "sweeps" / "12345e67" / "sweep.json"  # as YAML, a number
    file.parent.mkdir(parents=True)
    file.write_text(
        json.dumps({"command": "python -m nersweep -m", "runs": listed}),
        encoding="utf-8",
    )
    return file.parent


def test_the_same_runs_give_the_same_files_also_from_an_archive(sweep, asked, tmp_path):
    for folder, typed in {
        "a": ["sweep=12345e67", "save=runs.jsonl"],
        "b": [],
        "c": ["archive=runs.jsonl"],
        "d": ["archive=runs.jsonl"],
    }.items():
        code, out, err = asked(f"folder={folder}", *typed)
        assert (code, err) == (0, []) and out[-1] == f"report: {folder}/report.html"
    files = {
        folder: {f.name: f.read_bytes() for f in (tmp_path / folder).iterdir()} for folder in "abcd"
    }
    for held in files.values():  # the page tells the day
        held["report.html"] = re.sub(rb"\d{4}-\d\d-\d\d", b"", held["report.html"])
    assert files["a"] == files["b"] and files["c"] == files["d"]
    differ = {name for name in files["a"] if files["a"][name] != files["c"].get(name)}
    assert differ <= {"report.html", "report.md"}  # title, and the sentences that an archive lacks
    first, second = (files[folder]["report.md"].decode().split("\n", 1) for folder in "ac")
    assert first[0] != second[0] and first[1] == second[1]


def test_a_report_is_made_while_the_tracker_is_away(sweep, asked, tmp_path):
    state.write_entry(sweep, "sqlite:///mlflow.db", {"run_id": 32 * "0"})
    (tmp_path / "outputs" / "mlflow.db").mkdir()
    code, out, err = asked("folder=a")
    assert (code, err, out[-1]) == (0, [], "report: a/report.html") and (
        tmp_path / "a" / "report.html"
    ).exists()
    assert any(line.startswith("the report is not in MLflow: tracking.uri=sqlite:") for line in out)


@pytest.mark.parametrize(
    "typed, told",
    [
        (
            ["swep=x"],
            "swep=x: no such setting; there are sweep, study, experiment, filter, archive, compare",
        ),
        (["sweep"], "sweep: expected sweep=VALUE"),
        (["sweep="], "sweep=: expected sweep=VALUE"),
        (["tracking.experiment=x"], "tracking.experiment=x: no such setting"),
        (["sweep=a", "study=b"], "sweep=a study=b: name the runs in one way"),
        (["split=train"], "split=train: must be one of dev, test"),
        (["compare=a,b", "split=train"], "split=train: must be one of dev, test"),
        (["compare=a"], "compare=a: expected two runs"),
        (["compare=a,"], "compare=a,: expected two runs"),
        (["sweep=nosuch"], "sweep=nosuch: no such sweep; outputs/sweeps has 12345e67"),
        (["archive=nosuch"], "archive=nosuch: cannot be read"),
        (["tracking.uri=ftp://x", "experiment=x"], "tracking.uri=ftp://x: expected"),
        (["folder=/dev/null/x"], "/dev/null/x"),
    ],
)
def test_what_is_asked_wrongly_is_one_line_and_writes_nothing(sweep, asked, typed, told):
    before = sorted(sweep.parents[2].rglob("*"))
    code, _, err = asked(*typed)
    assert code == 1 and len(err) == 1 and err[0].startswith("nersweep: ") and told in err[0], err
    assert "internal error" not in err[0] and sorted(sweep.parents[2].rglob("*")) == before


@pytest.mark.parametrize("name", ["predictions/test.conll", "metrics.jsonl", "result.json"])
def test_a_damaged_run_is_one_line_and_writes_nothing(sweep, asked, tmp_path, name):
    file = tmp_path / "outputs" / "runs" / "crf-s1-00000004" / name
    file.write_text("{", encoding="utf-8")
    code, _, err = asked("save=runs.jsonl")
    assert (
        code == 1
        and len(err) == 1
        and str(file.relative_to(tmp_path)) in err[0].replace(f"{tmp_path}/", "")
    )
    assert not (sweep / "report").exists() and not (tmp_path / "runs.jsonl").exists()


def test_an_archive_of_the_other_split_is_refused(sweep, asked):
    assert asked("split=dev", "folder=a", "save=dev.jsonl")[0] == 0
    code, _, (line,) = asked("archive=dev.jsonl", "split=test", "folder=b")
    assert code == 1 and "split=test: dev.jsonl holds dev alone" in line


def test_help_names_every_setting(asked):
    code, out, _ = asked("--help")
    names = {item.name for item in fields(ReportConfig)} - {"tracking"} | {"tracking.uri"}
    assert code == 0 and {line.split("=")[0].strip() for line in out[1:]} == names


def test_two_runs_are_compared(sweep, asked):
    code, out, err = asked("compare=crf-s1,focal-g2-s1")
    assert (code, err) == (0, []) and any(line.startswith("only crf-s1 right") for line in out)
    code, _, (line,) = asked("compare=crf-s1,crf")
    assert code == 1 and "several runs begin so: crf-s1-00000004, crf-s2-00000005" in line
