"""hydra/launcher=ray on a cluster of two nodes, both on this machine. Needs `make ray`."""

import os
import signal
import time
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient

from nersweep.machine import host
from nersweep.tracking.reading import run_id_of

pytestmark = pytest.mark.engine
pytest.importorskip(
    "hydra_plugins.hydra_ray_launcher", reason="the extra ray is not installed: make ray"
)

HERE = os.path.dirname(__file__)
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "PYTHONPATH": HERE,
    "RAY_TMPDIR": "/tmp",
}
MEMORY = 80 * 2**20  # bytes of each node's object store, the least that Ray takes


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": MEMORY}
        nodes = Cluster(initialize_head=True, head_node_args=head)
        yield nodes
        nodes.shutdown()


@pytest.fixture
def second(cluster):
    """The cluster's second node."""
    node = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    cluster.wait_for_nodes()
    yield node
    if node in cluster.worker_nodes:
        cluster.remove_node(node)


def on(cluster) -> list[str]:
    return ["hydra/launcher=ray", f"hydra.launcher.ray.init.address={cluster.address}", *ONE_CPU]


ONE_CPU = ["+hydra.launcher.ray.remote.num_cpus=1"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_jobs_write_their_checkpoints_before_the_sweep_ends(sweep, cluster, second, number, code):
    process = sweep.start(2, 600, *on(cluster))
    sweep.reach("start", 2)
    time.sleep(0.5)
    process.send_signal(number)
    assert sweep.finish(10) == code, sweep.told()
    assert not sweep.left() and {entry["seed"] for entry in sweep.log("checkpoint")} == {1, 2}


def test_jobs_end_with_a_killed_sweep_and_resume_from_their_last_checkpoint(sweep, cluster, second):
    process = sweep.start(2, 600, *on(cluster))
    sweep.reach("start", 2)
    time.sleep(1.5)
    process.kill()
    process.wait()
    assert sweep.empty(10)  # Ray takes its workers down at once: no time for a last checkpoint

    sweep.start(2, 20, *on(cluster))
    assert sweep.finish() == 0, sweep.told()
    assert all(entry["done"] >= 10 for entry in sweep.log("start")[2:])


def test_jobs_of_a_node_that_dies_resume_elsewhere(sweep, cluster, second):
    sweep.start(3, 60, *on(cluster))
    started = sweep.reach("start", 2)
    time.sleep(3)
    (lost,) = [entry["seed"] for entry in started if entry["parent"] in processes_of(second)]
    cluster.remove_node(second, allow_graceful=False)
    assert sweep.finish(120) == 0, sweep.told()
    assert sorted(entry["seed"] for entry in sweep.log("done")) == [1, 2, 3]
    (again,) = [entry for entry in sweep.log("start")[2:] if entry["seed"] == lost]
    assert again["done"] >= 20


def processes_of(node) -> set[int]:
    return {
        process.process.pid for processes in node.all_processes.values() for process in processes
    }


def node_of(pid: int) -> int:
    """The process that started this worker."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_runs_of_a_node_that_dies_resume_elsewhere(multirun, cluster, second):
    command = multirun("seed=1,2,3,4", *on(cluster))
    lost, deadline = [], time.monotonic() + 240
    while not lost:
        assert command.process.poll() is None and time.monotonic() < deadline, command.statuses()
        lost = [
            seed
            for seed in (1, 2)
            if any(node_of(pid) in processes_of(second) for pid in command.makers(seed))
        ]
        time.sleep(0.05)
    cluster.remove_node(second, allow_graceful=False)
    code, out, _ = command.ends(300)
    assert (code, command.statuses()) == (0, ["finished"] * 4), out
    (file,) = command.outputs.glob(f"runs/*-s{lost[0]}-*/result.json")
    client = MlflowClient(f"sqlite:///{command.outputs}/mlflow.db")
    history = client.get_metric_history(
        run_id_of(file.parent, f"sqlite:///{command.outputs}/mlflow.db"), "dev/f1"
    )
    assert [metric.step for metric in history] == list(
        range(1, 7)
    )  # in the same run of the tracker, no epoch twice
    assert (
        len(client.search_runs([client.get_experiment_by_name("nersweep").experiment_id])) == 1 + 4
    )


def test_a_study_has_workers_on_both_nodes(multirun, cluster, second):
    study = [
        "study=focal_gamma",
        "study.trials=6",
        "study.name=shared",
        "study.worker=range(2)",
        "train.epochs=2",
    ]
    command = multirun(*study, *on(cluster))
    code, out, _ = command.ends(300)
    assert code == 0, out
    trials = optuna.load_study(
        study_name="shared", storage=f"sqlite:///{command.outputs}/studies.db"
    ).trials
    assert [trial.number for trial in trials] == list(range(6))
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}
    assert len({trial.user_attrs["lease"]["pid"] for trial in trials}) == 2


def test_a_cluster_for_the_sweep_alone_ends_with_it(sweep, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    local = ["hydra.launcher.ray.init.address=local", "+hydra.launcher.ray.init.num_cpus=2"]
    process = sweep.start(2, 600, "hydra/launcher=ray", *local, *ONE_CPU)
    started = sweep.reach("start", 2)
    process.send_signal(signal.SIGTERM)
    assert sweep.finish(20) == 143, sweep.told()
    assert {entry["seed"] for entry in sweep.log("checkpoint")} == {1, 2}
    assert not sweep.left() and not any(host.alive(entry["parent"], None) for entry in started)
