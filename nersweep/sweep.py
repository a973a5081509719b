"""Many runs: which there are, which are done already, launched by Hydra's launchers; none is lost or made twice."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from nersweep import plan, run, store, tracking, worker
from nersweep.compose import Composer
from nersweep.faults import fault_lines, one_line, without_seed
from nersweep.progress import console, table
from nersweep.study import loop

OVER = {"finished", "diverged"}  # what the same command does not run again
MOST_ROWS = 60  # of the table at the end
STOP = "stop"  # the file by which a job tells later ones not to start


@dataclass(frozen=True)
class Member:
    """A run of the sweep, before it is made."""

    overrides: tuple[str, ...]
    name: str
    fingerprint: str
    folder: Path

    def done(self) -> bool:
        return self.result().get("status") in OVER

    def result(self) -> dict[str, Any]:
        """As far as it got; empty where it was never begun."""
        return store.read_result(self.folder, self.fingerprint)


@dataclass(frozen=True)
class Launch:
    """What a job is told by the process that launched it; picklable."""

    origin: worker.Origin
    threads: int | None
    folder: str  # where jobs leave word: a file per job, named by its number
    parent_id: str  # the tracker's run of the whole sweep
    stop_at_failure: bool
    configuration: tuple[str, str | None]  # name and folder, as the composer has them


def launch(runs: Sequence[tuple[str, ...]], composer: Composer, command: str) -> list[str]:
    """Makes the runs that are not made yet, with the launcher that they name. Returns a line for each that failed.
    command: as it was typed, for people to read."""
    with composer:
        config = composer(runs[0])
        members = list({member.fingerprint: member for member in planned(runs, composer)}.values())
        todo = [member for member in members if config.rerun or not member.done()]
        console.print(f"{len(members)} runs, {len(members) - len(todo)} of them made before")
        output_dir = Path(config.output_dir)
        store.writable(output_dir)
        uri = tracking.open_store(config.tracking.uri, output_dir)
        folder = output_dir / "sweeps" / store.fingerprint(sorted(m.fingerprint for m in members))[:8]
        with store.claimed(folder), begin(members, folder, uri, output_dir, config, command) as parent:
            words = send(todo, folder, parent.id, config.on_failure == "stop", composer)
            failures = conclude(members, words, folder)
            parent.metrics({"runs": len(members), "runs/failed": len(failures)}, step=0)
            parent.finish("failed" if failures else "finished")
    if failures and not all(member.done() for member in members):
        console.print(f"\nto make those again that failed, and no other: {command}")
    return failures


def launch_workers(runs: Sequence[tuple[str, ...]], composer: Composer) -> list[str]:
    """Each of these is a worker of a study, which has a run of its own. Returns a line for each that failed."""
    with composer:
        output_dir = store.writable(Path(composer(runs[0]).output_dir))
        folder = output_dir / "sweeps" / store.fingerprint(runs)[:8]
        workers = [Member(run, f"worker {i}", store.fingerprint(run), folder) for i, run in enumerate(runs)]
        with store.claimed(folder):
            words = send(workers, folder, "", False, composer)
    return [f"{w.name}: {' '.join(words[w.fingerprint].split())}" for w in workers if words.get(w.fingerprint)]


def begin(
    members: Sequence[Member], folder: Path, uri: str, output_dir: Path, config: DictConfig, command: str
) -> tracking.Run:
    """The sweep's own run in the tracker, always the same for the same runs, and its list of runs on disk."""
    file = folder / "sweep.json"
    try:
        known = json.loads(file.read_text("utf-8"))["run_id"]
    except (OSError, ValueError, KeyError, TypeError):  # not there, or spoilt
        known = None
    settings = sorted({member.name.rpartition("-")[0] for member in members})
    parent = tracking.Run.start(
        uri,
        output_dir,
        run_id=known,
        experiment=config.tracking.experiment,
        name=f"sweep-{folder.name}",
        params={"runs": len(members)},
        tags={"kind": "sweep", "folder": folder.absolute(), "settings": ", ".join(settings)},
        note=f"`{tracking.public(command)}`",
    )
    listed = [
        {"name": m.name, "fingerprint": m.fingerprint, "overrides": [tracking.public(o) for o in m.overrides]}
        for m in members
    ]
    store.write_json(file, {"run_id": parent.id, "command": tracking.public(command), "runs": listed})
    return parent


