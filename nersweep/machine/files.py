"""Write files whole or not at all; fingerprints of what they hold."""

import errno
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from nersweep.faults import Fault, UserError

log = logging.getLogger(__name__)

UNFINISHED = ".*." + 32 * "[0-9a-f]"  # the names of files that a killed process left behind


def fingerprint(facts: Any) -> str:
    """Return the SHA-256 of JSON values in their canonical form."""
    text = json.dumps(canonical(facts), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def canonical(value: Any) -> Any:
    """Return JSON values with whole floats as integers: 3 and 3.0 are the same."""
    if isinstance(value, Mapping):
        return {key: canonical(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def writable(folder: Path, setting: str = "output_dir", file: Path | None = None) -> Path:
    """Make an output folder and return it. Raises UserError if it cannot be written to.

    setting: what sets the folder or, if given, the file in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if file and file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        must = f"cannot be written to ({error.strerror})"
        remedy = f"set {setting}={'FILE' if file else 'DIR'}"
        raise UserError(Fault(setting, file or folder, must, remedy)) from None
    return folder


@contextmanager
def in_place_of(path: Path) -> Iterator[Path]:
    """Yield a path beside this one to write to, which takes its place once it is on disk, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # hosts that share a folder may share process ids
    beside = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        yield beside
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    with in_place_of(path) as beside:
        beside.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
