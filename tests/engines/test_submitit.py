"""hydra/launcher=submitit_local: SLURM's launcher, with processes of this machine for its jobs."""

import os
import signal
import time

import pytest

from nersweep.machine import host

pytestmark = pytest.mark.engine
pytest.importorskip(
    "hydra_plugins.hydra_submitit_launcher", reason="the extra slurm is not installed"
)

LOCAL = ["hydra/launcher=submitit_local"]


def test_a_preempted_job_writes_its_checkpoint_and_is_queued_again(sweep):
    sweep.start(2, 60, *LOCAL)
    started = {entry["seed"]: entry for entry in sweep.reach("start", 2)}
    time.sleep(1)
    os.kill(started[2]["pid"], signal.SIGUSR2)  # what SLURM sends before it takes a node away
    assert sweep.finish() == 0, sweep.told()
    (checkpoint,) = sweep.log("checkpoint")
    again = sweep.log("start")[2:]
    assert checkpoint["seed"] == 2 and 0 < checkpoint["done"] < 60
    assert [(entry["seed"], entry["done"]) for entry in again] == [(2, checkpoint["done"])]
    assert again[0]["pid"] != started[2]["pid"]
    assert sorted(entry["seed"] for entry in sweep.log("done")) == [1, 2]


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_jobs_write_their_checkpoints_and_do_not_outlive_the_sweep(sweep, number, code):
    process = sweep.start(2, 600, *LOCAL)
    started = sweep.reach("start", 2)
    time.sleep(0.5)
    sent = time.monotonic()
    process.send_signal(number)
    assert sweep.finish(10) == code
    sweep.reach("checkpoint", 2, 10)
    controllers = {entry["parent"] for entry in started}
    assert sweep.empty(10 - (time.monotonic() - sent))
    while any(host.alive(pid, None) for pid in controllers) and time.monotonic() - sent < 10:
        time.sleep(0.05)
    assert not any(host.alive(pid, None) for pid in controllers)
    assert {entry["seed"] for entry in sweep.log("checkpoint")} == {1, 2} and len(
        sweep.log("start")
    ) == 2


@pytest.mark.long
def test_a_job_that_was_killed_is_sent_again_after_the_others_which_are_sent_once(multirun):
    command = multirun(*LOCAL, "seed=1,2,3")
    killed, stopped = command.reach(1), command.reach(2)
    os.kill(stopped, signal.SIGSTOP)
    os.kill(killed, signal.SIGKILL)
    time.sleep(20)  # submitit's own results() gives up after 15 s
    launched = command.launched()
    os.kill(stopped, signal.SIGCONT)
    assert launched == [3] and command.process.poll() is None
    code, out, err = command.ends()
    assert (code, err, command.statuses()) == (0, [], ["finished"] * 3), out
    assert out.count("retrying ") == out.count("retrying 1 of 3 runs") == 1
    assert not command.launched()
