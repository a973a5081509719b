"""What a run tells the tracking store."""

import json
import logging
import os
import re
import socket
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, Self

from nersweep.tracking.stores import cause, cut, one_line, public

log = logging.getLogger(__name__)

BATCH = 500  # metrics in one request: .1 ms each on SQLite in batches of 100 to 1000, .25 ms in batches of 50
LONGEST_PARAM = (
    1000  # characters; MLflow takes 6000, but 100 of them must fit into a request of 1 MB
)
LONGEST_TAG = 5000  # characters; what older servers take, newer ones take 8000
RETRY_SECONDS = 30  # the least time between two attempts on a store that failed
FINISH_SECONDS = 10  # finish() goes on past failing requests for so long

# What the UI shows at /#/experiments/ID/runs?viewStateShareKey=f1: runs with their scores, the best on dev first.
VIEW = {
    "orderByKey": "metrics.`dev/best_f1`",
    "orderByAsc": False,
    "selectedColumns": [
        *(f"metrics.`{name}`" for name in ("dev/best_f1", "test/f1", "test/macro_f1")),
        *(f"tags.`{name}`" for name in ("loss", "weights", "seed")),
    ],
}


class Away:
    """In the place of a Run, where the store does not answer: takes everything, and keeps nothing."""

    ended = False

    def __init__(self, run_id: str | None, reason: str, seconds: float = 0.0) -> None:
        """run_id: the store's name of the run, where it is known. seconds: that were spent on asking."""
        self.id, self.seconds = run_id, seconds
        log.warning("%s; the work goes on without it", reason)

    def metrics(self, values: Mapping[str, float], step: int) -> None: ...

    def flush(self) -> None: ...

    def artifact(self, path: Path, folder: str | None = None) -> None: ...

    def text(self, content: str, name: str) -> None: ...

    def model(self, folder: Path, metrics: Mapping[str, float], step: int) -> None: ...

    def finish(self, status: str, error: str = "") -> None: ...


