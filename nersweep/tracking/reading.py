"""MLflow read back: the runs that a tracking store knows, and their files."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nersweep.tracking.stores import public


@dataclass(frozen=True)
class Tracked:
    """A run of the tracker. folder: where it says that its files are; empty where it does not."""

    id: str
    name: str
    folder: str
    tags: Mapping[str, str]


class Tracker:
    """A store to be read (a URI from `open_store`)."""

    def __init__(self, uri: str):
        from mlflow import MlflowClient

        self.uri, self.client = uri, MlflowClient(uri)

    def runs(self, query: str = "", experiment: str | None = None) -> Iterator[Tracked]:
        """query: MLflow's filter, as in tags.loss = "focal" and metrics.`test/f1` > .8; experiment: its name, None for
        all of them. Raises ValueError for a filter that MLflow does not understand, and for an experiment that is not
        there."""
        from mlflow.exceptions import MlflowException

        experiments = self.client.search_experiments()
        chosen = [x.experiment_id for x in experiments if experiment in (None, x.name)]
        if not chosen:
            there = ", ".join(x.name for x in experiments)
            raise ValueError(
                f"experiment={experiment}: no such experiment in {public(self.uri)}; it has {there}"
            )
        token: str | None = None
        while token != "":
            try:
                page = self.client.search_runs(chosen, query, page_token=token)
            except MlflowException as error:
                if error.error_code != "INVALID_PARAMETER_VALUE":
                    raise
                line = str(error).splitlines()[0]
                raise ValueError(
                    f"filter={query}: MLflow does not understand it ({line})"
                ) from None
            for run in page:
                yield Tracked(
                    run.info.run_id,
                    run.info.run_name,
                    run.data.tags.get("folder", ""),
                    run.data.tags,
                )
            token = page.token or ""

    def fetch(self, run: Tracked, names: tuple[str, ...], folder: Path) -> None:
        """Copies these artifacts of a run into a folder. Raises ValueError where it lacks one."""
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        from mlflow.exceptions import MlflowException

        for name in names:
            try:
                self.client.download_artifacts(run.id, name, str(folder))
            except (MlflowException, OSError):
                raise ValueError(
                    f"{run.name}: the tracker has no {name} of it (run {run.id})"
                ) from None

    def attach(self, run_id: str, folder: Path, place: str) -> None:
        """Stores copies of a folder's files as artifacts of a run, under this place. Raises ValueError for a tracker
        that does not take them."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.log_artifacts(run_id, str(folder), place)
        except (MlflowException, OSError) as error:
            line = str(error).splitlines()[0]
            raise ValueError(
                f"{folder}: it is whole, but the tracker did not take it as well ({line})"
            ) from None
