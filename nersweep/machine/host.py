"""This host and its processes."""

import os
import socket
import tempfile
from pathlib import Path


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def host() -> str:
    """The same for processes that see each other's ids: name, boot and, in a container, its process namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def host_folder() -> Path:
    """This user's own on this host, for what processes tell each other. Raises ValueError where it is another's."""
    folder = Path(tempfile.gettempdir()) / f"nersweep-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise ValueError(f"{folder}: belongs to another user; set TMPDIR to a folder of yours")
    return folder


def alive(pid: int, started: str | None) -> bool:
    """Is there such a process, started then? One that has ended and waits to be noticed is not alive."""
    state, time_ = stat(pid)
    if time_ is not None:
        return state not in "ZX" and started in (None, time_)
    if Path("/proc/self/stat").exists():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def start_time(pid: int) -> str | None:
    return stat(pid)[1]


def stat(pid: int) -> tuple[str, str | None]:
    """State and start time of a process, from Linux's /proc; the time is None where there is nothing to read."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return "", None
    return fields[0], fields[19]
