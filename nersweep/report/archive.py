"""Archives: a line of JSON per run, with its numbers and without a word of the data.

A first line says how the rows of a sweep were tuned, unless an older version wrote the archive, and
the level of its intervals if it looked several times.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nersweep.evaluation.counts import from_dense, from_json
from nersweep.faults import Fault, UserError
from nersweep.machine import files
from nersweep.machine.typed import Mismatch
from nersweep.report.records import Record, Run
from nersweep.results.result import FinishedResult, result_of
from nersweep.results.tuning import Tuning, tuning_of
from nersweep.training.history import EPOCH

TUNING, ALPHA = "tuning", "alpha"  # the keys of the first line
PLACES = {"data", "output_dir", "tracking"}  # settings that say where something lies


@dataclass(frozen=True)
class Archive:
    """Runs, scored on a split.

    tuning: how their rows were tuned. alpha: the level of their intervals together, α′ if their
    sweep looked several times; the lowest of several sets. Both are None if unknown.
    """

    runs: Sequence[Run]
    split: str
    tuning: Tuning | None = None
    alpha: float | None = None


def write_archive(file: Path, archive: Archive) -> None:
    """Write an archive."""
    lines: list[str] = []
    head: dict[str, Any] = {}
    if archive.tuning:
        head[TUNING] = asdict(archive.tuning)
    if archive.alpha:
        head[ALPHA] = archive.alpha
    if head:
        lines.append(json.dumps(head, ensure_ascii=False) + "\n")
    for run in archive.runs:
        lines.append(to_line(run, archive.split) + "\n")
    files.write_text(file, "".join(lines))


def read_archive(file: Path) -> Archive:
    """Read an archive. Raises UserError with the line that is wrong."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        raise UserError(Fault("archive", file, reason)) from None
    runs: list[Run] = []
    split, tuning, alpha = "test", None, None
    for number, line in enumerate(lines, 1):
        try:
            values = json.loads(line)
            if number == 1 and (TUNING in values or ALPHA in values):
                tuning = tuning_of(values[TUNING]) if TUNING in values else None
                alpha = level_of(values[ALPHA]) if ALPHA in values else None
                continue
            run, split = from_values(values)
        except (Mismatch, KeyError) as error:
            lacks = error.path if isinstance(error, Mismatch) and error.missing else ""
            lacks = str(error.args[0]) if isinstance(error, KeyError) else lacks
            reason = f"line {number} is not a run ({error})"
            if lacks:
                reason = f"line {number} has no {lacks}, so another version wrote it"
            remedy = "write it again with save=, from the runs"
            raise UserError(Fault("archive", file, reason, remedy)) from None
        except (ValueError, TypeError, AttributeError, zlib.error) as error:
            reason = f"line {number} is not a run ({' '.join(str(error).split())})"
            raise UserError(Fault("archive", file, reason)) from None
        runs.append(run)
    return Archive(runs, split, tuning, alpha)


def level_of(value: Any) -> float:
    """Return a level. Raises ValueError or TypeError unless it is in (0, 1)."""
    level = float(value)
    if not 0 < level < 1:
        raise ValueError(f"{ALPHA} {value}: must be between 0 and 1")
    return level


def to_line(run: Run, split: str) -> str:
    """Return a run as a line: nothing of it says where the data and the run lie."""
    result = run.result if isinstance(run, Record) else run
    kept = {name: value for name, value in result.to_json().items() if name != "data_settings"}
    values: dict[str, Any] = {"result": kept, "split": split}
    if isinstance(run, Record):
        config = {name: value for name, value in run.config.items() if name not in PLACES}
        values["result"] = kept | {"config": config}
        values["epochs"] = [epoch.to_json() for epoch in run.epochs]
        values["losses"] = run.losses
        values["counts"] = pack(run.counts)
        values["documents"] = run.documents.to_json()
        values["confusion"] = run.confusion.tolist()
    return json.dumps(values, ensure_ascii=False)


def from_values(values: dict[str, Any]) -> tuple[Run, str]:
    """Return the run of a line, and its split."""
    result, split = result_of(values["result"]), values["split"]
    if not isinstance(result, FinishedResult):
        return result, split
    confusion = np.array(values["confusion"], dtype=np.int64)
    epochs = [EPOCH.validate_python(epoch) for epoch in values["epochs"]]
    losses = [(step, loss) for step, loss in values["losses"]]
    counts = unpack(values["counts"])
    if "documents" in values:
        documents = from_json(values["documents"])
    else:  # of an older version: each sentence is a document, and types are unknown
        documents = from_dense((), None, counts[:, None, None])
    return Record(result, split, counts, confusion, epochs, losses, None, documents), split


def pack(counts: np.ndarray) -> str:
    """Return counts (S, 3) as text."""
    return base64.b64encode(zlib.compress(counts.astype("<u2").tobytes(), 9)).decode()


def unpack(text: str) -> np.ndarray:
    """Return the counts (S, 3) of a text."""
    counts = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<u2")
    return counts.reshape(-1, 3).astype(np.int64)
