"""A lock is held by one process at a time, names it, and ends with it."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nersweep.machine import locks

HOLD = """
import sys, time
from pathlib import Path
from nersweep.machine import locks
with locks.hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process, which holds the lock of the file."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()


def test_a_lock_of_another_process_is_busy_and_names_it(other, tmp_path):
    with pytest.raises(locks.Busy) as error, locks.hold(tmp_path / "lock", timeout=0):
        pass
    assert str(error.value) == f"process {other.pid} on {socket.gethostname()}"
    assert locks.is_held(tmp_path / "lock")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_lock_ends_with_its_process(other, tmp_path, number):
    waiting = threading.Thread(target=locks.wait, args=[tmp_path / "lock"])
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    other.send_signal(number)
    waiting.join(10)
    assert not waiting.is_alive() and not locks.is_held(tmp_path / "lock")


def test_a_lock_makes_its_folder_and_is_free_afterwards(tmp_path):
    path = tmp_path / "new" / "lock"
    with locks.hold(path, timeout=0):
        assert locks.holder(path).startswith(f"process {os.getpid()} on ")
        assert locks.is_held(path)
    with locks.hold(path, timeout=0):
        pass
    assert not locks.is_held(path)


def test_a_signal_ends_a_wait(other, tmp_path):
    def handler(number, frame):
        raise InterruptedError

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    with pytest.raises(InterruptedError):
        locks.wait(tmp_path / "lock")
    signal.signal(signal.SIGALRM, before)


def test_a_lock_that_cannot_be_created_raises_at_once():
    with pytest.raises(OSError), locks.hold(Path("/proc/lock")):
        pass
