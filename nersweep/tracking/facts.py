"""What a tracker shows of a folder, in words that every tracker knows."""

import hashlib
from dataclasses import dataclass, field, replace
from math import isnan
from pathlib import Path

from nersweep.faults import Fault, UserError
from nersweep.results.card import CARD, Card, read_card
from nersweep.results.folder import METRICS
from nersweep.results.result import RESULT, FinishedResult, Result, Status, read_result
from nersweep.training.history import EpochRecord, StepRecord, record_of

FILES = (  # of a finished run, by pattern
    "predictions/*",
    "config.yaml",
    "report.txt",
    "*.png",
    METRICS,
    RESULT,
)
ENDED = (Status.FINISHED, Status.FAILED, Status.DIVERGED, Status.KILLED, Status.PRUNED)

Values = dict[str, float]


@dataclass(frozen=True)
class FolderFacts:
    """Everything that a tracker shows of a folder.

    curves: values by step, in the order in which they came.
    scores: the final values by step; test: those of the model. Both are empty before the end.
    files: by their names in the tracker. model: the folder of the trained model.
    ended: seconds since the epoch; None while the work goes on.
    """

    folder: Path
    card: Card
    status: str
    error: str = ""
    ended: float | None = None
    curves: list[tuple[int, Values]] = field(default_factory=list)
    scores: list[tuple[int, Values]] = field(default_factory=list)
    test: tuple[int, Values] = (0, {})
    files: dict[str, Path] = field(default_factory=dict)
    model: Path | None = None

    @property
    def output_dir(self) -> Path:
        return self.folder.absolute().parents[1]

    @property
    def parent(self) -> Path | None:
        """The folder of the sweep or study that the run belongs to, if it is there."""
        folder = self.output_dir / self.card.parent if self.card.parent else None
        return folder if folder and (folder / CARD).exists() else None


def read(folder: Path) -> FolderFacts:
    """Read the facts of a run, sweep or study.

    Raises UserError if it has no card, and for a run whose result cannot be read.
    """
    card = read_card(folder)
    if card is None:
        raise UserError(Fault(str(folder), must=f"has no {CARD}, so no tracker can show it"))
    return run_facts(folder, card) if card.kind == "run" else summary_facts(folder, card)


def run_facts(folder: Path, card: Card) -> FolderFacts:
    result = result_in(folder)
    status = result.status if result else Status.RUNNING
    ended = (folder / RESULT).stat().st_mtime if status in ENDED else None
    error = result.error if result else ""
    facts = FolderFacts(folder, card, status, error, ended, read_curves(folder / METRICS))
    if not isinstance(result, FinishedResult):
        return facts
    step, analysis = result.best_epoch, result.analysis
    splits: dict[str, Values] = {}
    for split in ("dev", "test"):
        scores = analysis.split(split).flat() | analysis.after(split)
        splits[split] = {f"{split}/{name}": x for name, x in scores.items() if not isnan(x)}
    splits["dev"].pop("dev/cross_entropy", None)  # the best epoch's, which is in the curves
    best = {"dev/best_f1": result.dev.f1}
    metric = result.metric
    name = plain(metric.name)
    best[f"dev/best_{name}"] = result.value("dev")
    if metric.score not in result.test.flat() | analysis.test.flat():
        best[f"test/{name}"] = result.value("test")
    return replace(
        facts,
        scores=[(0, card.numbers), (step, splits["dev"]), (step, splits["test"]), (step, best)],
        test=(step, result.test.flat("test")),
        files=run_files(folder),
        model=folder / "model" if (folder / "model").is_dir() else None,
    )


def summary_facts(folder: Path, card: Card) -> FolderFacts:
    """Return the facts of a sweep or a study: its card has all of them."""
    ended = (folder / CARD).stat().st_mtime if card.status in ENDED else None
    files = {Path(name).name: folder / name for name in card.files}
    numbers = {plain(name): value for name, value in card.numbers.items()}
    return FolderFacts(
        folder,
        card,
        card.status,
        card.error,
        ended,
        scores=[(card.step, numbers)] if ended is not None else [],
        files={name: file for name, file in files.items() if file.is_file()},
    )


def plain(metric: str) -> str:
    """Return the name of a metric in signs that MLflow takes: recall_at_precision_.9."""
    return metric.replace("@precision=", "_at_precision_")


def result_in(folder: Path) -> Result | None:
    """Read the result of a run; None if it has none. Raises UserError if it cannot be read."""
    file = folder / RESULT
    try:
        return read_result(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(Fault(str(file), must=f"cannot be read ({error.strerror})")) from None


def read_curves(file: Path) -> list[tuple[int, Values]]:
    """Read the values of each step and epoch, up to a line that a killed process cut off."""
    curves: list[tuple[int, Values]] = []
    try:
        with open(file, encoding="utf-8") as lines:
            for line in lines:
                curves.append(values_of(record_of(line)))
    except (FileNotFoundError, ValueError):
        pass
    return curves


def values_of(record: StepRecord | EpochRecord) -> tuple[int, Values]:
    """Return the step and the values of a record of metrics.jsonl, under a tracker's names."""
    if isinstance(record, EpochRecord):
        values = record.dev.flat("dev")
        for type_, share in record.absent.items():
            values[f"train/{type_}/absent_steps"] = share
        if record.cross_entropy is not None:
            values["dev/cross_entropy"] = record.cross_entropy
        return record.epoch, values | {"train/epoch_loss": record.loss}
    values = {"train/loss": record.loss, "train/lr": record.lr, "train/grad_norm": record.grad_norm}
    for name, value in (record.terms or {}).items():
        values[f"train/{name}_loss"] = value
    return record.step, values


def run_files(folder: Path) -> dict[str, Path]:
    files = {}
    for pattern in FILES:
        for file in sorted(folder.glob(pattern)):
            files[str(file.relative_to(folder))] = file
    return files


def status_of(folder: Path) -> str:
    """Return the status of a run, sweep or study. Raises UserError for a damaged result."""
    card = read_card(folder)
    if card and card.kind != "run":
        return card.status
    result = result_in(folder)
    return result.status if result else Status.RUNNING


def digest(folder: Path) -> str:
    """Return a checksum of card and result: it differs whenever a tracker lacks something."""
    checksum = hashlib.sha256()
    for name in (CARD, RESULT):
        if (folder / name).exists():
            checksum.update((folder / name).read_bytes())
    return checksum.hexdigest()
