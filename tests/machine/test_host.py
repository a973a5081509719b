"""A process is known by its id and its start."""

import os
import sys

import psutil
import pytest

from nersweep.machine.host import alive, start_time


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
