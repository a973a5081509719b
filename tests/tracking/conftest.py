"""Folders of runs, as they are before a tracker hears of them."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from nersweep import __main__ as program
from nersweep.results.card import Card, read_card, remove_card, write_card
from nersweep.results.folder import METRICS
from nersweep.results.result import result_of, write_result
from nersweep.tracking import tracker

TINY = [
    "data.train=24", "data.dev=8", "data.test=8", "model.hidden=8", "model.layers=1",
    "model.heads=2", "train.epochs=2", "train.precision=fp32", "device=cpu",
]  # fmt: skip


@pytest.fixture(scope="session")
def finished(tmp_path_factory, exit_code):
    """The folder of a finished run that no tracker knows."""
    output_dir = tmp_path_factory.mktemp("untracked")
    untracked = [*TINY, f"output_dir={output_dir}", "tracking.kind=none"]
    assert exit_code(program.main, *untracked) == 0
    (folder,) = (output_dir / "runs").iterdir()
    return folder


@pytest.fixture
def copy(finished, tmp_path):
    """A run like the finished one, in an output folder of its own."""
    folder = Path(shutil.copytree(finished, tmp_path / "outputs" / "runs" / finished.name))
    card = read_card(folder)
    remove_card(folder)
    write_card(folder, replace(card, started=time.time()))
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One MLflow store for all tests of a module: to make its tables takes seconds."""
    output_dir = tmp_path_factory.mktemp("store")
    mlflow_tracker = tracker.make("mlflow", None, output_dir)
    mlflow_tracker.open()
    return mlflow_tracker.uri


@pytest.fixture
def make_run(tmp_path):
    """make_run(losses, **changes): the folder of a run with these losses by step."""

    def make(losses=(), result=None, name="focal-s1", **changes):
        folder = tmp_path / "outputs" / "runs" / f"{name}-12345678"
        folder.mkdir(parents=True, exist_ok=True)
        write_card(folder, Card(kind="run", name=name, experiment="tests", **changes))
        lines = []
        for step, loss in enumerate(losses, 1):
            lines.append(json.dumps({"step": step, "loss": loss, "lr": 0.1, "grad_norm": 1.0}))
        (folder / METRICS).write_text("".join(f"{line}\n" for line in lines))
        if result:
            about = {"name": name, "fingerprint": "1" * 64}
            write_result(folder, result_of(about | result))
        return folder

    return make
