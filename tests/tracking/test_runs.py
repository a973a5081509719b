"""nersweep.tracking against real MLflow stores: SQLite files, and a server on the loopback."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from math import inf, nan
from pathlib import Path

import pytest

from nersweep.tracking import Run, open_store

ROUNDS = 1  # of four processes at once on an empty store, 20 s each on one core


@pytest.fixture(scope="module")
def output_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def uri(output_dir):
    return open_store(None, output_dir)


@pytest.fixture
def client(uri):
    from mlflow import MlflowClient

    return MlflowClient(uri)


def start(uri, output_dir, **changes):
    return Run.start(
        uri,
        output_dir,
        **{"experiment": "tests", "name": "focal-g2.5-s1", "params": {}, "tags": {}} | changes,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model in the form in which a run leaves it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    words = {word: i for i, word in enumerate(["[UNK]", "[PAD]", "Ada", "met", "Grace"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]"
    ).save_pretrained(folder)
    sizes = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
    }
    labels = {"id2label": {0: "O", 1: "B-PER"}, "label2id": {"O": 0, "B-PER": 1}}
    model = BertForTokenClassification(BertConfig(vocab_size=5, **sizes, **labels))
    model.classifier.bias.data[1] = (
        9  # all words are B-PER: MLflow's pyfunc fails on a text without entities
    )
    model.save_pretrained(folder)
    return folder


def test_all_that_was_logged_reads_back(uri, output_dir, client, folder, tmp_path):
    report = tmp_path / "report.txt"
    report.write_text("PER .9\n")
    params = {f"train.p{i}": i for i in range(130)} | {"model.name": None}
    with start(
        uri, output_dir, params=params, tags={"loss": "focal"}, note="`python -m nersweep`"
    ) as run:
        for step in range(1200):
            run.metrics({"train/loss": 1 / (step + 1)}, step)
        for epoch in range(3):
            run.metrics({"dev/f1": epoch / 10, "dev/PER/f1": 0.5}, epoch)
        for context in ("train", "dev", "test"):
            run.dataset(
                "conll2003", f"/data/{context}.txt", "0123456789" * 6, context, {"num_rows": 14041}
            )
        run.artifact(report, "reports")
        run.model(folder, {"test/f1": 0.852}, step=2)
    assert run.error is None

    read = client.get_run(run.id)
    assert (read.info.status, read.info.run_name) == ("FINISHED", "focal-g2.5-s1")
    assert read.data.params == {key: str(value) for key, value in params.items()}
    assert read.data.tags["loss"] == "focal"
    assert read.data.tags["mlflow.note.content"] == "`python -m nersweep`"
    losses = client.get_metric_history(run.id, "train/loss")
    assert [(m.step, m.value) for m in losses] == [(step, 1 / (step + 1)) for step in range(1200)]
    assert [(m.step, m.value) for m in client.get_metric_history(run.id, "dev/f1")] == [
        (0, 0),
        (1, 0.1),
        (2, 0.2),
    ]
    assert [m.value for m in client.get_metric_history(run.id, "test/f1")] == [0.852]
    contexts = {given.tags[0].value: given.dataset for given in read.inputs.dataset_inputs}
    assert {context: data.name for context, data in contexts.items()} == {
        "train": "conll2003/train",
        "dev": "conll2003/dev",
        "test": "conll2003/test",
    }
    assert contexts["dev"].digest == ("0123456789" * 6)[:36]
    assert json.loads(contexts["dev"].profile) == {"num_rows": 14041}
    copy = client.download_artifacts(run.id, "reports/report.txt", str(tmp_path))
    assert Path(copy).read_text() == "PER .9\n"
    assert Path(read.info.artifact_uri.removeprefix("file://")).is_relative_to(
        output_dir / "mlartifacts"
    )


def test_the_model_loads_as_a_pipeline_and_its_weights_are_not_copied(
    uri, output_dir, client, folder, monkeypatch
):
    import mlflow

    with start(uri, output_dir) as run:
        run.model(folder, {"test/f1": 0.852}, step=2)
    assert [made.model_id for made in client.get_run(run.id).outputs.model_outputs] == [
        run.model_id
    ]
    model = client.get_logged_model(run.model_id)
    assert (model.status, model.source_run_id, model.params["folder"]) == (
        "READY",
        run.id,
        str(folder),
    )
    assert [(m.key, m.value) for m in model.metrics] == [("test/f1", 0.852)]
    stored = Path(model.artifact_location.removeprefix("file://"))
    assert not list(stored.rglob("*.safetensors"))

    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    words = mlflow.transformers.load_model(f"models:/{run.model_id}")("Ada met Grace")
    assert [word["entity"] for word in words] == ["B-PER"] * 3
    assert len(mlflow.pyfunc.load_model(f"models:/{run.model_id}").predict(["Ada met Grace"])) == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")],
)
def test_the_status_tells_how_a_run_ended(uri, output_dir, client, error, status):
    with pytest.raises(error), start(uri, output_dir) as run:
        run.metrics({"dev/f1": 0.5}, 1)
        raise error
    assert client.get_run(run.id).info.status == status
    assert client.get_metric_history(run.id, "dev/f1")[0].value == 0.5


def test_a_killed_run_goes_on_where_it_stopped(uri, output_dir, client, caplog):
    parent = start(uri, output_dir)
    run = start(uri, output_dir, params={"seed": 1, "device": "cpu"}, parent_id=parent.id)
    run.finish("killed", "Ctrl-C")
    assert client.get_run(run.id).data.tags["error"] == "Ctrl-C"
    again = start(uri, output_dir, params={"seed": 1, "device": "cuda", "epochs": 3}, run_id=run.id)
    assert again.id == run.id and client.get_run(run.id).info.status == "RUNNING"
    again.finish()
    read = client.get_run(run.id)
    assert (read.info.status, again.error) == ("FINISHED", None)
    assert read.data.params == {"seed": "1", "device": "cpu", "epochs": "3"}
    assert (
        read.data.tags["params_changed"] == "device: cpu -> cuda" and "error" not in read.data.tags
    )
    assert read.data.tags["mlflow.parentRunId"] == parent.id
    assert start(uri, output_dir, run_id="0" * 32).id != run.id
    assert "is gone" in caplog.text


def test_what_is_told_again_is_there_once(uri, output_dir, client):
    """As by a training that ran out of memory, and began again in smaller parts."""
    with start(uri, output_dir) as run:
        for attempt in (2, 4):
            for step in range(1, attempt + 1):
                run.metrics({"train/loss": 1 / step}, step)
                if step % 2 == 0:
                    run.metrics({"dev/f1": 0.5, "train/lr": nan}, step)
                    run.flush()
    for name, steps in {"train/loss": [1, 2, 3, 4], "dev/f1": [2, 4]}.items():
        assert [metric.step for metric in client.get_metric_history(run.id, name)] == steps


def test_what_is_not_finite_is_named_and_left_out(uri, output_dir, client):
    with start(uri, output_dir) as run:
        run.metrics({"train/loss": 0.5, "dev/f1": nan}, 1)
        run.metrics({"train/loss": inf, "dev/f1": nan}, 2)
    read = client.get_run(run.id)
    assert read.data.metrics == {"train/loss": 0.5}
    assert read.data.tags["non_finite"] == "dev/f1: nan at step 1; train/loss: inf at step 2"


def test_long_values_and_forbidden_names_are_taken(uri, output_dir, client):
    with start(
        uri, output_dir, params={"data.labels": "é" * 9000, "a+b": 1}, tags={"x": "y" * 9000}
    ) as run:
        run.metrics({"dev/R&D/f1": 0.5, "dev/../f1": 0.6}, 1)
    assert run.error is None
    read = client.get_run(run.id)
    assert (
        len(read.data.params["data.labels"]) <= 1000
        and "9000 characters" in read.data.params["data.labels"]
    )
    assert read.data.params["a_b"] == "1" and len(read.data.tags["x"]) <= 5000
    assert read.data.metrics == {"dev/R_D/f1": 0.5, "dev/_/f1": 0.6}


def test_a_whole_run_is_cheap_and_counts_its_seconds(uri, output_dir):
    began = time.perf_counter()
    with start(uri, output_dir, params={f"p{i}": i for i in range(60)}) as run:
        for step in range(1500):
            run.metrics({"train/loss": 0.5}, step)
    elapsed = time.perf_counter() - began
    assert elapsed / 2 < run.seconds <= elapsed < 10  # .3 s of CPU


ONE_PROCESS = """
import logging, sys
logging.basicConfig(level=logging.INFO)  # as Hydra does
from pathlib import Path
from nersweep.tracking import Run, open_store
folder = Path(sys.argv[1])
with Run.start(open_store(None, folder), folder, experiment="race", name=sys.argv[2], params={"p": 1}, tags={}) as run:
    run.metrics({"f1": 0.5}, 1)
