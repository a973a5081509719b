"""Folders mlflow_status in real MLflow stores: SQLite files, and a server on the loopback."""

import json
import os
import shutil
import signal
import socket
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import pytest
from forked import FORKED

from nersweep.faults import Unavailable, UserError
from nersweep.results.card import Card, DataSource, read_card, remove_card, write_card
from nersweep.tracking import state, syncing, tracker
from nersweep.tracking.mlflow import address
from nersweep.tracking.reading import run_id_of
from nersweep.tracking.stores import store_uri

KILLED = {"status": "killed"}


@pytest.fixture
def client(store):
    from mlflow import MlflowClient

    return MlflowClient(store)


@pytest.fixture
def sync(store):
    """sync(folder): the id of its run in MLflow, after a sync."""

    def do(folder):
        syncing.sync(tracker.make("mlflow", store, folder.parents[1]), folder)
        return run_id_of(folder, store)

    return do


def steps(client, run_id, name):
    return [metric.step for metric in client.get_metric_history(run_id, name)]


def content(client, run_id):
    """Everything that a store shows of a run."""
    run = client.get_run(run_id)
    histories = {name: client.get_metric_history(run_id, name) for name in run.data.metrics}
    plain = {}
    for name, metrics in histories.items():
        plain[name] = [(m.step, m.value, m.timestamp) for m in metrics]
    files = [file.path for file in client.list_artifacts(run_id)]
    return run.to_dictionary(), plain, files


