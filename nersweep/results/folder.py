"""The folder of a run, and who works in it."""

import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nersweep.machine import signals
from nersweep.machine.files import UNFINISHED, writable
from nersweep.terminal import console

CHECKPOINT = "checkpoint.safetensors"
LOCK = "lock"


class Claimed(ValueError):
    """Another process works in the folder."""


def run_folder(output_dir: Path, name: str, fingerprint: str) -> Path:
    """The folder of a run: the same run always has the same one."""
    return output_dir / "runs" / f"{name}-{fingerprint[:8]}"


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """This process alone works in the folder; the system ends the claim with the process, however that ends. Raises
    Claimed where another process does."""
    writable(folder)
    with open(folder / LOCK, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Claimed(
                f"{folder.name}: {file.read() or 'another process'} is running it"
            ) from None
        for left in (
            *folder.glob(UNFINISHED),
            *folder.glob(f"*/{UNFINISHED}"),
        ):  # by a process that was killed
            left.unlink(missing_ok=True)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def when_free(make: Callable[[], Any], folder: Callable[[], Path]) -> Any:
    """What `make` makes of a run in this folder. While another process makes it, that one is waited for."""
    while True:
        try:
            return make()
        except Claimed:
            with open(folder() / LOCK, encoding="utf-8") as file:
                console.print(
                    f"{folder().name}: waiting for {file.read() or 'another process'}, which is running it"
                )
                signals.end()
                fcntl.flock(file, fcntl.LOCK_SH)  # a signal's handler ends it
