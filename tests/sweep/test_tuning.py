"""Rows are tuned with like budgets, resume to the same plan, and run on seeds no trial had."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from hydra._internal.utils import get_args_parser

from nersweep import __main__ as cli
from nersweep.command import line
from nersweep.config import schema
from nersweep.faults import UserError
from nersweep.results.tuning import read_tuning
from nersweep.run import execute
from nersweep.sweep import preview, tuning

TINY = [
    "data.train=24", "data.dev=8", "data.test=8", "model.hidden=8", "model.layers=1",
    "model.heads=2", "train.epochs=1", "train.precision=fp32", "device=cpu", "tracking.kind=none",
]  # fmt: skip
ROWS = "sweep.settings=[loss=cross_entropy, loss=focal, {name: fixed, loss: focal, focal_gamma: 3}]"
SWEEP = ["-m", ROWS, "seed=1,2", "tune.trials=3", "study.pruner=none", *TINY]


def read(*arguments):
    schema.register()
    return line.read(get_args_parser().parse_args(list(arguments)), cli.run_faults, cli.recommend)


def plan_of(*arguments):
    command = read(*arguments)
    assert not command.faults
    with command.composer as composer:
        return tuning.make(command, composer)


def faults_of(*arguments):
    """Return the settings at fault, whether the command or its plan finds them."""
    command = read(*arguments)
    if command.faults:
        return {fault.setting for fault in command.faults}
    with pytest.raises(UserError) as error, command.composer as composer:
        tuning.make(command, composer)
    return {fault.setting for fault in error.value.faults}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(study):
    return [dimension.name for dimension in study.plan.space.dimensions]


def test_each_row_searches_what_it_leaves_open(here):
    plan = plan_of(*SWEEP)
    common = ["train.lr", "train.epochs"]
    assert [names(study) for study in plan.studies] == [
        common,
        [*common, "focal_gamma"],
        common,
    ]
    lr = plan.studies[0].plan.space.dimensions[0]
    assert (lr.low, lr.high, lr.log) == (pytest.approx(1e-3 / 4), pytest.approx(4e-3), True)


def test_the_space_can_be_set_and_parts_of_it_left_out(here):
    own = ["tune.space.train.epochs=null", "tune.space.train.warmup=interval(0,0.5)"]
    rows = ["-m", "loss=cross_entropy,focal", *SWEEP[2:]]
    plan = plan_of(*rows, "tune.space.focal_gamma=choice(1,2)", *own)
    assert [names(study) for study in plan.studies] == [
        ["train.lr", "train.warmup"],
        ["train.lr", "train.warmup", "focal_gamma"],
    ]
    assert plan.studies[1].plan.space.dimensions[2].values == (1, 2)


@pytest.mark.parametrize(
    ("arguments", "setting"),
    [
        (["tune.trials=1"], "tune.trials"),
        (["tune.trials=2,3"], "tune.trials"),
        (["seed=0,1"], "seed"),
        (["study.trials=5"], "study.trials"),
        (["study.name=x"], "study.name"),
        (["study.metric=recall"], "study.metric"),
        (["tune.space.focal_gamma=interval(0,5)"], "tune.space"),  # of focal and of fixed
        (["rerun=true"], "rerun"),
        (["tune.space.focal_gama=interval(0,5)"], "tune.space.focal_gama"),
        (["tune.space.train.lr=interval(1,0)"], "tune.space.train.lr"),
        (["tune.space.train.lr=interval(-1,0.1)"], "train.lr"),
        (["tune.space.loss=choice(dice,ghm)"], "tune.space.loss"),
        (["tune.space.train.lr=null", "tune.space.train.epochs=null"], "tune.space"),
    ],
)
def test_what_cannot_be_tuned_is_refused(arguments, setting, here):
    given = [
        a for a in SWEEP if a.partition("=")[0] not in [b.partition("=")[0] for b in arguments]
    ]
    command = [*given, *arguments]
    if setting == "tune.trials" and "," in arguments[0]:
        from nersweep.sweep import check

        assert {fault.setting for fault in check.check(read(*command))} == {setting}
    else:
        assert faults_of(*command) == {setting}


def test_one_run_is_not_tuned(here):
    assert faults_of("tune.trials=3", *TINY) == {"tune.trials"}
    assert faults_of("study=focal_gamma", "tune.trials=3", *TINY) == {"tune.trials"}


@pytest.mark.slow
def test_rows_get_like_draws_and_fresh_seeds(here, exit_code, capfd, monkeypatch):
    seeds, perform = [], execute.perform

    def count(prepared, *given):
        seeds.append(prepared.settings.seed)
        return perform(prepared, *given)

    monkeypatch.setattr(execute, "perform", count)
    assert exit_code(cli.main, *SWEEP, "report=true") == 0, capfd.readouterr().err
    assert seeds[:9] == [0] * 9 and sorted(seeds[9:]) == [1] * 4 + [2] * 4
    studies = optuna.get_all_study_summaries("sqlite:///outputs/studies.db")
    draws = set()
    for summary in studies:
        study = optuna.load_study(
            study_name=summary.study_name, storage="sqlite:///outputs/studies.db"
        )
        draws.add(tuple((t.params["train.lr"], t.params["train.epochs"]) for t in study.trials))
    assert len(studies) == 3 and len(draws) == 1 and len(set(*draws)) == 3

    (folder,) = Path("outputs/sweeps").glob("*/tuning.json")
    tuned = read_tuning(folder.parent)
    assert (tuned.trials, tuned.metric) == (3, "f1")
    rows = [search.setting for search in tuned.searches]
    assert rows[0] == "cross_entropy" and rows[1].startswith("focal-g") and rows[2] == "fixed"
    assert {len(search.values) for search in tuned.searches} == {3}
    report = (folder.parent / "report" / "report.md").read_text("utf-8")
    assert "tuned with 3 trials per row" in "\n".join(report.splitlines()[:4])
    assert "cross\\_entropy untuned" in report and rows[2] in report
    assert (folder.parent / "report" / "expected_best.png").exists()

    for member in json.loads((folder.parent / "sweep.json").read_text("utf-8"))["runs"]:
        own = [o for o in member["overrides"] if not o.startswith("report=")]
        assert not read(*own).faults  # the command of a run repeats it

    trained = len(seeds)
    assert exit_code(cli.main, *SWEEP, "report=true") == 0
    assert len(seeds) == trained
    capfd.readouterr()
    preview.show(read(*SWEEP, "dry_run=true"))
    assert "8 runs, 0 to do" in capfd.readouterr().out


def test_a_dry_run_counts_trials_and_runs(here, capfd):
    preview.show(read(*SWEEP, "seeds.max=5", "dry_run=true"))
    printed = capfd.readouterr().out
    assert printed.count("0 of 3 trials done") == 3
    assert "3 rows × 3 trials" in printed and "20 runs at most" in printed
    assert not (here / "outputs").exists()


@pytest.mark.slow
def test_a_killed_search_resumes_to_the_same_plan(here):
    arguments = [*SWEEP, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def start(folder):
        command = [sys.executable, "-m", "nersweep", *arguments, f"output_dir={folder}"]
        return subprocess.Popen(
            command, env=environment, start_new_session=True, stdout=subprocess.PIPE, text=True
        )

    whole = start("whole")
    assert whole.wait(300) == 0
    killed = start("killed")
    deadline = time.monotonic() + 120
    while len(list(Path("killed").glob("runs/*/result.json"))) < 4:
        assert time.monotonic() < deadline and killed.poll() is None
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not list(Path("killed").glob("sweeps/*/sweep.json"))
    assert start("killed").wait(300) == 0

    def runs(folder):
        (file,) = Path(folder).glob("sweeps/*/sweep.json")
        tuned = read_tuning(file.parent)
        members = json.loads(file.read_text("utf-8"))["runs"]
        return [member["fingerprint"] for member in members], tuned.searches

    assert runs("killed") == runs("whole")
    names = [path.parent.name for path in Path("whole").glob("runs/*/result.json")]
    assert sorted(names) == sorted(p.parent.name for p in Path("killed").glob("runs/*/result.json"))
