"""Find and read the files of a data set."""

import os
from collections.abc import Sequence
from pathlib import Path


def local_folder(name: str, path: str | None) -> Path | None:
    """Where a known data set lies: in `path`, else in $NERSWEEP_DATA/name; None where neither is given."""
    if path is None and os.environ.get("NERSWEEP_DATA"):
        return Path(os.environ["NERSWEEP_DATA"]) / name
    return None if path is None else Path(path)


def missing_files(name: str, path: str | None, files: Sequence[str], what: str) -> list[str]:
    """A line where the local folder lacks one of these files; `what` says what they hold."""
    folder = local_folder(name, path)
    missing = [file for file in files if folder and not (folder / file).exists()]
    where = f"{folder}{' (of NERSWEEP_DATA)' * (path is None)}"
    expected = f"expected {', '.join(files)} {what}"
    return (
        [f"data={name}: no {missing[0]} under {where}; {expected}; type data.path=DIR"]
        if missing
        else []
    )


def read_utf8(path: Path) -> str:
    """Raises ValueError with file and line for what is no UTF-8, and for what is no file."""
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, expected a file")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}:{line}: not valid UTF-8 (byte {error.object[error.start]:#04x})"
        ) from None
