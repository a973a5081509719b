"""MLflow's model registry: a version of a tagger, as a function of Python that tags texts."""

import os
import tempfile
from importlib.metadata import version
from pathlib import Path

from nersweep.faults import Fault, UserError
from nersweep.tracking.stores import requests

LOADER = "nersweep.deployment.pyfunc"  # loads a model folder; MLflow imports it by this name
PLACE = "tagger"  # of a run's artifacts
REQUIREMENTS = ("torch", "transformers")  # beside nersweep, which no package index is trusted for


def register(uri: str, run_id: str, name: str, folder: Path) -> str:
    """Copy a model folder to a run's artifacts, and make a version of a registered model of it.

    uri: from `open_store`. Returns the number of the version. Nothing is pickled: the version holds
    the folder, and the name of our loader. Raises UserError for a name that MLflow refuses.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with requests(uri), tempfile.TemporaryDirectory() as scratch:
        import mlflow
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema

        client = MlflowClient(uri)
        try:
            if not client.search_registered_models(f"name = '{name}'"):
                client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            must = f"MLflow does not take this name ({str(error).splitlines()[0]})"
            raise UserError(Fault("register", name, must)) from None
        mlflow.pyfunc.save_model(
            f"{scratch}/{PLACE}",
            loader_module=LOADER,
            data_path=str(folder),
            signature=ModelSignature(inputs=Schema([ColSpec("string")])),
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
        )
        client.log_artifacts(run_id, f"{scratch}/{PLACE}", PLACE)
        source = f"runs:/{run_id}/{PLACE}"
        return str(client.create_model_version(name, source, run_id).version)
