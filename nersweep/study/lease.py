"""Who works on a trial, kept with the trial: so that one whose process died is found and begun again."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from optuna.trial import FrozenTrial, Trial

from nersweep import worker

RENEW_SECONDS = 60
STALE_SECONDS = 600  # of another host, whose processes cannot be seen here; so clocks may differ by some minutes


def here() -> dict[str, Any]:
    """The lease of this process, as of now."""
    return {"host": worker.host(), "pid": os.getpid(), "started": worker.start_time(os.getpid()), "time": time.time()}


def dead(trial: FrozenTrial) -> bool:
    """Has the process that worked on this trial ended?"""
    lease = trial.user_attrs.get("lease")
    if lease is None:  # ended between asking for it and saying so, which is one step under the study's lock
        return True
    if lease["host"] == worker.host():
        return not worker.alive(lease["pid"], lease["started"])
    return time.time() - lease["time"] > STALE_SECONDS


def of_another(trial: FrozenTrial) -> bool:
    """Does a process other than this one work on this trial?"""
    lease, own = trial.user_attrs.get("lease"), here()
    return not dead(trial) and any(lease[key] != own[key] for key in ("host", "pid"))


@contextmanager
def held(trial: Trial) -> Iterator[None]:
    """The lease is renewed in it."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(RENEW_SECONDS):
            try:
                trial.set_user_attr("lease", here())
            except Exception:  # the storage is away for a while, which the trial's own reports would tell
                continue

    thread = threading.Thread(target=renew, daemon=True, name="nersweep-lease")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=1)
