"""A process that a launcher started: it ends when the sweep ends, and never without a checkpoint.

worker.begin(main, threads)  # in the job, whatever process it runs in
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
from nersweep.sweep.main_process import GRACE_SECONDS, MainProcess

POLL_SECONDS = 0.5  # between two looks at whether the main process is still there

main_processes: list[MainProcess] = []  # that of this process, once it is a worker
requeues: dict[int, Any] = {}  # submitit's own handlers, by signal


def begin(main: MainProcess, threads: int | None = None) -> None:
    """Make this process a worker. Call it first in each job; the main process stays as it is.

    From now on signals ask for a checkpoint, the process outlives the main process by at most 10 s,
    and its numeric libraries use so many threads (None: as many as they choose). Ends the process
    if the main process has ended already.
    """
    if main.is_here():
        return
    set_threads(threads)
    outlives = submitit_executor() == "slurm"  # a job is meant to outlive the shell that sent it
    with signals.deferral():
        if not main_processes:
            main_processes.append(main)
            listen()
            if not outlives:
                threading.Thread(target=watch, args=[main], daemon=True).start()
        main.sign_in()  # each time, as the main process clears its folder after each launch
        if signals.pending or (not outlives and main.is_leaving()):
            leave()


def end(error: BaseException) -> None:
    """End this process after a job that did not return. Call it when the checkpoint is written.

    loky would swallow a SystemExit and Ray would run the job again. submitit puts a preempted job
    back into its queue. Does nothing in the main process, nor for an Exception.
    """
    if not main_processes or isinstance(error, Exception):
        return
    if signals.pending and signals.pending[0] in requeues:
        requeues[signals.pending[0]](signals.pending[0], None)
    leave()


def leave() -> None:
    """End this process without returning through the launcher."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    main = main_processes[0]
    main.sign_out()
    # loky kills the other workers as soon as one has ended: wait for their checkpoints
    deadline = time.monotonic() + GRACE_SECONDS - 2
    while main.is_leaving() and time.monotonic() < deadline and main.workers():
        time.sleep(0.05)
    number = signals.pending[0] if signals.pending else signal.SIGTERM
    os._exit(128 + number)


def listen() -> None:
    """Let the first signal ask for a checkpoint, and ignore later ones: Ctrl-C may arrive twice.

    Under submitit its signal for a preemption or a time-out asks for a checkpoint too, before its
    own handler queues the job again. SLURM sends SIGTERM with it, which submitit ignores.
    """
    numbers = signals.heeded()
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


def watch(main: MainProcess) -> None:
    """Wait for the end of the main process; then ask this process to end, and at last end it."""
    while not main.is_gone():
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
