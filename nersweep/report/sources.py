"""Which runs a report is about: those of a sweep, of a study, of the tracker, or of an archive."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nersweep.config.schema import TrackingConfig
from nersweep.report.records import Record, read_archive, read_run
from nersweep.results import folder as folder_module
from nersweep.results.result import RESULT, Result, Status
from nersweep.tracking.reading import Store, StoredRun, run_id_of
from nersweep.tracking.stores import open_store, store_uri

NEEDED = (RESULT, "metrics.jsonl", "predictions")  # of a run that the tracker alone has
CHOICES = ("sweep", "study", "experiment", "filter", "archive")


def told_as(about: str, default: str | None = None) -> Any:
    return field(default=default, metadata={"about": about})


@dataclass
class ReportConfig:
    """What `python -m nersweep.report` takes, as name=value. Of the first five one at most; none is the last sweep."""

    sweep: str | None = told_as("name or folder of a sweep; the last one where nothing is named")
    study: str | None = told_as("name of a study, whose trials are scored on dev")
    experiment: str | None = told_as("an experiment of the tracker: all of its runs")
    filter: str | None = told_as("""those that MLflow finds, as in filter='tags.loss = "focal"'""")
    archive: str | None = told_as("a file that save= has written")
    compare: str | None = told_as(
        "RUN_A,RUN_B: what differs between two runs, by name, folder or MLflow's id"
    )
    baseline: str = told_as(
        "a setting or a loss, which the others are compared to (cross_entropy)", "cross_entropy"
    )
    split: str | None = told_as("dev or test (test, but dev for a study)")
    output_dir: str = told_as("where the runs are (outputs)", "outputs")
    folder: str | None = told_as(
        "where the report goes (beside the sweep, else output_dir/reports)"
    )
    save: str | None = told_as("a file to write the runs to, without the words of the data")
    tracking: TrackingConfig = field(
        default_factory=TrackingConfig,
        metadata={"about": "the tracking store, as in training (mlflow.db in output_dir)"},
    )


@dataclass(frozen=True)
class Found:
    """The runs, where their report goes, its title, the command that made them, the tracker's run that it belongs to,
    with the folder of that tracker, and how many settings a study tried, where they are its own."""

    records: list[Record]
    folder: Path
    title: str
    command: str = ""
    parent_id: str | None = None
    output_dir: Path = Path("outputs")
    tried: int = 0


def find(config: ReportConfig) -> Found:
    """Raises ValueError where nothing is found."""
    chosen = [name for name in CHOICES if getattr(config, name) is not None]
    if len(chosen) > 1:
        typed = " ".join(f"{name}={getattr(config, name)}" for name in chosen)
        raise ValueError(f"{typed}: name the runs in one way; type one of {', '.join(CHOICES)}")
    split = split_of(config)
    output_dir = Path(config.output_dir)
    reports = output_dir / "reports"
    if config.archive:
        return of_archive(Path(config.archive), config, reports)
    if config.experiment or config.filter:
        asked = (
            f"experiment={config.experiment}" if config.experiment else f"filter={config.filter}"
        )
        records = read_tracked(
            opened(config).runs(config.filter or "", config.experiment), config, split
        )
        folder = reports / re.sub(r"[^\w-]", "_", config.experiment or "filter")
        return Found(told(records, asked), folder, config.experiment or asked)
    if config.study:
        tracker = opened(config)
        studies = {run.tags.get("study"): run for run in tracker.runs('tags.kind = "study"')}
        if config.study not in studies:
            there = ", ".join(sorted(filter(None, studies))) or "none"
            raise ValueError(
                f"study={config.study}: the tracker knows no such study; it has {there}"
            )
        whole = studies[config.study]
        records = read_tracked(
            tracker.runs(f'tags.mlflow.parentRunId = "{whole.id}"'), config, split
        )
        folder = output_dir / "studies" / config.study / "report"
        return Found(
            told(records, f"study={config.study}"),
            folder,
            config.study,
            parent_id=whole.id,
            output_dir=output_dir,
            tried=settings_tried(records),
        )
    return of_sweep(sweep_folder(config.sweep, output_dir), split, config.tracking.uri)


def settings_tried(records: Iterable[Record]) -> int:
    """By the seed that most have: a pruned run's name alone is known, which other settings can have too."""
    seeds = Counter(record.seed for record in records)
    return max(seeds.values(), default=0)


def split_of(config: ReportConfig) -> str:
    split = config.split or ("dev" if config.study else "test")
    if split not in ("dev", "test"):
        raise ValueError(f"split={split}: must be one of dev, test")
    return split


def of_archive(file: Path, config: ReportConfig, reports: Path) -> Found:
    records = told(read_archive(file), f"archive={file}")
    held = records[0].split
    if config.split and split_of(config) != held:
        raise ValueError(
            f"split={config.split}: {file} holds {held} alone; read the runs themselves for the other"
        )
    return Found(records, reports / file.stem, file.stem)


