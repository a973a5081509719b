"""GPUs by slot: runs of one user on a host take turns, so that no more of them share a GPU than are meant to.

with gpus.slot(torch.cuda.device_count(), gpus_per_run=0.5) as device:  # cuda:0 for the first and the third run
    ...
"""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

POLL_SECONDS = 0.2  # between two looks at whether a slot is free


def fault(gpus_per_run: float | None) -> str | None:
    """What is wrong with the setting, as one line."""
    if gpus_per_run is None or (
        0 < gpus_per_run <= 1 and abs(1 / gpus_per_run - round(1 / gpus_per_run)) < 1e-6
    ):
        return None
    return f"gpus_per_run={gpus_per_run:g}: must be 1, or 1 over a whole number (0.5, 0.25: so many runs share a GPU)"


def slots(gpus: int, gpus_per_run: float) -> list[tuple[int, int]]:
    """GPU and place on it of each slot, in the order in which runs take them: a GPU without a run comes first."""
    return [(gpu, place) for place in range(round(1 / gpus_per_run)) for gpu in range(gpus)]


@contextmanager
def slot(gpus: int, gpus_per_run: float, folder: Path) -> Iterator[str]:
    """Waits for a free slot and holds it: a lock in the folder, which the system gives back with the process, however
    that ends. Yields the device, such as cuda:1. Runs with another gpus_per_run count their slots for themselves."""
    names = physical(gpus, os.environ.get("CUDA_VISIBLE_DEVICES"))
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        for gpu, place in slots(gpus, gpus_per_run):
            with open(folder / f"gpu-{names[gpu]}-{place}", "w") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield f"cuda:{gpu}"
                return
        time.sleep(POLL_SECONDS)


def physical(gpus: int, visible: str | None) -> Sequence[str]:
    """What the GPUs that this process counts from 0 are called for all processes: its number or its UUID."""
    named = [name.strip() for name in (visible or "").split(",") if name.strip()]
    return named[:gpus] if len(named) >= gpus else [str(gpu) for gpu in range(gpus)]
