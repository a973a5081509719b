"""This host and its processes."""

import os
import platform
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

from nersweep.faults import Fault, UserError

CLOCK_SECONDS = 2  # by which two readings of one start time may differ


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    """Return the processor's name as its maker writes it; its architecture if that is unknown."""
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        return answer.stdout.strip() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def host() -> dict[str, str]:
    """Return what the processes that see each other's ids share: fields that are equal for them.

    host: the name, which two machines or containers may share. On Linux also boot: of the last
    start, and processes: the namespace of the ids.
    """
    fields = {"host": socket.gethostname()}
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        fields |= {"boot": boot, "processes": os.readlink("/proc/self/ns/pid")}
    return fields


def host_folder() -> Path:
    """Return this user's folder on this host, in which processes leave notes for each other.

    Raises UserError if it belongs to another user.
    """
    folder = Path(tempfile.gettempdir()) / f"nersweep-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        remedy = "set TMPDIR to a folder of yours"
        raise UserError(Fault(str(folder), must="belongs to another user", remedy=remedy))
    return folder


def start_time(pid: int) -> float | None:
    """Return when a process started, in seconds; None if there is no such process.

    On Linux they count from the boot, since there a step of the clock moves all times since 1970.
    """
    try:
        return since_boot(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def since_boot(time: float) -> float:
    """Return a start time, as psutil gives it, as `start_time` does."""
    return time - psutil.boot_time() if sys.platform == "linux" else time


def alive(pid: int, started: float | None = None) -> bool:
    """Return whether a process runs that started then; a zombie does not run."""
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return False
        return started is None or abs(since_boot(process.create_time()) - started) < CLOCK_SECONDS
    except psutil.AccessDenied:
        return True
    except psutil.NoSuchProcess:
        return False


def refuse_windows() -> None:
    """Raise UserError on Windows."""
    if sys.platform == "win32":
        remedy = "run it under WSL: https://learn.microsoft.com/windows/wsl"
        raise UserError(Fault("nersweep", must="needs Linux or macOS", remedy=remedy))
