"""The trackers' ids of a folder: tracked.json, an entry for each tracker, without secrets."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from nersweep.machine import locks
from nersweep.machine.files import write_json

TRACKED = "tracked.json"
LOCK = "tracked.lock"

Entry = dict[str, Any]  # "complete" is the caller's; everything else is the tracker's own


def read_entry(folder: Path, address: str) -> Entry:
    """Return a tracker's entry of a folder; empty if there is none."""
    return read_all(folder).get(address, {})


def write_entry(folder: Path, address: str, entry: Entry) -> None:
    """Write a tracker's entry of a folder, if it has changed."""
    entries = read_all(folder)
    if entries.get(address) != entry:
        write_json(folder / TRACKED, entries | {address: entry})


def read_all(folder: Path) -> dict[str, Entry]:
    try:
        entries = json.loads((folder / TRACKED).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


@contextmanager
def locked(folder: Path, wait: bool = True) -> Iterator[bool]:
    """Hold the lock for syncing a folder; yield False if wait=False and another process has it."""
    with ExitStack() as held:
        try:
            held.enter_context(locks.hold(folder / LOCK, -1 if wait else 0))
        except locks.Busy:
            yield False
        else:
            yield True
