"""Finished runs for tests, whose numbers do not matter but where a test sets them."""

from dataclasses import fields
from typing import Any

from nersweep.report.records import Record
from nersweep.results.result import FinishedResult, Result, Status, result_of
from nersweep.training.history import EpochRecord, Gradients, Histogram

BINS = {"counts": [20] * 15, "confidence": [0.5] * 15, "accuracy": [0.5] * 15}
GROUPS = {"all": BINS, "entities": BINS}


def rates(f1: float, **others: Any) -> dict[str, Any]:
    return {"f1": f1, "precision": f1, "recall": f1, **others}


def scores(f1: float, types: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return rates(f1, macro_f1=f1, accuracy=f1, strict=rates(f1), types=types)


def finished_result(
    loss: str = "focal",
    seed: int = 1,
    f1: float = 0.5,
    types: dict[str, int] | None = None,
    config: dict[str, Any] | None = None,
    **changes: Any,
) -> FinishedResult:
    """A result on a CPU with one optimiser step per ten sentences. types: their support; later
    types score lower. changes: of the fields of a result."""
    supports = types or {"LOC": 3, "PER": 9}
    of_types = {}
    for place, (name, support) in enumerate(supports.items(), 1):
        of_types[name] = rates(f1 / place, support=support)
    split = {
        "illegal_transitions": 0.0,
        "calibration_error": {"all": 0.1, "entities": 0.1},
        "errors": {"boundary": 1, "type": 1, "spurious": 1, "missed": 1},
        "seen": rates(f1, support=1),
        "unseen": rates(f1, support=1),
    }
    values = {
        "status": "finished",
        "name": f"{loss}-s{seed}",
        "fingerprint": "",
        "setting": loss,
        "seed": seed,
        "device": "cpu",
        "config": {
            "seed": seed,
            "choice": {"loss": loss, "data": "conll2003", "model": "minilm"},
            "train": {"batch_size": 1},
            **(config or {}),
        },
        "best_epoch": 1,
        "epochs": 1,
        "absent": {},
        "padding": 0.0,
        "dev": scores(f1, of_types),
        "test": scores(f1, of_types),
        "analysis": {
            "dev": split,
            "test": split,
            "calibration": {"dev": GROUPS, "test": GROUPS},
            "threshold": {"tau": 0.0, "dev": rates(f1), "test": rates(f1)},
        },
        "seconds": {"setup": 1.0, "train": 10.0, "eval": 1.0, "tracking": 0.0, "total": 12.0},
        "cpu_seconds": 10.0,
        "sentences_per_second": 1.0,
        "words_per_second": 1.0,
        "peak_memory_bytes": 1,
        "hardware": "2 cores",
        "accumulation": 1,
        "precision": "float32",
        "threads": 1,
        "data": {
            "checksum": "c0ffee" * 4,
            "sentences": {"train": 10},
            "entities": {"LOC": 50, "PER": 5},
        },
        "notes": [],
        "versions": {"nersweep": "0.1.0"},
    }
    assert changes.keys() <= {field.name for field in fields(FinishedResult)}
    result = result_of(values | changes)
    assert isinstance(result, FinishedResult)
    return result


def unfinished(
    setting: str = "focal", seed: int = 1, status: str = "failed", error: str = ""
) -> Result:
    name = f"{setting}-s{seed}"
    return Result(status=Status(status), name=name, setting=setting, seed=seed, error=error)


def epoch(number: int, f1: float) -> EpochRecord:
    """An epoch with as many words, and the same gradient, in all bins."""
    words, sums = [[100.0] * 30, [100.0] * 30], [[50.0] * 30, [50.0] * 30]
    result = finished_result(f1=f1)
    train = Histogram(words, [list(row) for row in sums], [list(row) for row in sums])
    return EpochRecord(
        epoch=number,
        loss=1.0,
        cross_entropy=0.5 / number,
        dev=result.dev,
        absent={},
        padding=0.0,
        gradients=Gradients(train=train, dev=Histogram(words, sums)),
    )


def record(result: FinishedResult, **details: Any) -> Record:
    return Record(result, details.pop("split", "test"), **details)
