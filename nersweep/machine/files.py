"""Write files whole or not at all."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

log = logging.getLogger(__name__)


UNFINISHED = ".*." + 32 * "[0-9a-f]"  # the names of files that in_place_of has not finished


def fingerprint(facts: Any) -> str:
    """SHA-256 over everything that can change a run's result, in a canonical form, in which 3 and 3.0 are the same."""

    def canonical(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: canonical(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [canonical(inner) for inner in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    return hashlib.sha256(
        json.dumps(canonical(facts), sort_keys=True, ensure_ascii=False).encode()
    ).hexdigest()


def writable(folder: Path) -> Path:
    """Makes the folder. Raises ValueError where it cannot be made or written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(
            f"output_dir={folder}: cannot be written to ({error.strerror}); type output_dir=DIR"
        ) from None
    return folder


@contextmanager
def in_place_of(path: Path) -> Iterator[Path]:
    """A file beside this one to write to. It is flushed to disk and takes this one's place when all is written: whole
    or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(
        f".{path.name}.{uuid4().hex}"
    )  # hosts that share a folder may share process ids
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
