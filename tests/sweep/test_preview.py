"""dry_run=true: what would be run, for how long, and nothing done."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from examples import finished
from omegaconf import OmegaConf

from nersweep import __main__ as cli
from nersweep.config import schema as sections
from nersweep.config.compose import Composer
from nersweep.machine.device import choose_device
from nersweep.results.result import Seconds, result_of, write_result
from nersweep.run import environment
from nersweep.sweep import costs

SMALL = [
    "model.hidden=8", "model.layers=1", "model.heads=2", "train.precision=fp32",
    "data.train=200", "data.dev=40", "data.test=40", "train.epochs=2",
]  # fmt: skip


@pytest.fixture
def command(tmp_path, monkeypatch, capsys, exit_code):
    """command(...): the exit code of the command and what it printed, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        code = exit_code(cli.main, *arguments, *SMALL)
        out, err = capsys.readouterr()
        return code, out + err

    return run


def states(out: str) -> dict[str, str]:
    rows = re.findall(r"^(\S+-s\d+)  +(done|to do|resumes|same as above)", out, re.MULTILINE)
    return dict(reversed(rows))


def test_nothing_is_written_by_a_preview(command):
    code, out = command("-m", "loss=focal,dice", "seed=1,2", "dry_run=true")
    assert code == 0 and set(states(out).values()) == {"to do"} and len(states(out)) == 4
    assert "8 steps of it" in out and "nothing was done" in out
    assert not list(Path.cwd().iterdir())


def test_a_preview_of_one_run(command):
    assert states(command("loss=focal", "dry_run=True")[1]) == {"focal-g2-s1": "to do"}
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize("preview", [["dry_run=true"], []], ids=str)
def test_no_run_starts_if_a_setting_does_not_fit_the_data(preview, command):
    grid = ["-m", "loss=focal", "focal_alpha=null,[1,2],[1,2,3]", "seed=1,2"]
    code, out = command(*grid, *preview)
    lines = [line for line in out.splitlines() if "focal_alpha" in line]
    assert code == 1 and len(lines) == 2 and not list(Path.cwd().iterdir())


@pytest.mark.slow
def test_done_and_repeated_runs_are_marked(command):
    command("loss=focal")
    _, out = command("-m", "loss=focal", "focal_gamma=2,2.0,3", "dry_run=true")
    assert states(out) == {"focal-g2-s1": "done", "focal-g3-s1": "to do"}
    assert out.count("same as above") == 1 and "3 runs, 1 to do" in out
    assert "1 run of that shape" in out
    _, out = command("loss=focal", "rerun=true", "dry_run=true")
    assert states(out) == {"focal-g2-s1": "to do"}


def test_measured_costs_count_on_the_same_hardware(command):
    sections.register()
    config = OmegaConf.to_container(Composer()(SMALL), resolve=True)
    for folder, hardware, seconds in (
        ("a", "an abacus", 9e6),
        ("b", environment.hardware(choose_device("auto")), 1200),
    ):
        took = Seconds(setup=0.0, train=seconds, eval=0.0, tracking=0.0, total=seconds)
        result = finished(config=config, seconds=took, hardware=hardware)
        write_result(Path("outputs/runs", folder), result)
    out = command("dry_run=true")[1]
    assert "about 20 min of work" in out and "1 run of that shape on " in out
    if find_spec(
        "hydra_plugins.hydra_submitit_launcher"
    ):  # which makes it on other machines, perhaps on abaci
        out = command("-m", "hydra/launcher=submitit_slurm", "dry_run=true")[1]
        assert "2 runs of that shape on " in out and "an abacus" in out


def test_runs_of_one_name_are_told_apart_by_what_they_do_not_share(command):
    _, out = command(
        "-m", "loss=focal,poly1", "train.lr=1e-3,1e-4", "train.warmup=0", "dry_run=true"
    )
    names = [
        f"{loss}-s1 train.lr={lr}"
        for loss in ("focal-g2", "poly1-e1")
        for lr in ("0.001", "0.0001")
    ]
    assert [line.partition("  ")[0] for line in out.splitlines() if "-s1" in line] == names


