"""Opening tracking stores: made once, refused in one line."""

import signal
import socket
import subprocess
import sys
import time

import pytest

from nersweep.faults import Unavailable, UserError
from nersweep.tracking.stores import open_store

ROUNDS = 1  # of four processes at once on an empty store, 20 s each on one core

ONE_PROCESS = """
import logging, sys
logging.basicConfig(level=logging.INFO)  # as Hydra does
from pathlib import Path
from nersweep.results.card import Card, write_card
from nersweep.tracking import syncing, tracker
folder = Path(sys.argv[1])
run = folder / "runs" / sys.argv[2]
run.mkdir(parents=True)
card = Card(kind="sweep", name=sys.argv[2], experiment="race", params={"p": 1}, status="finished")
write_card(run, card)
syncing.sync(tracker.make("mlflow", None, folder), run)
"""


@pytest.mark.parametrize("round", range(ROUNDS))
def test_four_processes_open_an_empty_store_at_once_without_a_word(tmp_path, round):
    command = [sys.executable, "-c", ONE_PROCESS, str(tmp_path)]
    started = [
        subprocess.Popen([*command, str(i)], stderr=subprocess.PIPE, text=True) for i in range(4)
    ]
    assert [(process.communicate()[1], process.returncode) for process in started] == [("", 0)] * 4
    from mlflow import MlflowClient

    client = MlflowClient(open_store(None, tmp_path))
    runs = client.search_runs([client.get_experiment_by_name("race").experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["0", "1", "2", "3"]
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_store_that_was_killed_half_created_is_replaced(tmp_path):
    making = subprocess.Popen([sys.executable, "-c", ONE_PROCESS, str(tmp_path), "killed"])
    while making.poll() is None and not (tmp_path / "mlflow.db.new").exists():
        time.sleep(0.01)
    making.send_signal(signal.SIGKILL)
    making.wait()
    assert (tmp_path / "mlflow.db.new").exists() and not (tmp_path / "mlflow.db").exists()
    open_store(None, tmp_path)
    assert sorted(path.name for path in tmp_path.glob("mlflow.db*")) == [
        "mlflow.db",
        "mlflow.db.lock",
    ]


def test_a_server_that_does_not_answer_is_reported_within_ten_seconds(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, nobody replies
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(
            Unavailable,
            match=f"tracking.uri={address}: no MLflow server answers there .*timed out",
        ):
            open_store(address, tmp_path)
        assert time.monotonic() - began < 10
    began = time.monotonic()
    with pytest.raises(
        Unavailable, match=r"Connection refused\); start it, or leave tracking.uri empty"
    ) as refused:
        open_store(address, tmp_path)
    assert time.monotonic() - began < 10 and "\n" not in str(refused.value)


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
        began = time.monotonic()
        with pytest.raises(
            Unavailable, match=r"^tracking.uri=.*cannot be used \(.*\).*"
        ) as refused:
            open_store(uri, tmp_path)
        assert "\n" not in str(refused.value) and "secret" not in str(refused.value)
        assert time.monotonic() - began < 10
