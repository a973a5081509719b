"""Runs read back: what the report knows of each, from its folder or from a line of an archive."""

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nersweep.config.flat import flat
from nersweep.config.settings import matters
from nersweep.evaluation import metrics
from nersweep.labels import LabelSet
from nersweep.machine import files
from nersweep.machine.typed import Mismatch, validate
from nersweep.results.result import RESULT, FinishedResult, Result, read_result, result_of
from nersweep.training.history import EPOCH, EpochRecord, record_of

LOSSES = 200  # points of a loss curve
PLACES = {"data", "output_dir", "tracking"}  # settings that say where something lies


@dataclass(frozen=True)
class Predicted:
    """What is true and what a run says of the words of a split, whose sentences stand one after another.

    words (W,), lengths (S,) in words, gold and predicted tags (W,), and the predicted entities, rows (start, end,
    type), where they are not those of the tags.
    """

    labels: LabelSet
    words: list[str]
    lengths: np.ndarray
    gold_tags: list[str]
    tags: list[str]
    spans: np.ndarray | None

    @cached_property
    def gold_ids(self) -> np.ndarray:
        return np.array(self.labels.encode(self.gold_tags))

    @cached_property
    def ids(self) -> np.ndarray:
        return np.array(self.labels.encode(self.tags))

    @cached_property
    def gold(self) -> np.ndarray:
        """True entities, rows (start, end, type)."""
        return metrics.entities(self.gold_ids, self.lengths, self.labels)

    @cached_property
    def found(self) -> np.ndarray:
        """Predicted entities, rows (start, end, type)."""
        return (
            metrics.entities(self.ids, self.lengths, self.labels)
            if self.spans is None
            else self.spans
        )

    def counts(self) -> np.ndarray:
        """Entities of each sentence: correct, predicted, gold, (S, 3)."""
        right = {tuple(row) for row in self.gold.tolist()}
        correct = self.found[[tuple(row) in right for row in self.found.tolist()]]
        ends = np.cumsum(self.lengths)
        rows = (correct, self.found, self.gold)
        of = [np.searchsorted(ends, x[:, 0], side="right") for x in rows]
        return np.stack([np.bincount(x, minlength=len(ends)) for x in of], axis=1)

    def confusion(self) -> np.ndarray:
        """Words by gold label (rows) and predicted label (columns)."""
        return metrics.confusion(self.gold_ids, self.ids, self.labels)


def read_predictions(folder: Path, split: str, types: Iterable[str]) -> Predicted:
    """Raises ValueError for what is no file that `outputs.write` leaves."""
    file = folder / "predictions" / f"{split}.conll"
    words, gold, tags, lengths = [], [], [], []
    try:
        blocks = file.read_text(encoding="utf-8").removesuffix("\n").split("\n\n")
        for block in blocks:
            rows = [line.rsplit(" ", 2) for line in block.split("\n")]
            lengths.append(len(rows))
            for word, true, said in rows:
                words.append(word)
                gold.append(true)
                tags.append(said)
        labels = LabelSet(types)
        made = Predicted(
            labels, words, np.array(lengths), gold, tags, read_spans(file, labels, lengths)
        )
        made.gold_ids, made.ids  # noqa: B018  an unknown tag is told here
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError) as error:
        raise ValueError(f"{file}: not the predictions of a run ({error})") from None
    return made


def read_spans(file: Path, labels: LabelSet, lengths: Sequence[int]) -> np.ndarray | None:
    """Those of a head that predicts spans, of the whole split; None where there is no such file."""
    beside = file.with_suffix(".spans.jsonl")
    if not beside.exists():
        return None
    first = np.cumsum([0, *lengths])
    types = {name: i for i, name in enumerate(labels.types, 1)}
    rows = [
        [start + first[i], end + first[i], types[type_]]
        for i, line in enumerate(beside.read_text(encoding="utf-8").splitlines())
        for start, end, type_ in json.loads(line)
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


@dataclass(frozen=True)
class Record:
    """One run, as it is scored on one split.

    result: as in its result.json. counts: the entities of each sentence, correct, predicted, gold (S, 3); confusion:
    words by gold and predicted label; epochs: as `fit` records them; losses: of training over steps, thinned out. All
    of them are empty for a run that did not finish. folder: None where it came from an archive.
    """

    result: Any  # a FinishedResult, or else a Result
    split: str
    counts: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), dtype=np.int64))
    confusion: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    epochs: list[EpochRecord] = field(default_factory=list)
    losses: list[tuple[int, float]] = field(default_factory=list)
    folder: Path | None = None

    @property
    def name(self) -> str:
        return self.result.name

    @property
    def finished(self) -> bool:
        return isinstance(self.result, FinishedResult)

    @property
    def config(self) -> dict[str, Any]:
        return self.result.config

    @property
    def seed(self) -> int:
        return self.result.seed

    @property
    def types(self) -> list[str]:
        return list(self.result.test.types)

    @property
    def steps(self) -> int:
        train, sentences = self.config["train"], self.result.data.sentences["train"]
        return self.result.epochs * -(-sentences // train["batch_size"])

    @cached_property
    def scores(self) -> dict[str, float]:
        """All of them, flat: f1, PER/f1, strict/f1, illegal_transitions, errors/boundary, …"""
        analysis = self.result.analysis.split(self.split)
        return self.result.scores(self.split).flat() | analysis.flat()

    def predictions(self) -> Predicted:
        assert self.folder, "an archive holds no words"
        return read_predictions(self.folder, self.split, self.types)


def read_run(folder: Path, split: str) -> Record:
    """The run of a folder. Raises ValueError for a folder without result.json, and for a finished run of which
    something is missing: one line. Its numbers are rounded, so that an archive of it holds the same."""
    file = folder / RESULT
    try:
        result = read_result(file)
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error})") from None
    if not isinstance(result, FinishedResult):
        return Record(result, split, folder=folder)
    epochs, losses = read_history(folder / "metrics.jsonl")
    predicted = read_predictions(folder, split, result.test.types)
    known, found = result.data.sentences[split], len(predicted.lengths)
    if found != known:
        raise ValueError(
            f"{folder / 'predictions' / split}.conll: {found:,} sentences, expected {known:,}"
        )
    return Record(
        rounded_result(result),
        split,
        predicted.counts(),
        predicted.confusion(),
        [validate(EPOCH, rounded(epoch.to_json())) for epoch in epochs],
        losses,
        folder,
    )


