"""Sweeps of small jobs in processes of their own, and what has become of those processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nersweep.machine import host

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
        environment |= {
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "TMPDIR": str(self.folder.parent),
        }
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
        wait_until(
            lambda: len(self.log(event)) >= times or self.process.poll() is not None, seconds
        )
        wait_until(
            lambda: len(self.log(event)) >= times, 10
        )  # workers may be ending after their sweep
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
        return [
            pid for pid in {entry["pid"] for entry in self.log("start")} if host.alive(pid, None)
        ]

    def empty(self, seconds: float) -> bool:
        """Do its workers end within so many seconds?"""
        return wait_until(lambda: not self.left(), seconds)

    def clean(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.left():
            os.kill(pid, 9)


class Multirun:
    """`python -m nersweep -m …` on tiny models, some seconds per run, and its processes."""

    RUNS = (
        "data.train=200", "data.dev=20", "data.test=20", "train.epochs=6", "train.batch_size=2",
        "device=cpu",
        "train.precision=fp32", "model.hidden=8", "model.layers=1", "model.heads=2",
    )  # fmt: skip

    def __init__(self, folder: Path, *overrides: str):
        self.outputs = folder / "outputs"
        command = [sys.executable, "-m", "nersweep", "-m", *self.RUNS, *overrides]
        self.process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def makers(self, seed: int) -> list[int]:
        """The processes that train with this seed: one, or more for several trials of a study."""
        result = []
        for folder in self.outputs.glob(f"runs/*-s{seed}-*"):
            words = (folder / "lock").read_text().split()
            if words and self.status(folder) == "running" and host.alive(int(words[1]), None):
                result.append(int(words[1]))
        return result

    def reach(self, seed: int) -> int:
        """Waits for such a process."""
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and self.process.poll() is None:
            if result := self.makers(seed):
                return result[0]
            time.sleep(0.02)
        pytest.fail(f"nobody trains with seed {seed}: {self.statuses()}")

    def kill_always(self, seed: int) -> int:
        """Kill every process that trains with this seed until the command ends; return how many."""
        killed: set[int] = set()
        while self.process.poll() is None:
            for pid in set(self.makers(seed)) - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            time.sleep(0.02)
        return len(killed)

    @staticmethod
    def status(folder: Path) -> str:
        file = folder / "result.json"
        return json.loads(file.read_text())["status"] if file.exists() else "not started"

    def statuses(self) -> list[str]:
        """Of the runs by name."""
        return [self.status(folder) for folder in sorted(self.outputs.glob("runs/*"))]

    def launched(self) -> list[int]:
        """How many jobs the launch that goes on has begun."""
        folders = self.outputs.glob("sweeps/*/launches/*")
        return [
            len([file for file in folder.iterdir() if file.name.isdigit()]) for folder in folders
        ]

    def ends(self, seconds: float = 240) -> tuple[int, str, list[str]]:
        """Exit code, output, lines of standard error that are nersweep's."""
        out, err = self.process.communicate(timeout=seconds)
        return (
            self.process.returncode,
            out,
            [line for line in err.splitlines() if line.startswith("nersweep: ")],
        )


@pytest.fixture
def multirun(tmp_path):
    """multirun(*overrides): such a command, under way."""
    begun = []

    def start(*overrides: str) -> Multirun:
        begun.append(Multirun(tmp_path, *overrides))
        return begun[-1]

    yield start
    for one in begun:
        one.process.kill()
        one.process.communicate()


@pytest.fixture
def sweep(tmp_path):
    folder = tmp_path / "sweep"
    folder.mkdir()
    small_sweep = Sweep(folder)
    yield small_sweep
    small_sweep.clean()
