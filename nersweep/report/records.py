"""Read a finished run back: its result, its history, and its entities sentence by sentence."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from nersweep.config.flat import flat
from nersweep.config.knobs import is_fed
from nersweep.config.settings import matters
from nersweep.evaluation.counts import NO_DOCUMENTS, DocumentCounts
from nersweep.evaluation.influence import Floats
from nersweep.evaluation.metric import EntityMetric
from nersweep.faults import Fault, UserError
from nersweep.report.predictions import TaggedSplit, read_predictions
from nersweep.results.card import read_card
from nersweep.results.counts import COUNTS, read_counts
from nersweep.results.result import RESULT, FinishedResult, Result, read_result, result_of
from nersweep.results.sets import Place
from nersweep.training.history import EPOCH, EpochRecord, StepRecord, record_of

CURVE_POINTS = 200  # of a training loss


@dataclass(frozen=True)
class Record:
    """A finished run, scored on one split.

    counts: entities of each sentence, correct, predicted, gold (S, 3). confusion: words by gold
    and predicted label. losses: (step, training loss), thinned out. folder: None for a run from
    an archive. documents: entities of each document by type. command: the one that repeats the run;
    "" if unknown. entities: the predicted ones, (E, 3) as start, end, type over all words; none of
    an archive.
    """

    result: FinishedResult
    split: str
    counts: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), dtype=np.int64))
    confusion: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    epochs: list[EpochRecord] = field(default_factory=list)
    losses: list[tuple[int, float]] = field(default_factory=list)
    folder: Path | None = None
    documents: DocumentCounts = NO_DOCUMENTS
    command: str = ""
    entities: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), dtype=np.int64))

    @property
    def setting(self) -> str:
        """The run's name without its seed."""
        return self.result.setting

    @property
    def place(self) -> Place:
        return self.result.place

    @property
    def config(self) -> dict[str, Any]:
        return self.result.config

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @property
    def draw(self) -> int:
        """A number that tells the run from the others of its setting: the seed, with its fold."""
        return self.seed + 2**32 * self.result.data.fold

    @property
    def loss(self) -> str:
        return self.result.choice["loss"]

    @property
    def types(self) -> list[str]:
        return list(self.result.test.types)

    def support(self, type_: str) -> int:
        """Return the number of gold entities of a type."""
        return self.result.scores(self.split).types[type_].support

    @property
    def steps(self) -> int:
        """Optimiser steps of the training."""
        sentences = self.result.data.sentences["train"] + self.result.data.augmented
        batch_size: int = self.config["train"]["batch_size"]
        return self.result.epochs * -(-sentences // batch_size)

    @property
    def step_seconds(self) -> float:
        """Time of an optimiser step: CPU time on a CPU, which other processes do not stretch."""
        on_cpu = self.result.device == "cpu"
        seconds = self.result.cpu_seconds if on_cpu else self.result.seconds.train
        return seconds / self.steps

    @cached_property
    def scores(self) -> dict[str, float]:
        """All scores by flat name: f1, types/PER/f1, strict/f1, errors/boundary, threshold/f1, …"""
        scores = self.result.scores(self.split).flat()
        analysis = self.result.analysis
        return scores | analysis.split(self.split).flat() | analysis.after(self.split)

    def value(self, metric: EntityMetric) -> float:
        """Return a metric of the run in [0, 1]. Raises UserError if its counts lack something."""
        value = self.scores.get(metric.score, np.nan)
        if not np.isnan(value):
            return value
        return metric.rate.measure(self.counts_by(metric, self.documents))[0] / 100

    def counts_by(self, metric: EntityMetric, documents: DocumentCounts) -> Floats:
        """Return what a metric counts of the run's documents. Raises UserError as it does."""
        return metric.counts(documents, self.result.name, archived=self.folder is None)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All settings that identify the run but its seed, under dotted names.

        The place of the data is left out, since their checksum counts; the precision is the one
        that was used.
        """
        settings: dict[str, Any] = {"metric": "f1", "choice.augment": "none"}  # of older versions
        for name, value in flat(self.config).items():
            if name.partition(".")[0] in ("seed", "data") or not matters(name):
                continue
            if not is_fed(name, self.result.choice):  # loss.gamma repeats focal_gamma
                settings[name] = value
        return settings | {"train.precision": self.result.precision}

    def predictions(self) -> TaggedSplit:
        """Read the run's predictions. Raises UserError if they cannot be read."""
        assert self.folder, "an archive holds no words"
        return read_predictions(self.folder, self.split, self.types)


Run: TypeAlias = Record | Result  # a finished run, or what is known of any other


def read_run(folder: Path, split: str) -> Run:
    """Read the run of a folder. Raises UserError if something is missing or damaged.

    Numbers of a finished run are rounded, so that an archive of it holds the same.
    """
    try:
        result = read_result(folder / RESULT)
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        raise UserError(Fault(str(folder / RESULT), must=reason)) from None
    if not isinstance(result, FinishedResult):
        return result
    predictions = read_predictions(folder, split, result.test.types)
    sentences, expected = len(predictions.lengths), result.data.sentences[split]
    if sentences != expected:
        file = folder / "predictions" / f"{split}.conll"
        reason = f"{sentences:,} sentences, expected {expected:,}"
        raise UserError(Fault(str(file), must=reason))
    counts = predictions.counts()
    documents = read_counts(folder, split)
    if documents is None:  # of an older version
        documents = predictions.sentence_counts
    if (documents.lenient.sum((0, 1)) != counts.sum(0)).any():
        reason = f"not the counts of {split}.conll"
        raise UserError(Fault(str(folder / COUNTS), must=reason))
    epochs, losses = read_history(folder / "metrics.jsonl")
    card = read_card(folder)
    return Record(
        round_result(result),
        split,
        counts,
        predictions.confusion(),
        epochs,
        losses,
        folder,
        documents,
        card.note.strip("`") if card else "",
        predictions.predicted,
    )


def round_result(result: FinishedResult) -> FinishedResult:
    """Round all numbers but the settings: learning rates may differ in the seventh digit."""
    values = result.to_json()
    finished = result_of(rounded(values) | {"config": values["config"]})
    assert isinstance(finished, FinishedResult)
    return finished


def read_history(file: Path) -> tuple[list[EpochRecord], list[tuple[int, float]]]:
    """Read the epochs and the training loss. Raises UserError if a line is not a record."""
    epochs: list[EpochRecord] = []
    steps: list[StepRecord] = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(Fault(str(file), must=f"cannot be read ({error.strerror})")) from None
    for number, line in enumerate(lines, 1):
        try:
            record = record_of(line)
        except (ValueError, TypeError) as error:
            reason = f"not a record of this version ({' '.join(str(error).split())})"
            remedy = "run its command again with rerun=true"
            raise UserError(Fault(f"{file}:{number}", must=reason, remedy=remedy)) from None
        if isinstance(record, EpochRecord):
            epochs.append(EPOCH.validate_python(rounded(record.to_json())))
        else:
            steps.append(record)
    return epochs, thin_out(steps)


def thin_out(steps: list[StepRecord]) -> list[tuple[int, float]]:
    """Average the training loss over groups of steps, so that at most CURVE_POINTS are left."""
    size = max(1, -(-len(steps) // CURVE_POINTS))
    points: list[tuple[int, float]] = []
    for first in range(0, len(steps), size):
        group = steps[first : first + size]
        mean = np.mean([step.loss for step in group])
        points.append((group[-1].step, rounded(float(mean))))
    return points


def rounded(value: Any) -> Any:
    """Round numbers to six digits; a score of 10,000 entities has four."""
    if isinstance(value, Mapping):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
