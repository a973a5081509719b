"""Who works on a trial, kept with the trial: so that one whose process died is found and begun again."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from optuna.trial import FrozenTrial, Trial

from nersweep.machine import host as host_module

RENEW_SECONDS = 60
STALE_SECONDS = 600  # of another host, whose processes cannot be seen here; so clocks may differ by some minutes


def here() -> dict[str, Any]:
    """The lease of this process, as of now."""
    return {
        "host": host_module.host(),
        "pid": os.getpid(),
        "started": host_module.start_time(os.getpid()),
        "time": time.time(),
    }


def dead(trial: FrozenTrial, local: bool) -> bool:
    """Has the process that worked on this trial ended? local: the study is out of other machines' reach."""
    lease = trial.user_attrs.get("lease")
    if (
        lease is None
    ):  # ended between asking for it and saying so, which is one step under the study's lock
        return True
    if lease["host"] == host_module.host():
        return not host_module.alive(lease["pid"], lease["started"])
    if local and before_boot(lease["host"]):
        return True
    return time.time() - lease["time"] > STALE_SECONDS


def before_boot(host: str) -> bool:
    """Is it this host, before it was started anew? One of another machine may have the same name."""
    then, now = host.split(), host_module.host().split()
    return len(then) == len(now) == 3 and then[0] == now[0] and then[1] != now[1]


def of_another(trial: FrozenTrial, local: bool) -> bool:
    """Does a process other than this one work on this trial?"""
    lease, own = trial.user_attrs.get("lease"), here()
    return not dead(trial, local) and any(lease[key] != own[key] for key in ("host", "pid"))


@contextmanager
def held(trial: Trial) -> Iterator[None]:
    """The lease is renewed in it."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(RENEW_SECONDS):
            try:
                trial.set_user_attr("lease", here())
            except (
                Exception
            ):  # the storage is away for a while, which the trial's own reports would tell
                continue

    thread = threading.Thread(target=renew, daemon=True, name="nersweep-lease")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=1)
