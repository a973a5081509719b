"""The result of a run, and its only reader and writer: result.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import isnan
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from nersweep.evaluation.analysis import Analysis
from nersweep.evaluation.metric import EntityMetric, metric_of
from nersweep.evaluation.metrics import Scores
from nersweep.faults import Fault, UserError
from nersweep.machine.files import fingerprint, log, write_json
from nersweep.machine.typed import Mismatch, validate
from nersweep.results.sets import Place, data_settings

RESULT = "result.json"


class Status(StrEnum):
    """The state of a run."""

    NOT_STARTED = "not started"
    RESTART = "to be run again"  # from its start, even if it has finished
    RUNNING = "running"  # or its process was killed
    FINISHED = "finished"
    DIVERGED = "diverged"
    PRUNED = "pruned"
    FAILED = "failed"
    KILLED = "killed"

    @property
    def over(self) -> bool:
        """True if the same command does not run it again."""
        return self in (Status.FINISHED, Status.DIVERGED)


@dataclass(kw_only=True)
class Result:
    """The state of any run. name: for people; setting: the name without the seed.

    dataset, encoder: the options of the groups data and model; data_checksum, data_settings: of the
    data. They are empty for a run of an older version.
    """

    status: Status
    name: str
    fingerprint: str = ""
    setting: str = ""
    seed: int | None = None
    dataset: str = ""
    encoder: str = ""
    data_checksum: str = ""
    data_settings: dict[str, str] = field(default_factory=dict)
    device: str = ""
    error: str = ""

    @property
    def place(self) -> Place:
        return Place(self.dataset, self.encoder, self.data_checksum, self.data_settings)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values. What has its default, and a score that is NaN, is left out."""
        adapter: TypeAdapter[Any] = FINISHED if isinstance(self, FinishedResult) else PLAIN
        return without_nan(adapter.dump_python(self, exclude_defaults=True))


@dataclass
class Seconds:
    """Seconds of work on a run: total, and what its parts took."""

    setup: float
    train: float
    eval: float
    tracking: float
    total: float


@dataclass
class DataFacts:
    """The data of a run. sentences: by split; entities: of the training split, by type.

    pool, fold: as in `Corpus`.
    augmented: the sentences of augment=, which are not counted in the others.
    """

    checksum: str
    sentences: dict[str, int]
    entities: dict[str, int]
    pool: str = ""
    fold: int = 0
    augmented: int = 0


@dataclass(kw_only=True)
class FinishedResult(Result):
    """The result of a run that has finished. config: resolved, without passwords."""

    config: dict[str, Any]
    best_epoch: int
    epochs: int
    absent: dict[str, float]  # by type: the share of the last epoch's steps without it
    padding: float  # share of the last epoch's slots
    dev: Scores  # of the best epoch
    test: Scores
    analysis: Analysis
    seconds: Seconds
    cpu_seconds: float  # of training
    sentences_per_second: float
    words_per_second: float
    peak_memory_bytes: int
    hardware: str
    accumulation: int
    precision: str
    threads: int
    data: DataFacts
    notes: list[str]
    versions: dict[str, str]

    @property
    def place(self) -> Place:
        settings = data_settings(self.config.get("data", {}))
        checksum = self.data.pool or self.data.checksum
        return Place(self.choice["data"], self.choice["model"], checksum, settings)

    def scores(self, split: str) -> Scores:
        """Return the scores of dev or test."""
        return {"dev": self.dev, "test": self.test}[split]

    @property
    def metric(self) -> EntityMetric:
        """The metric that picked the best epoch: F1 in older versions."""
        return metric_of(self.config.get("metric", "f1"), list(self.dev.types))

    def value(self, split: str, metric: EntityMetric | None = None) -> float:
        """Return a metric of dev or test, by default the run's, in [0, 1]; NaN if unknown."""
        return (metric or self.metric).of(self.scores(split), self.analysis.split(split).curve)

    @property
    def choice(self) -> dict[str, str]:
        """The option of each group."""
        choice: dict[str, str] = self.config["choice"]
        return choice


PLAIN = TypeAdapter(Result)
FINISHED = TypeAdapter(FinishedResult)
reported: set[Path] = set()  # results that cannot be read


def without_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return JSON values without the entries that are NaN, which JSON cannot hold."""
    kept: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            kept[name] = without_nan(value)
        elif not (isinstance(value, float) and isnan(value)):
            kept[name] = value
    return kept


def result_of(values: Mapping[str, Any]) -> Result:
    """Return a result from JSON values. Raises ValueError if something is missing or wrong."""
    if values.get("status") != Status.FINISHED:
        return validate(PLAIN, values)
    result = validate(FINISHED, values)
    if not result.setting:  # of an older version
        result.seed = result.config["seed"]
        result.setting = result.name.removesuffix(f"-s{result.seed}")
    return result


def sealed(result: Result) -> dict[str, Any]:
    """Return the result as JSON values with a checksum: a damaged digit is no other score."""
    values: dict[str, Any] = json.loads(json.dumps(result.to_json()))
    return values | {"checksum": fingerprint(values)}


def write_result(folder: Path, result: Result) -> None:
    """Write the result of a run into its folder."""
    write_json(folder / RESULT, sealed(result))


def read_result(file: Path) -> Result:
    """Read a result. Raises OSError, and UserError for a file that is damaged or too old."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        unseal(values)
        return result_of(values)
    except Mismatch as error:
        fault = Fault(str(file), must=f"not the result of a run ({error})")
        if error.missing and "." not in error.path:
            older = f"has no {error.path}, so an older version made it"
            fault = Fault(str(file), must=older, remedy="run its command again with rerun=true")
    except ValueError as error:
        fault = Fault(str(file), must=f"cannot be read ({error})")
    raise UserError(fault)


def read_run(folder: Path, fingerprint: str) -> Result | None:
    """Read the result of a run; None if the run never started.

    A result that is damaged, or of another run, counts as none; a warning says so once per process.
    Raises UserError for a file that the system cannot read.
    """
    file = folder / RESULT
    try:
        result = read_result(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        reason = f"cannot be read ({error.strerror}); nothing is run in its place"
        raise UserError(Fault(str(file), must=reason)) from None
    except UserError as error:
        fault = str(error)
    else:
        if result.fingerprint == fingerprint:
            return result
        fault = f"{file}: it is of another run"
    if file not in reported:
        reported.add(file)
        log.warning("%s; the run starts over", fault)
    return None


def unseal(values: Any) -> None:
    """Take the checksum out of a sealed result. Raises ValueError if it is wrong or missing."""
    if not isinstance(values, dict) or not {"name", "status", "fingerprint"} <= values.keys():
        raise ValueError("it is no result")
    if "checksum" not in values:
        raise ValueError("it has no checksum, so an older version made it")
    if values.pop("checksum") != fingerprint(values):
        raise ValueError("it is damaged")
