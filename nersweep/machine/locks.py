"""File locks. The system releases a lock when the process that holds it ends, however it ends."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

POLL_SECONDS = 0.05  # between two attempts at a lock that another process holds


class Busy(Exception):
    """Raised for a lock that another process holds; str() names the process."""


@contextmanager
def hold(path: Path, timeout: float = -1) -> Iterator[None]:
    """Hold the lock of this file, which keeps the name of its holder: "process 12 on HOST".

    The file is created with its folder and stays. timeout: seconds to wait for another process;
    negative waits without end, 0 tries once. A signal's handler runs during the wait. Raises Busy.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.open("a").close()  # raises where filelock would retry without end, as in /proc
    lock = lock_of(path, timeout)
    try:
        lock.acquire()
    except Timeout:
        raise Busy(holder(path)) from None
    try:
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        lock.release()


def holder(path: Path) -> str:
    """Return who holds a lock, or held it last: "process 12 on HOST"."""
    return path.read_text(encoding="utf-8") or "another process"


def is_held(path: Path) -> bool:
    """Return whether a process, this one included, holds the lock of this file."""
    lock = lock_of(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    lock.release()
    return False


def wait(path: Path) -> None:
    """Wait until no other process holds the lock of this file."""
    with lock_of(path, timeout=-1):
        return


def lock_of(path: Path, timeout: float) -> FileLock:
    """Return a lock of the kernel's, not a mere lock file, which would outlive its process."""
    return FileLock(path, timeout, poll_interval=POLL_SECONDS, fallback_to_soft=False)
