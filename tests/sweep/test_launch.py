"""A sweep makes each of its runs once, says what it did, and hides no failure."""

import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from nersweep import __main__ as cli
from nersweep.command.line import Command
from nersweep.config import check
from nersweep.config import schema as sections
from nersweep.config.compose import Composer
from nersweep.config.overrides import without_seed
from nersweep.faults import Fault, UserError
from nersweep.results import folder as folder_module
from nersweep.results.result import Result, Status, write_result
from nersweep.run import execute, plan
from nersweep.sweep import check as sweep_check
from nersweep.sweep.members import members_of
from nersweep.tracking.reading import run_id_of
from nersweep.tracking.syncing import is_complete
from nersweep.tracking.tracker import make
from nersweep.training.progress import TrainingProgress

pytestmark = pytest.mark.slow

TINY = [
    "data.train=24", "data.dev=8", "data.test=8", "model.hidden=8", "model.layers=1",
    "model.heads=2", "train.epochs=1",
    "train.precision=fp32", "device=cpu",
]  # fmt: skip
DIVERGING = ["train.warmup=0", "train.max_grad_norm=1e30", "train.batch_size=2"]


@pytest.fixture(scope="module")
def output_dir(tmp_path_factory):
    """One for all sweeps here, each with its own seeds: creating a tracking store takes seconds."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture
def start(output_dir, tmp_path, capfd, monkeypatch, exit_code):
    """start(*overrides): exit code, lines of standard output and error of a sweep of tiny runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NERSWEEP_TRACEBACK", "")

    def do(*overrides):
        code = exit_code(cli.main, "-m", f"output_dir={output_dir}", *TINY, *overrides)
        printed = capfd.readouterr()
        return code, printed.out.splitlines(), printed.err.splitlines()

    return do


@pytest.fixture
def trained_runs(monkeypatch):
    """The names of the runs whose training was begun."""
    names, perform = [], execute.perform

    def count(prepared, *given):
        names.append(prepared.name)
        return perform(prepared, *given)

    monkeypatch.setattr(execute, "perform", count)
    return names


def select(output_dir, query, *values):
    with sqlite3.connect(output_dir / "mlflow.db") as database:
        return database.execute(query, values).fetchall()


def sweeps(output_dir):
    """The tracker's run of each sweep with its children's names and statuses, by list of runs."""
    actual = {}
    for file in (output_dir / "sweeps").glob("*/sweep.json"):
        content = json.loads(file.read_text("utf-8"))
        run_id = run_id_of(file.parent, f"sqlite:///{output_dir}/mlflow.db")
        children = select(
            output_dir,
            "select name, status from runs join tags on tags.run_uuid = runs.run_uuid"
            " where tags.key = 'mlflow.parentRunId' and tags.value = ? order by name, status",
            run_id,
        )
        actual[tuple(member["name"] for member in content["runs"])] = run_id, children
    return actual


def parents(output_dir):
    return select(output_dir, "select run_uuid, status from runs where name like 'sweep-%'")


def row(out, name):
    """What the table says of a run."""
    return next(line.split()[1:] for line in reversed(out) if line.split()[:1] == [name])


def test_a_second_start_runs_nothing_and_a_new_seed_runs_alone(start, trained_runs, output_dir):
    code, out, err = start("loss=cross_entropy,focal", "seed=1")
    names = ["cross_entropy-s1", "focal-g2-s1"]
    assert (code, err, trained_runs) == (0, [], names)
    assert "2 runs, 0 already done" in out and "2 of 2 runs finished" in out
    parent, children = sweeps(output_dir)[tuple(names)]
    assert children == [(name, "FINISHED") for name in names]
    assert (parent, "FINISHED") in parents(output_dir)

    before = len(parents(output_dir))
    code, out, err = start("loss=cross_entropy,focal", "seed=1")
    assert (code, err, trained_runs) == (0, [], names)
    assert "2 runs, 2 already done" in out and "2 of 2 runs finished" in out
    assert len(parents(output_dir)) == before and sweeps(output_dir)[tuple(names)] == (
        parent,
        children,
    )
    for name in names:
        result = json.loads(
            next((output_dir / "runs").glob(f"{name}-*/result.json")).read_text("utf-8")
        )
        scores = [f"{result[split]['f1']:.4f}" for split in ("dev", "test")]
        assert row(out, name)[:3] == ["finished", *scores]

    code, out, err = start("loss=cross_entropy,focal", "seed=1,2")
    assert (code, err, trained_runs) == (0, [], [*names, "cross_entropy-s2", "focal-g2-s2"])
    assert "4 runs, 2 already done" in out and "4 of 4 runs finished" in out