def test_a_fault_is_reported_before_a_preview(command):
    assert command("loss=focal", "focal_gamma=-1", "dry_run=true")[0] == 1


STUDY = ["loss=focal", "study=focal_gamma", "study.seeds=2", "study.pruner=none"]


@pytest.fixture(scope="module")
def place(tmp_path_factory, exit_code):
    """The folder of a command that has run a study x of one trial."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert exit_code(cli.main, *STUDY, "study.trials=1", "study.name=x", *SMALL) == 0
    return folder


def seconds_of(out: str) -> float:
    number, unit = re.search(r"at most ([\d.]+) (s|min|h) of work", out).groups()
    return float(number) * {"s": 1, "min": 60, "h": 3600}[unit]


def test_a_preview_of_a_study_makes_nothing(command):
    code, out = command(*STUDY, "dry_run=true", "study.trials=5")
    assert code == 0 and not list(Path.cwd().iterdir())
    name, storage = re.search(r"^study (\S+) in (\S+) \(not started\)$", out, re.MULTILINE).groups()
    assert storage == f"sqlite:///{Path.cwd()}/outputs/studies.db" and name.startswith(
        "focal_gamma-"
    )
    assert "0 of 5 trials done, 5 left: each 2 seeds × 2 epochs" in out
    assert "8 steps of it" in out and out.endswith("nothing was done\n")


@pytest.mark.slow
def test_a_preview_of_a_study_counts_finished_trials(command, place, monkeypatch):
    monkeypatch.chdir(place)
    study = [*STUDY, "study.name=x"]
    before = {file: file.stat().st_mtime_ns for file in Path.cwd().rglob("*") if file.is_file()}
    _, out = command(*study, "study.trials=2001", "dry_run=true")
    assert "study x in " in out and "not started" not in out
    assert (
        "1 of 2001 trials done, 2000 left: each 2 seeds × 2 epochs" in out
        and "2 runs of that shape" in out
    )
    results = [json.loads(file.read_text()) for file in Path("outputs/runs").glob("*/result.json")]
    spent = [result["seconds"]["total"] for result in results]
    assert seconds_of(out) == pytest.approx(
        4000 * sum(spent) / 2, rel=0.06
    )  # in minutes, or tenths of hours
    _, out = command(*study, "study.trials=1", "dry_run=true")
    assert "1 of 1 trials done, 0 left" in out and seconds_of(out) == 0
    _, out = command(
        "-m",
        *study,
        "study.trials=21",
        "study.worker=range(4)",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=4",
        "dry_run=true",
    )
    assert out.count("study x in ") == 1 and " with 4 at once, " in out
    assert {
        file: file.stat().st_mtime_ns for file in Path.cwd().rglob("*") if file.is_file()
    } == before


@pytest.mark.slow
def test_a_preview_of_a_study_of_that_name_that_searched_something_else(
    command, place, monkeypatch
):
    monkeypatch.chdir(place)
    code, out = command(
        "loss=focal", "study=focal_gamma", "study.name=x", "study.trials=2", "dry_run=true"
    )
    assert code == 1 and "study.seeds=[1]: was [1, 2]; the study x began that way" in out


def test_results_of_other_programs_are_passed_over(tmp_path):
    config = {
        "train": {"batch_size": 8, "accumulation": 1, "precision": "fp32"},
        "data": {},
        "model": {},
        "head": {},
    }
    config |= {"aux": {}, "device": "cpu"}
    good = finished(config=config, hardware="an abacus").to_json()
    strange = ["{}", "[]", "3", "null", "{"]
    for change in ({"seconds": 7}, {"config": None}, {"epochs": "x"}, {}):
        strange.append(json.dumps(good | change))  # without a checksum
    for i, text in enumerate(strange):
        (tmp_path / "runs" / str(i)).mkdir(parents=True)
        (tmp_path / "runs" / str(i) / "result.json").write_text(text)
    write_result(tmp_path / "runs" / "good", result_of(good))
    ((shape, rate),) = costs.finished(tmp_path)
    assert shape == costs.shape_of(config) and rate.source == "an abacus"
    assert (rate.epoch_seconds, rate.other_seconds) == (5.0, 4.0)
