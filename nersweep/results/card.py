"""The card of a folder: what a tracker shows of a run, sweep or study beside its results."""

import getpass
import json
import socket
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from nersweep.machine.files import write_json

CARD = "card.json"


def user() -> str:
    """Return the name of the user; "unknown" if the system has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


@dataclass(frozen=True)
class DataSource:
    """One split of the data of a run. source: a path or URL; checksum: of all splits."""

    name: str
    source: str
    checksum: str
    split: str
    sentences: int
    words: int


@dataclass(kw_only=True)
class Card:
    """The description of a folder for trackers. The folder holds it before any tracker hears of it.

    started: seconds since the epoch; a run that begins again from its start has a new one.
    parent: the sweep's or study's folder that a run belongs to, relative to output_dir.
    numbers: of a run, what it knew before training; of a sweep or study, its outcome at `step`.
    status, error: of a sweep or study; a run's are in its result.json.
    files: what belongs to a sweep or study, relative to its folder, or absolute.
    """

    kind: Literal["run", "sweep", "study"]
    name: str
    experiment: str
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    note: str = ""
    datasets: list[DataSource] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)
    step: int = 0
    parent: str | None = None
    status: str = "running"
    error: str = ""
    files: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.time)
    host: str = field(default_factory=socket.gethostname)
    user: str = field(default_factory=user)


ADAPTER = TypeAdapter(Card)


def read_card(folder: Path) -> Card | None:
    """Read the card of a folder; None if it has none that can be read."""
    try:
        return ADAPTER.validate_python(json.loads((folder / CARD).read_text("utf-8")))
    except (OSError, ValueError, ValidationError):
        return None


def write_card(folder: Path, card: Card) -> None:
    """Write the card of a folder. It keeps the start of the card that it replaces."""
    if before := read_card(folder):
        card.started = before.started
    if card != before:
        write_json(folder / CARD, asdict(card))


def remove_card(folder: Path) -> None:
    """Remove the card: the next one describes another attempt, which trackers show as a new run."""
    (folder / CARD).unlink(missing_ok=True)


def relative_to_output_dir(folder: Path) -> str:
    """Return the folder of a run, sweep or study as a card names its parent: sweeps/1a2b3c4d."""
    return f"{folder.parent.name}/{folder.name}"
