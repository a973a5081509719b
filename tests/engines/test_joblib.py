"""hydra/launcher=joblib: worker processes on this machine."""

import json
import signal
import subprocess
import sys
import time

import pytest

from nersweep import worker

pytestmark = pytest.mark.engine
pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="the extra parallel is not installed")

TWO = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
SMALL = ["data.train=60", "data.dev=20", "data.test=20", "train.epochs=1", "train.precision=fp32", "device=cpu"]
TINY = ["model.hidden=8", "model.layers=1", "model.heads=2"]


def test_every_job_runs_and_shares_the_cores(sweep):
    sweep.start(4, 3, *TWO)
    assert sweep.finish() == 0, sweep.told()
    starts = sweep.log("start")
    assert sorted(entry["seed"] for entry in sweep.log("done")) == [1, 2, 3, 4]
    assert len({entry["pid"] for entry in starts}) == 2 and sweep.process.pid not in {e["pid"] for e in starts}
    assert {entry["threads"] for entry in starts} == {str(max(1, worker.cores() // 2))}


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_workers_write_their_checkpoints_and_do_not_outlive_the_sweep(sweep, number, code):
    process = sweep.start(4, 600, *TWO)
    sweep.reach("start", 2)
    time.sleep(0.5)
    sent = time.monotonic()
    process.send_signal(number)
    assert sweep.finish(10) == code
    checkpoints = sweep.reach("checkpoint", 2, 10)
    assert sweep.empty(10 - (time.monotonic() - sent)) and {entry["seed"] for entry in checkpoints} == {1, 2}
    assert all(entry["done"] > 0 for entry in checkpoints) and len(sweep.log("start")) == 2

    sweep.start(2, max(entry["done"] for entry in checkpoints) + 2, *TWO)
    assert sweep.finish() == 0, sweep.told()
    again = {entry["seed"]: entry["done"] for entry in sweep.log("start")[2:]}
    assert again == {entry["seed"]: entry["done"] for entry in checkpoints}


def test_the_command_runs_its_sweep_in_two_processes(tmp_path):
    command = [sys.executable, "-m", "nersweep", "-m", *TWO, *SMALL, *TINY, "seed=1,2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    results = [json.loads(file.read_text()) for file in tmp_path.glob("outputs/runs/*/result.json")]
    assert [result["status"] for result in results] == ["finished", "finished"]
