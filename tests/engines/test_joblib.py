"""hydra/launcher=joblib: worker processes on this machine."""

import os
import re
import signal
import time

import pytest

from nersweep.machine import host

pytestmark = pytest.mark.engine
pytest.importorskip(
    "hydra_plugins.hydra_joblib_launcher", reason="the extra parallel is not installed"
)

TWO = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]


def test_every_job_runs_and_shares_the_cores(sweep):
    sweep.start(4, 3, *TWO)
    assert sweep.finish() == 0, sweep.told()
    starts = sweep.log("start")
    assert sorted(entry["seed"] for entry in sweep.log("done")) == [1, 2, 3, 4]
    assert len({entry["pid"] for entry in starts}) == 2 and sweep.process.pid not in {
        e["pid"] for e in starts
    }
    assert {entry["threads"] for entry in starts} == {str(max(1, host.cores() // 2))}


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.long),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_workers_write_their_checkpoints_and_do_not_outlive_the_sweep(sweep, number, code):
    process = sweep.start(4, 600, *TWO)
    sweep.reach("start", 2)
    time.sleep(0.5)
    sent = time.monotonic()
    process.send_signal(number)
    assert sweep.finish(10) == code
    checkpoints = sweep.reach("checkpoint", 2, 10)
    assert sweep.empty(10 - (time.monotonic() - sent)) and {
        entry["seed"] for entry in checkpoints
    } == {1, 2}
    assert all(entry["done"] > 0 for entry in checkpoints) and len(sweep.log("start")) == 2

    sweep.start(2, max(entry["done"] for entry in checkpoints) + 2, *TWO)
    assert sweep.finish() == 0, sweep.told()
    again = {entry["seed"]: entry["done"] for entry in sweep.log("start")[2:]}
    assert again == {entry["seed"]: entry["done"] for entry in checkpoints}


def test_a_killed_worker_ends_its_launch_and_its_neighbour(sweep):
    sweep.start(4, 600, *TWO)
    os.kill(sweep.reach("start", 2)[0]["pid"], signal.SIGKILL)
    assert sweep.finish() == 1 and "terminated" in sweep.told()
    assert sweep.empty(10) and len(sweep.log("start")) == 2


@pytest.mark.long
def test_the_same_command_completes_runs_whose_processes_were_killed(multirun):
    command = multirun(*TWO, "seed=1,2,3")
    os.kill(command.reach(1), signal.SIGKILL)  # joblib ends its neighbour with it
    code, out, err = command.ends()
    assert (code, err, command.statuses()) == (0, [], ["finished"] * 3), out
    assert "their processes were killed" in out and "3 of 3 runs finished" in out


@pytest.mark.long
def test_a_run_that_is_killed_again_and_again_takes_no_other_with_it(multirun):
    command = multirun(*TWO, "seed=1,2,3")
    times = command.kill_always(1)
    code, out, (line,) = command.ends()
    assert (code, command.statuses()) == (1, ["running", "finished", "finished"]), out
    assert line.startswith(
        f"nersweep: cross_entropy-s1: its process was killed {times} times"
    ) and times in (2, 3)


STUDY = [
    "study.space.train.lr=choice(1e-3,1e-2)",
    "study.sampler=grid",
    "study.pruner=none",
    "study.worker=1,2",
]


@pytest.mark.long
def test_a_study_outlives_its_workers(multirun):
    command = multirun(*TWO, *STUDY)
    os.kill(command.reach(1), signal.SIGKILL)
    code, out, err = command.ends()
    assert (code, err, command.statuses()) == (0, [], ["finished"] * 2), out
    assert "2 complete" in out


@pytest.mark.long
def test_the_command_reports_a_trial_that_fails_in_a_worker(multirun):
    command = multirun(
        *TWO,
        "study.space.train.lr=choice(1e30,1e-2)",
        *STUDY[1:],
        "train.max_grad_norm=1e30",
        "train.warmup=0",
    )
    code, out, err = command.ends()
    assert code == 1 and "1 complete, 1 failed" in out
    assert any(
        re.match(r"nersweep: worker [01]: trial \d \(train.lr=1e\+30\): the loss is ", line)
        for line in err
    ), err