assert run.error is None, run.error
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


def test_a_store_that_was_killed_half_made_is_made_again(tmp_path):
    making = subprocess.Popen([sys.executable, "-c", ONE_PROCESS, str(tmp_path), "killed"])
    while making.poll() is None and not (tmp_path / "mlflow.db.new").exists():
        time.sleep(0.01)
    making.send_signal(signal.SIGKILL)
    making.wait()
    assert (tmp_path / "mlflow.db.new").exists() and not (tmp_path / "mlflow.db").exists()
    start(open_store(None, tmp_path), tmp_path).finish()
    assert sorted(path.name for path in tmp_path.glob("mlflow.db*")) == [
        "mlflow.db",
        "mlflow.db.lock",
    ]


def test_a_server_that_does_not_answer_is_told_within_ten_seconds(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, nobody replies
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(
            ConnectionError,
            match=f"tracking.uri={address}: no MLflow server answers there .*timed out",
        ):
            open_store(address, tmp_path)
        assert time.monotonic() - began < 10
    began = time.monotonic()
    with pytest.raises(
        ConnectionError, match=r"Connection refused\); start it, or leave tracking.uri empty"
    ) as refused:
        open_store(address, tmp_path)
    assert time.monotonic() - began < 10 and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "uri", ["ftp://x", "/tmp/mlruns", "file:///tmp/mlruns", "sqlite:", "postgresql", "http:/x"]
)
def test_a_uri_of_another_kind_is_refused_in_one_line(tmp_path, uri):
    with pytest.raises(ValueError, match=rf"^tracking.uri={uri}: expected .*"):
        open_store(uri, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_store_that_cannot_be_used_is_told_in_one_line(tmp_path):
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
            ConnectionError, match=r"^tracking.uri=.*cannot be used \(.*\).*"
        ) as refused:
            open_store(uri, tmp_path)
        assert "\n" not in str(refused.value) and "secret" not in str(refused.value)
        assert time.monotonic() - began < 10


