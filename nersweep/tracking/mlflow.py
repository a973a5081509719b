"""MLflow: show a folder as a run of a store. A second sync changes nothing.

mlflow is imported inside the functions, because that alone costs 2 s.
"""

import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from math import isfinite
from pathlib import Path
from time import time
from typing import Any

from nersweep.faults import Fault, UserError, one_line
from nersweep.machine.databases import public, sqlite_file
from nersweep.model.encoders import HIDDEN_TYPE
from nersweep.tracking import facts as facts_module
from nersweep.tracking import state
from nersweep.tracking.facts import FolderFacts, Values
from nersweep.tracking.registry import LOADER
from nersweep.tracking.stores import cut, open_store, requests, store_uri, ui_command

log = logging.getLogger(__name__)

BATCH = 500  # metrics in one request: .1 ms each on SQLite in batches of 100 to 1000, .25 ms of 50
PARAM_BATCH = 100  # parameters in one request, which MLflow limits to 1 MB
NOTE = "mlflow.note.content"  # the tag that the UI shows as the description
LONGEST_PARAM = 1000  # characters; MLflow takes 6000, but a batch must fit into a request
LONGEST_TAG = 5000  # characters; what older servers take, newer ones take 8000
TASK = "token-classification"
DIGEST_LENGTH = 36  # characters of a data set's checksum
STATUS = {"running": "RUNNING", "finished": "FINISHED", "failed": "FAILED", "diverged": "FAILED"}
REFUSED = ("INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS")  # sent again, it fails again

# What the UI shows at /#/experiments/ID/runs?viewStateShareKey=f1: the best on dev first.
VIEW = {
    "orderByKey": "metrics.`dev/best_f1`",
    "orderByAsc": False,
    "selectedColumns": [
        "metrics.`dev/best_f1`",
        "metrics.`test/f1`",
        "metrics.`test/macro_f1`",
        "tags.`loss`",
        "tags.`weights`",
        "tags.`seed`",
    ],
}


def tracker(uri: str | None, output_dir: Path) -> "MlflowTracker":
    return MlflowTracker(uri, output_dir)


class MlflowTracker:
    """A store: SQLite in output_dir/mlflow.db, a database or a server.

    Artifacts go to output_dir/mlartifacts or, with a server, where the server keeps them.
    """

    name = "MLflow"

    def __init__(self, uri: str | None, output_dir: Path) -> None:
        self.uri, self.output_dir = store_uri(uri, output_dir), output_dir
        self.address = address(self.uri, output_dir)

        self.is_open = False
        self.warned: set[Path] = set()  # folders of which MLflow refuses a part

    def open(self) -> None:
        self.uri = open_store(self.uri, self.output_dir)
        self.is_open = True

    def view(self) -> str:
        return ui_command(self.uri)

    def has(self, folder: Path) -> bool:
        from mlflow import MlflowClient

        run_id = state.read_entry(folder, self.address).get("run_id")
        with requests(self.uri):
            return run_id is not None and find_run(MlflowClient(self.uri), run_id) is not None

    def sync(self, folder: Path) -> None:
        if not (self.is_open and is_reachable(self.uri)):
            self.open()  # answers within seconds, where a request would wait for minutes
        facts = facts_module.read(folder)
        parent = facts.parent
        if parent and "run_id" not in state.read_entry(parent, self.address):
            with state.locked(parent):
                self.sync(parent)
        with requests(self.uri):
            update = Update(self, facts)
            update.send()
        if update.refusals and folder not in self.warned:
            self.warned.add(folder)
            reasons = "; ".join(update.refusals)
            log.warning("MLflow refuses a part of %s (%s)", folder.name, reasons)


def address(uri: str, output_dir: Path) -> str:
    """Return a store's address without its password, relative to an output_dir that may move."""
    file = sqlite_file(uri)
    if file is not None:  # in the current folder, one of the same name is another store
        uri = uri.replace(str(file), os.path.abspath(file), 1)
    return public(uri).replace(f"{os.path.abspath(output_dir)}/", "")


