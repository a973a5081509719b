"""Keep a tracker up to date with folders; a tracker that fails never ends a training."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from nersweep.faults import Fault, Unavailable, UserError, fault_lines, one_line
from nersweep.results.card import CARD, read_card, relative_to_output_dir
from nersweep.tracking import facts, state
from nersweep.tracking.tracker import Tracker

log = logging.getLogger(__name__)

RETRY_SECONDS = 30  # the least time between two attempts on a tracker that failed
SHARE = 20  # the next attempt waits this many times what the last one took
LAST_SECONDS = 10  # for further attempts at the end of a run

retry_at: dict[str, float] = {}  # when this process tries a tracker that failed again, by address


def is_complete(tracker: Tracker, folder: Path) -> bool:
    """Return whether the tracker has everything of a folder, without a request to it."""
    if not tracker.address or not (folder / CARD).exists():
        return True
    entry = state.read_entry(folder, tracker.address)
    return "complete" in entry and entry["complete"] == facts.digest(folder)


def sync(tracker: Tracker, folder: Path, wait: bool = True) -> None:
    """Add what the tracker lacks of a run, sweep or study. A second call changes nothing.

    Several processes may sync a folder at once: they take turns, and with wait=False this one does
    nothing while another is at work. Raises Unavailable, and UserError for what is refused.
    """
    if is_complete(tracker, folder):
        return
    with state.locked(folder, wait) as free:
        if not free or is_complete(tracker, folder):
            return
        digest, status = facts.digest(folder), facts.status_of(folder)
        tracker.sync(folder)
        entry = state.read_entry(folder, tracker.address)
        entry.pop("complete", None)
        if status in facts.ENDED:
            entry["complete"] = digest
        state.write_entry(folder, tracker.address, entry)


def open_at_start(tracker: Tracker, folder: Path) -> None:
    """Open the tracker for a run, sweep or study that starts, or starts again.

    Raises Unavailable at its first start, before it has a card. Later the tracker may be away.
    """
    try:
        tracker.open()
    except Unavailable:
        if read_card(folder) is None:
            raise


def is_lost(tracker: Tracker, folder: Path) -> bool:
    """Return whether the tracker has lost a folder; if so, the next sync adds all of it again.

    That is so of a store that was deleted, or replaced by another one. Raises Unavailable.
    """
    if tracker.has(folder):
        return False
    with state.locked(folder):
        state.write_entry(folder, tracker.address, {})
    return True


def sync_all(tracker: Tracker, folders: Sequence[Path]) -> bool:
    """Sync folders until the tracker is unavailable. Return True if it has all of them.

    A folder that fails, or that the tracker refuses, is skipped, with a warning.
    """
    faults: list[Fault] = []
    try:
        for folder in folders:
            faults += faults_of_sync(tracker, folder)
    except Unavailable as error:
        faults += error.faults
    for line in dict.fromkeys(map(str, faults)):
        log.warning("%s", line)
    return not faults


def faults_of_sync(tracker: Tracker, folder: Path) -> Sequence[Fault]:
    """Sync a folder and return what was wrong with it alone. Raises Unavailable."""
    try:
        sync(tracker, folder)
    except Unavailable:
        raise
    except UserError as error:
        return error.faults
    except Exception as error:
        return [Fault(str(folder), must="; ".join(fault_lines(error)))]
    return []


def folders_in(output_dir: Path) -> list[Path]:
    """Return the folders with a card: sweeps and studies first, because runs belong to them."""
    folders: list[Path] = []
    for room in ("sweeps", "studies", "runs"):
        folders += sorted(file.parent for file in output_dir.glob(f"{room}/*/{CARD}"))
    return folders


def members(folder: Path) -> list[Path]:
    """Return the folders of the runs that belong to a sweep or a study."""
    name, folders = relative_to_output_dir(folder), []
    for file in sorted(folder.parents[1].glob(f"runs/*/{CARD}")):
        card = read_card(file.parent)
        if card and card.parent == name:
            folders.append(file.parent)
    return folders


class Syncing:
    """Keeps a tracker up to date with one folder while work goes on in it.

    alone: nothing else syncs the folder later, so the last attempt is patient.
    seconds: time spent with the tracker.
    """

    def __init__(self, tracker: Tracker, folder: Path, alone: bool = True) -> None:
        self.tracker, self.folder, self.alone = tracker, folder, alone
        self.seconds = 0.0
        self.next_at = 0.0
        self.warned = self.refused = False

    def start(self) -> None:
        """Show that the work has begun. Raises UserError for what the tracker refuses."""
        if not self.alone and self._is_resting():
            return
        error = self._attempt(wait=False)
        if isinstance(error, UserError) and not isinstance(error, Unavailable):
            self.refused = True
            raise error
        self._rest_after(error)

    def update(self) -> None:
        """Bring the tracker up to date, unless the last attempt was too recent."""
        if time.monotonic() >= self.next_at and not self._is_resting():
            self._rest_after(self._attempt(wait=False))

    def finish(self) -> bool:
        """Show how the work has ended, in at most about 10 s. Return True if the tracker has it."""
        deadline = time.monotonic() + LAST_SECONDS
        if self.refused:
            return False
        if not self.alone and self._is_resting():
            return False  # whoever started the run syncs it later
        while error := self._attempt():
            self._rest_after(error)
            if not self.alone or time.monotonic() + 2 >= deadline:
                return False
            time.sleep(1)
        return True

    def _is_resting(self) -> bool:
        return time.monotonic() < retry_at.get(self.tracker.address, 0.0)

    def _attempt(self, wait: bool = True) -> Exception | None:
        """Sync once. Return the error, which must not end a training; None if it went well."""
        error = None
        began = time.monotonic()
        try:
            sync(self.tracker, self.folder, wait)
            retry_at.pop(self.tracker.address, None)
        except Exception as caught:
            error = caught
        took = time.monotonic() - began
        self.seconds += took
        self.next_at = time.monotonic() + SHARE * took
        return error

    def _rest_after(self, error: Exception | None) -> None:
        """Leave the tracker alone for a while after an error, and warn of the first one."""
        if error is None:
            return
        retry_at[self.tracker.address] = max(self.next_at, time.monotonic() + RETRY_SECONDS)
        if not self.warned:
            self.warned = True
            log.warning("%s; the run continues, and its folder has everything", one_line(error))