class Run:
    """One MLflow run. Once started, it never raises because of the store: see `error`.

    id, experiment_id, model_id: MLflow's names; model_id is None until model() has reached the store.
    seconds: time spent with the store, from start() on.
    error: one line on what is missing in the store, None while nothing is. It is logged as a warning when it first
    happens. The requests wait, and are sent again at most every 30 s, and a last time in finish().
    ended: the store knows that the run has ended, and how.

    As a context manager it ends FINISHED, after an exception FAILED, after Ctrl-C or SystemExit KILLED.
    """

    def __init__(self, client: Any, uri: str, run_id: str, experiment_id: str, name: str) -> None:
        self.id, self.experiment_id, self.name = run_id, experiment_id, name
        self.model_id: str | None = None
        self.seconds = 0.0
        self.error: str | None = None
        self.ended = False
        self._client, self._uri = client, uri
        self._metrics: list[Any] = []  # noted, not yet a request
        self._requests: deque[Callable[[], Any]] = deque()  # in the order of the calls
        self._retry_at = 0.0
        self._warned = self._finished = False
        self._non_finite: dict[str, str] = {}
        self._there: dict[str, int] = {}  # metric: the last step that the store has or will have

    @classmethod
    def start(
        cls,
        uri: str,
        output_dir: Path,
        *,
        experiment: str,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, Any],
        note: str = "",
        parent_id: str | None = None,
        run_id: str | None = None,
        anew: bool = False,
    ) -> Self:
        """Begins a run in a store (a URI from open_store).

        Artifacts go to `output_dir/mlartifacts`, or, with a server, where the server keeps them.
        params: flat; values beyond 1000 characters are cut, and say so. note: Markdown for the run's page.
        parent_id: the run that this one belongs to. run_id: reopens that run; parameters that differ now keep their
        old value, and the tag `params_changed` tells both; of metrics only later steps are added. If it is gone, a new
        run is made, with a warning. tags: a run of this host that is still open and has the same `folder` was left by a
        process that was killed before it could tell the run_id, and is reopened as well. anew: it is ended instead.
        Raises ValueError for an experiment that was deleted, ConnectionError if the store fails: one line.
        """
        began = time.perf_counter()
        with one_line(uri):
            from mlflow import MlflowClient
            from mlflow.entities import Param, RunTag

            client = MlflowClient(uri)
            run_params = {_name(key): cut(value, LONGEST_PARAM) for key, value in params.items()}
            run_tags = {_name(key): cut(value, LONGEST_TAG) for key, value in tags.items()}
            run_tags |= {
                "mlflow.source.name": "nersweep",
                "mlflow.source.type": "LOCAL",
                "host": socket.gethostname(),
            }
            run_tags |= {"mlflow.user": os.environ.get("USER", "unknown")}
            run_tags |= {"mlflow.note.content": cut(note, LONGEST_TAG)} if note else {}
            run_tags |= {"mlflow.parentRunId": parent_id} if parent_id else {}
            found = _reopen(client, run_id) if run_id else None
            experiment_id = (
                found.info.experiment_id
                if found
                else _experiment(client, uri, output_dir, experiment)
            )
            left = _left(client, experiment_id, run_tags)
            if left and anew:
                client.set_terminated(left.info.run_id, "KILLED")
            if found := found or (None if anew else left):
                old = found.data.params
                changed = [
                    f"{key}: {old[key]} -> {new}"
                    for key, new in run_params.items()
                    if old.get(key, new) != new
                ]
                run_tags |= (
                    {"params_changed": cut("; ".join(changed), LONGEST_TAG)} if changed else {}
                )
                run_params = {key: value for key, value in run_params.items() if key not in old}
            else:
                found = client.create_run(experiment_id, run_name=name, tags=run_tags)
            models = client.search_logged_models(
                [experiment_id], f"source_run_id = '{found.info.run_id}'"
            )
            histories = {
                key: client.get_metric_history(found.info.run_id, key) for key in found.data.metrics
            }
        run = cls(client, uri, found.info.run_id, experiment_id, name)
        send = partial(client.log_batch, run.id)
        every = [Param(key, value) for key, value in run_params.items()]
        run._there = {
            key: max(metric.step for metric in history) for key, history in histories.items()
        }
        run.model_id = models[0].model_id if models else None
        run._requests.append(
            partial(send, tags=[RunTag(key, value) for key, value in run_tags.items()])
        )
        if "error" in found.data.tags:  # of an earlier time
            run._requests.append(partial(client.delete_tag, run.id, "error"))
        run._requests.extend(
            partial(send, params=every[i : i + 100]) for i in range(0, len(every), 100)
        )
        run.seconds = time.perf_counter() - began
        run._send()
        return run

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Notes values; they are sent by flush(), or when 500 have come together. A step that a metric has is left out:
        training may begin again.

        A value that is not finite is left out (MLflow would store inf as 1.8e308), and the tag `non_finite` names the
        metric with the first such step.
        """
        self._metrics += self._finite(values, step)
        self._there |= {_name(key): max(step, self._there.get(_name(key), -1)) for key in values}
        if len(self._metrics) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Sends what was noted, so that the UI shows it."""
        self._pack()
        self._send()

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Stores a copy of a file under `folder` of the run. Until finish() the file must stay where it is."""
        assert path.is_file(), path
        self._requests.append(partial(self._client.log_artifact, self.id, str(path), folder))
        self._send()

    def text(self, content: str, name: str) -> None:
        """Stores a text as a file of the run."""
        self._requests.append(partial(self._client.log_text, self.id, content, name))
        self._send()

    def dataset(
        self, name: str, source: str, digest: str, context: str, profile: Mapping[str, int]
    ) -> None:
        """Tells what data the run read, as the data set `name/context`: MLflow lists what has one name and digest once.

        source: path or URL. digest: a checksum; its first 36 characters are kept. context: train, dev or test.
        profile: counts by name; MLflow's own name for the number of sentences is num_rows.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        kind, key = (
            ("http", "url") if source.startswith(("http://", "https://")) else ("local", "uri")
        )
        data = Dataset(
            f"{name}/{context}",
            digest[:36],
            kind,
            json.dumps({key: source}),
            profile=json.dumps(dict(profile)),
        )
        given = [DatasetInput(data, [InputTag("mlflow.data.context", context)])]
        self._requests.append(partial(self._client.log_inputs, self.id, given))
        self._send()

    def model(self, folder: Path, metrics: Mapping[str, float], step: int) -> None:
        """Registers the trained model, a Hugging Face folder for token classification, as the model of this run.

        metrics: the model's scores, which become metrics of the run as well: give them nowhere else. step: its epoch.
        The weights stay in `folder`; the store gets that address, config and tokenizer (.7 MB for MiniLM, where a copy
        is 90 MB). `mlflow.transformers.load_model(f"models:/{model_id}")` is the pipeline as long as the folder stays,
        and takes `base_model_path=` once it has moved.
        """
        self._requests.append(partial(self._register, folder.absolute(), dict(metrics), step))
        self._send()

    def finish(self, status: str = "finished", error: str = "") -> None:
        """Sends all that waits, what fails twice if 10 s suffice, and then ends the run, with its status as a tag:
        finished, failed, diverged (MLflow knows it as FAILED), killed or pruned (KILLED), and what ended it early,
        where something did, as the tag `error`. A second call does nothing."""
        if not self._finished:
            self._finished, began = True, time.monotonic()
            self._pack()
            known = {"finished": "FINISHED", "failed": "FAILED", "diverged": "FAILED"}.get(
                status, "KILLED"
            )
            for tag, value in {"status": status, "error": error}.items():
                if value:
                    self._requests.append(
                        partial(self._client.set_tag, self.id, tag, cut(value, LONGEST_TAG))
                    )
            self._send(patience=FINISH_SECONDS)
            self._requests.append(partial(self._terminate, known))
            self._send(patience=max(0.0, FINISH_SECONDS - (time.monotonic() - began)))

    def _terminate(self, status: str) -> None:
        self._client.set_terminated(self.id, status)
        self.ended = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: Any
    ) -> None:
        self.finish(
            "finished" if kind is None else "failed" if issubclass(kind, Exception) else "killed"
        )

    def _finite(
        self, values: Mapping[str, float], step: int, model_id: str | None = None
    ) -> list[Any]:
        from mlflow.entities import Metric

        now, kept = int(time.time() * 1000), []
        for key, value in values.items():
            if step <= self._there.get(_name(key), -1):
                continue
            if isfinite(value):
                kept.append(Metric(_name(key), float(value), now, step, model_id=model_id))
            elif key not in self._non_finite:
                self._non_finite[key] = f"{key}: {value} at step {step}"
                text = cut("; ".join(self._non_finite.values()), LONGEST_TAG)
                self._requests.append(partial(self._client.set_tag, self.id, "non_finite", text))
        return kept

    def _pack(self) -> None:
        noted, self._metrics = self._metrics, []
        for i in range(0, len(noted), BATCH):
            self._requests.append(
                partial(self._client.log_batch, self.id, metrics=noted[i : i + BATCH])
            )

    def _send(self, patience: float = 0) -> None:
        """Sends the waiting requests in order, up to the first that fails; with patience, past it for so many seconds.

        What failed stays first in line. The next attempt comes after 30 s, or 20 times what this one took.
        """
        outer, began = sys.exception(), time.perf_counter()
        if not patience and time.monotonic() < self._retry_at:
            return
        failed, reason = [], ""
        while self._requests:
            try:
                self._requests[0]()
            except Exception as error:  # whatever it is, it must not end a training
                failed.append(self._requests[0])
                reason = reason or cause(error, outer)
            self._requests.popleft()
            if failed and time.perf_counter() - began >= patience:
                break
        self._requests.extendleft(reversed(failed))
        took = time.perf_counter() - began
        self.seconds += took
        self.error, self._retry_at = None, 0.0
        if failed:
            self.error = (
                f"MLflow at {public(self._uri)} failed ({reason}); all of the run is in its folder"
            )
            self._retry_at = time.monotonic() + max(RETRY_SECONDS, 20 * took)
            if not self._warned:
                self._warned = True
                log.warning("%s, and what MLflow lacks is sent again later", self.error)

    def _register(self, folder: Path, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model

        client, task = self._client, "token-classification"
        config = json.loads((folder / "config.json").read_text("utf-8"))
        tokenizer = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
        if self.model_id is None:  # else this is a second attempt
            name, about = (
                re.sub(r"[^\w-]", "_", self.name),
                {"folder": str(folder), "step": str(step)},
            )
            made = client.create_logged_model(
                self.experiment_id, name, self.id, params=about, model_type=task
            )
            self.model_id = made.model_id
        card = Model(run_id=self.id, model_id=self.model_id)
        card.add_flavor(
            "python_function",
            loader_module="mlflow.transformers",
            python_version=sys.version.split()[0],
        )
        card.add_flavor(
            "transformers",
            task=task,
            instance_type="TokenClassificationPipeline",
            pipeline_model_type=config["architectures"][0],
            local_base_model_path=str(folder),
            components=["tokenizer"],
            tokenizer_type=tokenizer["tokenizer_class"],
        )
        with tempfile.TemporaryDirectory() as scratch:
            card.save(f"{scratch}/MLmodel")
            client.log_model_artifact(self.model_id, f"{scratch}/MLmodel")
        for file in sorted(folder.iterdir()):
            if file.suffix != ".safetensors":
                client.log_model_artifact(self.model_id, str(file), "components/tokenizer")
        client.finalize_logged_model(self.model_id, "READY")
        outputs = client.get_run(self.id).outputs
        if not (outputs and outputs.model_outputs):  # SQLite takes it once
            client.log_outputs(self.id, [LoggedModelOutput(self.model_id, step)])
        client.log_batch(self.id, metrics=self._finite(values, step, self.model_id))


def _experiment(client: Any, uri: str, output_dir: Path, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        folder = (output_dir / "mlartifacts" / re.sub(r"[^\w-]", "_", name)).absolute()
        where = None if uri.startswith("http") else folder.as_uri()
        about = {"mlflow.experimentKind": "custom_model_development"}  # of runs, not of traces
        about["mlflow.sharedViewState.f1"] = json.dumps(VIEW)
        try:
            return client.create_experiment(name, where, about)
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:  # else another process was faster
                raise
    if found.lifecycle_stage != "active":
        raise ValueError(
            f"experiment {name}: deleted in MLflow; restore it there, or choose another name"
        )
    return found.experiment_id


def _reopen(client: Any, run_id: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    else:
        if run.info.lifecycle_stage == "active":
            client.update_run(run_id, status="RUNNING")
            return run
    log.warning("MLflow run %s is gone; a new one is made", run_id)
    return None


def _left(client: Any, experiment_id: str, tags: Mapping[str, str]) -> Any:
    """The open run of this host's folder, which one process at a time works in; None where there is none."""
    folder = tags.get("folder", "")
    if not folder or '"' in folder:  # MLflow cannot quote it
        return None
    query = f'attributes.status = "RUNNING" and tags.host = "{tags["host"]}" and tags.folder = "{folder}"'
    return next(iter(client.search_runs([experiment_id], query, max_results=1)), None)


def _name(key: str) -> str:
    """The key with what MLflow forbids in names made "_": other characters, and empty, "." and ".." as path parts."""
    parts = re.sub(r"[^\w.\- :/]", "_", key)[:250].split("/")
    return "/".join("_" if part in ("", ".", "..") else part for part in parts)
