"""Select the runs of a report: those of a sweep, of a study, of the tracker, or of an archive."""

import math
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nersweep.command.keywords import keyword
from nersweep.evaluation.inference import ALPHA
from nersweep.faults import Fault, UserError
from nersweep.machine.typed import read_json
from nersweep.report.archive import read_archive
from nersweep.report.records import Record, Run, read_run
from nersweep.results.folder import folders_named, run_folder
from nersweep.results.looks import read_looks
from nersweep.results.result import RESULT, Result, Status, result_of
from nersweep.results.tuning import Tuning, read_tuning
from nersweep.tracking.reading import Store, StoredRun, run_id_of
from nersweep.tracking.stores import open_store, store_uri

ARTIFACTS = (RESULT, "metrics.jsonl", "predictions")  # of a run, from the tracker
SOURCES = ("sweep", "study", "experiment", "filter", "archive")


@dataclass
class ReportOptions:
    """The options of `python -m nersweep.report`. At most one of SOURCES is set."""

    sweep: str | None = keyword("name or folder of a sweep (the last sweep)")
    study: str | None = keyword("name of a study, whose trials are scored on dev")
    experiment: str | None = keyword("an experiment of the tracker: all of its runs")
    filter: str | None = keyword("""a filter of MLflow, as in filter='tags.loss = "focal"'""")
    archive: str | None = keyword("a file that save= has written")
    compare: str | None = keyword("RUN_A,RUN_B: two runs, by name, folder or MLflow's id")
    baseline: str = keyword(
        "a setting or a loss to compare the others with (cross_entropy)", "cross_entropy"
    )
    resolution: str = keyword("the smallest difference of interest, in points (0.5)", "0.5")
    metric: str | None = keyword("what settings are judged by, as macro_f1 (that of the runs)")
    split: str | None = keyword("dev or test (test, but dev for a study)")
    output_dir: str = keyword("where the runs are (outputs)", "outputs")
    folder: str | None = keyword(
        "where the report goes (the sweep's folder, or output_dir/reports)"
    )
    save: str | None = keyword("a file to write the runs to, without the words of the data")
    tracking_uri: str | None = keyword(
        "the tracking store, as in training (mlflow.db in output_dir)",
        name="tracking.uri",
        nullable=True,
    )

    @property
    def scored_split(self) -> str:
        return self.split or ("dev" if self.study else "test")

    @property
    def points(self) -> float:
        """The resolution. Raises UserError unless it is above 0 and at most 100."""
        try:
            points = float(self.resolution)
        except ValueError:
            points = math.nan
        if not 0 < points <= 100:
            remedy = "it is a difference in points"
            raise UserError(Fault("resolution", self.resolution, "must be > 0 and ≤ 100", remedy))
        return points

    @property
    def store(self) -> Store:
        """The tracking store. Raises UserError for a wrong URI, Unavailable if it is away."""
        return Store(open_store(self.tracking_uri, Path(self.output_dir)))


@dataclass(frozen=True)
class RunSelection:
    """Runs, and where their report goes.

    command: the one that made them. parent_id: the tracker's id of their sweep or study, whose
    files are under output_dir. study_size: how many settings the study tried. levels: of the
    intervals of a sweep that looked several times, by set, α′. tuning: how the rows of a sweep were
    tuned, None if unknown. notes: what a reader must know of the selection.
    """

    runs: Sequence[Run]
    split: str
    folder: Path
    title: str
    command: str = ""
    parent_id: str | None = None
    output_dir: Path = Path("outputs")
    study_size: int = 0
    levels: Mapping[str, float] = field(default_factory=dict)
    tuning: Tuning | None = None
    notes: Sequence[str] = ()

    @property
    def protocol(self) -> str:
        """A sentence on how the rows were tuned, "" if unknown."""
        if self.tuning is None:
            return ""
        if not self.tuning.trials:
            return "Rows are untuned: each has the settings that the command gave it."
        text = (
            f"Rows are tuned with {self.tuning.trials} trials per row: each has the setting of its "
            f"own search with the best {self.tuning.metric} on dev, and runs with seeds that no "
            "trial had."
        )
        for search in self.tuning.searches:
            if len(search.values) < self.tuning.trials:
                text += f" Of {search.setting} only {len(search.values)} finished."
        return text

    def alpha(self, name: str) -> float:
        """Return the level of all contrasts of a set together: α′ if it was looked at repeatedly.

        A set of another name has the lowest: an archive and an older version know no names.
        """
        return self.levels.get(name, min(self.levels.values(), default=ALPHA))


