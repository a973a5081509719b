"""The signals that ask this process to end: at once, or after the step that is being trained.

signals.listen()
with signals.deferral():
    for batch in batches:
        train(batch)
        if signals.pending:
            save()
            signals.end()
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))

pending: list[signal.Signals] = []  # the signals received, which ask this process to end
deferrals: list[bool] = []  # not empty: the code that runs looks at `pending` soon


def listen() -> None:
    """Handle the ending signals from now on."""
    pending.clear()
    for number in heeded():
        signal.signal(number, handle)


@contextmanager
def listening() -> Iterator[None]:
    """Handle the ending signals while the body runs, but those that the program handles itself."""
    usual = (signal.SIG_DFL, signal.default_int_handler)
    handlers = {n: signal.getsignal(n) for n in heeded() if signal.getsignal(n) in usual}
    pending.clear()
    try:
        for number in handlers:
            signal.signal(number, handle)
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        pending.clear()


def heeded() -> list[int]:
    """Return the ending signals that are not ignored; none in a thread, which cannot handle any.

    A shell starts a job in the background with SIGINT ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        return []
    return [number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN]


def handle(number: int, frame: FrameType | None) -> None:
    """Note a signal. It ends the process at once, unless it is the first within a deferral."""
    pending.append(signal.Signals(number))
    if not deferrals or len(pending) > 1:
        end()


def end() -> None:
    """Raise KeyboardInterrupt or SystemExit if a signal is pending."""
    if not pending:
        return
    if pending[0] == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(f"stopped by {pending[0].name}")


@contextmanager
def deferral() -> Iterator[None]:
    """Only note a first signal while the body runs; the body looks at `pending` and calls `end`.

    A signal that the body left pending ends the process afterwards.
    """
    deferrals.append(True)
    try:
        yield
    finally:
        deferrals.pop()
    end()
