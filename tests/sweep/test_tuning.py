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
from nersweep.report.figures.drawing import OTHERS
from nersweep.report.figures.training import expected_best
from nersweep.report.report import compare_sets
from nersweep.report.sources import ReportOptions, select_runs
from nersweep.results.result import read_result
from nersweep.results.tuning import read_tuning
from nersweep.run import execute
from nersweep.sweep import preview, tuning

TINY = [
    "data.train=24", "data.dev=8", "data.test=8", "model.hidden=8", "model.layers=1",
    "model.heads=2", "train.epochs=1", "train.precision=fp32", "device=cpu", "tracking.kind=none",
]  # fmt: skip
ROWS = "sweep.settings=[loss=cross_entropy, loss=focal, {name: fixed, loss: focal, focal_gamma: 3}]"
SWEEP = ["-m", ROWS, "seed=1,2", "tune.trials=2", *TINY]


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
        (["study.metric=cross_entropy"], "study.metric"),
        (["study.direction=minimize"], "study.direction"),
        (["study.pruner=none"], "study.pruner"),
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
    command = [*SWEEP, "seeds.max=3", "resolution=100"]  # two seeds give the answers
    assert exit_code(cli.main, *command, "report=true") == 0, capfd.readouterr().err
    assert seeds[:6] == [0] * 6 and sorted(seeds[6:]) == [1] * 4 + [2] * 4
    studies = optuna.get_all_study_summaries("sqlite:///outputs/studies.db")
    draws = set()
    for summary in studies:
        study = optuna.load_study(
            study_name=summary.study_name, storage="sqlite:///outputs/studies.db"
        )
        draws.add(tuple((t.params["train.lr"], t.params["train.epochs"]) for t in study.trials))
    assert len(studies) == 3 and len(draws) == 1 and len(set(*draws)) == 2

    (folder,) = Path("outputs/sweeps").glob("*/tuning.json")
    tuned = read_tuning(folder.parent)
    assert (tuned.trials, tuned.metric) == (2, "f1")
    rows = [search.setting for search in tuned.searches]
    assert rows[0] == "cross_entropy" and rows[1].startswith("focal-g") and rows[2] == "fixed"
    assert {len(search.values) for search in tuned.searches} == {2}
    assert set(tuned.searches[1].space) == {"train.lr", "train.epochs", "focal_gamma"}
    text = (folder.parent / "report" / "report.md").read_text("utf-8")
    assert "tuned with 2 trials per row" in "\n".join(text.splitlines()[:4])
    assert "cross\\_entropy untuned" in text and rows[2] in text
    assert (folder.parent / "report" / "expected_best.png").exists()

    members = json.loads((folder.parent / "sweep.json").read_text("utf-8"))["runs"]
    assert len(members) == 8 and (folder.parent / "looks.json").exists()
    for member in members[:4]:  # of the first seed
        own = [o for o in member["overrides"] if not o.startswith(("report=", "seeds."))]
        assert not read(*own).faults  # the command of a run repeats it

    trained = len(seeds)
    assert exit_code(cli.main, *command) == 0
    assert len(seeds) == trained
    capfd.readouterr()
    preview.show(read(*command, "dry_run=true"))
    assert "8 runs, 0 to do" in capfd.readouterr().out


def test_a_dry_run_counts_trials_and_runs(here, capfd):
    preview.show(read(*SWEEP, "seeds.max=5", "dry_run=true"))
    printed = capfd.readouterr().out
    assert printed.count("0 of 2 trials done") == 3
    assert "3 rows × 2 trials" in printed and "20 runs at most" in printed
    assert not (here / "outputs").exists()


SMALL = ["-m", "loss=cross_entropy,focal", "seed=1,2", "tune.trials=3", *TINY]


def results(folder):
    return list(Path(folder).glob("runs/*/result.json"))


def kill(folder, moment):
    """Start a search with two processes and kill all of it at a moment."""
    parallel = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", f"output_dir={folder}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "nersweep", *SMALL, *parallel],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 400
    while not moment():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
@pytest.mark.long  # in parts: study/test_queue.py and sweep/test_seeds.py
def test_a_search_killed_before_and_after_its_selection_ends_as_another(here, exit_code):
    assert exit_code(cli.main, *SMALL, "output_dir=whole") == 0
    kill("killed", lambda: len(results("killed")) >= 3)
    assert not list(Path("killed").glob("sweeps/*/sweep.json"))
    kill("killed", lambda: len(results("killed")) > 6)
    assert list(Path("killed").glob("sweeps/*/sweep.json"))
    assert exit_code(cli.main, *SMALL, "output_dir=killed") == 0

    def runs(folder):
        (file,) = Path(folder).glob("sweeps/*/sweep.json")
        members = json.loads(file.read_text("utf-8"))["runs"]
        return [member["fingerprint"] for member in members], read_tuning(file.parent)

    assert runs("killed") == runs("whole")
    scores = {}
    for folder in ("whole", "killed"):
        finished = {file.parent.name: read_result(file) for file in results(folder)}
        scores[folder] = {name: result.test.f1 for name, result in finished.items()}
    assert scores["killed"] == scores["whole"] and len(scores["whole"]) == 6 + 6


@pytest.mark.slow
def test_a_trial_that_diverges_is_printed_and_replaced_also_in_rows_of_one_name(
    here, exit_code, capsys
):
    rows = ["-m", "loss=dice", "train.batch_size=4,8", "seed=1", "tune.trials=2", *TINY]
    diverging = ["tune.space.train.lr=choice(1e-3,2e-3,1e30)", "train.max_grad_norm=1e30"]
    assert exit_code(cli.main, *rows, *diverging, "train.warmup=0") == 1
    failures = [line for line in capsys.readouterr().err.splitlines() if "1e+30" in line]
    assert failures
    (file,) = Path("outputs/sweeps").glob("*/tuning.json")
    searches = read_tuning(file.parent).searches
    for search, size in zip(searches, (4, 8), strict=True):
        assert len(search.values) == 2 and "1e+30" not in search.selected
        assert f" train.batch_size={size}" in search.setting
    members = json.loads((file.parent / "sweep.json").read_text("utf-8"))["runs"]
    assert len(members) == 3
    for member in members:
        assert "train.lr=1e+30" not in member["overrides"]
    (comparison,) = compare_sets(select_runs(ReportOptions()), "dice", 0.5)[0].values()
    lines = expected_best(comparison).axes[0].get_lines()
    assert len({line.get_color() for line in lines} - {OTHERS["color"]}) == 2
