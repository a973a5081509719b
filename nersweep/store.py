"""What a run leaves on disk: its folder, its fingerprint, files that are whole or not there."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULT = "result.json"


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
        probe.unlink()
    except OSError as error:
        raise ValueError(f"output_dir={folder}: cannot be written to ({error.strerror}); type output_dir=DIR") from None
    return folder


def write_bytes(path: Path, content: bytes) -> None:
    """Whole or not at all: written beside, flushed to disk, renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with open(beside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def finished_result(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """The result of this run where it has finished, or None; an unreadable file counts as none."""
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    done = isinstance(result, dict) and result.get("status") == "finished" and result.get("fingerprint") == fingerprint
    return result if done else None
