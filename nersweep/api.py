"""The functions of `import nersweep`: run, sweep, compare. They import what they need when called.

Each reads its arguments as the command line reads them, and raises a UserError with the same lines.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nersweep.faults import Fault, UserError

if TYPE_CHECKING:
    from pandas import DataFrame

    from nersweep.evaluation.metrics import Scores
    from nersweep.model.saved import SavedTagger
    from nersweep.report.comparison import Comparison as Comparisons
    from nersweep.results.result import FinishedResult

# Rooms have the names of two functions. The first import of a room puts it into `nersweep`, so that
# must be now: `nersweep` takes the functions from here afterwards.
for room in ("nersweep.run", "nersweep.sweep"):
    import_module(room)

StrPath = str | PathLike[str]


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run: its folder, and its result as in result.json.

    >>> from nersweep import Run
    >>> run = Run.read("outputs/runs/focal-g3-s1-5d41402a")  # doctest: +SKIP
    >>> run.test.f1, run.test.types["PER"].recall  # doctest: +SKIP
    (0.8017, 0.9131)
    """

    folder: Path
    result: "FinishedResult"

    @classmethod
    def read(cls, folder: StrPath) -> "Run":
        """Read a run from its folder. Raises UserError unless a finished run is there."""
        from nersweep.results.result import RESULT, FinishedResult, read_result

        try:
            result = read_result(Path(folder) / RESULT)
        except OSError as error:
            reason = f"cannot be read ({error.strerror})"
            raise UserError(Fault("folder", fspath(folder), reason)) from None
        if not isinstance(result, FinishedResult):
            must = f"its run is {result.status}"
            remedy = "repeat its command to finish it"
            raise UserError(Fault("folder", fspath(folder), must, remedy))
        return cls(Path(folder).absolute(), result)

    @property
    def name(self) -> str:
        """The run's name: focal-g3-s1."""
        return self.result.name

    @property
    def dev(self) -> "Scores":
        """The scores of the best epoch on the development split, in [0, 1]: f1, macro_f1, …"""
        return self.result.dev

    @property
    def test(self) -> "Scores":
        """The scores on the test split, in [0, 1]."""
        return self.result.test

    @property
    def model(self) -> Path:
        """The folder of the model, which `tagger` loads."""
        return self.folder / "model"

    def scores(self) -> "DataFrame":
        """Return the scores of both splits in [0, 1]: rows dev and test, columns f1, strict/f1, …

        The scores of types are those of `types`.
        """
        from pandas import DataFrame

        rows: dict[str, dict[str, float]] = {}
        for split in ("dev", "test"):
            rates = self.result.scores(split).flat()
            rows[split] = {name: x for name, x in rates.items() if not name.startswith("types/")}
        return DataFrame.from_dict(rows, orient="index")

    def types(self, split: Literal["dev", "test"] = "test") -> "DataFrame":
        """Return a row for each type: f1, precision and recall in [0, 1], support in entities."""
        from pandas import DataFrame

        rows = {name: vars(scores) for name, scores in self.result.scores(split).types.items()}
        return DataFrame.from_dict(rows, orient="index")

    def history(self) -> "DataFrame":
        """Return a row for each epoch: the training loss, and the scores on dev as dev/f1, …"""
        from pandas import DataFrame

        from nersweep.report.records import read_history
        from nersweep.results.folder import METRICS

        epochs, _ = read_history(self.folder / METRICS)
        rows: dict[int, dict[str, float | None]] = {}
        for epoch in epochs:
            scores = epoch.dev.flat("dev")
            cross_entropy = {"dev/cross_entropy": epoch.cross_entropy}
            rows[epoch.epoch] = {"loss": epoch.loss, **cross_entropy, **scores}
        return DataFrame.from_dict(rows, orient="index").rename_axis("epoch")

    def tagger(
        self, device: str = "cpu", thresholds: Literal["none", "tau", "types"] = "none"
    ) -> "SavedTagger":
        """Load the model: `run.tagger().predict([["Ada", "saw", "Pau"]])` gives tags and spans."""
        from nersweep.model.saved import SavedTagger

        return SavedTagger(self.model, device, thresholds=thresholds)

    def __repr__(self) -> str:
        from nersweep.run.console import summary

        return f"Run({self.name}: {summary(self.result)})"


@dataclass(frozen=True)
class Sweep:
    """A sweep: its folder, and a line for each run that failed. `compare` compares its runs."""

    folder: Path
    failures: tuple[str, ...] = ()

    def runs(self) -> list[Run]:
        """Read the runs that have finished, in the order of the sweep."""
        from nersweep.report.records import Record
        from nersweep.report.sources import ReportOptions, select_runs

        runs: list[Run] = []
        for run in select_runs(ReportOptions(sweep=str(self.folder))).runs:
            if isinstance(run, Record) and run.folder:
                runs.append(Run.read(run.folder))
        return runs


