"""The folder of a run, and who works in it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from nersweep.faults import Fault, UserError
from nersweep.machine import locks, signals
from nersweep.machine.files import UNFINISHED, writable
from nersweep.terminal import console

CHECKPOINT = "checkpoint.safetensors"
LOCK = "lock"
PATIENCE = 0.2  # seconds to wait for a process that only looks whether the folder is free


class Claimed(UserError):
    """Raised for a folder that another process works in."""


def run_folder(output_dir: Path, name: str, fingerprint: str) -> Path:
    """Return the folder of a run: the same run always has the same one."""
    return output_dir / "runs" / f"{name}-{fingerprint[:8]}"


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Claim a folder for this process. The system ends the claim with the process.

    Raises Claimed if another process works in it.
    """
    writable(folder)
    with ExitStack() as claim:
        try:
            claim.enter_context(locks.hold(folder / LOCK, PATIENCE))
        except locks.Busy as error:
            raise Claimed(Fault(folder.name, must=f"{error} is running it")) from None
        for pattern in (UNFINISHED, f"*/{UNFINISHED}"):
            for leftover in folder.glob(pattern):  # by a process that was killed
                leftover.unlink(missing_ok=True)
        yield


def when_free(make: Callable[[], Any], folder: Callable[[], Path]) -> Any:
    """Return what `make` returns; wait for other processes while they work in the run's folder."""
    while True:
        try:
            return make()
        except Claimed:
            lock = folder() / LOCK
            holder = locks.holder(lock)
            console.print(f"{folder().name}: waiting for {holder}, which is running it")
            signals.end()
            locks.wait(lock)
