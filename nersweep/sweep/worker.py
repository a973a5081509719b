"""A run in a process that a launcher started: it ends when the sweep ends, and never without its checkpoint.

    origin = Origin.here()           # in the process that launches
    start_engine(launcher)
    with ending(origin):             # SIGTERM and Ctrl-C go to the workers too, and wait for them
        launcher.launch(...)

    begin(origin, threads)           # in the job, whoever started its process
    try: ...
    except BaseException as error:
        end(error)
        raise

Each worker signs in: its process id is a file in a folder that the origin knows. So it is found whether it is a child
of the origin (joblib), a grandchild (submitit) or none (Ray).
"""

import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, Self

from omegaconf import OmegaConf

from nersweep.machine import signals
from nersweep.machine.host import alive, cores, host, host_folder, start_time

POLL_SECONDS = 0.5  # between two looks at whether the origin is still there


GRACE_SECONDS = 8  # for a step and its checkpoint, after which a worker is ended hard


LEAVING = "leaving"  # the file by which the origin tells workers that it is about to end


origins: list["Origin"] = []  # that of this process, once it has begun as a worker


requeues: dict[int, Any] = {}  # submitit's own handlers, by signal


@dataclass(frozen=True)
class Origin:
    """The process that launched a sweep. started: the kernel's time of its start, which tells it from a later process
    of the same id. folder: where the workers on this host sign in."""

    host: str
    pid: int
    started: float | None
    folder: str

    @classmethod
    def here(cls) -> Self:
        pid, started = os.getpid(), start_time(os.getpid())
        return cls(host(), pid, started, str(host_folder() / "workers" / f"{pid}-{started}"))

    def is_here(self) -> bool:
        """Is it this process?"""
        return (self.host, self.pid, self.started) == (host(), os.getpid(), start_time(os.getpid()))

    def is_gone(self) -> bool:
        """False too for one on another host, of which nothing is known here."""
        return self.host == host() and not alive(self.pid, self.started)

    def is_leaving(self) -> bool:
        return self.is_gone() or (self.host == host() and Path(self.folder, LEAVING).exists())


def begin(origin: Origin, threads: int | None = None) -> None:
    """To be called first in each job; does nothing in the origin itself. In another process: its signals ask for a
    checkpoint, it does not outlive the origin by more than 10 s, and its numeric libraries use so many threads (None:
    as many as they choose). Ends the process where the origin is gone already."""
    if origin.is_here():
        return
    set_threads(threads)
    with signals.deferral():
        if not origins:
            origins.append(origin)
            listen()
            if (
                under_submitit() != "slurm"
            ):  # whose jobs are meant to outlive the shell that they were sent from
                threading.Thread(
                    target=watch, args=[origin], daemon=True, name="nersweep-origin"
                ).start()
        sign_in(origin)  # each time, as the origin clears the folder after each launch
        if signals.pending or (under_submitit() != "slurm" and origin.is_leaving()):
            leave()


def end(error: BaseException) -> None:
    """To be called with what ended a job, after its checkpoint. What a signal has asked for ends this process here and
    now, since loky would swallow a SystemExit and Ray run the job again; submitit puts a preempted job back into its
    queue. Does nothing in the origin, nor for an Exception."""
    if not origins or isinstance(error, Exception):
        return
    if signals.pending and signals.pending[0] in requeues:
        requeues[signals.pending[0]](signals.pending[0], None)
    leave()


def leave() -> None:
    """Ends this process without the way back through the launcher."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    origin = origins[0]
    Path(origin.folder, str(os.getpid())).unlink(missing_ok=True)
    # loky kills the other workers as soon as one of them is gone: so they wait for each other's checkpoints.
    deadline = time.monotonic() + GRACE_SECONDS - 2
    while (
        origin.is_leaving()
        and time.monotonic() < deadline
        and any(alive(*one) for one in workers(origin).items())
    ):
        time.sleep(0.05)
    os._exit(128 + (signals.pending or [signal.SIGTERM])[0])


def listen() -> None:
    """The first signal asks for a checkpoint; of later ones, Ctrl-C for example reaches a worker twice, nothing comes.
    submitit's for a preemption or a time-out asks for one too, before its own handler queues the job again. With that
    one SLURM sends SIGTERM, which submitit ignores, and so it stays."""
    engine = under_submitit()
    asking = [number for number in signals.ENDING if signal.getsignal(number) != signal.SIG_IGN]
    if engine == "slurm":
        asking.remove(signal.SIGTERM)
    if engine:
        requeues[preemption()] = signal.getsignal(preemption())
        asking.append(preemption())
    for number in asking:
        signal.signal(number, ask_once)


def ask_once(number: int, frame: FrameType | None) -> None:
    if not signals.pending:
        signals.handle(number, frame)


def under_submitit() -> str | None:
    """local or slurm in a job of submitit's, else None."""
    return os.environ.get("SUBMITIT_EXECUTOR") if "SUBMITIT_FOLDER" in os.environ else None