def send(todo: Sequence[Member], folder: Path, parent_id: str, stop: bool, composer: Composer) -> dict[str, str]:
    """Launches the runs, again and again while a launcher gave up with some not begun, as joblib's does when one of its
    processes is killed. Returns what went wrong, by fingerprint."""
    words: dict[str, str] = {}
    for attempt in range(len(todo)):
        if not todo:
            break
        notes = store.writable(folder / "launches" / f"{os.getpid()}-{attempt}")
        origin = worker.Origin.here()
        whole = composer.compose(todo[0].overrides, RunMode.MULTIRUN)
        at_once = worker.at_once(OmegaConf.to_container(whole.hydra.launcher), len(todo))
        threads = worker.threads(at_once) if at_once else None
        if threads:
            os.environ.setdefault("OMP_NUM_THREADS", str(threads))
        given = Launch(origin, threads, str(notes.absolute()), parent_id, stop, (composer.name, composer.folder))
        context = HydraContext(GlobalHydra.instance().config_loader(), Callbacks(whole))
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=partial(job, given=given), config=whole
        )
        worker.start_engine(launcher)
        gave_up = ""
        with worker.ending(origin):
            try:
                launcher.launch([list(member.overrides) for member in todo], initial_job_idx=0)
            except Exception as error:
                gave_up = one_line(error)
        begun = {number for number in range(len(todo)) if (notes / str(number)).exists()}
        for number in begun:
            words[todo[number].fingerprint] = (notes / str(number)).read_text("utf-8")
        left = [member for number, member in enumerate(todo) if number not in begun]
        if (notes / STOP).exists() or not begun:
            reason = gave_up or "not begun, after another run failed (on_failure=stop)"
            words |= {member.fingerprint: reason for member in left}
            break
        todo = left
    return words


def job(config: DictConfig, given: Launch) -> float:
    """What a launcher does for each run, in whatever process: the best development F1, or NaN where the run failed."""
    worker.begin(given.origin, given.threads)
    notes, settings = Path(given.folder), HydraConfig.get()
    if (notes / STOP).exists():
        return float("nan")
    word = notes / str(settings.job.num)
    word.touch()
    try:
        if config.study.space:
            return loop.work(config, settings.overrides.task, Composer(*given.configuration))
        return run.execute(config, settings.overrides.task, given.parent_id, brief=True)["dev"]["f1"]
    except Exception as error:
        lines = fault_lines(error)
        console.print("\n".join(f"failed: {line}" for line in lines))
        store.write_text(word, "\n".join(lines))
        if given.stop_at_failure:
            (notes / STOP).touch()
        return float("nan")
    except BaseException as error:
        worker.end(error)
        raise


def conclude(members: Sequence[Member], words: dict[str, str], folder: Path) -> list[str]:
    """Shows what became of the runs; a line for each that failed."""
    rows, failures = [], []
    for member in members:
        result = member.result()
        status = result.get("status", "not begun")
        if status == "finished" and not words.get(member.fingerprint):  # else it is of an earlier time
            scores = [f"{result[split]['f1']:.4f}" for split in ("dev", "test")]
            rows.append([member.name, status, *scores, f"{result['seconds']['total']:.0f}"])
            continue
        reason = words.get(member.fingerprint) or result.get("error") or "its process ended without a word"
        rows.append([member.name, status if status != "running" else "killed", "", "", ""])
        failures.append(f"{member.name}: {' '.join(reason.splitlines())}")
    shown = rows if len(rows) <= MOST_ROWS else [row for row in rows if row[1] != "finished"][:MOST_ROWS]
    table(f"\n{len(rows) - len(failures)} of {len(rows)} runs finished", ["", "", "dev F1", "test F1", "s"], shown)
    console.print(f"sweep: {folder / 'sweep.json'}")
    return failures


def planned(runs: Sequence[tuple[str, ...]], composer: Composer) -> Iterator[Member]:
    """The runs with their names and fingerprints. Those that differ in their seed alone are composed once, unless some
    setting takes its value from it."""
    known: dict[tuple[tuple[str, ...], bool], tuple[dict[str, Any], dict[str, Any]]] = {}
    for overrides in map(tuple, runs):
        setting = without_seed(overrides)
        seeds = [int(o.partition("=")[2]) for o in overrides if o not in setting]
        if (setting, bool(seeds)) not in known:
            config = composer(overrides)
            parts = plan.check(config)
            raw, resolved = (OmegaConf.to_container(config, resolve=how) for how in (False, True))
            if "seed}" not in str(raw) and not any(o.lstrip("+").startswith("seed=") for o in setting):
                known[setting, bool(seeds)] = resolved, parts
        else:
            resolved, parts = known[setting, bool(seeds)]
            resolved = resolved | {"seed": seeds[-1]} if seeds else resolved
        name, fingerprint = plan.identify(resolved, parts)
        folder = store.run_folder(Path(resolved["output_dir"]), name, fingerprint)
        yield Member(overrides, name, fingerprint, folder)