def rounded_result(result: FinishedResult) -> Result:
    """All but the configuration: two learning rates may differ in the seventh digit."""
    values = result.to_json()
    return result_of(rounded(values) | {"config": values["config"]})


def read_history(file: Path) -> tuple[list[EpochRecord], list[tuple[int, float]]]:
    """Epochs, and the training loss at some steps: each the mean since the one before."""
    try:
        lines = [record_of(line) for line in file.read_text(encoding="utf-8").splitlines()]
        epochs = [line for line in lines if isinstance(line, EpochRecord)]
        steps = [(line.step, line.loss) for line in lines if not isinstance(line, EpochRecord)]
    except Mismatch as error:
        if error.missing and error.path == "gradients":
            raise ValueError(
                f"{file}: has no gradients, so an older version made it; run its command again with rerun=true"
            ) from None
        raise ValueError(f"{file}: cannot be read ({error})") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: cannot be read ({error})") from None
    size = -(-len(steps) // LOSSES)
    parts = [steps[i : i + size] for i in range(0, len(steps), size)] if steps else []
    return epochs, [
        (part[-1][0], rounded(float(np.mean([loss for _, loss in part])))) for part in parts
    ]


def setting_of(record: Record) -> dict[str, Any]:
    """What a run shares with those that differ from it in their seed alone: flat, without what makes no other run, and
    without where the data are, which their checksum tells. The precision is the one that it was."""
    left_out, config = {"seed", "data"}, flat(record.config)
    kept = {
        key: x
        for key, x in config.items()
        if key.partition(".")[0] not in left_out and matters(key)
    }
    return kept | {"train.precision": record.result.precision}


def to_line(record: Record) -> str:
    """A run as a line of an archive: no words of the data in it, and nothing of where these and the run lie."""
    result = record.result.to_json()
    if config := result.get("config"):
        result["config"] = {key: value for key, value in config.items() if key not in PLACES}
    arrays = {"counts": packed(record.counts), "confusion": record.confusion.tolist()}
    epochs = [epoch.to_json() for epoch in record.epochs]
    told = {"result": result, "split": record.split, "epochs": epochs, "losses": record.losses}
    return json.dumps(told | arrays, ensure_ascii=False)


def from_line(line: str) -> Record:
    told = json.loads(line)
    confusion = np.array(told["confusion"], dtype=np.int64)
    losses = [(step, loss) for step, loss in told["losses"]]
    return Record(
        result_of(told["result"]),
        told["split"],
        unpacked(told["counts"]),
        confusion,
        [validate(EPOCH, epoch) for epoch in told["epochs"]],
        losses,
    )


def rounded(value: Any) -> Any:
    """Numbers with six digits: a score of 10,000 entities has four."""
    if isinstance(value, Mapping):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def packed(counts: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(counts.astype("<u2").tobytes(), 9)).decode()


def unpacked(text: str) -> np.ndarray:
    return (
        np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<u2")
        .reshape(-1, 3)
        .astype(np.int64)
    )


def write_archive(file: Path, records: Iterable[Record]) -> None:
    files.write_text(file, "".join(to_line(record) + "\n" for record in records))


def read_archive(file: Path) -> list[Record]:
    """Raises ValueError for a file that is none, with its line."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ValueError(f"archive={file}: cannot be read ({error.strerror})") from None
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(from_line(line))
        except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
            raise ValueError(f"archive={file}: line {number} is no run ({error})") from None
    return records