def test_a_run_of_two_combinations_happens_once(start, trained_runs):
    code, out, _ = start("loss=focal", "focal_gamma=2,2.0,2e0", "seed=11")
    assert (code, trained_runs) == (0, ["focal-g2-s11"])
    assert "1 runs, 0 already done" in out and "1 of 1 runs finished" in out


def test_a_setting_that_changes_no_run_cannot_be_swept(start, trained_runs, tmp_path):
    places = f"{tmp_path / 'a'},{tmp_path / 'b'}"
    code, out, err = start(f"output_dir={places}", "train.checkpoint_minutes=5,6", "seed=12")
    what = "does not change the run, so it cannot be swept; give one value"
    assert (code, out, trained_runs) == (1, [], []) and not (tmp_path / "a").exists()
    assert err == [
        f"nersweep: output_dir={places}: {what}",
        f"nersweep: train.checkpoint_minutes=5,6: {what}",
    ]


@pytest.mark.parametrize("engine", ["submitit_slurm", "ray"])
def test_machines_do_not_choose_the_precision_of_a_sweep(start, trained_runs, engine):
    # The launching machine may have no GPU: it would look for its runs under other fingerprints.
    if engine == "ray":
        pytest.importorskip(
            "hydra_plugins.hydra_ray_launcher", reason="the extra ray is not installed"
        )
    pytest.importorskip(
        "hydra_plugins.hydra_submitit_launcher", reason="the extra slurm is not installed"
    )
    code, out, err = start("seed=1,2", f"hydra/launcher={engine}", "train.precision=auto")
    assert (code, out, trained_runs) == (1, [], [])
    assert err == [
        "nersweep: train.precision=auto: each machine chooses for itself, "
        "and the runs go to others; set train.precision=bf16 or fp32"
    ]


@pytest.mark.parametrize(
    ("overrides", "refused"),
    [
        (["train.precision=fp32", "train.precision=bf16"], False),
        (["train.precision=fp32", "train.precision=auto"], True),
        (["train.precision=auto ++study.space.train.precision='bf16,fp32'"], False),
        (["train.precision=fp32 ++study.space.train.precision='auto,fp32'"], True),
        (["train.precision=auto ++study.space.train.lr='interval(0.1,1)'"], True),
    ],
    ids=str,
)
def test_every_run_and_trial_of_a_sweep_has_its_precision(overrides, refused):
    pytest.importorskip(
        "hydra_plugins.hydra_submitit_launcher", reason="the extra slurm is not installed"
    )
    sections.register()
    runs = [(*TINY, "hydra/launcher=submitit_slurm", *one.split(" ")) for one in overrides]
    faults = sweep_check.check(command_of(runs, Composer()))
    assert [(fault.setting, fault.value) for fault in faults] == refused * [
        ("train.precision", "auto")
    ]


def test_one_bad_combination_stops_the_sweep_before_anything_is_written(
    start, trained_runs, tmp_path
):
    place = tmp_path / "nothing"
    code, out, err = start(
        f"output_dir={place}", "loss=focal", "focal_gamma=1,-1,-2", "train.lr=1e-3,0", "seed=1,2"
    )
    assert (code, out, trained_runs) == (1, [], []) and not place.exists()
    assert sorted(err) == [
        "nersweep: focal_gamma=-1: must be ≥ 0 (0 is cross entropy)",
        "nersweep: focal_gamma=-2: must be ≥ 0 (0 is cross entropy)",
        "nersweep: train.lr=0.0: must be > 0",
    ]


@pytest.mark.parametrize("seeds", ["1,-1,2", "1,007,2", "1,4294967296,2", "1,a,2"])
def test_a_seed_that_no_run_takes_is_a_bad_combination(seeds, start, trained_runs, tmp_path):
    code, _, err = start(f"output_dir={tmp_path / 'nothing'}", f"seed={seeds}")
    assert (code, trained_runs, len(err)) == (1, [], 1) and not (tmp_path / "nothing").exists()
    assert err[0].startswith("nersweep: seed=") and err[0].endswith(
        ": must be a whole number in [0, 2^32)"
    )