@dataclass(frozen=True, repr=False)
class Comparison:
    """The settings of a sweep, each over its seeds and against the baseline.

    sets: what the report knows, by data set and encoder; most sweeps have one.
    """

    sets: "Mapping[str, Comparisons]"

    def frame(self) -> "DataFrame":
        """Return a row for each setting, with the columns of report.csv.

        Scores and their intervals are in [0, 1]; differences from the baseline, and their limits,
        are in points of the metric. With several data sets the index names them first.
        """
        from io import StringIO

        from pandas import concat, read_csv

        from nersweep.report.formats import comma_separated

        frames: dict[str, DataFrame] = {}
        for name, comparison in self.sets.items():
            text = StringIO(comma_separated(comparison))
            frames[name] = read_csv(
                text,
                index_col="setting",
                dtype={"setting": str, "seeds": str},
                na_values=[""],
                keep_default_na=False,  # a setting may be called none
            )
        return concat(frames, names=["set"]) if len(frames) > 1 else next(iter(frames.values()))

    def best(self, dataset: str | None = None) -> Run:
        """Return the run to use: of the setting that the report takes, the best seed on dev.

        dataset: its name in `sets`, where there are several. Raises UserError for an unknown one.
        """
        names = [dataset] if dataset is not None else list(self.sets)
        if len(names) > 1 or names[0] not in self.sets:
            raise UserError(Fault("dataset", dataset, f"must be one of {', '.join(self.sets)}"))
        folder = self.sets[names[0]].decision.folder
        assert folder, "the runs of a sweep have folders"
        return Run.read(folder)

    def __repr__(self) -> str:
        lines: list[str] = []
        for name, comparison in self.sets.items():
            lines += [f"{name}:"] if len(self.sets) > 1 else []
            lines += comparison.decision.lines
        return "\n".join(lines)


def run(*overrides: str, config_dir: StrPath | None = None, **settings: Any) -> Run:
    """Train one model and return the finished run. A run that has finished is read, not repeated.

    settings: as on the command line, `loss="focal", focal_gamma=3`. A section is a dict
    (`train={"epochs": 1}`), or a setting has its full name (`**{"train.epochs": 1}`). overrides:
    the same as text, `"train.epochs=1"`. config_dir: a folder of further configuration files.

    Raises UserError with all that is wrong, a line each; KeyboardInterrupt after Ctrl-C, when the
    checkpoint is written: the same call resumes.

    >>> import nersweep
    >>> nersweep.run(loss="focal", focal_gamma=-1)
    Traceback (most recent call last):
    nersweep.faults.UserError: focal_gamma=-1: must be ≥ 0 (0 is cross entropy)
    """
    from nersweep.__main__ import execute, recommend, run_faults
    from nersweep.command import python
    from nersweep.command.main import run_one

    with python.session():
        texts = python.overrides_of(overrides, settings)
        command = python.read(texts, text_or_none(config_dir), False, run_faults, recommend)
        refuse(command.first().settings.values, ("dry_run", "study.space"))
        folder, result = run_one(command, execute)
        return Run(folder.absolute(), result)


def sweep(
    *overrides: str,
    settings: Sequence[Mapping[str, Any] | str] | Literal["recommended"] | None = None,
    config_dir: StrPath | None = None,
    **values: Any,
) -> Sweep:
    """Train a model for each combination of values and return the sweep.

    values: as the settings of `run`, but a list, range or array is swept: `loss=["focal", "dice"],
    seed=range(1, 4)`. A list as a value is inside a list: `focal_alpha=[[1, 2, 2]]`. settings: rows
    that are no product, each a dict: `[{"loss": "dice"}, {"loss": "focal", "focal_gamma": 3}]`.

    Runs that have finished are not repeated. Lines of runs that fail are printed and kept in
    `failures`. Raises UserError with all that is wrong, before the first run, and if no run
    finishes.

    >>> import nersweep
    >>> nersweep.sweep(loss=["focal", "dise"])
    Traceback (most recent call last):
    nersweep.faults.UserError: loss=dise: no such option; loss takes ...
    """
    from nersweep.__main__ import recommend, run_faults, run_sweep
    from nersweep.command import python
    from nersweep.sweep import check
    from nersweep.terminal import print_faults

    rows = {} if settings is None else {"sweep.settings": settings}
    with python.session():
        texts = python.overrides_of(overrides, values | rows, swept=True)
        folder = text_or_none(config_dir)
        command = python.read(texts, folder, True, run_faults, recommend)
        refuse(command.first().settings.values, ("dry_run", "study.space"))
        if faults := check.check(command):
            raise UserError(*faults)
        options = ["-m", *([f"--config-dir={folder}"] if folder else [])]
        text = shlex.join(["python", "-m", "nersweep", *options, *texts])
        place, failures = run_sweep(command, text)
        made = Sweep(place.absolute(), tuple(failures)) if place else None
        if made is None or (failures and not made.runs()):
            raise UserError(*[Fault("", must=line) for line in failures])
        print_faults(failures)
        return made


def compare(
    sweep: Sweep | StrPath | None = None,
    *,
    metric: str | None = None,
    baseline: str = "cross_entropy",
    resolution: float = 0.5,
    split: Literal["dev", "test"] | None = None,
    output_dir: StrPath = "outputs",
) -> Comparison:
    """Compare the settings of a sweep, as the report does.

    sweep: what `sweep` returned, or the name or the folder of a sweep; None: the last one in
    output_dir. metric: what settings are judged by; None: that of the runs. baseline: a setting or
    a loss. resolution: the smallest difference of interest, in points. split: None is test.

    Raises UserError for wrong options, for an unknown sweep, and if no run has finished.
    """
    from nersweep.report.report import compare_sets
    from nersweep.report.sources import ReportOptions, select_runs

    name = sweep.folder if isinstance(sweep, Sweep) else sweep
    options = ReportOptions(
        sweep=text_or_none(name),
        output_dir=fspath(output_dir),
        split=split,
        metric=metric,
        resolution=str(resolution),
    )
    points = options.points
    sets, _ = compare_sets(select_runs(options), baseline, points, metric)
    return Comparison(sets)


def text_or_none(path: StrPath | None) -> str | None:
    return None if path is None else fspath(path)


def refuse(values: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raise UserError for settings that only the command line knows."""
    for name in names:
        section, _, inner = name.partition(".")
        value = values[section][inner] if inner else values[section]
        if value:
            remedy = "use python -m nersweep"
            raise UserError(Fault(name, value, "is for the command line", remedy))
