"""A worker knows its main process, asks for a checkpoint once, ends with it, and signs in."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nersweep.machine import host, signals
from nersweep.sweep import main_process as main_process_module
from nersweep.sweep import worker
from nersweep.sweep.main_process import MainProcess, ending

LOOP = """
import pickle, sys, time
from pathlib import Path
from nersweep.machine import signals
from nersweep.sweep import worker
worker.GRACE_SECONDS = float(sys.argv[3])
worker.begin(pickle.loads(bytes.fromhex(sys.argv[1])), 3)
try:
    with signals.deferral():
        Path(sys.argv[2]).write_text("begun")
        while not signals.pending or sys.argv[4] == "stuck":
            time.sleep(.02)
        Path(sys.argv[2]).write_text("checkpoint")
        signals.end()
except BaseException as error:
    worker.end(error)
    raise
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """What processes tell each other stays in the test's folder."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(worker, "main_processes", [])
    monkeypatch.setattr(worker, "requeues", {})
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)}
    yield tmp_path
    for number, handler in handlers.items():
        signal.signal(number, handler)


def started(
    main: MainProcess, file: Path, grace: float = 8, how: str = "steps"
) -> subprocess.Popen:
    """A worker of this main process, in the middle of its training."""
    command = [sys.executable, "-c", LOOP, pickle.dumps(main).hex(), str(file), str(grace), how]
    process = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(Path(worker.__file__).parents[2])}
    )
    deadline = time.monotonic() + 20
    while not file.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    return process


@pytest.fixture
def other():
    """Another process, which sleeps, and what workers know of it as their main process."""
    process = subprocess.Popen(["sleep", "60"])
    pid = process.pid
    yield (
        process,
        MainProcess(
            host.host(), pid, host.start_time(pid), str(host.host_folder() / f"workers/{pid}-1")
        ),
    )
    process.kill()
    process.wait()


def test_the_main_process_itself_is_no_worker():
    before = signal.getsignal(signal.SIGTERM)
    worker.begin(MainProcess.here(), 1)
    worker.end(SystemExit(1))
    assert not worker.main_processes and signal.getsignal(signal.SIGTERM) == before


def test_a_main_process_travels_and_is_known_by_its_start_as_well():
    here = pickle.loads(pickle.dumps(MainProcess.here()))
    later = MainProcess(here.host, here.pid, 1.0, here.folder)
    assert here.is_here() and not here.is_gone() and not here.is_leaving()
    assert not later.is_here() and later.is_gone()


def test_nothing_is_known_of_another_host():
    there = MainProcess({"host": "elsewhere"}, 2**22 + 1, 1.0, "/nowhere")
    assert not (there.is_here() or there.is_gone() or there.is_leaving())


def test_a_worker_signs_in_for_each_launch(other, place):
    code = """
