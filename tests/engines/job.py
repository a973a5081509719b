"""A miniature sweep over any of Hydra's launchers: `python -m job FOLDER STEPS JOBS [overrides]`.

Its jobs count steps, and save them where a run would save its checkpoint. This folder must be on
PYTHONPATH.
"""

import json
import os
import sys
import time
from functools import partial
from pathlib import Path

from hydra import compose, initialize_config_module
from hydra.core.utils import JobRuntime

from nersweep.config import schema as sections
from nersweep.machine import signals
from nersweep.sweep import launchers, worker
from nersweep.sweep.main_process import MainProcess, ending

STEP_SECONDS = 0.1


def note(folder: Path, event: str, seed: int, **more) -> None:
    with open(folder / "log", "a") as file:
        file.write(json.dumps({"event": event, "seed": seed, "pid": os.getpid()} | more) + "\n")


def run(main_process, threads, folder, steps, config) -> float:
    worker.begin(main_process, threads)
    try:
        return count(folder, steps, config["seed"])
    except BaseException as error:
        worker.end(error)
        raise


def count(folder: Path, steps: int, seed: int) -> float:
    file = folder / f"checkpoint-{seed}"
    done = int(file.read_text()) if file.exists() else 0
    note(
        folder,
        "start",
        seed,
        done=done,
        threads=os.environ.get("OMP_NUM_THREADS"),
        parent=os.getppid(),
    )
    if done == steps:
        return float(done)
    with signals.deferral():
        while done < steps:
            time.sleep(STEP_SECONDS)
            done += 1
            if signals.pending or done % 10 == 0 or done == steps:
                file.write_text(str(done))
            if signals.pending:
                note(folder, "checkpoint", seed, done=done)
                signals.end()
    note(folder, "done", seed)
    return float(done)


def main(folder: str, steps: str, jobs: str, *overrides: str) -> None:
    sections.register()
    main_process = MainProcess.here()
    JobRuntime.instance().set("name", "job")
    sweep = f"hydra.sweep.dir={folder}/sweep"
    with initialize_config_module("nersweep.conf", version_base="1.3"):
        config = compose("config", [sweep, *overrides], return_hydra_config=True)
        config.hydra.runtime.output_dir = folder
        processes = launchers.concurrency(config.hydra.launcher, int(jobs)) or 1
        task = partial(run, main_process, launchers.threads(processes), Path(folder), int(steps))
        launcher = launchers.start(config, task)
        with ending(main_process):
            seeds = range(1, int(jobs) + 1)
            launchers.launch(launcher, config, [[f"seed={seed}"] for seed in seeds])


if __name__ == "__main__":
    from job import main  # workers know this file as the module job, not as __main__

    try:
        main(*sys.argv[1:])
    finally:
        if signals.pending:
            os._exit(128 + signals.pending[0])
