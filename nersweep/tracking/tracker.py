"""The interface of trackers, and their choice by tracking.kind."""

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from nersweep.config.schema import TrackingConfig
from nersweep.faults import Fault, Unavailable, UserError, one_line

KINDS = ("mlflow", "tensorboard", "none")
MEMBERS = ("name", "address", "open", "has", "sync", "view")  # of a Tracker


class Tracker(Protocol):
    """Shows runs, sweeps and studies. A tracker is a module with a function

        def tracker(uri: str | None, output_dir: Path) -> Tracker

    The folder of a run holds everything before a tracker hears of it: `sync` reads it with
    `facts.read(folder)`. Call `syncing.sync` instead of the method: it locks the folder, and skips
    what is complete.

    name: for people. address: what tracked.json calls it; holds no password.
    """

    name: str
    address: str

    def open(self) -> None:
        """Raise Unavailable, within 10 s, if the tracker cannot be used."""

    def has(self, folder: Path) -> bool:
        """Return whether a folder that was synced before is still there. Raises Unavailable."""

    def sync(self, folder: Path) -> None:
        """Add what the tracker lacks of a folder, and nothing twice. Raises Unavailable."""

    def view(self) -> str:
        """Return the command or address at which a person sees the runs."""


class NoTracker:
    """Shows nothing: everything is in the folders of the runs."""

    name = address = ""

    def open(self) -> None: ...

    def has(self, folder: Path) -> bool:
        return True

    def sync(self, folder: Path) -> None: ...

    def view(self) -> str:
        return ""


class PlugIn:
    """A tracker from outside the package.

    One whose open() or has() raises counts as one that is away.
    """

    def __init__(self, kind: str, tracker: Tracker) -> None:
        self.kind, self.tracker = kind, tracker
        self.name, self.address = tracker.name, tracker.address

    def open(self) -> None:
        self.call("open")

    def has(self, folder: Path) -> bool:
        return bool(self.call("has", folder))

    def sync(self, folder: Path) -> None:
        """Sync a folder. What is raised for one says nothing of the others, and ends no process."""
        try:
            self.tracker.sync(folder)
        except SystemExit as error:
            raise RuntimeError(f"sync() of its tracker raised SystemExit: {error}") from error

    def view(self) -> str:
        try:
            return str(self.call("view"))
        except UserError:  # no reason for a run that has finished to fail
            return ""

    def call(self, method: str, *arguments: Path) -> Any:
        """Call a method of the tracker. Raises Unavailable, and UserError as the tracker does."""
        try:
            return getattr(self.tracker, method)(*arguments)
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            must = f"{method}() of its tracker raised {type(error).__name__}: {one_line(error)}"
            raise Unavailable(Fault("tracking.kind", self.kind, must)) from error


def make(kind: str, uri: str | None, output_dir: Path) -> Tracker:
    """Return the tracker of that kind. uri: its address, if it takes one. Raises UserError."""
    if kind == "none":
        return NoTracker()
    try:
        tracker = call_module(kind, uri, output_dir)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # of a module from outside the package
        must = f"its module raises {type(error).__name__}: {one_line(error)}"
        raise UserError(Fault("tracking.kind", kind, must)) from error
    missing = [name for name in MEMBERS if not hasattr(tracker, name)]
    if missing:
        must = f"its tracker has no {', '.join(missing)}"
        raise UserError(Fault("tracking.kind", kind, must))
    return tracker if kind in KINDS else PlugIn(kind, tracker)


def call_module(kind: str, uri: str | None, output_dir: Path) -> Tracker:
    """Return what the function `tracker` of a module returns. Raises UserError without one."""
    modules = (f"nersweep.tracking.{kind}", kind) if re.fullmatch(r"\w+(\.\w+)*", kind) else ()
    for name in modules:
        if is_module(name):
            function = getattr(import_module(name), "tracker", None)
            if callable(function):
                tracker: Tracker = function(uri, output_dir)
                return tracker
    must = f"must be one of {', '.join(KINDS)}, or a module with a function tracker"
    raise UserError(Fault("tracking.kind", kind, must))


def of(settings: TrackingConfig, output_dir: Path) -> Tracker:
    """Return the tracker that the section `tracking` of a configuration describes."""
    return make(settings.kind, settings.uri, output_dir)


def is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a part before a dot is none
        return False