def test_everything_of_a_finished_run_reads_back(copy, sync, client, tmp_path):
    result = json.loads((copy / "result.json").read_text())
    run_id = sync(copy)
    run = client.get_run(run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", result["name"])
    assert run.info.end_time == int((copy / "result.json").stat().st_mtime * 1000)
    assert run.data.params["train.epochs"] == "2" and run.data.params["loss"] == "cross_entropy"
    assert run.data.tags["seed"] == "1" and run.data.tags["fingerprint"] == result["fingerprint"]
    assert run.data.tags["status"] == "finished" and run.data.tags["folder"] == str(copy)
    assert run.data.tags["mlflow.note.content"].startswith("`python -m nersweep data.train=24")
    assert steps(client, run_id, "dev/f1") == [1, 2]
    lines = [json.loads(line) for line in (copy / "metrics.jsonl").read_text().splitlines()]
    losses = {line["step"]: line["loss"] for line in lines if "step" in line}
    history = client.get_metric_history(run_id, "train/loss")
    assert {metric.step: metric.value for metric in history} == losses
    (test,) = client.get_metric_history(run_id, "test/f1")
    assert (test.step, test.value) == (result["best_epoch"], result["test"]["f1"])
    assert run.data.metrics["dev/best_f1"] == result["dev"]["f1"]
    names = {"train/lr", "train/epoch_loss", "train/PER/absent_steps", "train/B-PER/weight"}
    names |= {"train/B-PER/count", "dev/threshold/f1", "dev/errors/missed", "test/types/PER/f1"}
    assert names <= run.data.metrics.keys()
    contexts = {given.tags[0].value: given.dataset for given in run.inputs.dataset_inputs}
    assert contexts.keys() == {"train", "dev", "test"}
    assert contexts["dev"].name == "generated/dev"
    assert contexts["dev"].digest == result["data"]["checksum"][:36]
    assert json.loads(contexts["dev"].profile)["num_rows"] == 8
    stored = client.download_artifacts(run_id, "predictions/test.conll", str(tmp_path))
    assert Path(stored).read_bytes() == (copy / "predictions" / "test.conll").read_bytes()
    stored = client.download_artifacts(run_id, "result.json", str(tmp_path))
    assert json.loads(Path(stored).read_text()) == result


def test_the_model_loads_as_a_pipeline_and_its_weights_are_not_copied(
    copy, sync, client, store, monkeypatch
):
    import mlflow

    run_id = sync(copy)
    (output,) = client.get_run(run_id).outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert (model.status, model.source_run_id) == ("READY", run_id)
    assert model.params["folder"] == str(copy / "model")
    assert "test/f1" in {metric.key for metric in model.metrics}
    stored = Path(model.artifact_location.removeprefix("file://"))
    assert not list(stored.rglob("*.safetensors"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    pipeline = mlflow.transformers.load_model(f"models:/{model.model_id}")
    assert isinstance(pipeline("Ada met Grace"), list)
    tagger = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
    assert len(tagger.predict(["Ada met Grace", ""])) == 2


def test_a_second_sync_changes_nothing_and_does_not_ask(copy, sync, client, monkeypatch):
    run_id = sync(copy)
    before = content(client, run_id)
    with monkeypatch.context() as patch:
        patch.setattr("nersweep.tracking.mlflow.MlflowTracker.sync", None)
        sync(copy)
    entries = state.read_all(copy)
    for entry in entries.values():
        del entry["complete"]  # as if the process had died before it was written
    (copy / state.TRACKED).write_text(json.dumps(entries))
    sync(copy)
    assert content(client, run_id) == before
    (copy / state.TRACKED).unlink()
    assert sync(copy) == run_id  # found by its name and start
    assert content(client, run_id) == before
    models = client.search_logged_models(
        [client.get_run(run_id).info.experiment_id], f"source_run_id = '{run_id}'"
    )
    assert len(models) == 1


def sync_at(barrier, uri, folder):
    mlflow_tracker = tracker.make("mlflow", uri, folder.parents[1])
    barrier.wait(60)
    syncing.sync(mlflow_tracker, folder)


def test_processes_that_sync_a_folder_at_once_send_nothing_twice(make_run, store, client):
    folder = make_run([0.5] * 700, {"status": "killed"}, name="at-once")
    barrier = FORKED.Barrier(3)
    processes = []
    for _ in range(3):
        processes.append(FORKED.Process(target=sync_at, args=(barrier, store, folder)))
        processes[-1].start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert steps(client, run_id_of(folder, store), "train/loss") == list(range(1, 701))
    (experiment,) = client.search_experiments(filter_string="name = 'tests'")
    query = "attributes.run_name = 'at-once'"
    assert len(client.search_runs([experiment.experiment_id], query)) == 1


@pytest.mark.parametrize(
    ("status", "mlflow_status"),
    [("failed", "FAILED"), ("diverged", "FAILED"), ("killed", "KILLED"), ("pruned", "KILLED")],
)
def test_the_status_says_how_a_run_ended(make_run, sync, client, status, mlflow_status):
    run_id = sync(make_run([0.5], {"status": status, "error": "for a reason"}, name=status))
    run = client.get_run(run_id)
    assert run.info.status == mlflow_status
    assert run.data.tags["status"] == status and run.data.tags["error"] == "for a reason"
    assert run.data.metrics["train/loss"] == 0.5


def test_a_run_whose_result_was_damaged_stays_as_it_is(make_run, sync, client):
    folder = make_run([3], {"status": "failed", "error": "for a reason"}, name="damaged")
    run_id = sync(folder)
    before = content(client, run_id)
    result = folder / "result.json"
    result.write_text(result.read_text().replace("for a reason", "for no reason"))
    with pytest.raises(UserError, match="damaged"):
        sync(folder)
    assert content(client, run_id) == before


def test_a_killed_run_continues_where_it_stopped(make_run, sync, client):
    killed = {"status": "killed", "error": "Ctrl-C"}
    folder = make_run([3, 2], killed, params={"seed": 1, "device": "cpu"})
    run_id = sync(folder)
    params = {"seed": 1, "device": "cuda", "epochs": 3}
    make_run([3, 2, 1], {"status": "running"}, params=params)
    assert sync(folder) == run_id and client.get_run(run_id).info.status == "RUNNING"
    run = client.get_run(run_id)
    assert run.data.params == {"seed": "1", "device": "cpu", "epochs": "3"}
    assert run.data.tags["params_changed"] == "device: cpu -> cuda"
    assert "error" not in run.data.tags
    assert steps(client, run_id, "train/loss") == [1, 2, 3]


def test_a_run_that_is_gone_is_created_again(make_run, sync, client, caplog):
    folder = make_run([3, 2], {"status": "running"}, name="gone")
    run_id = sync(folder)
    client.delete_run(run_id)
    assert sync(folder) != run_id and "is gone" in caplog.text


def test_a_store_without_the_run_is_filled_again_and_what_was_deleted_there_is_not(
    make_run, sync, client, store
):
    folder = make_run([3, 2], KILLED, name="lost")
    mlflow_tracker = tracker.make("mlflow", store, folder.parents[1])
    run_id = sync(folder)
    assert not syncing.is_lost(mlflow_tracker, folder)
    entry = state.read_entry(folder, mlflow_tracker.address)
    state.write_entry(folder, mlflow_tracker.address, entry | {"run_id": "0" * 32})
    assert syncing.is_complete(mlflow_tracker, folder)
    assert syncing.is_lost(mlflow_tracker, folder)
    assert sync(folder) == run_id and syncing.is_complete(mlflow_tracker, folder)
    client.delete_run(run_id)
    assert not syncing.is_lost(mlflow_tracker, folder)


def test_a_run_that_starts_over_is_new_and_ends_the_killed_one(make_run, sync, client):
    folder = make_run([0.1], {"status": "running"}, name="again")
    first = sync(folder)
    remove_card(folder)
    make_run([0.2], {"status": "running"}, name="again")
    second = sync(folder)
    assert second != first and client.get_run(first).info.status == "KILLED"
    assert client.get_run(second).data.metrics["train/loss"] == 0.2
    (folder / state.TRACKED).unlink()  # its process died before it was written
    assert sync(folder) == second


def test_runs_of_one_name_that_start_at_once_are_two(make_run, sync, client):
    first = make_run([0.5], KILLED, name="twin", tags={"fingerprint": "a"})
    second = Path(shutil.copytree(first, first.with_name("twin-87654321")))
    write_card(second, replace(read_card(second), tags={"fingerprint": "b"}))
    ids = sync(first), sync(second)
    assert len(set(ids)) == 2 and steps(client, ids[1], "train/loss") == [1]
    (second / state.TRACKED).unlink()
    assert sync(second) == ids[1]


def test_a_run_whose_model_was_deleted_is_shown_without_it(copy, sync, client):
    shutil.rmtree(copy / "model")
    run = client.get_run(sync(copy))
    assert run.info.status == "FINISHED" and not (run.outputs and run.outputs.model_outputs)


@pytest.mark.parametrize("damage", ["missing", "no JSON", "dangling"])
def test_a_damaged_model_is_a_fault_of_its_folder_and_not_of_the_store(copy, sync, damage):
    config = copy / "model" / "config.json"
    if damage == "missing":
        config.unlink()
    elif damage == "no JSON":
        config.write_text("{")
    else:
        (copy / "model" / "vocab.txt").symlink_to("nowhere")
    with pytest.raises(UserError) as refused:
        sync(copy)
    assert not isinstance(refused.value, Unavailable)
    assert refused.value.faults[0].setting == str(copy / "model")


def test_an_address_names_one_file_wherever_the_command_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outputs, other = Path("outputs"), Path("mlflow.db").absolute()
    default = address(store_uri(None, outputs), outputs)
    assert default == "sqlite:///mlflow.db" == address(store_uri(None, outputs.absolute()), outputs)
    assert address("sqlite:///mlflow.db", outputs) == address(f"sqlite:///{other}", outputs)
    assert address("sqlite:///mlflow.db", outputs) != default


def test_a_run_creates_its_sweep_and_both_know_each_other(make_run, sync, client, store):
    folder = make_run([0.1], parent="sweeps/1a2b3c4d", name="member")
    sweep = folder.parents[1] / "sweeps" / "1a2b3c4d"
    sweep.mkdir(parents=True)
    card = Card(kind="sweep", name="sweep-1a2b3c4d", experiment="tests", params={"runs": 1})
    write_card(sweep, card)
    tags = client.get_run(sync(folder)).data.tags
    assert tags["mlflow.parentRunId"] == run_id_of(sweep, store)
    numbers = {"runs": 1, "best/recall@precision=.5": 0.5}
    picture = sweep / "slice.png"
    picture.write_bytes(b"PNG")
    write_card(
        sweep,
        replace(
            card, status="failed", error="1 of 1", numbers=numbers, step=3, files=["slice.png"]
        ),
    )
    run = client.get_run(sync(sweep))
    assert run.info.status == "FAILED"
    assert run.data.metrics == {"runs": 1, "best/recall_at_precision_.5": 0.5}  # as runs have it
    assert run.data.tags["error"] == "1 of 1" and steps(client, run.info.run_id, "runs") == [3]
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["slice.png"]


def test_values_that_are_not_finite_are_named_and_left_out(make_run, sync, client):
    run = client.get_run(sync(make_run([0.5, nan, inf], name="nan")))
    assert run.data.metrics["train/loss"] == 0.5
    assert run.data.tags["non_finite"] == "train/loss: nan at step 2"


def test_long_values_and_forbidden_names_are_accepted(make_run, sync, client):
    params, tags = {"data.labels": "é" * 9000, "a+b": 1}, {"x": "y" * 9000}
    for i in range(130):
        params[f"train.p{i}"] = i
    numbers = {"dev/R&D/f1": 0.5, "dev/R+D/f1": 0.4, "dev/R_D/f1": 0.3, "dev/../f1": 0.6}
    folder = make_run([], params=params, tags=tags, name="long")
    write_card(folder, replace(read_card(folder), kind="sweep", numbers=numbers, status="finished"))
    run = client.get_run(sync(folder))
    assert len(run.data.params["data.labels"]) <= 1000
    assert "9000 characters" in run.data.params["data.labels"]
    assert run.data.params["a_2bb"] == "1" and run.data.params["train.p129"] == "129"
    assert len(run.data.tags["x"]) <= 5000
    names = {"dev/R_26D/f1": 0.5, "dev/R_2bD/f1": 0.4, "dev/R_D/f1": 0.3, "dev/_/f1": 0.6}
    assert run.data.metrics == names


def test_a_refused_request_holds_nothing_else_back(make_run, sync, client, caplog):
    source = DataSource("d" * 600, "/data", "0", "train", 1, 1)  # MLflow takes 500 characters
    folder = make_run([0.5], {"status": "killed"}, datasets=[source], name="refused")
    run = client.get_run(sync(folder))
    assert run.info.status == "KILLED" and run.data.metrics["train/loss"] == 0.5
    assert "exceeds the maximum" in caplog.text


def test_a_deleted_experiment_is_refused_in_a_line(make_run, sync, client):
    folder = make_run([0.5], name="deleted")
    card = read_card(folder)
    card.experiment = "deleted"
    write_card(folder, card)
    client.delete_experiment(client.create_experiment("deleted"))
    with pytest.raises(UserError) as refused:
        sync(folder)
    (fault,) = refused.value.faults
    assert (fault.setting, fault.value) == ("tracking.experiment", "deleted")


def test_an_output_folder_that_moves_keeps_its_runs(make_run, tmp_path):
    folder = make_run([0.5], {"status": "killed"}, name="moved")
    syncing.sync(tracker.make("mlflow", None, folder.parents[1]), folder)
    entries = state.read_all(folder)
    assert list(entries) == ["sqlite:///mlflow.db"]
    there = tmp_path / "there"
    folder.parents[1].rename(there)
    moved = there / "runs" / folder.name
    assert syncing.is_complete(tracker.make("mlflow", None, there), moved)


def test_a_server_that_dies_gets_everything_later(make_run, client, serve, store):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    folder = make_run([0.5], name="server")
    mlflow_tracker = tracker.make("mlflow", address, folder.parents[1])
    server = serve(store, port)
    try:
        syncing.sync(mlflow_tracker, folder)
        run_id = run_id_of(folder, address)
        kill(server)
        make_run([0.5] * 1999, {"status": "killed"}, name="server")
        with pytest.raises(Unavailable) as refused:
            syncing.sync(mlflow_tracker, folder)
        assert "\n" not in str(refused.value) and str(port) in str(refused.value)
        server = serve(store, port)
        syncing.sync(mlflow_tracker, folder)
    finally:
        kill(server)
    assert client.get_run(run_id).info.status == "KILLED"
    assert len(client.get_metric_history(run_id, "train/loss")) == 1999


def kill(server):
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def test_a_password_is_in_no_file(make_run):
    folder = make_run([0.5])
    mlflow_tracker = tracker.make("mlflow", "postgresql://ada:secret@db/runs", folder.parents[1])
    assert "secret" not in mlflow_tracker.address and "secret" not in mlflow_tracker.view()
    shutil.rmtree(folder)
