"""Processes that start at once on empty stores of runs and studies, in SQLite and PostgreSQL.

NERSWEEP_STORES is the number of stores, one after the other: 1, and 20 with `make test-all`.
"""

import os

import optuna
import pytest
from forked import FORKED

from nersweep.faults import Unavailable
from nersweep.results.card import Card, write_card
from nersweep.study import storage
from nersweep.tracking import stores, syncing, tracker

pytestmark = pytest.mark.engine
pytest_plugins = ["postgres"]

PROCESSES, STORES = 4, int(os.environ.get("NERSWEEP_STORES", "1"))


# tests/tracking/test_stores.py and tests/study/test_queue.py have SQLite
@pytest.fixture(params=[pytest.param("sqlite", marks=pytest.mark.long), "postgresql"])
def empty(request, tmp_path):
    """empty(name): addresses of so many stores that are still empty, all of one kind."""

    def make(name):
        if request.param == "sqlite":
            return [f"sqlite:///{tmp_path}/{name}-{i}.db" for i in range(STORES)]
        new_database = request.getfixturevalue("new_database")
        return [new_database() for _ in range(STORES)]

    return make


def use_all(tracked, searched, output_dir, barrier, answers):
    """Use pairs of stores at the same time as the other processes; answer what was raised."""
    for uri, url in zip(tracked, searched, strict=True):
        barrier.wait(120)
        try:
            uri = stores.open_store(uri, output_dir)
            folder = output_dir / "runs" / "run"
            folder.mkdir(parents=True, exist_ok=True)
            card = Card(kind="sweep", name="run", experiment="all", status="finished")
            write_card(folder, card)
            syncing.sync(tracker.make("mlflow", uri, output_dir), folder)
            barrier.wait(120)
            kept, lock = storage.open_storage(storage.url_of(url, output_dir))
            with lock("all"):
                study = optuna.create_study(study_name="all", storage=kept, load_if_exists=True)
            trial = study.ask()
            study.tell(trial, trial.suggest_float("gamma", 0, 5))
            answers.put("")
        except Exception as error:
            barrier.abort()
            answers.put(f"{uri}, {url}: {type(error).__name__}: {error}")
            raise


def test_processes_that_start_at_once_on_empty_stores_all_write_to_them(empty, tmp_path):
    from mlflow import MlflowClient

    tracked, searched = empty("mlflow"), empty("studies")
    barrier, answers = FORKED.Barrier(PROCESSES), FORKED.Queue()
    hosts = [
        tmp_path / f"host-{i}" for i in range(PROCESSES)
    ]  # which share no file lock, but for SQLite's own
    processes = [
        FORKED.Process(target=use_all, args=(tracked, searched, h, barrier, answers)) for h in hosts
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30 + 30 * STORES)
    errors = [answers.get(timeout=1) for _ in range(answers.qsize())]
    assert [line for line in errors if line] == [] and len(errors) == PROCESSES * STORES
    for uri, url in zip(tracked, searched, strict=True):
        client = MlflowClient(stores.open_store(uri, tmp_path))
        (experiment,) = client.search_experiments(filter_string="name = 'all'")
        runs = client.search_runs([experiment.experiment_id])
        assert [run.info.status for run in runs] == ["FINISHED"] * PROCESSES
        (study,) = optuna.get_all_study_summaries(storage.url_of(url, tmp_path))
        assert study.n_trials == PROCESSES


def test_a_missing_server_is_reported_in_one_line(tmp_path):
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    with pytest.raises(
        Unavailable, match=r"^tracking\.uri=postgresql.*this store cannot be used"
    ) as caught:
        stores.open_store("postgresql://test@127.0.0.1:9/mlflow", tmp_path)
    assert "\n" not in str(caught.value)
