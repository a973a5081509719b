"""No more runs share a GPU than allowed, and a slot is free once its process has ended."""

import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest

from nersweep.machine import gpus

HOLD = """
import sys, time
from pathlib import Path
from nersweep.machine import gpus
with gpus.slot(1, 1, Path(sys.argv[1])) as device:
    print(device, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("share", [1, 0.5, 0.25, 1 / 3, None])
def test_shares_that_divide_a_gpu_are_accepted(share):
    assert gpus.fault(share) is None


@pytest.mark.parametrize("share", [0, -1, 0.3, 2, 1.5, float("nan"), float("inf")])
def test_other_shares_are_refused(share):
    fault = gpus.fault(share)
    assert (fault.setting, fault.value) == ("gpus_per_run", f"{share:g}")


@pytest.mark.parametrize(("count", "share"), [(1, 1), (2, 1), (3, 0.5), (2, 0.25), (4, 1 / 3)])
def test_each_gpu_has_its_share_of_slots_and_runs_spread_first(count, share):
    slots = gpus.slots(count, share)
    assert Counter(gpu for gpu, _ in slots) == dict.fromkeys(range(count), round(1 / share))
    assert len(set(slots)) == len(slots) and [gpu for gpu, _ in slots[:count]] == list(range(count))


def test_runs_take_free_slots(tmp_path):
    with ExitStack() as held:
        devices = [held.enter_context(gpus.slot(2, 0.5, tmp_path)) for _ in range(4)]
        assert devices == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    with gpus.slot(2, 0.5, tmp_path) as device:
        assert device == "cuda:0"


def test_a_run_waits_for_a_slot(tmp_path):
    with gpus.slot(1, 1, tmp_path):
        taken = []

        def wait():
            with gpus.slot(1, 1, tmp_path) as device:
                taken.append(device)

        thread = Thread(target=wait)
        thread.start()
        time.sleep(3 * gpus.POLL_SECONDS)
        assert not taken
    thread.join(5)
    assert taken == ["cuda:0"]


def test_a_killed_process_gives_its_slot_back(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=Path(gpus.__file__).parents[2],
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"cuda:0\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    with gpus.slot(1, 1, tmp_path) as device:
        assert device == "cuda:0"


def test_a_gpu_is_recognised_under_any_processs_numbering(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-8f")
    with gpus.slot(2, 1, tmp_path) as device:
        assert device == "cuda:0" and (tmp_path / "gpu-3-0").exists()
        with gpus.slot(2, 1, tmp_path):
            assert (tmp_path / "gpu-GPU-8f-0").exists()
