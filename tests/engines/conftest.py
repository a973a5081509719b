"""Sweeps of small jobs in processes of their own, and what has become of those processes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nersweep import worker

HERE = Path(__file__).parent


def wait_until(true: Callable[[], bool], seconds: float) -> bool:
    """Does it come true within so many seconds?"""
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


class Sweep:
    """tests/engines/job.py, started once or several times over the same folder."""

    def __init__(self, folder: Path):
        self.folder, self.process = folder, None

    def start(self, jobs: int, steps: int, *overrides: str) -> subprocess.Popen:
        paths = [str(HERE), os.environ.get("PYTHONPATH", "")]
        environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        environment |= {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "TMPDIR": str(self.folder.parent)}
        command = [sys.executable, "-m", "job", self.folder, str(steps), str(jobs), *overrides]
        self.output = open(self.folder / "output", "a")  # noqa: SIM115
        self.process = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=self.output, stderr=subprocess.STDOUT
        )
        return self.process

    def log(self, event: str) -> list[dict]:
        """What the jobs have noted of this kind, in order."""
        file = self.folder / "log"
        lines = file.read_text().splitlines() if file.exists() else []
        return [entry for entry in map(json.loads, lines) if entry["event"] == event]

    def reach(self, event: str, times: int, seconds: float = 60) -> list[dict]:
        """Waits for so many notes of a kind, and returns all of them."""
        wait_until(lambda: len(self.log(event)) >= times or self.process.poll() is not None, seconds)
        wait_until(lambda: len(self.log(event)) >= times, 10)  # workers may be ending after their sweep
        assert len(self.log(event)) >= times, self.told()
        return self.log(event)

    def finish(self, seconds: float = 60) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running:\n{self.told()}")

    def told(self) -> str:
        return (self.folder / "output").read_text()[-3000:]

    def left(self) -> list[int]:
        """The workers that have not ended."""
        return [pid for pid in {entry["pid"] for entry in self.log("start")} if worker.alive(pid, None)]

    def empty(self, seconds: float) -> bool:
        """Do its workers end within so many seconds?"""
        return wait_until(lambda: not self.left(), seconds)

    def clean(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.left():
            os.kill(pid, 9)


@pytest.fixture
def sweep(tmp_path):
    folder = tmp_path / "sweep"
    folder.mkdir()
    made = Sweep(folder)
    yield made
    made.clean()