def preemption() -> signal.Signals:
    return signal.Signals[f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"]


def watch(origin: Origin) -> None:
    """Where the origin is gone: asks this process to end after its step, and ends it hard where that takes too long."""
    while not origin.is_gone():
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(128 + signal.SIGTERM)


def set_threads(threads: int | None) -> None:
    """OpenMP reads its variable once, when torch is imported."""
    if threads is None:
        return
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)


def threads(processes: int) -> int:
    """Of each of so many processes on this host: OMP_NUM_THREADS, or this process's cores shared out, at least 1."""
    typed = os.environ.get("OMP_NUM_THREADS", "")
    return int(typed) if typed.isdigit() and int(typed) else max(1, cores() // processes)


def at_once(launcher: Mapping[str, Any], jobs: int) -> int | None:
    """How many of the jobs run at the same time on this host, given hydra.launcher; None where an engine decides
    (Ray, SLURM). submitit_local starts all of them."""
    name = str(launcher["_target_"]).rpartition(".")[2]
    if name == "JoblibLauncher":
        n = launcher["n_jobs"]
        return min(jobs, n if n > 0 else max(1, cores() + 1 + n))
    return {"BasicLauncher": 1, "LocalLauncher": jobs}.get(name)


@contextmanager
def ending(origin: Origin) -> Iterator[None]:
    """In it, what ends this process ends the workers first: a signal is passed on to them and waits until they have
    gone, at most 8 s, before it does what signals.handle does."""
    before = {
        n: handler for n in signals.ENDING if (handler := signal.getsignal(n)) != signal.SIG_IGN
    }

    def pass_on(number: int, frame: FrameType | None) -> None:
        for other in before:
            signal.signal(other, signals.handle)  # a second signal does not wait
        signals.pending.append(signal.Signals(number))
        forward(origin)
        if not signals.deferrals:
            signals.end()

    for number in before:
        signal.signal(number, pass_on)
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        if not signals.pending:
            forward(origin)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        clear(origin)


def start_engine(launcher: Any) -> None:
    """Starts Ray, or connects to it, as its launcher would later: after `ending` has set its handlers Ray would replace
    them, and the launcher insists on an option that a running cluster refuses. Does nothing for another launcher."""
    if type(launcher).__name__ == "RayLauncher":
        import_module("ray").init(**OmegaConf.to_container(launcher.ray_cfg.init, resolve=True))


def wait_for_queue(error: Exception) -> None:
    """After submitit's launcher has given up: waits for its other jobs, which it has left at work or in the queue. It
    keeps them nowhere but in the frame that raised. Does nothing after another launcher's error."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_globals["__name__"].startswith("hydra_plugins.hydra_submitit_launcher"):
            while not all(job.done() for job in frame.f_locals.get("jobs", [])):
                time.sleep(POLL_SECONDS)


def forward(origin: Origin) -> None:
    """Asks the workers on this host to end, and waits until they have, at most 8 s."""
    Path(origin.folder).mkdir(parents=True, exist_ok=True)
    Path(origin.folder, LEAVING).touch()
    signed_in = {pid: started for pid, started in workers(origin).items() if alive(pid, started)}
    for pid in signed_in:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and any(
        alive(pid, started) for pid, started in signed_in.items()
    ):
        time.sleep(0.05)


def sign_in(origin: Origin) -> None:
    if origin.host == host():
        Path(origin.folder).mkdir(parents=True, exist_ok=True)
        Path(origin.folder, str(os.getpid())).write_text(str(start_time(os.getpid())))


def clear(origin: Origin) -> None:
    """Takes away the folder of an origin that ends, and those that killed ones have left."""
    for folder in Path(origin.folder).parent.glob("*-*"):
        pid, _, started = folder.name.partition("-")
        if str(folder) == origin.folder or not alive(int(pid), float(started)):
            shutil.rmtree(folder, ignore_errors=True)


def workers(origin: Origin) -> dict[int, float]:
    """Return the start times of the workers that have signed in, by process id."""
    started = {}
    for file in Path(origin.folder).glob("[0-9]*"):
        started[int(file.name)] = float(file.read_text())
    return started
