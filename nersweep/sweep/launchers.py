"""Differences between Hydra's launchers, which run the jobs of a sweep."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from nersweep.config.overrides import is_hydra
from nersweep.machine.host import cores

POLL_SECONDS = 0.5  # between two looks at whether submitit's jobs have ended
ELSEWHERE = {"SlurmLauncher", "RayLauncher"}  # run jobs on other machines
SUBMITIT = {"LocalLauncher": "local", "SlurmLauncher": "slurm"}  # and the executor of each


def class_of(launcher: Mapping[str, Any]) -> str:
    """Return the name of a launcher's class, given hydra.launcher: JoblibLauncher."""
    return str(launcher["_target_"]).rpartition(".")[2]


def runs_elsewhere(launcher: Mapping[str, Any]) -> bool:
    """Return whether a launcher runs jobs on other machines, given hydra.launcher."""
    return class_of(launcher) in ELSEWHERE


def concurrency(launcher: Mapping[str, Any], jobs: int) -> int | None:
    """Return how many of `jobs` jobs run at once on this host, given hydra.launcher.

    None if an engine decides it (Ray, SLURM). submitit_local starts all jobs at once.
    """
    name = class_of(launcher)
    if name == "JoblibLauncher":
        processes = int(launcher["n_jobs"])
        return min(jobs, processes if processes > 0 else max(1, cores() + 1 + processes))
    return {"BasicLauncher": 1, "LocalLauncher": jobs}.get(name)


def threads(processes: int) -> int:
    """Return the number of threads for each of `processes` processes on this host, at least 1.

    OMP_NUM_THREADS decides; if it is not set, the cores are shared out.
    """
    value = os.environ.get("OMP_NUM_THREADS", "")
    return int(value) if value.isdigit() and int(value) else max(1, cores() // processes)


def start(config: DictConfig, task: Callable[[DictConfig], object]) -> Any:
    """Return the launcher of a configuration, with its engine started.

    Ray starts here, or is connected to, since its launcher would start it after the sweep has set
    its signal handlers, which Ray replaces, and would insist on an option that a running cluster
    refuses.
    """
    context = HydraContext(GlobalHydra.instance().config_loader(), Callbacks(config))
    launcher: Any = Plugins.instance().instantiate_launcher(
        hydra_context=context, task_function=task, config=config
    )
    if class_of(config.hydra.launcher) == "RayLauncher":
        options: Any = OmegaConf.to_container(launcher.ray_cfg.init, resolve=True)
        import_module("ray").init(**options)
    return launcher


def launch(launcher: Any, config: DictConfig, overrides: Sequence[Sequence[str]]) -> None:
    """Run a job for each list of overrides; return when all have ended. Raises if a job died."""
    jobs = list(map(without_hydra, overrides))
    if class_of(config.hydra.launcher) in SUBMITIT:
        submit(launcher, config, jobs)
    else:
        launcher.launch(jobs, initial_job_idx=0)


def without_hydra(overrides: Sequence[str]) -> list[str]:
    """Return the overrides without Hydra's own, which it adds itself: it refuses a + twice."""
    return [override for override in overrides if not is_hydra(override)]


def submit(launcher: Any, config: DictConfig, jobs: Sequence[list[str]]) -> None:
    """Submit jobs through submitit, as an array on SLURM, and wait until all have ended.

    The plugin's own launch gives up at the first job that died and leaves the others behind, in
    the queue or at work. Its launcher is what each job calls; its checkpoint method puts a
    preempted job back into the queue.
    """
    submitit = import_module("submitit")
    queue = import_module("hydra_plugins.hydra_submitit_launcher.config")
    cluster = SUBMITIT[class_of(config.hydra.launcher)]
    common = {field.name for field in fields(queue.BaseQueueConf)}
    options, parameters = {}, {}
    for name, value in launcher.params.items():
        if name == "submitit_folder":
            options["folder"] = value
        elif name == "max_num_timeout":
            options[f"{cluster}_max_num_timeout"] = value
        else:
            parameters[name if name in common else f"{cluster}_{name}"] = value
    executor = submitit.AutoExecutor(cluster=cluster, **options)
    executor.update_parameters(**parameters)
    folder = Path(config.hydra.sweep.dir)
    folder.mkdir(parents=True, exist_ok=True)
    if "mode" in config.hydra.sweep:
        folder.chmod(int(str(config.hydra.sweep.mode), 8))
    arguments = []
    for number, overrides in enumerate(jobs):
        name = f"job_id_for_{number}"
        arguments.append((overrides, "hydra.sweep.dir", number, name, Singleton.get_state()))
    submissions = executor.map_array(launcher, *zip(*arguments, strict=True))
    while not all(job.done() for job in submissions):
        time.sleep(POLL_SECONDS)
    for job in submissions:
        job.results()