def sweep_folder(name: str | None, output_dir: Path) -> Path:
    """Of that name, or a folder; None for the last one."""
    sweeps = output_dir / "sweeps"
    if name is None:
        files = sorted(sweeps.glob("*/sweep.json"), key=lambda file: file.stat().st_mtime)
        if not files:
            raise ValueError(
                f"output_dir={output_dir}: no sweep in it; type sweep=, study=, experiment= or filter="
            )
        return files[-1].parent
    for folder in (sweeps / name, Path(name)):
        if (folder / "sweep.json").exists():
            return folder
    there = ", ".join(sorted(file.parent.name for file in sweeps.glob("*/sweep.json"))) or "none"
    raise ValueError(f"sweep={name}: no such sweep; {sweeps} has {there}")


def of_sweep(folder: Path, split: str, uri: str | None) -> Found:
    """The runs of a sweep, those that did not finish or were never begun among them."""
    file = folder / "sweep.json"
    output_dir = folder.absolute().parents[1]  # its own, wherever that is
    try:
        listed = json.loads(file.read_text(encoding="utf-8"))
        runs, command = listed["runs"], listed["command"]
        members = [
            Result(
                status=Status.NOT_BEGUN,
                name=run["name"],
                fingerprint=run["fingerprint"],
                setting=run["setting"],
                seed=run["seed"],
            )
            for run in runs
        ]
        places = [
            (member, folder_module.run_folder(output_dir, member.name, member.fingerprint))
            for member in members
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{file}: cannot be read ({error}); the same sweep again writes it anew"
        ) from None
    records = [
        read_run(place, split) if (place / RESULT).exists() else Record(member, split)
        for member, place in places
    ]
    named = re.search(r"\bexperiment=([\w,-]+)", command)
    data = next((record.config["choice"]["data"] for record in records if record.finished), "")
    title = f"{named[1] if named else data} (sweep {folder.name})"
    parent = run_id_of(folder, store_uri(uri, output_dir))
    return Found(
        told(records, f"sweep={folder.name}"), folder / "report", title, command, parent, output_dir
    )


def opened(config: ReportConfig) -> Store:
    return Store(open_store(config.tracking.uri, Path(config.output_dir)))


def read_tracked(runs: Iterable[StoredRun], config: ReportConfig, split: str) -> list[Record]:
    """Runs from their folders where these are here, else from what the tracker keeps of them. Of a run that was made
    several times the last that finished counts, else the last: the tracker gives the last first."""
    of: dict[str, StoredRun] = {}
    for run in runs:
        made = run.tags.get("fingerprint")
        if made and (
            made not in of or "finished" == run.tags.get("status") != of[made].tags.get("status")
        ):
            of[made] = run
    records = []
    for run in of.values():
        folder = Path(run.folder)
        if run.folder and (folder / RESULT).exists():
            records.append(read_run(folder, split))
        elif run.tags.get("status") == "finished":
            records.append(fetched(run, config, split))
        else:
            seed = run.tags.get("seed")
            result = Result(
                status=Status(run.tags.get("status", Status.RUNNING)),
                name=run.name,
                fingerprint=run.tags["fingerprint"],
                setting=run.tags.get("setting", run.name),
                seed=int(seed) if seed else None,
            )
            records.append(Record(result, split))
    return records


def fetched(run: StoredRun, config: ReportConfig, split: str) -> Record:
    """A run whose folder is elsewhere, copied into output_dir/fetched once."""
    folder = Path(config.output_dir) / "fetched" / run.id
    if not (folder / RESULT).exists():
        unfinished = folder.with_name(f".{run.id}")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        opened(config).fetch(run, NEEDED, unfinished)
        unfinished.rename(folder)
    return read_run(folder, split)


def told(records: list[Record], asked: str) -> list[Record]:
    if not records:
        raise ValueError(f"{asked}: no run in it")
    return records


def one(name: str, config: ReportConfig) -> Record:
    """A run by its folder, by its name or by the tracker's id."""
    runs = Path(config.output_dir) / "runs"
    split = split_of(config)
    found = [Path(name)] if (Path(name) / RESULT).exists() else []
    found = found or [
        file.parent for file in runs.glob(f"*/{RESULT}") if file.parent.name.startswith(name)
    ]
    exact = [folder for folder in found if folder.name.rpartition("-")[0] == name]
    found = exact or found
    if len(found) > 1:
        raise ValueError(
            f"compare={name}: several runs begin so: {', '.join(sorted(f.name for f in found))}"
        )
    if not found:
        tracked = next((run for run in opened(config).runs() if run.id == name), None)
        if tracked is None:
            raise ValueError(
                f"compare={name}: no such run; type a folder, a name in {runs}, or the tracker's id"
            )
        return told(read_tracked([tracked], config, split), f"compare={name}")[0]
    return read_run(found[0], split)