import pickle, sys
from nersweep.sweep import worker
main = pickle.loads(bytes.fromhex(sys.argv[1]))
for _ in range(2):
    worker.begin(main)
    print(list(main.workers()))
    main.clear()"""
    command = [sys.executable, "-c", code, pickle.dumps(other[1]).hex()]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(place)}
    )
    assert process.communicate(timeout=60)[0] == 2 * f"[{process.pid}]\n"


@pytest.mark.parametrize("kill", [True, False])
def test_a_worker_writes_its_checkpoint_when_its_main_process_has_gone(other, place, kill):
    process = started(other[1], place / "file")
    other[0].send_signal(signal.SIGKILL if kill else signal.SIGTERM)
    assert process.wait(5) == 143 and (place / "file").read_text() == "checkpoint"


def test_a_worker_that_is_stuck_is_ended(other, place):
    process = started(other[1], place / "file", 0.5, "stuck")
    other[0].kill()
    assert process.wait(5) == 143 and (place / "file").read_text() == "begun"
    assert worker.POLL_SECONDS + worker.GRACE_SECONDS < 10


def test_a_worker_does_not_start_without_its_main_process(other, place):
    other[0].kill()
    other[0].wait()
    process = started(other[1], place / "file")
    assert process.wait(5) == 143 and not (place / "file").exists()


def test_a_signal_to_the_main_process_ends_the_workers_first(place):
    main = MainProcess.here()
    worker_process = started(main, place / "file")
    with pytest.raises(SystemExit), ending(main):
        assert list(main.workers()) == [worker_process.pid]
        signal.raise_signal(signal.SIGTERM)
    assert (place / "file").read_text() == "checkpoint" and worker_process.wait(1) == 143
    assert not Path(main.folder).exists() and signals.pending == [signal.SIGTERM]


def test_no_job_starts_while_the_main_process_leaves(place):
    main = MainProcess.here()
    main.end_workers()
    assert started(main, place / "file").wait(5) == 143 and not (place / "file").exists()


def test_the_main_process_does_not_wait_for_a_worker_that_is_stuck(place, monkeypatch):
    main = MainProcess.here()
    process = started(main, place / "file", how="stuck")
    monkeypatch.setattr(main_process_module, "GRACE_SECONDS", 0.3)
    main.end_workers()
    assert process.poll() is None  # the worker is still there
    process.kill()
    process.wait()


def test_a_second_signal_to_the_main_process_does_not_wait(place, monkeypatch):
    monkeypatch.setattr(main_process_module, "GRACE_SECONDS", 3600)
    main = MainProcess.here()
    process = started(main, place / "file", how="stuck")
    subprocess.Popen(["sh", "-c", f"sleep .5; kill -TERM {os.getpid()}"])
    with pytest.raises(KeyboardInterrupt), ending(main):
        signal.raise_signal(signal.SIGINT)
    assert process.poll() is None  # the worker is still there
    process.kill()
    process.wait()


def test_folders_of_killed_main_processes_are_removed():
    main = MainProcess.here()
    dead = Path(main.folder).with_name(f"{2**22 + 1}-1")
    dead.mkdir(parents=True)
    with ending(main):
        pass
    assert not dead.exists()


def test_only_the_first_signal_asks():
    with pytest.raises(KeyboardInterrupt), signals.deferral():
        worker.handle_first(signal.SIGINT, None)
        worker.handle_first(signal.SIGTERM, None)
    assert signals.pending == [signal.SIGINT]


@pytest.mark.parametrize(("engine", "stays"), [("local", False), ("slurm", True)])
def test_under_submitit_a_preemption_asks_for_a_checkpoint_and_then_queues_the_job_again(
    engine, stays, monkeypatch
):
    queued = []
    monkeypatch.setenv("SUBMITIT_EXECUTOR", engine)
    monkeypatch.setenv("SUBMITIT_FOLDER", "sweep")
    signal.signal(signal.SIGUSR2, lambda number, frame: queued.append(number))
    ignoring = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, ignoring)
    worker.listen()
    assert (signal.getsignal(signal.SIGTERM) == ignoring) == stays
    worker.main_processes.append(MainProcess({"host": "elsewhere"}, 1, 1.0, "/nowhere"))
    monkeypatch.setattr(worker, "leave", lambda: queued.append("left"))
    with pytest.raises(SystemExit), signals.deferral():
        signal.raise_signal(signal.SIGUSR2)
    assert signals.pending == [signal.SIGUSR2] and not queued
    worker.end(SystemExit("stopped by SIGUSR2"))
    assert queued == [signal.SIGUSR2, "left"]


def test_a_failure_of_a_job_does_not_end_its_worker(monkeypatch):
    worker.main_processes.append(MainProcess({"host": "elsewhere"}, 1, 1.0, "/nowhere"))
    monkeypatch.setattr(worker, "leave", lambda: pytest.fail("left"))
    worker.end(ValueError("a fault"))


@pytest.mark.parametrize(("before", "threads"), [("", 1), ("import torch", 3)])
def test_threads_reach_a_worker(before, threads):
    code = f"""{before}
import pickle, sys
from nersweep.sweep import worker
worker.begin(pickle.loads(bytes.fromhex(sys.argv[1])), {threads})
import torch
print(torch.get_num_threads())"""
    main = pickle.dumps(MainProcess({"host": "elsewhere"}, 1, 1.0, "/nowhere")).hex()
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", code, main], env=environment, capture_output=True, text=True
    )
    assert done.stdout.split() == [str(threads)], done.stderr
