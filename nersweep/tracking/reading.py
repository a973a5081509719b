"""Read an MLflow store: its runs and their files."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nersweep.faults import Fault, UserError
from nersweep.machine.databases import public
from nersweep.tracking import state
from nersweep.tracking.mlflow import NOTE, address, find_run
from nersweep.tracking.stores import requests


@dataclass(frozen=True)
class StoredRun:
    """A run of a store. folder: where its files were written; empty if it does not say."""

    id: str
    name: str
    folder: str
    tags: Mapping[str, str]


class Store:
    """A store to read (a URI from `open_store`)."""

    def __init__(self, uri: str):
        from mlflow import MlflowClient

        self.uri, self.client = uri, MlflowClient(uri)

    def has(self, run_id: str) -> bool:
        """Return whether the store has a run. Raises Unavailable."""
        with requests(self.uri):
            return find_run(self.client, run_id) is not None

    def runs(self, query: str = "", experiment: str | None = None) -> Iterator[StoredRun]:
        """Give the runs that match, the last first.

        query: MLflow's filter, as in tags.loss = "focal" and metrics.`test/f1` > .8. experiment: a
        name; None for all. Raises UserError for a filter that MLflow does not understand, and for
        an experiment that does not exist.
        """
        experiments = {x.name: x.experiment_id for x in self.client.search_experiments()}
        if experiment is not None and experiment not in experiments:
            must = f"no such experiment in {public(self.uri)}; it has {', '.join(experiments)}"
            raise UserError(Fault("experiment", experiment, must))
        chosen = [experiments[experiment]] if experiment else list(experiments.values())
        token: str | None = None
        while token != "":
            page = self._page(chosen, query, token)
            for run in page:
                tags = run.data.tags
                yield StoredRun(run.info.run_id, run.info.run_name, tags.get("folder", ""), tags)
            token = page.token or ""

    def _page(self, experiments: list[str], query: str, token: str | None) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self.client.search_runs(experiments, query, page_token=token)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            reason = str(error).splitlines()[0]
        raise UserError(Fault("filter", query, f"MLflow does not understand it ({reason})"))

    def fetch(self, run: StoredRun, names: tuple[str, ...], folder: Path) -> None:
        """Copy these artifacts of a run into a folder. Raises UserError if it lacks one."""
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        from mlflow.exceptions import MlflowException

        for name in names:
            try:
                self.client.download_artifacts(run.id, name, str(folder))
            except (MlflowException, OSError):
                must = f"has no {name} in the tracker (run {run.id})"
                raise UserError(Fault(run.name, must=must)) from None

    def attach(self, run_id: str, folder: Path, place: str, note: str) -> None:
        """Store copies of a folder's files as artifacts of a run, and set its note.

        Raises UserError if the store does not take them.
        """
        from mlflow.exceptions import MlflowException

        try:
            self.client.log_artifacts(run_id, str(folder), place)
            self.client.set_tag(run_id, NOTE, note)
        except (MlflowException, OSError) as error:
            reason = str(error).splitlines()[0]
            must = f"is complete, but MLflow did not take a copy ({reason})"
            raise UserError(Fault(str(folder), must=must)) from None


def run_id_of(folder: Path, uri: str) -> str | None:
    """Return the store's id of the run, sweep or study in a folder; None without one."""
    output_dir = folder.absolute().parents[1]
    run_id: str | None = state.read_entry(folder, address(uri, output_dir)).get("run_id")
    return run_id
