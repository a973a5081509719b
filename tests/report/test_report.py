"""The command: the same files for the same runs; a line per fault and nothing half-written."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from finished import unfinished

from nersweep import terminal
from nersweep.report.__main__ import main
from nersweep.report.archive import Archive, write_archive
from nersweep.results.result import read_result
from nersweep.tracking import state

pytestmark = pytest.mark.slow


@pytest.fixture
def call(monkeypatch, capsys, tmp_path, exit_code):
    """call(*arguments): exit code, lines of standard output, lines of standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NERSWEEP_TRACEBACK", "")

    def call_main(*arguments):
        monkeypatch.setattr(terminal, "faults", [])
        code = exit_code(main, *arguments)
        printed = capsys.readouterr()
        return code, printed.out.splitlines(), printed.err.splitlines()

    return call_main


@pytest.fixture
def sweep(runs, tmp_path):
    """A sweep of copied runs that no tracker has."""
    members = []
    for number, folder in enumerate(runs):
        result, start = read_result(folder / "result.json"), f"{number:08x}"
        shutil.copytree(folder, tmp_path / "outputs" / "runs" / f"{result.name}-{start}")
        identity = {"setting": result.setting, "seed": result.seed, "fingerprint": start + "0" * 56}
        members.append({"name": result.name, **identity})
    file = tmp_path / "outputs" / "sweeps" / "12345e67" / "sweep.json"  # as YAML, a number
    file.parent.mkdir(parents=True)
    file.write_text(
        json.dumps({"command": "python -m nersweep -m", "runs": members}),
        encoding="utf-8",
    )
    return file.parent


ELSEWHERE = """
import sys
from nersweep.report.__main__ import main
for arguments in (["folder=b"], ["folder=c", "archive=runs.jsonl"]):
    sys.argv[1:] = arguments
    main()
assert not {"torch", "transformers"} & sys.modules.keys()
"""


def test_the_same_runs_give_the_same_files_also_from_an_archive_and_without_torch(
    sweep, call, tmp_path
):
    code, out, err = call("folder=a", "sweep=12345e67", "save=runs.jsonl")
    assert (code, err) == (0, []) and out[-1] == "report: a/report.html"
    state.write_entry(sweep, "sqlite:///mlflow.db", {"run_id": 32 * "0"})
    (tmp_path / "outputs" / "mlflow.db").mkdir()  # so the tracker is away
    command = [sys.executable, "-c", ELSEWHERE]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    out = done.stdout.splitlines()
    assert not done.stderr and {f"report: {folder}/report.html" for folder in "bc"} < set(out)
    assert any(line.startswith("the report is not in MLflow: tracking.uri=sqlite:") for line in out)
    files = {
        folder: {f.name: f.read_bytes() for f in (tmp_path / folder).iterdir()} for folder in "abc"
    }
    for contents in files.values():  # the page prints the day
        contents["report.html"] = re.sub(rb"\d{4}-\d\d-\d\d", b"", contents["report.html"])
    assert files["a"] == files["b"]
    differ = {name for name in files["a"] if files["a"][name] != files["c"].get(name)}
    assert differ <= {"report.html", "report.md"}  # title, and the sentences that an archive lacks
    first, second = (files[folder]["report.md"].decode().splitlines() for folder in "ac")
    other = {
        line[:6] for line, as_archived in zip(first, second, strict=True) if line != as_archived
    }
    assert other == {"# conl", "**Take", "Its mo"}  # an archive has neither command nor model


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["swep=x"],
            "swep=x: no such setting; "
            "use one of sweep, study, experiment, filter, archive, compare",
        ),
        (["sweep"], "sweep: expected sweep=VALUE"),
        (["sweep="], "sweep=: expected sweep=VALUE"),
        (["tracking.experiment=x"], "tracking.experiment=x: no such setting"),
        (["sweep=a", "study=b"], "sweep=a study=b: select the runs in one way"),
        (["split=train"], "split=train: must be dev or test"),
        (["compare=a,b", "split=train"], "split=train: must be dev or test"),
        (["resolution=0"], "resolution=0: must be > 0 and ≤ 100"),
        (["resolution=100.5"], "resolution=100.5: must be > 0 and ≤ 100"),
        (["resolution=half"], "resolution=half: must be > 0 and ≤ 100"),
        (["compare=a"], "compare=a: expected two runs"),
        (["compare=a,"], "compare=a,: expected two runs"),
        (["sweep=nosuch"], "sweep=nosuch: no such sweep; outputs/sweeps has 12345e67"),
        (["archive=nosuch"], "archive=nosuch: cannot be read"),
        (["tracking.uri=ftp://x", "experiment=x"], "tracking.uri=ftp://x: expected"),
        (["folder=/dev/null/x"], "folder=/dev/null/x: cannot be written to"),
        (["save=/dev/null/x"], "save=/dev/null/x: cannot be written to"),
        (["save=outputs"], "save=outputs: cannot be written to (Is a directory); set save=FILE"),
    ],
)
def test_a_wrong_argument_is_one_line_and_writes_nothing(sweep, call, arguments, message):
    before = sorted(sweep.parents[2].rglob("*"))
    code, _, (line,) = call(*arguments)
    assert code == 1 and line.startswith("nersweep: ") and message in line
    assert "internal error" not in line and sorted(sweep.parents[2].rglob("*")) == before


@pytest.mark.parametrize("name", ["predictions/test.conll", "metrics.jsonl", "result.json"])
def test_a_damaged_run_is_one_line_and_writes_nothing(sweep, call, tmp_path, name):
    file = tmp_path / "outputs" / "runs" / "crf-s1-00000004" / name
    file.write_text("{", encoding="utf-8")
    code, _, err = call("save=runs.jsonl")
    assert (
        code == 1
        and len(err) == 1
        and str(file.relative_to(tmp_path)) in err[0].replace(f"{tmp_path}/", "")
    )
    assert not (sweep / "report").exists() and not (tmp_path / "runs.jsonl").exists()


def test_an_archive_of_the_other_split_is_refused(call, tmp_path):
    write_archive(tmp_path / "dev.jsonl", Archive([unfinished()], "dev"))
    code, _, (line,) = call("archive=dev.jsonl", "split=test", "folder=b")
    assert code == 1 and "split=test: dev.jsonl holds dev only" in line


def test_two_runs_are_compared(sweep, call):
    code, out, err = call("compare=crf-s1,focal-g2-s1")
    assert (code, err) == (0, []) and any(line.startswith("only crf-s1 right") for line in out)
    code, _, (line,) = call("compare=crf-s1,crf")
    assert code == 1 and "several runs have this name: crf-s1-00000004, crf-s2-00000005" in line


def test_runs_that_cannot_be_compared_leave_no_folder(sweep, call, tmp_path):
    file = sweep / "sweep.json"
    values = json.loads(file.read_text(encoding="utf-8"))
    for member in values["runs"]:  # none of which has begun
        member["fingerprint"] = 64 * "f"
    file.write_text(json.dumps(values), encoding="utf-8")
    code, _, (line,) = call("folder=a/b", "save=c/runs.jsonl")
    assert code == 1 and "no run has finished" in line
    assert not (tmp_path / "a").exists() and not (tmp_path / "c").exists()
