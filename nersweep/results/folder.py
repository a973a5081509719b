"""The folder of a run, and the process that works in it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from nersweep.faults import Fault, UserError
from nersweep.machine import locks, signals
from nersweep.machine.files import UNFINISHED, writable
from nersweep.results.card import remove_card
from nersweep.terminal import console

CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.jsonl"  # a record of each step and epoch
LOCK = "lock"
PATIENCE = 0.2  # seconds to wait for a process that only looks whether the folder is free
T = TypeVar("T")


class Claimed(UserError):
    """Raised for a folder that another process works in. holder: "process 12 on HOST"."""

    def __init__(self, folder: Path, holder: str):
        super().__init__(Fault(folder.name, must=f"{holder} is running it"))
        self.folder, self.holder = folder, holder


def run_folder(output_dir: Path, name: str, fingerprint: str) -> Path:
    """Return the folder of a run: the same run always has the same one."""
    return output_dir / "runs" / f"{name}-{fingerprint[:8]}"


def folders_named(name: str, output_dir: Path, file: str) -> list[Path]:
    """Return the folders of the runs of this name, else those whose folder's name begins with it.

    file: what a folder of a run holds.
    """
    folders: list[Path] = []
    exact: list[Path] = []
    for place in sorted((output_dir / "runs").glob(f"*/{file}")):
        folder = place.parent
        if folder.name.startswith(name):
            folders.append(folder)
        if folder == run_folder(output_dir, name, folder.name[-8:]):
            exact.append(folder)
    return exact or folders


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Claim a folder for this process. The system ends the claim with the process.

    Raises Claimed if another process works in it.
    """
    writable(folder)
    with ExitStack() as stack:
        try:
            stack.enter_context(locks.hold(folder / LOCK, PATIENCE))
        except locks.Busy as error:
            raise Claimed(folder, str(error)) from None
        for pattern in (UNFINISHED, f"*/{UNFINISHED}"):
            for leftover in folder.glob(pattern):  # by a process that was killed
                leftover.unlink(missing_ok=True)
        yield


def forget(folder: Path) -> None:
    """Remove what a new attempt would continue, and what trackers would take for a part of it."""
    remove_card(folder)
    for name in (CHECKPOINT, METRICS):
        (folder / name).unlink(missing_ok=True)


def retry_while_claimed(attempt: Callable[[], T]) -> T:
    """Return what `attempt` returns. While another process has claimed its folder, wait for it."""
    while True:
        try:
            return attempt()
        except Claimed as error:
            console.print(f"{error.folder.name}: waiting for {error.holder}, which is running it")
            signals.end()
            locks.wait(error.folder / LOCK)
