"""Studies with several workers, each a command of its own: exactly so many trials, whatever becomes of a worker."""

import json
import os
import signal
import time
from collections import Counter
from multiprocessing import Process
from pathlib import Path

import optuna
import pytest
from forked import FORKED, type_
from mlflow import MlflowClient
from omegaconf import OmegaConf

from nersweep.study import storage

pytestmark = pytest.mark.engine
pytest_plugins = ["postgres"]

WORKERS, TRIALS = 4, 6
SMALL = [
    "data.train=60", "data.dev=20", "data.test=20", "train.epochs=3", "train.batch_size=8", "train.lr=1e-2",
    "train.precision=fp32", "model.hidden=8", "model.layers=1", "model.heads=2", "device=cpu",
]  # fmt: skip
STUDY = ["study=focal_gamma", f"study.trials={TRIALS}", "study.name=shared"]
LONGER = [
    *(typed for typed in SMALL if not typed.startswith("train.epochs")),
    "train.epochs=12",
    "study.pruner=none",
]


class Stores:
    """Where the commands of a study write to, and what they have left there."""

    def __init__(self, folder: Path, tracked: str | None, searched: str | None):
        self.folder, self.tracked = folder, tracked or f"sqlite:///{folder}/mlflow.db"
        self.url = storage.url_of(searched, folder)
        self.processes: list[Process] = []
        self.overrides = [f"output_dir={folder}"]
        self.overrides += [f"tracking.uri={tracked}"] if tracked else []
        self.overrides += [f"study.storage={searched}"] if searched else []

    def start(self, *arguments: str) -> None:
        self.processes.append(
            FORKED.Process(target=type_, args=([*arguments, *STUDY, *self.overrides], self.folder))
        )
        self.processes[-1].start()

    def codes(self) -> list[int | None]:
        for process in self.processes:
            process.join(300)
        return [process.exitcode for process in self.processes]

    def told(self) -> str:
        return "".join(file.read_text() for file in self.folder.glob("[oe][ur][tr]-*"))[-5000:]

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        return optuna.load_study(study_name="shared", storage=self.url).trials

    def check(self) -> None:
        """Exactly so many trials have finished, no number twice, and the tracker has a run of each in one parent."""
        trials = self.trials()
        assert [trial.number for trial in trials] == list(range(TRIALS))
        assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}, self.told()
        client = MlflowClient(self.tracked)
        runs = client.search_runs([client.get_experiment_by_name("nersweep").experiment_id])
        (parent,) = [run for run in runs if run.data.tags.get("kind") == "study"]
        children = [
            run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
        ]
        assert len(runs) == 1 + TRIALS == 1 + len(children) and parent.info.status == "FINISHED"
        drawn = [float(run.data.params["focal_gamma"]) for run in children]
        assert sorted(drawn) == pytest.approx(
            sorted(trial.params["focal_gamma"] for trial in trials)
        )
        ended = Counter(
            {"COMPLETE": "finished", "PRUNED": "pruned"}[trial.state.name] for trial in trials
        )
        assert Counter(run.data.tags["status"] for run in children) == ended
        results = [json.loads(file.read_text()) for file in self.folder.glob("runs/*/result.json")]
        assert Counter(result["status"] for result in results) == ended


@pytest.fixture
def stores(request, tmp_path):
    """Both in SQLite, unless the test is given another kind."""
    tracked = searched = None
    if getattr(request, "param", "sqlite") == "postgresql":
        new_database = request.getfixturevalue("new_database")
        tracked, searched = new_database(), new_database()
    made = Stores(tmp_path, tracked, searched)
    yield made
    for process in made.processes:
        process.kill()
        process.join()


def wait_for(what, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("stores", ["sqlite", "postgresql"], indirect=True)
def test_four_commands_at_once_on_empty_stores_make_exactly_so_many_trials(stores):
    for _ in range(WORKERS):
        stores.start(*SMALL)
    assert stores.codes() == [0] * WORKERS, stores.told()
    stores.check()
    assert all("deaths" not in trial.user_attrs for trial in stores.trials())


@pytest.mark.parametrize(
    "stores", ["postgresql"], indirect=True
)  # tests/study/test_queue.py does it in SQLite
def test_the_trial_of_a_worker_that_is_killed_is_queued_again_and_counted_once(stores):
    for _ in range(WORKERS):
        stores.start(*LONGER)
    killed = under_way(stores)
    os.kill(killed.user_attrs["lease"]["pid"], signal.SIGKILL)
    assert sorted(stores.codes()) == [-signal.SIGKILL, 0, 0, 0], stores.told()
    stores.check()
    assert {
        t.number: t.user_attrs["deaths"] for t in stores.trials() if "deaths" in t.user_attrs
    } == {killed.number: 1}
    assert stores.trials()[killed.number].params == killed.params


def under_way(stores):
    """A trial that has trained for an epoch, of several."""
    (file, *_) = wait_for(lambda: list(stores.folder.glob("runs/*/checkpoint.safetensors")))
    gamma = OmegaConf.load(file.parent / "config.yaml").focal_gamma
    (trial,) = [
        trial
        for trial in stores.trials()
        if trial.params.get("focal_gamma") == pytest.approx(gamma)
    ]
    return trial


@pytest.mark.long
def test_the_trial_of_a_preempted_job_is_given_back_and_its_worker_queued_again(stores):
    pytest.importorskip(
        "hydra_plugins.hydra_submitit_launcher", reason="the extra slurm is not installed"
    )
    stores.start("-m", "study.worker=range(2)", "hydra/launcher=submitit_local", *LONGER)
    preempted = under_way(stores)
    pid = preempted.user_attrs["lease"]["pid"]
    os.kill(pid, signal.SIGUSR2)  # what SLURM sends before it takes a node away
    assert stores.codes() == [0], stores.told()
    stores.check()
    again = stores.trials()[preempted.number]
    assert again.params == preempted.params and again.user_attrs["lease"]["pid"] != pid
    assert not [trial.number for trial in stores.trials() if "deaths" in trial.user_attrs]
    logs = [file.read_text() for file in stores.folder.glob("sweeps/.submitit/*/*.out")]
    assert sorted(log.count("Starting with JobEnvironment") for log in logs) == [1, 2]
    assert all("Exiting after successful completion" in log for log in logs)