def select_runs(options: ReportOptions) -> RunSelection:
    """Return the runs to report. Raises UserError if there are none or the options clash."""
    sources = [name for name in SOURCES if getattr(options, name) is not None]
    if len(sources) > 1:
        given = " ".join(f"{name}={getattr(options, name)}" for name in sources)
        remedy = f"set only one of {', '.join(SOURCES)}"
        raise UserError(Fault(given, must="select the runs in one way", remedy=remedy))
    check_split(options)
    if options.archive:
        selection = from_archive(options, Path(options.archive))
    elif options.study:
        selection = from_study(options, options.study)
    elif options.experiment or options.filter:
        selection = from_tracker(options)
    else:
        selection = from_sweep(options)
    if not selection.runs:
        name = sources[0] if sources else "sweep"
        raise UserError(Fault(name, getattr(options, name) or selection.title, "has no run"))
    return selection


def check_split(options: ReportOptions) -> None:
    """Raise UserError for a split that is not scored."""
    if options.scored_split not in ("dev", "test"):
        raise UserError(Fault("split", options.split, "must be dev or test"))


def from_archive(options: ReportOptions, file: Path) -> RunSelection:
    archive = read_archive(file)
    if options.split and options.split != archive.split:
        reason = f"{file} holds {archive.split} only"
        raise UserError(Fault("split", options.split, reason, "read the runs themselves"))
    folder = Path(options.output_dir) / "reports" / file.stem
    levels = {"": archive.alpha} if archive.alpha else {}
    return RunSelection(
        archive.runs, archive.split, folder, file.stem, levels=levels, tuning=archive.tuning
    )


def from_tracker(options: ReportOptions) -> RunSelection:
    store = options.store
    stored = list(store.runs(options.filter or "", options.experiment))
    parents = {run.tags.get("mlflow.parentRunId") for run in stored}
    levels: dict[str, float] = {}
    away: list[str] = []
    for sweep in store.runs('tags.kind = "sweep"'):
        if sweep.id not in parents:
            continue
        if not sweep.folder or not Path(sweep.folder).is_dir():
            away.append(sweep.name)
        for name, level in levels_of(Path(sweep.folder)).items():
            levels[name] = min(level, levels.get(name, 1))
    notes = [
        f"the folder of {', '.join(away)} is not here: if seeds.max chose its seeds, the intervals "
        "of its own report are wider, of the level that its looks leave"
    ]
    name = re.sub(r"[^\w-]", "_", options.experiment or "filter")
    return RunSelection(
        read_stored(stored, options),
        options.scored_split,
        Path(options.output_dir) / "reports" / name,
        options.experiment or f"filter={options.filter}",
        levels=levels,
        notes=notes if away else (),
    )


def levels_of(sweep: Path) -> dict[str, float]:
    """Return the level of the intervals of a sweep that looked several times, by set."""
    return {looks.name: looks.alpha for looks in read_looks(sweep)}


def from_study(options: ReportOptions, name: str) -> RunSelection:
    store, output_dir = options.store, Path(options.output_dir)
    studies: dict[str, StoredRun] = {}
    for run in store.runs('tags.kind = "study"'):
        if "study" in run.tags:  # else another program logged it
            studies[run.tags["study"]] = run
    if name not in studies:
        others = ", ".join(sorted(studies)) or "none"
        raise UserError(Fault("study", name, f"no such study in the tracker; it has {others}"))
    study_id = studies[name].id
    runs = read_stored(store.runs(f'tags.mlflow.parentRunId = "{study_id}"'), options)
    return RunSelection(
        runs,
        options.scored_split,
        output_dir / "studies" / name / "report",
        name,
        parent_id=study_id,
        output_dir=output_dir,
        study_size=count_settings(runs),
    )


def count_settings(runs: Iterable[Run]) -> int:
    """Return how many settings a study tried: the runs of the seed that has most.

    A pruned run has left no settings but its name, which others can share.
    """
    seeds = Counter(run.seed for run in runs)
    return max(seeds.values(), default=0)


def from_sweep(options: ReportOptions) -> RunSelection:
    """Select the runs of a sweep, including those that did not finish or never started."""
    folder = find_sweep(options.sweep, Path(options.output_dir))
    output_dir = folder.absolute().parents[1]  # the sweep's own
    runs: list[Run] = []
    remedy = "repeat the sweep's command to write it again"
    content = read_json(folder / "sweep.json", command_and_members, "the runs of a sweep", remedy)
    assert content  # find_sweep has looked for the file
    command, members = content
    for member, row in members:
        place = run_folder(output_dir, member.name, member.fingerprint)
        is_begun = (place / RESULT).exists()
        run = read_run(place, options.scored_split) if is_begun else member
        runs.append(renamed(run, row) if row else run)
    experiment = re.search(r"\bexperiment=([\w,-]+)", command)
    title = experiment[1] if experiment else data_name(runs)
    parent_id = run_id_of(folder, store_uri(options.tracking_uri, output_dir))
    return RunSelection(
        runs,
        options.scored_split,
        folder / "report",
        f"{title} (sweep {folder.name})",
        command,
        parent_id,
        output_dir,
        levels=levels_of(folder),
        tuning=read_tuning(folder),
    )