def test_a_diverging_run_stops_no_other_and_is_not_repeated(start, trained_runs, output_dir):
    overrides = [*DIVERGING, "train.lr=1e30,1e-3", "weights=inverse,inverse_sqrt", "seed=21"]
    bad, good = "cross_entropy-inverse-s21", "cross_entropy-inverse_sqrt-s21"
    code, out, err = start(*overrides)
    assert (code, trained_runs) == (1, [bad, good, bad, good])
    assert "4 runs, 0 already done" in out and "2 of 4 runs finished" in out
    assert len(err) == 2
    for name, line in zip([bad, good], err, strict=True):
        assert line.startswith(f"nersweep: {name} train.lr=1e+30: the loss is ")
    rows = [line.split()[:3] for line in out if line.startswith((f"{bad} ", f"{good} "))]
    assert rows[:2] == [[name, "train.lr=1e+30", "diverged"] for name in (bad, good)]
    assert rows[2:] == [[name, "train.lr=0.001", "finished"] for name in (bad, good)]
    assert not any(line.startswith("to retry the runs") for line in out)
    (parent, children), count = sweeps(output_dir)[bad, good, bad, good], len(parents(output_dir))
    assert children == [(bad, "FAILED"), (bad, "FINISHED"), (good, "FAILED"), (good, "FINISHED")]
    assert (parent, "FAILED") in parents(output_dir)
    assert select(
        output_dir, "select value from tags where run_uuid = ? and key = 'error'", parent
    ) == [("2 of 4 runs did not finish",)]

    again, out, errors = start(*overrides)
    assert (again, errors, len(trained_runs)) == (1, err, 4)
    assert "4 runs, 4 already done" in out and "2 of 4 runs finished" in out
    assert len(parents(output_dir)) == count


@pytest.fixture
def away(output_dir, monkeypatch):
    """away(runs): no MLflow store from the training of the next run on.

    It is back after so many runs, or at away.end().
    """
    file, aside = output_dir / "mlflow.db", output_dir / "aside"

    def end():
        if aside.exists():
            file.rmdir()
            aside.rename(file)

    def begin(runs):
        trained, perform = [], execute.perform

        def count(prepared, *given):
            trained.append(prepared.name)
            if len(trained) == 1:
                file.rename(aside)
                file.mkdir()
            if len(trained) == runs:
                end()
            return perform(prepared, *given)

        monkeypatch.setattr(execute, "perform", count)

    begin.end = end
    yield begin
    end()


def tracked(output_dir, name):
    """The metrics that MLflow has of a run, by name and step."""
    query = (
        "select metrics.key, step, value from metrics "
        "join runs on runs.run_uuid = metrics.run_uuid where runs.name = ?"
    )
    return {(key, step): value for key, step, value in select(output_dir, query, name)}


def results(output_dir, pattern):
    return [
        json.loads((f / "result.json").read_text("utf-8"))
        for f in (output_dir / "runs").glob(f"{pattern}-*")
    ]


@pytest.mark.parametrize(
    ("first", "overrides"), [(300, []), pytest.param(310, ["rerun=true"], marks=pytest.mark.long)]
)
def test_a_tracker_that_is_away_for_a_while_ends_no_run_and_has_all_in_the_end(
    first, overrides, start, trained_runs, away, output_dir, caplog
):
    names = [f"cross_entropy-s{first + i}" for i in range(4)]
    away(3)
    code, out, _ = start(f"seed=range({first},{first + 4})", *overrides)
    assert (code, trained_runs) == (0, names) and "4 of 4 runs finished" in out
    assert "syncing 4 runs with MLflow" in out  # it rests after a failure
    assert "the run continues, and its folder has everything" in caplog.text
    assert sweeps(output_dir)[tuple(names)][1] == [(name, "FINISHED") for name in names]
    whole = tracked(output_dir, names[3]).keys()  # that of the run which was not disturbed
    for name in names:
        (actual,), known = results(output_dir, name), tracked(output_dir, name)
        assert known.keys() == whole
        assert known["test/f1", actual["best_epoch"]] == actual["test"]["f1"]


def test_the_same_command_syncs_what_a_tracker_missed_and_trains_nothing(
    start, trained_runs, away, output_dir
):
    overrides = [*DIVERGING, "train.lr=1e30,1e-3", "seed=320,321"]
    names = ("cross_entropy-s320", "cross_entropy-s321") * 2
    away(9)
    code, out, err = start(*overrides)
    assert (code, tuple(trained_runs)) == (1, names)
    assert any(line.startswith("to sync MLflow: ") for line in out)
    tracker = make("mlflow", None, output_dir)
    folders = list((output_dir / "runs").glob("cross_entropy-s32[01]-*"))
    assert len(folders) == 4 and not any(is_complete(tracker, folder) for folder in folders)
    assert start(*overrides)[::2] == (1, err) and tuple(trained_runs) == names  # it is still away
    away.end()
    assert start(*overrides)[::2] == (1, err) and tuple(trained_runs) == names
    assert all(is_complete(tracker, folder) for folder in folders)
    assert sweeps(output_dir)[names][1] == [
        (name, status) for name in names[:2] for status in ("FAILED", "FINISHED")
    ]


