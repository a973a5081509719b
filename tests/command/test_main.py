"""A single run is a job of Hydra's: its environment, logging and callbacks apply."""

import json
import logging
import os
import subprocess
import sys

import pytest
from hydra.core.hydra_config import HydraConfig

from nersweep.command import main


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """jobs(*arguments): what a run saw of Hydra and of its own settings, and the exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NERSWEEP_TRACEBACK", "")
    job = {}

    def look(checked, overrides):
        job.update(
            seed=checked.settings.seed,
            choice=checked.settings.choice,
            overrides=list(overrides),
            variable=os.environ.get("NERSWEEP_TEST"),
            level=logging.getLogger().level,
            name=HydraConfig.get().job.name,
        )

    def program():
        if command := main.read(lambda composed, run, composer: []):
            main.run_one(command, look)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["nersweep", *arguments])
        with pytest.raises(SystemExit) as end:
            main.run(program)
        return job, end.value.code

    return run


def test_a_run_has_its_settings_and_overrides(jobs):
    arguments = ["loss=focal", "seed=7", "focal_gamma=3"]
    job, code = jobs(*arguments, "hydra.job.name=mine")
    assert (code, job["seed"], job["choice"].loss) == (0, 7, "focal")
    assert (job["overrides"], job["name"]) == (arguments, "mine")


def test_the_environment_of_a_run_is_its_own(jobs):
    job, _ = jobs("+hydra.job.env_set.NERSWEEP_TEST=yes")
    assert job["variable"] == "yes" and "NERSWEEP_TEST" not in os.environ


def test_verbose_logs_everything(jobs, monkeypatch):
    root = logging.getLogger()
    monkeypatch.setattr(root, "level", root.level)
    job, _ = jobs("hydra.verbose=true")
    assert job["level"] == logging.DEBUG


def test_hydra_logs_a_run_to_a_file(jobs, tmp_path):
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    try:
        jobs("hydra/job_logging=default")
        assert (tmp_path / "nersweep.log").exists()
    finally:
        logging.getLogger().handlers[:] = handlers
        logging.getLogger().setLevel(level)


def test_callbacks_of_hydra_s_are_called(jobs, tmp_path):
    target = "hydra.experimental.callbacks.PickleJobInfoCallback"
    _, code = jobs(f"+hydra.callbacks.x._target_={target}", "hydra.output_subdir=info")
    assert code == 0 and (tmp_path / "info" / "config.pickle").exists()


def test_hydra_s_own_options_are_answered_by_hydra(jobs, capsys):
    job, code = jobs("--cfg", "job", "--package", "train", "train.epochs=5")
    assert (job, code) == ({}, 0)
    assert "epochs: 5" in capsys.readouterr().out.splitlines()


def test_an_error_of_ours_is_one_line(jobs, capsys, monkeypatch):
    monkeypatch.setattr(main.line, "read", lambda *_: json.loads("nothing"))
    _, code = jobs()
    assert code == 1 and capsys.readouterr().err.count("\n") == 1


def test_help_needs_no_torch():
    command = [sys.executable, "-X", "importtime", "-m", "nersweep", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "omegaconf" in imported and "torch" not in imported
