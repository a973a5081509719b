"""The lease of a trial: which process runs it, kept with the trial to detect one that died."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from optuna.trial import FrozenTrial, Trial

from nersweep.machine.host import alive, host, start_time

RENEW_SECONDS = 60
STALE_SECONDS = 600  # for other hosts, whose processes are invisible and whose clocks may differ


def current() -> dict[str, Any]:
    """Return the lease of this process, as of now."""
    pid = os.getpid()
    return host() | {"pid": pid, "started": start_time(pid), "time": time.time()}


def is_dead(trial: FrozenTrial, local: bool) -> bool:
    """True if the process that ran this trial has ended. local: no other machine has access."""
    lease: dict[str, Any] | None = trial.user_attrs.get("lease")
    if lease is None:  # the process died within Queue.ask, before it could set the lease
        return True
    here = host()
    if here.items() <= lease.items():
        return not alive(lease["pid"], lease["started"])
    before, now = lease.get("boot"), here.get("boot")
    restarted = lease["host"] == here["host"] and before and now and before != now
    if local and restarted:  # else another machine may have the same name
        return True
    return bool(time.time() - lease["time"] > STALE_SECONDS)


def is_foreign(trial: FrozenTrial, local: bool) -> bool:
    """True if a process other than this one runs the trial."""
    lease: dict[str, Any] | None = trial.user_attrs.get("lease")
    if lease is None or is_dead(trial, local):
        return False
    own = host() | {"pid": os.getpid()}
    return not own.items() <= lease.items()


@contextmanager
def renewal(trial: Trial) -> Iterator[None]:
    """Renew the lease of a trial in the background while the block runs."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(RENEW_SECONDS):
            try:
                trial.set_user_attr("lease", current())
            except Exception:  # the storage is away; the trial's own reports raise if it stays away
                continue

    thread = threading.Thread(target=renew, daemon=True, name="nersweep-lease")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=1)
