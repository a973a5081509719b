"""Find and read the files of a data set."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nersweep.data.encoding import decoded, read_bytes
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
    return decoded(path, read_bytes(path))


def at_line(path: Path, line: int, error: UserError) -> UserError:
    """Return the faults of one line of a file with its place: train.txt:12: tag=PER: …"""
    place = f"{path}:{line}"
    faults = []
    for fault in error.faults:
        setting = f"{place}: {fault.setting}" if fault.setting else place
        faults.append(replace(fault, setting=setting))
    return UserError(*faults)


def parse_json(text: str, start: int = 0) -> tuple[Any, int]:
    """Return the JSON value that begins at a place of a text, and where it ends.

    Raises UserError if there is none, for a repeated key, and for half a surrogate.
    """
    try:
        value, end = DECODER.raw_decode(text, start)
        if text.find("\\u", start, end) >= 0:  # an escape, which may be half a surrogate
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        line = text.count("\n", 0, start) + 1
        place = f"line {error.lineno}, " if error.lineno > line else ""
        must = f"not valid JSON ({error.msg}, {place}column {error.colno})"
        raise UserError(Fault("", must=must)) from None
    except UserError:  # of `without_repeats`
        raise
    except (ValueError, RecursionError) as error:  # half a surrogate, a number of 4,301 digits
        raise UserError(Fault("", must=f"not valid JSON ({error})")) from None
    return value, end


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object. Of a repeated key json would keep the last value, silently."""
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        must = f"not valid JSON (key {quoted(repeated)} occurs twice)"
        raise UserError(Fault("", must=must))
    return values


def quoted(value: Any) -> str:
    """Return a value as JSON, as it is shown to the user."""
    return json.dumps(value, ensure_ascii=False)


DECODER = json.JSONDecoder(object_pairs_hook=without_repeats)