MIXED = ["weights=manual", "manual_weights={O:1},{O:3},{O:4},{O:2}"]  # those of O:3 and O:4 fail


@pytest.fixture
def failures(monkeypatch):
    """Let runs fail as they do when something is wrong that only training shows."""
    perform = execute.perform

    def fail(prepared, *given):
        if prepared.config["manual_weights"]["O"] in (3, 4):
            raise UserError(Fault("device", "cpu", "no memory is left"))
        return perform(prepared, *given)

    monkeypatch.setattr(execute, "perform", fail)


def test_only_runs_that_failed_are_repeated(start, failures, trained_runs):
    name = "cross_entropy-manual-s31"
    code, out, err = start(*MIXED, "seed=31")
    assert (code, trained_runs) == (1, 4 * [name]) and "2 of 4 runs finished" in out
    assert err == [
        f"nersweep: {name} manual_weights={{O:{weight}}}: device=cpu: no memory is left"
        for weight in (3, 4)
    ]
    assert shlex.join([*TINY, *MIXED, "seed=31"]) in next(
        line for line in out if line.startswith("to retry the runs that failed")
    )

    again, out, errors = start(*MIXED, "seed=31")
    assert (again, errors, trained_runs) == (1, err, 6 * [name])
    assert "4 runs, 2 already done" in out


def test_a_sweep_that_stops_at_a_failure_lists_the_runs_not_started(start, failures, trained_runs):
    name = "cross_entropy-manual-s32"
    code, out, err = start(*MIXED, "seed=32", "on_failure=stop")
    assert (code, trained_runs) == (1, 2 * [name]) and "1 of 4 runs finished" in out
    assert err == [
        f"nersweep: {name} manual_weights={{O:3}}: device=cpu: no memory is left",
        *(
            f"nersweep: {name} manual_weights={{O:{weight}}}: "
            "not started, after another run failed (on_failure=stop)"
            for weight in (4, 2)
        ),
    ]


def test_rerun_makes_all_again_under_the_same_parent(start, trained_runs, output_dir):
    start("seed=41")
    name = "cross_entropy-s41"
    parent, _ = sweeps(output_dir)[name,]
    code, out, _ = start("seed=41", "rerun=true")
    assert code == 0 and trained_runs == [name, name] and "1 runs, all to be run again" in out
    assert sweeps(output_dir)[name,] == (parent, 2 * [(name, "FINISHED")])


@pytest.mark.parametrize(
    ("number", "code", "seed"), [(signal.SIGTERM, 143, 51), (signal.SIGINT, 130, 54)]
)
def test_a_signal_ends_a_sweep_which_the_same_command_resumes(
    number, code, seed, start, trained_runs, output_dir, monkeypatch
):
    overrides = ["train.batch_size=2", f"seed={seed},{seed + 1},{seed + 2}"]  # 12 steps each
    names = tuple(f"cross_entropy-s{seed + i}" for i in range(3))
    step, count = TrainingProgress.step, []

    def step_and_signal(self):
        step(self)
        count.append(self)
        if len(count) == 17:
            signal.raise_signal(number)

    monkeypatch.setattr(TrainingProgress, "step", step_and_signal)
    ended, out, err = start(*overrides)
    assert ended == code and trained_runs == list(names[:2])
    assert len(err) == 1 and err[0].endswith(shlex.join([*TINY, *overrides]))
    assert "; the same command resumes: python -m " in err[0]
    parent, children = sweeps(output_dir)[names]
    assert children == [(names[0], "FINISHED"), (names[1], "KILLED")]
    assert (parent, "KILLED") in parents(output_dir)
    folder = next((output_dir / "runs").glob(f"{names[1]}-*"))
    assert (folder / folder_module.CHECKPOINT).exists()

    again, out, err = start(*overrides)
    assert (again, err, trained_runs[2:]) == (
        0,
        [],
        list(names[1:]),
    ) and "3 runs, 1 already done" in out
    assert "resuming after step 5 of 12" in out
    assert sweeps(output_dir)[names] == (parent, [(name, "FINISHED") for name in names])
    assert (parent, "FINISHED") in parents(output_dir) and not (
        folder / folder_module.CHECKPOINT
    ).exists()


