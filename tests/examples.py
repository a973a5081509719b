"""Results of runs that were never made."""

from dataclasses import replace
from typing import Any

from nersweep.evaluation.analysis import (
    Analysis,
    Diagram,
    Diagrams,
    Errors,
    SplitAnalysis,
    Threshold,
    WordGroups,
)
from nersweep.evaluation.metrics import Rates, Scores, TypeScores
from nersweep.results.result import DataFacts, FinishedResult, Seconds, Status
from nersweep.training.history import EpochRecord, Gradients, Histogram


def scores(f1: float = 0.5, **support: int) -> Scores:
    """Scores that are all f1. support: of each type, by name."""
    types = {name: TypeScores(f1, f1, f1, support=n) for name, n in support.items()}
    return Scores(f1, f1, f1, macro_f1=f1, accuracy=f1, strict=Rates(f1, f1, f1), types=types)


def analysis() -> Analysis:
    mentions = TypeScores(0.5, 0.5, 0.5, support=4)
    split = SplitAnalysis(
        0.0, WordGroups(0.1, 0.1), Errors(1, 2, 3, 4), seen=mentions, unseen=mentions
    )
    diagram = Diagram(counts=[20] * 15, confidence=[0.5] * 15, accuracy=[0.5] * 15)
    diagrams = Diagrams(WordGroups(diagram, diagram), WordGroups(diagram, diagram))
    rates = Rates(0.5, 0.5, 0.5)
    return Analysis(split, split, calibration=diagrams, threshold=Threshold(0.0, rates, rates))


def finished(setting: str = "focal", seed: int = 1, **changes: Any) -> FinishedResult:
    """A finished run. changes: of its fields."""
    result = FinishedResult(
        status=Status.FINISHED,
        name=f"{setting}-s{seed}",
        setting=setting,
        seed=seed,
        fingerprint="f1" * 32,
        device="cpu",
        config={
            "seed": seed,
            "train": {"batch_size": 8},
            "choice": {"data": "conll2003", "model": "minilm", "loss": setting},
        },
        best_epoch=1,
        epochs=2,
        absent={"LOC": 0.0, "PER": 0.0},
        padding=0.0,
        dev=scores(LOC=3, PER=9),
        test=scores(LOC=3, PER=9),
        analysis=analysis(),
        seconds=Seconds(setup=1.0, train=10.0, eval=1.0, tracking=1.0, total=14.0),
        cpu_seconds=10.0,
        sentences_per_second=100.0,
        words_per_second=1000.0,
        peak_memory_bytes=10**9,
        hardware="2 cores",
        accumulation=1,
        precision="float32",
        threads=2,
        data=DataFacts(
            checksum="c0ffee" * 4,
            sentences={"train": 80, "dev": 10, "test": 10},
            entities={"LOC": 50, "PER": 5},
        ),
        notes=[],
        versions={"nersweep": "0.1.0"},
    )
    return replace(result, **changes)


def epoch(number: int, f1: float = 0.5) -> EpochRecord:
    """An epoch with the same number of words in all bins of its histograms."""
    full = [[100.0] * 30] * 2
    half = [[50.0] * 30] * 2
    histogram = Histogram(words=full, norms=half, pulls=half)
    return EpochRecord(
        epoch=number,
        loss=1.0,
        dev=scores(f1, LOC=3, PER=9),
        absent={},
        padding=0.0,
        gradients=Gradients(train=histogram, dev=histogram),
    )
