"""Runs as jobs of one of Hydra's launchers: each reports its end, and is retried if it was killed.

Each launch has a folder with a file for each of its jobs, named by the job's number: it appears
when the job starts, is empty until the job ends by itself, and then lists the job's faults. Beside
it lies a lock, which the job's process holds. So a job that was killed is told from one at work,
even on another host, and from one that never started.
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

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from nersweep import terminal
from nersweep.config.check import check
from nersweep.config.compose import Composer
from nersweep.faults import fault_lines, one_line
from nersweep.machine import files, locks
from nersweep.results.folder import retry_while_claimed
from nersweep.results.result import FinishedResult
from nersweep.run import execute, plan
from nersweep.study import loop
from nersweep.sweep import launchers, worker
from nersweep.sweep.main_process import MainProcess, ending
from nersweep.terminal import console

STOP = "stop"  # the file in the folder of a launch after which none of its jobs starts
POLL_SECONDS = 0.5  # between two looks at whether jobs are at work
REMEDY = "as when memory runs out: run fewer at a time, or with more train.accumulation"


@dataclass(frozen=True)
class Launch:
    """What a job needs from the process that launched it; picklable."""

    main: MainProcess
    directory: str  # where the command was given, from which relative paths start
    threads: int | None
    folder: str  # with a file for each job
    parent: str  # the folder of the sweep; empty for workers of a study
    stop_at_failure: bool
    config_dir: str | None  # the user's folder of further configuration files


def send(
    runs: Sequence[tuple[str, ...]], folder: Path, parent: str, stop: bool, composer: Composer
) -> list[list[str]]:
    """Launch runs until each has ended by itself; return the faults of each.

    Jobs that a launcher did not start are launched again. Then come those whose processes were
    killed, from their checkpoints: first together, as joblib kills the neighbours of a process that
    dies, then each alone. A run that is killed again while no other one is has failed.
    """
    faults: dict[int, list[str]] = {}
    deaths: Counter[int] = Counter()
    while len(faults) < len(runs) and not (stop and any(faults.values())):
        group = next_group(len(runs), faults, deaths)
        if deaths[group[0]]:
            console.print(f"retrying {len(group)} of {len(runs)} runs: their processes were killed")
        launch_folder = files.writable(folder / "launches" / uuid4().hex)
        selection = [runs[number] for number in group]
        error = launch(selection, launch_folder, parent, stop, composer)
        killed = []
        ends = read_ends(launch_folder)
        for job, lines in ends.items():
            if lines is None:
                killed.append(group[job])
            else:
                faults[group[job]] = lines
        shutil.rmtree(launch_folder, ignore_errors=True)
        if not ends:
            for number in group:
                faults[number] = [error or "its launcher did not start it"]
        deaths.update(killed)
        if len(killed) == 1 and deaths[killed[0]] > 1:
            times = deaths[killed[0]]
            faults[killed[0]] = [f"its process was killed {times} times, {REMEDY}"]
    for number in range(len(runs)):
        state = "killed" if deaths[number] else "not started"
        faults.setdefault(number, [f"{state}, after another run failed (on_failure=stop)"])
    return [faults[number] for number in range(len(runs))]


def next_group(runs: int, faults: dict[int, list[str]], deaths: Counter[int]) -> list[int]:
    """Return the runs to launch next: those killed least often; one alone if killed twice."""
    unfinished = set(range(runs)) - faults.keys()
    fewest = min(deaths[number] for number in unfinished)
    group = sorted(number for number in unfinished if deaths[number] == fewest)
    return group if fewest < 2 else group[:1]


def launch(
    runs: Sequence[tuple[str, ...]], folder: Path, parent: str, stop: bool, composer: Composer
) -> str:
    """Launch runs and wait until none is at work or about to start.

    folder: of the launch. Returns why the launcher gave up; empty if it did not.
    """
    main = MainProcess.here()
    config = composer.compose(runs[0], RunMode.MULTIRUN)
    settings = config.hydra.launcher
    processes = launchers.concurrency(settings, len(runs))
    if "n_jobs" in settings:
        # not more workers than jobs: an idle one would miss the end of the sweep. Not one either:
        # joblib would run the job in this process
        settings.n_jobs = launchers.concurrency(settings, max(2, len(runs)))
    threads = launchers.threads(processes) if processes else None
    if threads:
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    path = str(folder.absolute())
    task = Launch(main, os.getcwd(), threads, path, parent, stop, composer.folder)
    launcher = launchers.start(config, partial(job, launch=task))
    with ending(main):
        try:
            launchers.launch(launcher, config, runs)
        except Exception as error:
            wait(folder)
            (folder / STOP).touch()  # for jobs that would only start now: they are launched again
            wait(folder)
            return one_line(error)
    return ""


def job(config: DictConfig, launch: Launch) -> float:
    """Make one run, in any process, and report its faults in the folder of the launch.

    Returns the best metric on dev; NaN if the run failed.
    """
    worker.begin(launch.main, launch.threads)
    os.chdir(launch.directory)  # Ray's workers start where Ray was started
    folder = Path(launch.folder)
    report = folder / str(HydraConfig.get().job.num)
    with locks.hold(lock_of(report)):
        if (folder / STOP).exists():
            return float("nan")
        report.touch()
        value, lines, printed = float("nan"), [], len(terminal.faults)
        try:
            value = make(config, launch)
        except Exception as error:
            lines = fault_lines(error)
            console.print("\n".join(f"failed: {line}" for line in lines))
        except BaseException as error:
            worker.end(error)
            raise
        # the process that launched this job prints the faults of its trials as well
        lines = terminal.faults[printed:] + lines
        del terminal.faults[printed:]
        files.write_json(report, lines)
        if lines and launch.stop_at_failure:
            (folder / STOP).touch()
        return value


def make(config: DictConfig, launch: Launch) -> float:
    """Work on the study of a configuration, or make its run; return the best metric on dev."""
    hydra = HydraConfig.get()
    overrides = hydra.overrides.task
    if config.study.space:
        return loop.work(config, overrides, Composer(launch.config_dir))
    checked = check(config, hydra.runtime.choices)

    def run() -> FinishedResult:
        return execute.execute(plan.make(checked), overrides, Path(launch.parent), brief=True)

    return retry_while_claimed(run).value("dev")


def read_ends(folder: Path) -> dict[int, list[str] | None]:
    """Return the faults of each job of a launch that has started; None if it was killed."""
    ends = {}
    for report in folder.glob("[0-9]*"):
        if report.name.isdigit():
            text = report.read_text("utf-8")
            ends[int(report.name)] = json.loads(text) if text else None
    return ends


def lock_of(report: Path) -> Path:
    """Return the file that the process of a job keeps locked."""
    return report.with_suffix(".lock")


def wait(folder: Path) -> None:
    """Wait until no job of this launch is at work."""
    while any(map(locks.is_held, folder.glob("*.lock"))):
        time.sleep(POLL_SECONDS)
