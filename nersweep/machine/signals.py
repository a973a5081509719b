"""The signals that ask this process to end: it does so at once, or, while a step is being trained, after the step."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

asked: list[signal.Signals] = []  # those that came
waits: list[bool] = []  # not empty: somebody looks at `asked` soon


def listen() -> None:
    """From now on, not for signals that this process was started to ignore, as a job in the background is."""
    asked.clear()
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, ask)


def ask(number: int, frame: FrameType | None) -> None:
    """The second signal does not wait."""
    asked.append(signal.Signals(number))
    if not waits or len(asked) > 1:
        end()


def end() -> None:
    """Raises what ends the process, if a signal asked for it."""
    if asked:
        raise (
            KeyboardInterrupt
            if asked[0] == signal.SIGINT
            else SystemExit(f"stopped by {asked[0].name}")
        )


@contextmanager
def held() -> Iterator[None]:
    """In it a first signal is only noted: who is in it looks at `asked` and calls `end`, which is called last too."""
    waits.append(True)
    try:
        yield
    finally:
        waits.pop()
    end()
