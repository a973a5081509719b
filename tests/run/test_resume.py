"""A process may be killed at any moment: the same command ends with undisturbed numbers."""

import json
import os
import random
import re
import signal
import sqlite3
import sys
import time
from pathlib import Path

import pytest
from forked import FORKED, run_command
from safetensors.torch import load_file

from nersweep.results import folder as folder_module
from nersweep.tracking.reading import run_id_of

pytestmark = pytest.mark.slow

TINY = [
    "data.train=64", "data.dev=16", "data.test=16", "model.hidden=16", "model.layers=1",
    "model.heads=2",
    "train.batch_size=4", "train.precision=fp32", "device=cpu",
]  # fmt: skip
LONG = [
    *TINY,
    "train.epochs=8",
    "loss=ghm",
    "model.dropout=0.2",
]  # with moving averages in the loss
TWICE = {
    "metrics": "run_uuid, key, step",
    "inputs": "source_id, destination_id",
    "logged_models": "source_run_id",
}


def command(arguments, folder, die_at=None):
    """A process of this command. die_at: it is killed before the first file of that name is
    there, or before the commit to the tracker of that number."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    commits = []

    def commit(_):
        commits.append(1)
        if len(commits) == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def write(event, about):
        if event == "os.rename" and Path(about[1]).name == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "commit", commit)
    sys.addaudithook(write)
    try:
        run_command(arguments, folder)
    finally:
        Path("commits").write_text(str(len(commits)))


@pytest.fixture
def place(tmp_path):
    """place(name): an empty folder."""

    def make(name):
        (tmp_path / name).mkdir()
        return tmp_path / name

    return make


@pytest.fixture
def start():
    """start(arguments, folder): the process of such a command. None of them stays."""
    started = []

    def go(arguments, folder, die_at=None):
        started.append(FORKED.Process(target=command, args=(arguments, folder, die_at)))
        started[-1].start()
        return started[-1]

    yield go
    for process in started:
        process.kill()
        process.join()


@pytest.fixture
def finish(start):
    """finish(arguments, folder): exit code, standard output and error of an undisturbed process."""

    def wait(arguments, folder):
        process = start(arguments, folder)
        process.join(120)
        return process.exitcode, *(
            (folder / f"{name}-{process.pid}").read_text() for name in ("out", "err")
        )

    return wait


def numbers(folder):
    """All scores and losses of its runs, by their folders."""
    actual = {}
    for file in (folder / "outputs" / "runs").glob("*/result.json"):
        result, lines = (
            json.loads(file.read_text("utf-8")),
            (file.parent / "metrics.jsonl").read_text("utf-8"),
        )
        predictions = (file.parent / "predictions" / "test.conll").read_text("utf-8")
        kept = {
            key: result[key]
            for key in ("status", "best_epoch", "epochs", "dev", "test", "absent", "padding")
        }
        actual[file.parent.name] = (
            kept,
            [json.loads(line) for line in lines.splitlines()],
            predictions,
        )
    return actual


def select(folder, query):
    with sqlite3.connect(folder / "outputs" / "mlflow.db") as database:
        return database.execute(query).fetchall()


def assert_same(folder, whole):
    """The folder's runs have the numbers of undisturbed ones, on disk and in the tracker.

    Nothing is stored twice or left over.
    """
    assert numbers(folder) == numbers(whole)
    history = (
        "select name, key, step, value from metrics join runs using (run_uuid) "
        "order by name, key, step, value"
    )
    assert select(folder, history) == select(whole, history)
    for query in (
        "select name, status from runs order by name",
        *(f"select count(*) from {table}" for table in TWICE),
    ):
        assert select(folder, query) == select(whole, query), query
    for table, key in TWICE.items():
        assert not select(
            folder, f"select {key} from {table} group by {key} having count(*) > 1"
        ), table
    for file in (folder / "outputs" / "runs").glob("*/result.json"):
        run_id = run_id_of(file.parent, f"sqlite:///{folder}/outputs/mlflow.db")
        assert (run_id,) in select(folder, "select run_uuid from runs")
        assert not (file.parent / folder_module.CHECKPOINT).exists()
        assert not [left.name for left in file.parent.rglob(".*")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nobody disturbed, and how long its process took."""
    folder = tmp_path_factory.mktemp("whole")
    process = FORKED.Process(target=command, args=(LONG, folder))
    began = time.monotonic()
    process.start()
    process.join(120)
    assert process.exitcode == 0
    return folder, time.monotonic() - began


RANDOM = random.Random(1)
MOMENTS = [(moment + RANDOM.random()) / 10 for moment in range(10)]  # shares of the whole time
SOME = MOMENTS[3:7:3]  # without and with checkpoints between epochs; the others take long
TIMES = [pytest.param(m, marks=() if m in SOME else pytest.mark.long) for m in MOMENTS]


@pytest.mark.parametrize("moment", TIMES)
def test_a_run_killed_at_any_moment_ends_with_the_same_numbers(moment, whole, place, start, finish):
    undisturbed, seconds = whole
    folder = place("killed")
    arguments = [*LONG, f"train.checkpoint_minutes={'null' if MOMENTS.index(moment) % 2 else 1e-6}"]
    process = start(arguments, folder)
    process.join(moment * seconds)
    process.kill()
    process.join()
    there = list((folder / "outputs" / "runs").glob(f"*/{folder_module.CHECKPOINT}"))
    worked = [load_file(file)["seconds"].item() for file in there]
    code, out, err = finish(arguments, folder)
    assert (code, err) == (0, "")
    assert ("resuming after step" in out) == bool(there)
    assert_same(folder, undisturbed)
    for file in (folder / "outputs" / "runs").glob("*/result.json"):
        spent = json.loads(file.read_text("utf-8"))["seconds"]
        parts = sum(seconds for name, seconds in spent.items() if name != "total")
        assert max(parts, *worked, 0) < spent["total"]  # of both processes


