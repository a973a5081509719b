"""The result of a run, as result.json holds it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nersweep.machine.files import fingerprint, log, write_json

RESULT = "result.json"


ANEW = (
    "to be made again"  # the status of a run that is made from its start, whatever was made of it
)


OVER = ("finished", "diverged")  # the status of a run that the same command does not make again


told: set[Path] = set()  # results that cannot be read


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
        raise ValueError(
            f"{file}: cannot be read ({error.strerror}); nothing is run in its place"
        ) from None
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
