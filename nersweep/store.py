"""What a run leaves on disk: its folder, its fingerprint, files that are whole or not there."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULT = "result.json"


def fingerprint(facts: Mapping[str, Any]) -> str:
    """SHA-256 over everything that can change a run's result, in a canonical form."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


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


def write_text(path: Path, text: str) -> None:
    """Whole or not at all: written beside, flushed to disk, renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with open(beside, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def finished_result(folder: Path) -> dict[str, Any] | None:
    """The result of a finished run, or None; an unreadable file counts as none."""
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return result if isinstance(result, dict) and result.get("status") == "finished" else None


class MetricsFile:
    """JSON lines: one object per optimiser step and one per epoch."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(path, "w", encoding="utf-8")  # noqa: SIM115, closed by close()

    def write(self, **values: Any) -> None:
        self.file.write(json.dumps(values) + "\n")

    def close(self) -> None:
        self.file.close()
