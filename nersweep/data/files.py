"""Find and read the files of a data set."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nersweep.faults import Fault, UserError

FOLDER = "NERSWEEP_DATA"  # the environment variable with the folder of data sets


def local_folder(name: str, path: str | None) -> Path | None:
    """Return the folder of a data set: `path`, else $NERSWEEP_DATA/name; None without either."""
    if path is not None:
        return Path(path)
    folder = os.environ.get(FOLDER)
    return Path(folder) / name if folder else None


def missing_files(name: str, path: str | None, files: Sequence[str], content: str) -> list[Fault]:
    """Return a fault if the local folder lacks one of these files; content: what they hold."""
    folder = local_folder(name, path)
    for file in files:
        if folder is not None and not (folder / file).exists():
            place = f"{folder} (of {FOLDER})" if path is None else str(folder)
            must = f"no {file} under {place}; expected {', '.join(files)} {content}"
            return [Fault("data", name, must, "set data.path=DIR")]
    return []


def read_utf8(path: Path) -> str:
    """Return the text of a file. Raises UserError if it is no file or no UTF-8, with the line."""
    if path.is_dir():
        raise UserError(Fault(str(path), must="is a folder, expected a file"))
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(Fault(str(path), must="no such file")) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        must = f"not valid UTF-8 (byte {error.object[error.start]:#04x})"
        raise UserError(Fault(f"{path}:{line}", must=must)) from None


def at_line(path: Path, line: int, error: UserError) -> UserError:
    """Return the faults of one line of a file with its place: train.txt:12: tag=PER: …"""
    place = f"{path}:{line}"
    faults = []
    for fault in error.faults:
        setting = f"{place}: {fault.setting}" if fault.setting else place
        faults.append(replace(fault, setting=setting))
    return UserError(*faults)