class Update:
    """Brings one run of MLflow up to date with the facts of a folder.

    refusals: what MLflow does not take, however often it is sent; everything else is sent.
    """

    def __init__(self, tracker: MlflowTracker, facts: FolderFacts) -> None:
        from mlflow import MlflowClient

        self.facts, self.card, self.tracker = facts, facts.card, tracker
        self.client = MlflowClient(tracker.uri)
        self.entry = state.read_entry(facts.folder, tracker.address)
        self.refusals: list[str] = []
        self.start_time = int(self.card.started * 1000)
        self.place = str(facts.folder.absolute())
        fingerprint = self.card.tags.get("fingerprint")  # a sweep or a study has none
        self.identity = {"fingerprint": fingerprint} if fingerprint else {}

    def send(self) -> None:
        run = self._run()
        self.id, self.experiment_id = run.info.run_id, run.info.experiment_id
        if self.entry.get("run_id") != self.id:
            self.entry = {"run_id": self.id, "started": self.card.started}
            self._remember()
        if run.info.status != "RUNNING" and self.facts.ended is None:
            self.client.update_run(self.id, status="RUNNING")
        self.steps = last_steps(run)
        self._describe(run)
        self._log_datasets(run)
        self._log_metrics([*self.facts.curves, *self.facts.scores])
        if self.facts.ended is not None:
            self._log_files()
            if self.facts.model:
                self._log_model(run, self.facts.model)
            self._end(run)

    # The run

    def _run(self) -> Any:
        """Return the run of the folder: the one it is known as, one that a killed process left, or
        a new one."""
        if self.entry.get("started") == self.card.started:
            run = find_run(self.client, self.entry["run_id"])
            if run and run.info.lifecycle_stage == "active":
                return run
            log.warning("MLflow run %s is gone; creating a new one", self.entry["run_id"])
        experiment_id = self._experiment()
        if run := self._run_of_attempt(experiment_id):
            return run
        self._end_earlier_attempts(experiment_id)
        return self.client.create_run(
            experiment_id,
            start_time=self.start_time,
            tags={"folder": self.place, "host": self.card.host, **self.identity},
            run_name=self.card.name,
        )

    def _run_of_attempt(self, experiment_id: str) -> Any:
        """Return the run with this name and start: its process was killed before it wrote the id,
        or it works on a study on another machine."""
        name = f"attributes.run_name = {quoted(self.card.name)}"
        query = f"{name} and attributes.start_time = {self.start_time}"
        for tag, text in self.identity.items():  # several runs of a sweep may start at once
            query += f" and tags.{tag} = {quoted(text)}"
        return next(iter(self.client.search_runs([experiment_id], query, max_results=1)), None)

    def _end_earlier_attempts(self, experiment_id: str) -> None:
        """End what a killed process left open, if the run begins again from its start."""
        host, folder = quoted(self.card.host), quoted(self.place)
        query = f"attributes.status = 'RUNNING' and tags.host = {host} and tags.folder = {folder}"
        for run in self.client.search_runs([experiment_id], query):
            self.client.set_terminated(run.info.run_id, "KILLED")

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        name = self.card.experiment
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            folder = self.tracker.output_dir / "mlartifacts" / re.sub(r"[^\w-]", "_", name)
            is_server = self.tracker.uri.startswith("http")
            tags = {
                "mlflow.experimentKind": "custom_model_development",  # of runs, not of traces
                "mlflow.sharedViewState.f1": json.dumps(VIEW),
            }
            place = None if is_server else folder.absolute().as_uri()
            try:
                return str(self.client.create_experiment(name, place, tags))
            except MlflowException:
                experiment = self.client.get_experiment_by_name(name)
                if experiment is None:  # else another process was faster
                    raise
        if experiment.lifecycle_stage != "active":
            remedy = "restore it there, or choose another name"
            raise UserError(Fault("tracking.experiment", name, "deleted in MLflow", remedy))
        return str(experiment.experiment_id)

    # What a run holds

    def _describe(self, run: Any) -> None:
        """Log the parameters and tags that the run lacks. A parameter keeps its first value."""
        from mlflow.entities import Param, RunTag

        params: dict[str, str] = {}
        changes: list[str] = []
        for key, value in self.card.params.items():
            name, text = plain_name(key), cut(value, LONGEST_PARAM)
            before = run.data.params.get(name)
            if before is None:
                params[name] = text
            elif before != text:
                changes.append(f"{name}: {before} -> {text}")
        tags: dict[str, str] = {}
        for key, text in self._tags(changes).items():
            text = cut(text, LONGEST_TAG)
            if text and run.data.tags.get(plain_name(key)) != text:
                tags[plain_name(key)] = text
        if tags:
            self._log(tags=[RunTag(*pair) for pair in tags.items()])
        if "error" in run.data.tags and not self.facts.error:
            self.client.delete_tag(self.id, "error")
        entities = [Param(*pair) for pair in params.items()]
        for i in range(0, len(entities), PARAM_BATCH):
            self._log(params=entities[i : i + PARAM_BATCH])

    def _tags(self, changes: list[str]) -> dict[str, str]:
        tags = {
            **self.card.tags,
            "folder": self.place,
            "host": self.card.host,
            "mlflow.source.name": "nersweep",
            "mlflow.source.type": "LOCAL",
            "mlflow.user": self.card.user,
            NOTE: self.card.note,
            "params_changed": "; ".join(changes),
            "non_finite": non_finite(self.facts),
            "error": self.facts.error,
        }
        if self.facts.ended is not None:
            tags["status"] = self.facts.status
        if parent := self.facts.parent:
            entry = state.read_entry(parent, self.tracker.address)
            tags["mlflow.parentRunId"] = entry.get("run_id", "")
        return tags

    def _log_datasets(self, run: Any) -> None:
        """Log which data the run read: MLflow lists what has one name and digest once."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        names = {given.dataset.name for given in run.inputs.dataset_inputs} if run.inputs else set()
        inputs = []
        for source in self.card.datasets:
            name = f"{source.name}/{source.split}"
            if name in names:
                continue
            is_url = source.source.startswith(("http://", "https://"))
            data = Dataset(
                name,
                source.checksum[:DIGEST_LENGTH],
                "http" if is_url else "local",
                json.dumps({"url" if is_url else "uri": source.source}),
                profile=json.dumps({"num_rows": source.sentences, "words": source.words}),
            )
            inputs.append(DatasetInput(data, [InputTag("mlflow.data.context", source.split)]))
        if inputs:
            with self._refusable():
                self.client.log_inputs(self.id, inputs)

    def _log_metrics(
        self, records: Sequence[tuple[int, Values]], model_id: str | None = None
    ) -> None:
        """Log the finite values beyond the last step that the run has: MLflow would store inf as
        1.8e308."""
        from mlflow.entities import Metric

        metrics: list[Any] = []
        for step, values in records:
            for key, value in values.items():
                name = plain_name(key)
                if isfinite(value) and step > self.steps.get(name, -1):
                    self.steps[name] = step
                    now = int(time() * 1000)
                    metrics.append(Metric(name, float(value), now, step, model_id=model_id))
        for i in range(0, len(metrics), BATCH):
            self._log(metrics=metrics[i : i + BATCH])

    def _log(self, **entities: Any) -> None:
        with self._refusable():
            self.client.log_batch(self.id, **entities)

    def _log_files(self) -> None:
        """Store copies of the files that the run lacks, and of those that have changed."""
        stored: dict[str, str] = self.entry.setdefault("files", {})
        for name, file in self.facts.files.items():
            with reading(file):
                checksum = sha256(file.read_bytes()).hexdigest()
            if stored.get(name) != checksum:
                folder = str(Path(name).parent)
                with self._refusable():
                    self.client.log_artifact(self.id, str(file), None if folder == "." else folder)
                stored[name] = checksum
        self._remember()

    def _end(self, run: Any) -> None:
        status = STATUS.get(self.facts.status, "KILLED")
        if run.info.status != status:
            assert self.facts.ended is not None
            self.client.set_terminated(self.id, status, int(self.facts.ended * 1000))

    # The model

    def _log_model(self, run: Any, folder: Path) -> None:
        """Register the trained model, a folder that tags texts.

        The weights stay in the folder; the store gets its address, config and tokenizer (.7 MB for
        MiniLM, where a copy is 90 MB). mlflow.pyfunc.load_model(f"models:/{model_id}") is our own
        tagger as long as the folder stays. For a token head, mlflow.transformers.load_model is a
        pipeline; it takes base_model_path= once the folder has moved.
        """
        from mlflow.entities import LoggedModelOutput

        step, _ = self.facts.test
        query = f"source_run_id = '{self.id}'"
        models = self.client.search_logged_models([self.experiment_id], query)
        if models:
            model = models[0]
        else:
            model = self.client.create_logged_model(
                self.experiment_id,
                re.sub(r"[^\w-]", "_", self.card.name),
                self.id,
                params={"folder": str(folder.absolute()), "step": str(step)},
                model_type=TASK,
            )
        if model.status != "READY":
            self._log_model_files(model.model_id, folder.absolute())
            self.client.finalize_logged_model(model.model_id, "READY")
        if not (run.outputs and run.outputs.model_outputs):  # SQLite takes it once
            self.client.log_outputs(self.id, [LoggedModelOutput(model.model_id, step)])
        self._log_metrics([self.facts.test], model.model_id)

    def _log_model_files(self, model_id: str, folder: Path) -> None:
        from mlflow.models import Model

        with reading(folder):
            config = json.loads((folder / "config.json").read_text("utf-8"))
            tokenizer = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
            architecture, tokenizer_type = config["architectures"][0], tokenizer["tokenizer_class"]
            files = [file for file in sorted(folder.iterdir()) if file.suffix != ".safetensors"]
            for file in files:
                file.open("rb").close()
        model = Model(run_id=self.id, model_id=model_id)
        model.add_flavor(
            "python_function",
            loader_module=LOADER,
            data=str(folder),
            python_version=sys.version.split()[0],
        )
        if HIDDEN_TYPE not in config:
            model.add_flavor(
                "transformers",
                task=TASK,
                instance_type="TokenClassificationPipeline",
                pipeline_model_type=architecture,
                local_base_model_path=str(folder),
                components=["tokenizer"],
                tokenizer_type=tokenizer_type,
            )
        with tempfile.TemporaryDirectory() as scratch:
            model.save(f"{scratch}/MLmodel")
            self.client.log_model_artifact(model_id, f"{scratch}/MLmodel")
        for file in files:
            self.client.log_model_artifact(model_id, str(file), "components/tokenizer")

    @contextmanager
    def _refusable(self) -> Iterator[None]:
        """Continue after a request that MLflow refuses for its content."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            if error.error_code not in REFUSED:
                raise
            self.refusals.append(str(error).splitlines()[0])

    def _remember(self) -> None:
        state.write_entry(self.facts.folder, self.tracker.address, self.entry)


