"""A study with several workers, each its own command, has exactly the trials asked for."""

import os
import signal
import time
from collections import Counter
from multiprocessing import Process
from pathlib import Path

import optuna
import pytest
from forked import FORKED, run_command
from mlflow import MlflowClient
from omegaconf import OmegaConf

from nersweep.results.result import read_result
from nersweep.study import storage

pytestmark = pytest.mark.engine
pytest_plugins = ["postgres"]

WORKERS, TRIALS = 3, 4
SMALL = [
    "data.train=60", "data.dev=20", "data.test=20", "train.epochs=3", "train.batch_size=8",
    "train.lr=1e-2",
    "train.precision=fp32", "model.hidden=8", "model.layers=1", "model.heads=2", "device=cpu",
]  # fmt: skip
STUDY = ["study=focal_gamma", f"study.trials={TRIALS}", "study.name=shared"]
LONGER = [
    *(override for override in SMALL if not override.startswith("train.epochs")),
    "train.epochs=12",
    "study.pruner=none",
]


class Workers:
    """The processes of one study, and the stores that they write to.

    tracking, studies: URLs of databases; None for SQLite in the folder.
    """

    def __init__(self, folder: Path, tracking: str | None, studies: str | None):
        self.folder = folder
        self.tracking = tracking or f"sqlite:///{folder}/mlflow.db"
        self.storage = storage.url_of(studies, folder)
        self.processes: list[Process] = []
        self.overrides = [f"output_dir={folder}"]
        if tracking:
            self.overrides.append(f"tracking.uri={tracking}")
        if studies:
            self.overrides.append(f"study.storage={studies}")

    def start(self, *arguments: str) -> None:
        """Start a worker by its command."""
        command = [*arguments, *STUDY, *self.overrides]
        self.processes.append(FORKED.Process(target=run_command, args=(command, self.folder)))
        self.processes[-1].start()

    def exit_codes(self) -> list[int | None]:
        for process in self.processes:
            process.join(300)
        return [process.exitcode for process in self.processes]

    def output(self) -> str:
        """Return the end of what the workers have printed."""
        return "".join(file.read_text() for file in self.folder.glob("[oe][ur][tr]-*"))[-5000:]

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        return optuna.load_study(study_name="shared", storage=self.storage).trials

    def check(self) -> None:
        """Assert that all trials have finished, each once, and that the tracker has their runs."""
        trials = self.trials()
        assert [trial.number for trial in trials] == list(range(TRIALS))
        assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}, self.output()
        client = MlflowClient(self.tracking)
        runs = client.search_runs([client.get_experiment_by_name("nersweep").experiment_id])
        (parent,) = [run for run in runs if run.data.tags.get("kind") == "study"]
        parent_id = parent.info.run_id
        children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent_id]
        assert len(runs) == 1 + TRIALS == 1 + len(children) and parent.info.status == "FINISHED"
        gammas = sorted(float(run.data.params["focal_gamma"]) for run in children)
        assert gammas == pytest.approx(sorted(trial.params["focal_gamma"] for trial in trials))
        states = {"COMPLETE": "finished", "PRUNED": "pruned"}
        statuses = Counter(states[trial.state.name] for trial in trials)
        assert Counter(run.data.tags["status"] for run in children) == statuses
        results = [read_result(file) for file in self.folder.glob("runs/*/result.json")]
        assert Counter(result.status for result in results) == statuses


@pytest.fixture
def workers(request, tmp_path):
    """Workers with both stores in SQLite, unless the test asks for PostgreSQL."""
    tracking = studies = None
    if getattr(request, "param", "sqlite") == "postgresql":
        new_database = request.getfixturevalue("new_database")
        tracking, studies = new_database(), new_database()
    workers = Workers(tmp_path, tracking, studies)
    yield workers
    for process in workers.processes:
        process.kill()
        process.join()


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


# tests/study/test_queue.py and tests/engines/test_empty_stores.py show it with queues alone
@pytest.mark.long
@pytest.mark.parametrize("workers", ["sqlite", "postgresql"], indirect=True)
def test_commands_on_empty_stores_share_exactly_the_trials(workers):
    for _ in range(WORKERS):
        workers.start(*SMALL)
    assert workers.exit_codes() == [0] * WORKERS, workers.output()
    workers.check()
    assert all("deaths" not in trial.user_attrs for trial in workers.trials())


# tests/study/test_queue.py tests it in SQLite
@pytest.mark.long
@pytest.mark.parametrize("workers", ["postgresql"], indirect=True)
def test_the_trial_of_a_killed_worker_is_queued_again_and_counted_once(workers):
    for _ in range(WORKERS):
        workers.start(*LONGER)
    killed = under_way(workers)
    os.kill(killed.user_attrs["lease"]["pid"], signal.SIGKILL)
    survivors = [0] * (WORKERS - 1)
    assert sorted(workers.exit_codes()) == [-signal.SIGKILL, *survivors], workers.output()
    workers.check()
    assert {
        t.number: t.user_attrs["deaths"] for t in workers.trials() if "deaths" in t.user_attrs
    } == {killed.number: 1}
    assert workers.trials()[killed.number].params == killed.params


def under_way(workers):
    """Return a trial that has trained for one of several epochs."""
    (file, *_) = wait_for(lambda: list(workers.folder.glob("runs/*/checkpoint.safetensors")))
    gamma = OmegaConf.load(file.parent / "config.yaml").focal_gamma
    (trial,) = [
        trial
        for trial in workers.trials()
        if trial.params.get("focal_gamma") == pytest.approx(gamma)
    ]
    return trial


@pytest.mark.long
def test_a_preempted_job_releases_its_trial_and_is_queued_again(workers):
    pytest.importorskip(
        "hydra_plugins.hydra_submitit_launcher", reason="the extra slurm is not installed"
    )
    workers.start("-m", "study.worker=range(2)", "hydra/launcher=submitit_local", *LONGER)
    preempted = under_way(workers)
    pid = preempted.user_attrs["lease"]["pid"]
    os.kill(pid, signal.SIGUSR2)  # what SLURM sends before it takes a node away
    assert workers.exit_codes() == [0], workers.output()
    workers.check()
    again = workers.trials()[preempted.number]
    assert again.params == preempted.params and again.user_attrs["lease"]["pid"] != pid
    assert not [trial.number for trial in workers.trials() if "deaths" in trial.user_attrs]
    logs = [file.read_text() for file in workers.folder.glob("sweeps/.submitit/*/*.out")]
    assert sorted(log.count("Starting with JobEnvironment") for log in logs) == [1, 2]
    assert all("Exiting after successful completion" in log for log in logs)
