"""A process is known by its id and its start."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from nersweep.machine.host import alive, host_folder, start_time


def test_a_process_of_another_start_is_another():
    started = start_time(os.getpid())
    assert alive(os.getpid(), started) and not alive(os.getpid(), started - 10)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system keeps the start itself")
def test_a_step_of_the_clock_ends_no_process(monkeypatch):
    started, create_time, boot_time = (
        start_time(os.getpid()), psutil.Process.create_time, psutil.boot_time,
    )  # fmt: skip
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: create_time(self) + 3600)
    monkeypatch.setattr(psutil, "boot_time", lambda: boot_time() + 3600)
    assert alive(os.getpid(), started)


def test_a_process_that_nobody_has_waited_for_is_not_alive():
    process = subprocess.Popen(["true"])
    deadline = time.monotonic() + 5
    while alive(process.pid, None) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(process.pid, None)
    process.wait()


def test_a_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"nersweep-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="belongs to another user"):
        host_folder()
