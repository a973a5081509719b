"""Opening tracking stores: made once, refused in one line."""

import logging
import os
import signal
import socket
import sqlite3
import tempfile
import time
from contextlib import closing

import pytest
from forked import FORKED

from nersweep.faults import Unavailable, UserError
from nersweep.results.card import Card, write_card
from nersweep.tracking import syncing, tracker
from nersweep.tracking.stores import open_store


def write_run(folder, name, barrier=None):
    """Write a run to a folder's store, at once with other processes; errors go to a file."""
    os.dup2(os.open(folder / f"errors-{name}", os.O_WRONLY | os.O_CREAT), 2)
    logging.basicConfig(level=logging.INFO)  # as Hydra does
    run = folder / "runs" / name
    run.mkdir(parents=True)
    card = Card(kind="sweep", name=name, experiment="race", params={"p": 1}, status="finished")
    write_card(run, card)
    if barrier:
        barrier.wait(60)
    syncing.sync(tracker.make("mlflow", None, folder), run)


def write_run_on_a_new_host(folder, name):
    """Write a run where no store was made before."""
    tempfile.tempdir = str(folder)
    write_run(folder, name)


def schema(folder):
    """The tables and indices of a folder's store, and the artifacts of its first experiment."""
    from mlflow import MlflowClient

    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        statements = database.execute("select name, sql from sqlite_master order by name")
        tables = []
        for name, sql in statements:  # Alembic writes the constraints of a table in any order
            lines = (sql or "").splitlines()
            tables.append((name, sorted(line.strip(" ,\t") for line in lines)))
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return tables, client.get_experiment("0").artifact_location


def test_every_store_is_like_the_one_that_mlflow_makes_itself(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # a host without a store
    for name in ("first", "second", "own"):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)
        if name == "own":
            MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
        else:
            open_store(None, folder)
        tables, artifacts = schema(folder)
        assert tables == schema(tmp_path / "first")[0] and len(tables) > 50
        assert artifacts == f"{folder}/mlruns/0"


def test_a_host_that_cannot_keep_a_store_makes_each_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    open_store(None, tmp_path)
    assert len(schema(tmp_path)[0]) > 50


def test_four_processes_open_an_empty_store_at_once_without_a_word(tmp_path):
    barrier, processes = FORKED.Barrier(4), []
    for i in range(4):
        processes.append(FORKED.Process(target=write_run, args=(tmp_path, str(i), barrier)))
        processes[-1].start()
    for i, process in enumerate(processes):
        process.join(120)
        assert ((tmp_path / f"errors-{i}").read_text(), process.exitcode) == ("", 0)
    from mlflow import MlflowClient

    client = MlflowClient(open_store(None, tmp_path))
    runs = client.search_runs([client.get_experiment_by_name("race").experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["0", "1", "2", "3"]
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_store_that_was_killed_half_created_is_replaced(tmp_path):
    making = FORKED.Process(target=write_run_on_a_new_host, args=(tmp_path, "killed"))
    making.start()
    while making.is_alive() and not (tmp_path / "mlflow.db.new").exists():
        time.sleep(0.01)
    os.kill(making.pid, signal.SIGKILL)
    making.join()
    assert (tmp_path / "mlflow.db.new").exists() and not (tmp_path / "mlflow.db").exists()
    open_store(None, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("mlflow.db*")) == [
        "mlflow.db",
        "mlflow.db.lock",
    ]


def test_a_server_that_does_not_answer_is_reported(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, nobody replies
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(
            Unavailable,
            match=f"tracking.uri={address}: no MLflow server answers there .*timed out",
        ):
            open_store(address, tmp_path)
    with pytest.raises(
        Unavailable, match=r"Connection refused\); start it, or leave tracking.uri empty"
    ) as refused:
        open_store(address, tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "uri", ["ftp://x", "/tmp/mlruns", "file:///tmp/mlruns", "sqlite:", "postgresql", "http:/x"]
)
def test_a_uri_of_another_kind_is_refused_in_one_line(tmp_path, uri):
    with pytest.raises(UserError, match=rf"^tracking.uri={uri}: expected .*"):
        open_store(uri, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_store_that_cannot_be_used_is_reported_in_one_line(tmp_path):
    (tmp_path / "mlflow.db").write_text(
        "this is no database, but long enough to be looked at" * 100
    )
    (tmp_path / "folder").mkdir()
    refusing = [
        "sqlite:////proc/mlflow.db",
        f"sqlite:///{tmp_path}/folder",
        "postgresql://ada:secret@127.0.0.1:9/mlflow",
    ]
    for uri in (None, *refusing):
        with pytest.raises(
            Unavailable, match=r"^tracking.uri=.*cannot be used \(.*\).*"
        ) as refused:
            open_store(uri, tmp_path)
        assert "\n" not in str(refused.value) and "secret" not in str(refused.value)
