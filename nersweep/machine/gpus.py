"""GPUs by slot: runs of one user on a host take turns, so that only so many share a GPU.

with gpus.slot(torch.cuda.device_count(), 0.5, folder) as device:
    ...  # cuda:0 for the first and the third run of three
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nersweep.faults import Fault
from nersweep.machine import locks

LEAST = 0.001  # of gpus_per_run
POLL_SECONDS = 0.2  # between two looks at whether a slot is free


def fault(gpus_per_run: float | None) -> Fault | None:
    """Return the fault of the setting, if it has one."""
    if gpus_per_run is None:
        return None
    if LEAST <= gpus_per_run <= 1 and abs(1 / gpus_per_run - round(1 / gpus_per_run)) < 1e-6:
        return None
    must = f"must be 1, or 1 over a whole number, ≥ {LEAST} (0.5, 0.25: so many runs share a GPU)"
    return Fault("gpus_per_run", f"{gpus_per_run:g}", must)


def slots(gpus: int, gpus_per_run: float) -> list[tuple[int, int]]:
    """Return the GPU and the place on it of each slot, a GPU without a run first."""
    slots = []
    for place in range(round(1 / gpus_per_run)):
        for gpu in range(gpus):
            slots.append((gpu, place))
    return slots


@contextmanager
def slot(gpus: int, gpus_per_run: float, folder: Path) -> Iterator[str]:
    """Wait for a free slot and hold it. Yields the device, such as cuda:1.

    folder: of the locks, one per slot. Runs with another gpus_per_run have slots of their own.
    """
    names = physical(gpus, os.environ.get("CUDA_VISIBLE_DEVICES"))
    while True:
        for gpu, place in slots(gpus, gpus_per_run):
            with ExitStack() as stack:
                try:
                    stack.enter_context(locks.hold(folder / f"gpu-{names[gpu]}-{place}", timeout=0))
                except locks.Busy:
                    continue
                yield f"cuda:{gpu}"
                return
        time.sleep(POLL_SECONDS)


def physical(gpus: int, visible: str | None) -> Sequence[str]:
    """Return what all processes call the GPUs that this one counts from 0: number or UUID."""
    names = []
    for name in (visible or "").split(","):
        if name.strip():
            names.append(name.strip())
    return names[:gpus] if len(names) >= gpus else list(map(str, range(gpus)))