def test_rerun_is_left_out_of_the_command_that_resumes(start, failures):
    code, out, _ = start(MIXED[0], "manual_weights={O:3}", "seed=35", "rerun=true")
    (hint,) = [line for line in out if line.startswith("to retry the runs that failed")]
    assert code == 1 and "seed=35" in hint and "rerun" not in hint


@pytest.mark.parametrize("seeds", ["1", "1,2"])
def test_a_study_and_a_run_are_not_launched_together(seeds, start, trained_runs, tmp_path):
    code, out, err = start(
        f"output_dir={tmp_path / 'nothing'}", "study=none,focal_gamma", f"seed={seeds}"
    )
    assert (code, out, trained_runs) == (1, [], []) and not (tmp_path / "nothing").exists()
    assert err == [
        "nersweep: study=none and study=focal_gamma: this command asks for "
        "runs and for a study; use one command for each"
    ]


def test_two_studies_are_launched_together(start, output_dir):
    code, _, err = start(
        "study=focal_gamma,gamma_beta", "study.trials=1", "study.sampler=random", "seed=71"
    )
    assert (code, err) == (0, [])
    with sqlite3.connect(output_dir / "studies.db") as database:
        trials = database.execute(
            "select study_name, count(*) from studies join trials using (study_id)"
            " where state = 'COMPLETE' group by study_name order by study_name"
        ).fetchall()
    assert [(name.rpartition("-")[0], count) for name, count in trials] == [
        ("focal_gamma", 1),
        ("gamma_beta", 1),
    ]


def test_a_trial_that_fails_is_a_failure_of_the_command(start):
    rates = ["study.space.train.lr=choice(1e30,1e-3)", "study.sampler=grid", "study.pruner=none"]
    code, _, err = start(*DIVERGING, *rates, "seed=72")
    assert code == 1 and len(err) == 2
    assert all("trial 0 (train.lr=1e+30): the loss is " in line for line in err)
    assert err[1].removeprefix("nersweep: worker 0: ") == err[0].removeprefix("nersweep: ")


@pytest.mark.parametrize(
    "workers", [[], ["loss=focal", "study=focal_gamma", "study.trials=1"]], ids=["runs", "workers"]
)
def test_a_sweep_that_another_process_makes_is_left_to_it(workers, start, trained_runs, output_dir):
    overrides, before = [*workers, "seed=61"], set((output_dir / "sweeps").glob("*"))
    assert start(*overrides)[0] == 0
    (folder,) = set((output_dir / "sweeps").glob("*")) - before
    with folder_module.claim(folder):
        code, _, err = start(*overrides)
    other = f"process {os.getpid()} on {os.uname().nodename}"
    assert (code, err) == (
        1,
        [f"nersweep: {other} is running this sweep; wait for it, or end it"],
    )


