"""What a run leaves on disk: its folder, its fingerprint, files that are whole or not there."""

import fcntl
import hashlib
import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

log = logging.getLogger(__name__)

UNFINISHED = ".*." + 32 * "[0-9a-f]"  # the names of files that in_place_of has not finished
RESULT, CHECKPOINT, LOCK = "result.json", "checkpoint.safetensors", "lock"
ANEW = "to be made again"  # the status of a run that is made from its start, whatever was made of it
OVER = ("finished", "diverged")  # the status of a run that the same command does not make again

told: set[Path] = set()  # results that cannot be read


class Claimed(ValueError):
    """Another process works in the folder."""


def fingerprint(facts: Any) -> str:
    """SHA-256 over everything that can change a run's result, in a canonical form, in which 3 and 3.0 are the same."""

    def canonical(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: canonical(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [canonical(inner) for inner in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    return hashlib.sha256(json.dumps(canonical(facts), sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def run_folder(output_dir: Path, name: str, fingerprint: str) -> Path:
    """The folder of a run: the same run always has the same one."""
    return output_dir / "runs" / f"{name}-{fingerprint[:8]}"


def writable(folder: Path) -> Path:
    """Makes the folder. Raises ValueError where it cannot be made or written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(f"output_dir={folder}: cannot be written to ({error.strerror}); type output_dir=DIR") from None
    return folder


@contextmanager
def in_place_of(path: Path) -> Iterator[Path]:
    """A file beside this one to write to. It is flushed to disk and takes this one's place when all is written: whole
    or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid4().hex}")  # hosts that share a folder may share process ids
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


def sealed(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result with its checksum: a score with a damaged digit looks like any other."""
    plain = json.loads(json.dumps(result))
    return plain | {"checksum": fingerprint(plain)}


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    write_json(folder / RESULT, sealed(result))


def read_result(folder: Path, fingerprint: str) -> dict[str, Any]:
    """What is written down of this run: with a status, or empty where there is nothing. What is damaged, or of another
    run, is nothing too, and told once in a process. Raises ValueError for a file that the system cannot read."""
    file = folder / RESULT
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
        check_result(result)
        if result["fingerprint"] != fingerprint:
            raise ValueError("it is of another run")
        return result
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror}); nothing is run in its place") from None
    except ValueError as error:
        if file not in told:
            told.add(file)
            log.warning("%s: cannot be read (%s); the run is made again", file, error)
        return {}


def check_result(result: Any) -> None:
    """Takes the checksum out of a sealed result. Raises ValueError where it is wrong, or there is none."""
    if not isinstance(result, dict) or not {"name", "status", "fingerprint"} <= result.keys():
        raise ValueError("it is no result")
    if "checksum" not in result:
        raise ValueError("it has no checksum, so an older version made it")
    if result.pop("checksum") != fingerprint(result):
        raise ValueError("it is damaged")


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """This process alone works in the folder; the system ends the claim with the process, however that ends. Raises
    Claimed where another process does."""
    writable(folder)
    with open(folder / LOCK, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Claimed(f"{folder.name}: {file.read() or 'another process'} is running it") from None
        for left in (*folder.glob(UNFINISHED), *folder.glob(f"*/{UNFINISHED}")):  # by a process that was killed
            left.unlink(missing_ok=True)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