def find_run(client: Any, run_id: str) -> Any:
    """Return the run of a store with this id, also one that was deleted there; None without."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    return None


@contextmanager
def reading(place: Path) -> Iterator[None]:
    """Raise UserError if a file of the folder cannot be read, which is no fault of the store's."""
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError) as error:
        must, remedy = f"cannot be read ({one_line(error)})", "repeat its command with rerun=true"
        raise UserError(Fault(str(place), must=must, remedy=remedy)) from None


def is_reachable(uri: str) -> bool:
    """True if a store that was open is there still. A server is asked, a file looked for."""
    if uri.startswith("http"):
        return False
    file = sqlite_file(uri)
    return file is None or file.is_file()


def last_steps(run: Any) -> dict[str, int]:
    """Return the last step of each metric that a run has."""
    return {metric.key: metric.step for metric in run.data.to_proto().metrics}


def non_finite(facts: FolderFacts) -> str:
    """Name each metric that is not finite somewhere, with the first such step."""
    first: dict[str, str] = {}
    for step, values in [*facts.curves, *facts.scores, facts.test]:
        for key, value in values.items():
            if not isfinite(value):
                first.setdefault(key, f"{key}: {value} at step {step}")
    return "; ".join(first.values())


def plain_name(key: str) -> str:
    """Return a key in the characters that MLflow takes: others become their number, as in R_26D for
    R&D, and "_" stands for empty, "." and ".." as parts of a path."""
    key = re.sub(r"[^\w.\- :/]", lambda match: f"_{ord(match[0]):x}", key)
    parts = key[:250].split("/")
    return "/".join("_" if part in ("", ".", "..") else part for part in parts)


def quoted(text: str) -> str:
    """Quote a text for a filter of MLflow, which cannot escape a quote."""
    return f"'{text}'" if "'" not in text else '"' + text.replace('"', "") + '"'
