"""The process that launched a sweep, and the folder in which its workers sign in.

Each worker signs in: a file in the main process's folder has its process id and start time as its
name. So the main process finds it, be it a child (joblib), a grandchild (submitit) or none (Ray).
"""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self

from nersweep.machine import signals
from nersweep.machine.host import alive, host, host_folder, start_time

GRACE_SECONDS = 8  # for a step and its checkpoint; then a worker is killed
LEAVING = "leaving"  # the file that tells workers that the main process is about to end


@dataclass(frozen=True)
class MainProcess:
    """The process that launched a sweep; picklable.

    started: its start time, which tells it from a later process of the same id.
    folder: where the workers on this host sign in.
    """

    host: dict[str, str]
    pid: int
    started: float | None
    folder: str

    @classmethod
    def here(cls) -> Self:
        """Return this process as a main process."""
        pid = os.getpid()
        folder = host_folder() / "workers" / process_name(pid)
        return cls(host(), pid, start_time(pid), str(folder))

    def is_here(self) -> bool:
        """Return whether it is this process."""
        return self.host == host() and self.pid == os.getpid() and alive(self.pid, self.started)

    def is_gone(self) -> bool:
        """Return whether it has ended; False for another host, whose processes are not visible."""
        return self.host == host() and not alive(self.pid, self.started)

    def is_leaving(self) -> bool:
        """Return whether it has ended or is about to; False for another host."""
        return self.is_gone() or (self.host == host() and Path(self.folder, LEAVING).exists())

    def sign_in(self) -> None:
        """Sign in this process as a worker, if it runs on the main process's host."""
        if self.host == host():
            Path(self.folder).mkdir(parents=True, exist_ok=True)
            Path(self.folder, process_name(os.getpid())).touch()

    def sign_out(self) -> None:
        """Undo sign_in."""
        for file in Path(self.folder).glob(f"{os.getpid()}-*"):
            file.unlink(missing_ok=True)

    def workers(self) -> dict[int, float]:
        """Return the live workers signed in on this host: start times by process id."""
        workers = {}
        for file in Path(self.folder).glob("*-*"):
            pid, started = process_of(file.name)
            if alive(pid, started):
                workers[pid] = started
        return workers

    def end_workers(self) -> None:
        """Ask the workers on this host to end, and wait for them, at most GRACE_SECONDS."""
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        Path(self.folder, LEAVING).touch()
        workers = self.workers()  # as of now: they sign out before they end
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while any(map(alive, workers, workers.values())) and time.monotonic() < deadline:
            time.sleep(0.05)

    def clear(self) -> None:
        """Remove the folder, and those that killed main processes left behind."""
        for folder in Path(self.folder).parent.glob("*-*"):
            if str(folder) == self.folder or not alive(*process_of(folder.name)):
                shutil.rmtree(folder, ignore_errors=True)


def process_name(pid: int) -> str:
    """Return the name of the file or folder of a process: its id and its start time."""
    return f"{pid}-{start_time(pid)}"


def process_of(name: str) -> tuple[int, float]:
    """Return the id and the start time of a process, given its process_name."""
    pid, _, started = name.partition("-")
    return int(pid), float(started)


@contextmanager
def ending(main: MainProcess) -> Iterator[None]:
    """End the workers first whenever something ends this process while the body runs.

    A signal goes to the workers and takes its effect here when they have ended, after at most
    GRACE_SECONDS; a second signal takes its effect at once.
    """
    handlers = {number: signal.getsignal(number) for number in signals.heeded()}

    def forward(number: int, frame: FrameType | None) -> None:
        for other in handlers:
            signal.signal(other, signals.handle)
        signals.pending.append(signal.Signals(number))
        main.end_workers()
        if not signals.deferrals:
            signals.end()

    for number in handlers:
        signal.signal(number, forward)
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        if not signals.pending:
            main.end_workers()
        raise
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        main.clear()
