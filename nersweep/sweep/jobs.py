"""Runs as jobs of one of Hydra's launchers: each leaves word of how it ended, and comes again if it was killed.

A job's word is a file in a folder of its launch: there once the job has begun; empty until the job has ended by itself,
and then a list of what went wrong, which may be empty too. Its process holds a lock beside it while it lives. So a job
that was killed is told from one that works, be it on another host, and from one that has never begun.
"""

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from nersweep import terminal
from nersweep.config import check
from nersweep.config.compose import Composer
from nersweep.faults import fault_lines, one_line
from nersweep.machine import files as files_module
from nersweep.machine import locks
from nersweep.results import folder as folder_module
from nersweep.results.result import FinishedResult
from nersweep.run import execute, plan
from nersweep.study import loop
from nersweep.sweep import worker
from nersweep.terminal import console

STOP = "stop"  # the file in the folder of a launch after which none of its jobs begins
WAIT_SECONDS = 0.5  # between two looks at whether jobs are still at work
WHY = "as the system does where memory runs out (run fewer at a time, or with more train.accumulation)"


@dataclass(frozen=True)
class Launch:
    """What a job is told by the process that launched it; picklable."""

    origin: worker.Origin
    directory: str  # in which the command was typed, where relative paths start
    threads: int | None
    folder: str  # of words: a file per job, named by its number
    parent_id: str  # the tracker's run of the whole sweep
    stop_at_failure: bool
    files: str | None  # the folder of further files, as the composer has it


def send(
    runs: Sequence[tuple[str, ...]], folder: Path, parent_id: str, stop: bool, composer: Composer
) -> list[list[str]]:
    """Launches the runs until each has ended by itself. Returns what went wrong with each.

    A launcher may give up with jobs that have not begun: those are launched again. Those whose processes were killed
    come after them, and go on from their checkpoints: together at first, as joblib kills the neighbours of a process
    that dies, then each alone. A run that is killed again while no other is has failed.
    """
    faults: dict[int, list[str]] = {}
    deaths: Counter[int] = Counter()
    while True:
        left = [number for number in range(len(runs)) if number not in faults]
        if not left or (stop and any(faults.values())):
            break
        fewest = min(deaths[number] for number in left)
        group = [number for number in left if deaths[number] == fewest][: None if fewest < 2 else 1]
        if fewest:
            console.print(f"again, as their processes were killed: {len(group)} of {len(runs)}")
        notes = files_module.writable(folder / "launches" / uuid4().hex)
        gave_up = launch([runs[number] for number in group], notes, parent_id, stop, composer)
        begun = {group[int(file.name)]: read(file) for file in words(notes)}
        shutil.rmtree(notes, ignore_errors=True)
        if not begun:
            faults |= {number: [gave_up or "its launcher did not begin it"] for number in group}
        faults |= {number: word for number, word in begun.items() if word is not None}
        killed = [number for number, word in begun.items() if word is None]
        deaths.update(killed)
        if len(killed) == 1 and deaths[killed[0]] > 1:
            faults[killed[0]] = [f"its process was killed {deaths[killed[0]]} times, {WHY}"]
    for number in left:
        was = "killed" if deaths[number] else "not begun"
        faults.setdefault(number, [f"{was}, after another run failed (on_failure=stop)"])
    return [faults[number] for number in range(len(runs))]


def launch(
    runs: Sequence[tuple[str, ...]], notes: Path, parent_id: str, stop: bool, composer: Composer
) -> str:
    """Launches these runs, and waits until none of them is at work or about to be. Returns why the launcher gave up,
    or nothing."""
    origin = worker.Origin.here()
    whole = composer.compose(runs[0], RunMode.MULTIRUN)
    engine = OmegaConf.to_container(whole.hydra.launcher)
    at_once = worker.at_once(engine, len(runs))
    if (
        "n_jobs" in engine
    ):  # a worker without a job would not know that it is to end; one alone would be this process
        whole.hydra.launcher.n_jobs = worker.at_once(engine, max(2, len(runs)))
    threads = worker.threads(at_once) if at_once else None
    if threads:
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    given = Launch(
        origin, os.getcwd(), threads, str(notes.absolute()), parent_id, stop, composer.folder
    )
    launcher = Plugins.instance().instantiate_launcher(
        hydra_context=HydraContext(GlobalHydra.instance().config_loader(), Callbacks(whole)),
        task_function=partial(job, given=given),
        config=whole,
    )
    worker.start_engine(launcher)
    with worker.ending(origin):
        try:
            # Hydra adds those of its own section itself; twice it would not take one with a +
            own = [
                [o for o in run if not o.lstrip("+~").startswith(("hydra.", "hydra/"))]
                for run in runs
            ]
            launcher.launch(own, initial_job_idx=0)
        except Exception as error:
            worker.wait_for_queue(error)
            wait(notes)
            (notes / STOP).touch()  # for those that would begin only now, and are launched again
            wait(notes)
            return one_line(error)
    return ""


def job(config: DictConfig, given: Launch) -> float:
    """What a launcher does for each run, in whatever process: the best development F1, or NaN where the run failed."""
    worker.begin(given.origin, given.threads)
    os.chdir(given.directory)  # Ray's workers begin where Ray was started
    notes, settings = Path(given.folder), HydraConfig.get()
    word = notes / str(settings.job.num)
    with locks.hold(lock_of(word)):
        if (notes / STOP).exists():
            return float("nan")
        word.touch()
        value, told = float("nan"), len(terminal.faults)
        try:
            if config.study.space:
                value = loop.work(config, settings.overrides.task, Composer(given.files))
            else:
                checked = check.check(config, settings.runtime.choices)

                def make() -> FinishedResult:
                    prepared = plan.make(checked)
                    overrides = settings.overrides.task
                    return execute.execute(prepared, overrides, given.parent_id, brief=True)

                value = folder_module.when_free(make, lambda: plan.place(checked)[0]).dev.f1
            lines = []
        except Exception as error:
            lines = fault_lines(error)
            console.print("\n".join(f"failed: {line}" for line in lines))
        except BaseException as error:
            worker.end(error)
            raise
        lines = (
            terminal.faults[told:] + lines
        )  # of trials, which the process that launched this tells too
        del terminal.faults[told:]
        files_module.write_json(word, lines)
        if lines and given.stop_at_failure:
            (notes / STOP).touch()
        return value


def words(notes: Path) -> list[Path]:
    """The files of the jobs of a launch that have begun, by number."""
    return sorted(
        (file for file in notes.iterdir() if file.name.isdigit()), key=lambda file: int(file.name)
    )


def read(word: Path) -> list[str] | None:
    """What went wrong in a job; None where it was ended before it could say."""
    text = word.read_text("utf-8")
    return json.loads(text) if text else None


def wait(notes: Path) -> None:
    """Wait until no job of this launch is at work."""
    while any(map(locks.is_held, notes.glob("*.lock"))):
        time.sleep(WAIT_SECONDS)


def lock_of(word: Path) -> Path:
    """Return the file that the process of a job keeps locked."""
    return word.with_suffix(".lock")