def kill(server):
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def test_a_server_that_dies_does_not_end_the_run_and_gets_everything_later(
    uri, output_dir, client, serve, tmp_path, caplog
):
    caplog.set_level(logging.WARNING)
    report = tmp_path / "report.txt"
    report.write_text("PER .9\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = serve(uri, port)
    try:
        address = open_store(f"http://127.0.0.1:{port}", output_dir)
        run, lost = (start(address, output_dir, params={"p": 1}) for _ in range(2))
        run.metrics({"dev/f1": 0.1}, 1)
        run.flush()
        assert client.get_run(run.id).data.metrics == {"dev/f1": 0.1}
        kill(server)
        for step in range(2, 2000):
            run.metrics({"dev/f1": step / 10}, step)
        run.artifact(report)
        run.flush()
        assert run.error and "Connection refused" in run.error and str(port) in run.error
        assert caplog.text.count("Connection refused") == 1
        lost.finish()
        assert lost.error and not lost.ended and client.get_run(lost.id).info.status == "RUNNING"
        server = serve(uri, port)
        run.finish()
        assert run.error is None
    finally:
        kill(server)
    assert client.get_run(run.id).info.status == "FINISHED"
    assert len(client.get_metric_history(run.id, "dev/f1")) == 1999
    assert [found.path for found in client.list_artifacts(run.id)] == ["report.txt"]


def test_one_request_that_is_refused_holds_nothing_else_back(uri, output_dir, client):
    run = start(uri, output_dir)
    run.dataset("d" * 600, "/data", "0", "train", {})  # MLflow takes 500 characters
    run.metrics({"dev/f1": 0.5}, 1)
    run.finish()
    assert run.error and "exceeds the maximum" in run.error
    read = client.get_run(run.id)
    assert (read.info.status, read.data.metrics) == ("FINISHED", {"dev/f1": 0.5})


def test_a_request_that_fails_once_is_sent_before_the_run_ends(uri, output_dir, client):
    run = start(uri, output_dir)
    send, failed = run._client.log_batch, []

    def fail_once(*given, **named):
        if not failed:
            failed.append(named)
            raise OSError("503")
        send(*given, **named)

    run._client.log_batch = fail_once
    run.metrics({"dev/f1": 0.5}, 1)
    run.finish()
    assert failed and run.ended and run.error is None
    assert client.get_run(run.id).data.metrics == {"dev/f1": 0.5}


def test_a_run_that_is_made_anew_ends_what_a_killed_process_left(uri, output_dir, client):
    tags = {"folder": "/runs/left"}
    left = start(uri, output_dir, tags=tags)
    left.metrics({"dev/f1": 0.1}, 1)
    left.flush()
    anew = start(uri, output_dir, tags=tags, anew=True)
    anew.metrics({"dev/f1": 0.2}, 1)
    anew.finish()
    assert client.get_run(left.id).info.status == "KILLED"
    assert client.get_run(anew.id).data.metrics == {"dev/f1": 0.2} and anew.id != left.id