HOLD = """
import sys, time
from pathlib import Path
from nersweep.results import folder
with folder.claim(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def command_of(runs, composer):
    """Of runs without fault."""
    checked = {without_seed(run): check.check_overrides(composer, run) for run in runs}
    return Command(runs, [], True, composer, checked)


@pytest.fixture
def elsewhere(output_dir):
    """elsewhere(seed): a run, and another process that works on it for a minute."""
    begun = []

    def hold(seed):
        sections.register()
        with Composer() as composer:
            (member,) = members_of(
                command_of([(*TINY, f"output_dir={output_dir}", f"seed={seed}")], composer)
            )
        command = [sys.executable, "-c", HOLD, member.folder]
        begun.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert begun[-1].stdout.readline() == "held\n"
        return member, begun[-1]

    yield hold
    for process in begun:
        process.kill()
        process.wait()


def waiting(member, process):
    holder = f"process {process.pid} on {os.uname().nodename}"
    return f"{member.folder.name}: waiting for {holder}, which is running it"


def test_a_run_that_another_sweep_makes_is_waited_for(elsewhere, start, trained_runs, meanwhile):
    member, process = elsewhere(62)
    meanwhile(process.kill)
    code, out, err = start("seed=62,63", "on_failure=stop")
    assert (code, err, trained_runs) == (0, [], ["cross_entropy-s62", "cross_entropy-s63"])
    assert process.poll() is not None and out.count(waiting(member, process)) == 1
    assert "2 of 2 runs finished" in out


@pytest.fixture
def meanwhile(monkeypatch):
    """meanwhile(act): does that as soon as a run is waited for."""
    print_line = folder_module.console.print

    def do(act):
        def say(line=""):
            print_line(line)
            if "waiting for" in line:
                act()

        monkeypatch.setattr(folder_module, "console", SimpleNamespace(print=say))

    return do


def test_a_signal_ends_a_wait_at_once(elsewhere, start, trained_runs, meanwhile):
    member, process = elsewhere(64)
    meanwhile(lambda: subprocess.Popen(["sh", "-c", f"sleep .3; kill -TERM {os.getpid()}"]))
    code, out, err = start("seed=64,65")
    assert (code, trained_runs, len(err)) == (143, [], 1) and process.poll() is None
    assert waiting(member, process) in out and err[0].startswith(
        "nersweep: stopped by SIGTERM; the same command"
    )


@pytest.mark.parametrize(
    ("status", "seed", "again"), [("diverged", 67, False), ("pruned", 68, True)]
)
def test_a_run_that_ends_elsewhere_is_repeated_where_a_start_would_repeat_it(
    status, seed, again, elsewhere, start, trained_runs, meanwhile
):
    member, process = elsewhere(seed)

    def end():
        result = Result(
            status=Status(status),
            name=member.name,
            fingerprint=member.fingerprint,
            error="it was nan",
        )
        write_result(member.folder, result)
        process.kill()

    meanwhile(end)
    code, out, err = start(f"seed={seed}")
    assert waiting(member, process) in out
    assert (code, trained_runs) == ((0, [member.name]) if again else (1, []))
    assert err == ([] if again else [f"nersweep: {member.name}: it was nan"])
    assert row(out, member.name)[0] == ("finished" if again else "diverged")


def test_a_report_that_lacks_a_package_fails_before_the_runs(start, trained_runs, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("nersweep.report")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)  # as if it were not installed
    code, _, err = start("seed=66", "report=true")
    assert (code, trained_runs, len(err)) == (1, [], 1) and "jinja2" in err[0]


PLANNED = [
    ["seed=1", "seed=2", "seed=3"],
    ["data.seed=${seed} seed=1", "data.seed=${seed} seed=2"],
    ["data.seed=${..seed} seed=1", "data.seed=${..seed} seed=2"],
    [f"train.batch_size=${{oc.select:seed,8}} seed={seed}" for seed in (1, 2)],
    [f"train.batch_size='${{oc.select:${{oc.decode:seed}}}}' seed={seed}" for seed in (1, 2)],
    ["loss=focal focal_gamma=${seed} seed=1", "loss=focal focal_gamma=${seed} seed=2"],
    ["seed=1 seed=2", "seed=2 seed=1"],
    ["seed=2", "device=cpu", "seed=3"],
    ["seed=1 ++seed=2", "++seed=2 seed=1"],
    ["loss=focal focal_gamma=2 seed=3", "loss=focal focal_gamma=2.0 seed=3", "loss=focal seed=3"],
    ["seed=4 output_dir=a-${seed}", "seed=5 output_dir=a-${seed}"],
]


@pytest.mark.parametrize("overrides", PLANNED, ids=" | ".join)
def test_runs_are_planned_under_the_names_that_they_will_have(overrides):
    sections.register()
    runs = [(*TINY, *one.split(" ")) for one in overrides]
    with Composer() as composer:
        plans = [plan.make(check.check_overrides(composer, overrides)) for overrides in runs]
    with Composer() as composer:
        members = members_of(command_of(runs, composer))
    assert [member.overrides for member in members] == runs
    assert [(member.name, member.fingerprint, member.folder) for member in members] == [
        (one.name, one.fingerprint, one.folder) for one in plans
    ]


def test_named_rows_are_rows_of_the_report_and_resume(start, trained_runs, output_dir):
    settings = 'sweep.settings=[loss=cross_entropy, {name: "the guide\'s", loss: focal}]'
    arguments = [settings, "seed=31,32", "report=true", "hydra/launcher=basic"]
    code, out, err = start(*arguments)
    assert (code, err) == (0, []) and len(trained_runs) == 4
    assert row(out, "cross_entropy-s31")[0] == "finished"
    (page,) = [line.split()[1] for line in out if line.startswith("report: ")]
    report = Path(page).with_suffix(".md").read_text("utf-8")
    assert "| the guide's " in report and "focal-g2" not in report.split("## ")[1]
    code, out, err = start(*arguments)
    assert (code, err) == (0, []) and len(trained_runs) == 4