def command_and_members(content: Any) -> tuple[str, list[tuple[Result, str]]]:
    """Return the command of sweep.json, and its runs, each with the name of its row, "" without.

    Raises as `member_of` does.
    """
    members: list[tuple[Result, str]] = []
    for values in content["runs"]:
        members.append((member_of(values), str(values.get("row", ""))))
    return str(content["command"]), members


def member_of(values: dict[str, Any]) -> Result:
    """Return a run of sweep.json, not started.

    Raises KeyError if something is missing, and ValueError or TypeError if something is wrong.
    """
    names = ("name", "fingerprint", "setting", "seed")
    known = {name: values[name] for name in names}
    for name in ("dataset", "encoder", "data_checksum", "data_settings"):
        if name in values:  # which an older version did not write
            known[name] = values[name]
    return result_of({"status": Status.NOT_STARTED} | known)


def renamed(run: Run, row: str) -> Run:
    """Return a run whose setting has the name that its sweep gave it."""
    if isinstance(run, Record):
        return replace(run, result=replace(run.result, setting=row))
    return replace(run, setting=row)


def data_name(runs: Iterable[Run]) -> str:
    """Return the data sets of the finished runs, or ""."""
    names: dict[str, None] = {}
    for run in runs:
        if isinstance(run, Record):
            names[run.result.choice["data"]] = None
    return ", ".join(names)


def find_sweep(name: str | None, output_dir: Path) -> Path:
    """Return the folder of a sweep, by name or path; by default the last one."""
    sweeps = output_dir / "sweeps"
    files = sorted(sweeps.glob("*/sweep.json"), key=lambda file: file.stat().st_mtime)
    if name is None:
        if not files:
            remedy = "set sweep=, study=, experiment= or filter="
            raise UserError(Fault("output_dir", output_dir, "has no sweep", remedy))
        return files[-1].parent
    for folder in (sweeps / name, Path(name)):
        if (folder / "sweep.json").exists():
            return folder
    names = ", ".join(sorted(file.parent.name for file in files)) or "none"
    raise UserError(Fault("sweep", name, f"no such sweep; {sweeps} has {names}"))


def read_stored(stored: Iterable[StoredRun], options: ReportOptions) -> list[Run]:
    """Read runs of the tracker, the last first, from their folders or else from the tracker.

    Runs of other programs are skipped. Of a run that was started several times, the last that
    finished counts, or else the last.
    """
    latest: dict[str, StoredRun] = {}
    for run in stored:
        fingerprint = run.tags.get("fingerprint")
        if not fingerprint or is_foreign(run):
            continue
        other = latest.setdefault(fingerprint, run)
        if is_finished(run) and not is_finished(other):
            latest[fingerprint] = run
    return [read_stored_run(run, options) for run in latest.values()]


def is_foreign(run: StoredRun) -> bool:
    """True if another program logged the run: its status or its seed is none of ours."""
    status, seed = run.tags.get("status", Status.RUNNING), run.tags.get("seed", "0")
    return status not in list(Status) or not re.fullmatch(r"-?[0-9]+", seed)


def is_finished(run: StoredRun) -> bool:
    return run.tags.get("status") == Status.FINISHED


def read_stored_run(run: StoredRun, options: ReportOptions) -> Run:
    """Read a run of the tracker. Remote files are copied to output_dir/fetched, once."""
    folder = Path(run.folder)
    if run.folder and (folder / RESULT).exists():
        return read_run(folder, options.scored_split)
    if not is_finished(run):
        seed = run.tags.get("seed")
        return Result(
            status=Status(run.tags.get("status", Status.RUNNING)),
            name=run.name,
            setting=run.tags.get("setting", run.name),
            seed=int(seed) if seed else None,
            dataset=run.tags.get("data", ""),
            encoder=run.tags.get("model", ""),
        )
    folder = Path(options.output_dir) / "fetched" / run.id
    if not (folder / RESULT).exists():
        partial = folder.with_name(f".{run.id}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        options.store.fetch(run, ARTIFACTS, partial)
        partial.rename(folder)
    return read_run(folder, options.scored_split)


def find_run(name: str, options: ReportOptions) -> Run:
    """Return a run by its folder, by its name or a part of it, or by the tracker's id."""
    check_split(options)
    if (Path(name) / RESULT).exists():
        return read_run(Path(name), options.scored_split)
    runs = Path(options.output_dir) / "runs"
    folders = folders_named(name, runs.parent, RESULT)
    if len(folders) > 1:
        names = ", ".join(folder.name for folder in folders)
        raise UserError(Fault("compare", name, f"several runs have this name: {names}"))
    if folders:
        return read_run(folders[0], options.scored_split)
    for run in options.store.runs():
        if run.id == name and not is_foreign(run):
            return read_stored_run(run, options)
    remedy = f"set a folder, a name in {runs}, or the tracker's id"
    raise UserError(Fault("compare", name, "no such run", remedy))