SHORT = [*TINY, "train.epochs=2"]


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """The folder of an undisturbed short run, and how many commits to the tracker it made."""
    folder = tmp_path_factory.mktemp("short")
    process = FORKED.Process(target=command, args=(SHORT, folder))
    process.start()
    process.join(120)
    assert process.exitcode == 0
    return folder, int((folder / "commits").read_text())


def test_a_damaged_checkpoint_is_reported_and_the_run_ends_with_the_same_numbers(
    short, place, start, finish
):
    undisturbed, _ = short
    folder = place("damaged")
    process = start(SHORT, folder, "dev.conll")
    process.join(60)
    (file,) = (folder / "outputs" / "runs").glob(f"*/{folder_module.CHECKPOINT}")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    code, out, err = finish(SHORT, folder)
    name = file.relative_to(folder)
    assert (code, err) == (0, f"{name}: cannot be read (it is damaged); the run starts over\n")
    assert "going on" not in out
    assert_same(folder, undisturbed)


FILES = ["result.json", "checkpoint.safetensors", "dev.conll"]
COMMITS = [0.6, *(pytest.param(share, marks=pytest.mark.long) for share in (0.3, 0.92))]


@pytest.mark.parametrize("write", [*FILES, *COMMITS])  # a file, or the share of all commits
def test_a_run_killed_before_any_write_leaves_nothing_twice(write, short, place, start, finish):
    undisturbed, commits = short
    folder = place("killed")
    process = start(SHORT, folder, write if write in FILES else round(write * commits))
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    code, _, err = finish(SHORT, folder)
    assert (code, err) == (0, "")
    assert_same(folder, undisturbed)


MANY = ["-m", *TINY, "train.epochs=4", "seed=1,2,3"]


def test_a_sweep_that_is_ended_in_the_middle_is_finished_by_the_same_command(place, start, finish):
    undisturbed, folder = place("undisturbed"), place("killed")
    assert finish(MANY, undisturbed)[0] == 0
    runs = folder / "outputs" / "runs"
    for name, number, code in (
        ("cross_entropy-s2", signal.SIGTERM, 143),
        ("cross_entropy-s3", signal.SIGKILL, -9),
    ):
        process = start(MANY, folder)
        while process.is_alive() and not list(runs.glob(f"{name}-*/{folder_module.CHECKPOINT}")):
            time.sleep(0.001)
        os.kill(process.pid, number)
        process.join()
        assert process.exitcode == code
    code, out, err = finish(MANY, folder)
    assert (
        (code, err) == (0, "") and "3 runs, 2 already done" in out and "3 of 3 runs finished" in out
    )
    assert_same(folder, undisturbed)
    parents = "select distinct value from tags where key = 'mlflow.parentRunId'"
    (sweep,) = (folder / "outputs" / "sweeps").iterdir()
    run_id = run_id_of(sweep, f"sqlite:///{folder}/outputs/mlflow.db")
    assert select(folder, parents) == [(run_id,)]


SWEEP = pytest.param(["-m", *TINY, "train.epochs=8", "seed=1,2"], marks=pytest.mark.long)


# tests/sweep/test_launch.py has the sweep in one process
@pytest.mark.parametrize("arguments", [[*TINY, "train.epochs=8"], SWEEP])
def test_of_two_processes_one_runs_and_the_other_says_so(arguments, place, start, finish):
    folder = place("both")
    first = start(arguments, folder)
    while first.is_alive() and not list(
        (folder / "outputs" / "runs").glob(f"*/{folder_module.CHECKPOINT}")
    ):
        time.sleep(0.001)
    os.kill(first.pid, signal.SIGSTOP)  # it is not over before the second one asks
    code, _, err = finish(arguments, folder)
    os.kill(first.pid, signal.SIGCONT)
    assert first.is_alive() and code == 1
    at_work = rf"process {first.pid} on .+"
    assert re.fullmatch(
        rf"nersweep: ([\w-]+: {at_work} is running it|{at_work} is running this sweep; [^\n]*)\n",
        err,
    )
    first.join(60)
    assert first.exitcode == 0 and not (folder / f"err-{first.pid}").read_text()
    assert not select(folder, "select name from runs group by name having count(*) > 1")
    assert select(folder, "select distinct status from runs") == [("FINISHED",)]


ALONE = pytest.param(SHORT, marks=pytest.mark.long)  # a sweep starts its runs in the same way


@pytest.mark.parametrize("arguments", [ALONE, ["-m", *SHORT, "seed=1,2"]])
def test_two_processes_that_start_at_once_repeat_no_run(arguments, place, start):
    folder = place("both")
    processes = [start(arguments, folder) for _ in range(2)]
    for process in processes:
        process.join(120)
    errors = [
        "".join(file.read_text() for file in folder.glob(f"err-{process.pid}"))
        for process in processes
    ]
    assert {process.exitcode for process in processes} <= {0, 1} and 0 in [
        process.exitcode for process in processes
    ]
    for process, err in zip(processes, errors, strict=True):
        assert process.exitcode == 0 or err.endswith(
            (" is running it\n", "wait for it, or end it\n")
        )
    assert not select(folder, "select name from runs group by name having count(*) > 1")
    assert {kept["status"] for kept, *_ in numbers(folder).values()} == {"finished"}
