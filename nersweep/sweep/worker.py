"""A process that a launcher started: it ends when the sweep ends, and never without a checkpoint.

worker.begin(origin, threads)  # in the job, whatever process it runs in
try:
    ...
except BaseException as error:
    worker.end(error)
    raise
"""

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

from nersweep.machine import signals
from nersweep.sweep.origin import GRACE_SECONDS, Origin

POLL_SECONDS = 0.5  # between two looks at whether the origin is still there

origins: list[Origin] = []  # the origin of this process, once it is a worker
requeues: dict[int, Any] = {}  # submitit's own handlers, by signal


def begin(origin: Origin, threads: int | None = None) -> None:
    """Make this process a worker. Call it first in each job; it does nothing in the origin itself.

    From now on signals ask for a checkpoint, the process outlives the origin by at most 10 s, and
    its numeric libraries use so many threads (None: as many as they choose). Ends the process if
    the origin has ended already.
    """
    if origin.is_here():
        return
    set_threads(threads)
    outlives = submitit_executor() == "slurm"  # a job is meant to outlive the shell that sent it
    with signals.deferral():
        if not origins:
            origins.append(origin)
            listen()
            if not outlives:
                threading.Thread(target=watch, args=[origin], daemon=True).start()
        origin.sign_in()  # each time, as the origin clears its folder after each launch
        if signals.pending or (not outlives and origin.is_leaving()):
            leave()


def end(error: BaseException) -> None:
    """End this process after a job that did not return. Call it when the checkpoint is written.

    loky would swallow a SystemExit and Ray would run the job again. submitit puts a preempted job
    back into its queue. Does nothing in the origin, nor for an Exception.
    """
    if not origins or isinstance(error, Exception):
        return
    if signals.pending and signals.pending[0] in requeues:
        requeues[signals.pending[0]](signals.pending[0], None)
    leave()


def leave() -> None:
    """End this process without returning through the launcher."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    origin = origins[0]
    origin.sign_out()
    # loky kills the other workers as soon as one has ended: wait for their checkpoints
    deadline = time.monotonic() + GRACE_SECONDS - 2
    while origin.is_leaving() and time.monotonic() < deadline and origin.workers():
        time.sleep(0.05)
    number = signals.pending[0] if signals.pending else signal.SIGTERM
    os._exit(128 + number)


def listen() -> None:
    """Let the first signal ask for a checkpoint, and ignore later ones: Ctrl-C may arrive twice.

    Under submitit its signal for a preemption or a time-out asks for a checkpoint too, before its
    own handler queues the job again. SLURM sends SIGTERM with it, which submitit ignores.
    """
    numbers = []
    for number in signals.ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            numbers.append(number)
    executor = submitit_executor()
    if executor:
        preemption = signal.Signals[f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"]
        requeues[preemption] = signal.getsignal(preemption)
        numbers.append(preemption)
    if executor == "slurm":
        numbers.remove(signal.SIGTERM)
    for number in numbers:
        signal.signal(number, handle_first)


def handle_first(number: int, frame: FrameType | None) -> None:
    """Handle a signal unless another is pending."""
    if not signals.pending:
        signals.handle(number, frame)


def submitit_executor() -> str | None:
    """Return the executor of submitit that runs this process, local or slurm; else None."""
    return os.environ.get("SUBMITIT_EXECUTOR") if "SUBMITIT_FOLDER" in os.environ else None


def watch(origin: Origin) -> None:
    """Wait for the end of the origin; then ask this process to end, and kill it if it does not."""
    while not origin.is_gone():
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(128 + signal.SIGTERM)


def set_threads(threads: int | None) -> None:
    """Set the number of threads; OpenMP reads its variable once, when torch is imported."""
    if threads is None:
        return
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    torch = sys.modules.get("torch")
    if torch:
        torch.set_num_threads(threads)
