"""Whichever jobs of a sweep die, every other one runs, deaths are reported, and the sweep ends.

Engines that really kill are in tests/engines; here is each pattern of deaths, with joblib's rule: a
process that dies takes its neighbours with it, and nothing starts after that.
"""

import itertools
import subprocess
import sys
import threading

import pytest

from nersweep.machine import files
from nersweep.sweep import jobs


@pytest.fixture
def send(tmp_path, monkeypatch):
    """send(runs, processes, culprits, stop): faults of each run, the runs made, all launches.

    culprits: how many times a run dies. A run that fails is named bad.
    """

    def do(runs, processes, culprits=None, stop=False):
        deaths, done, launches = dict(culprits or {}), [], []

        def launch(runs, notes, parent_id, stop, composer):
            launches.append(list(runs))
            queue, at_work = list(enumerate(runs)), []
            while queue or at_work:
                while queue and len(at_work) < processes:
                    if (notes / jobs.STOP).exists():
                        queue.clear()
                        break
                    at_work.append(queue.pop(0))
                    (notes / str(at_work[-1][0])).touch()
                dying = [run for _, run in at_work if deaths.get(run)]
                if dying:
                    deaths[dying[0]] -= 1
                    return "a process was terminated"
                if at_work:
                    number, run = at_work.pop(0)
                    done.append(run)
                    files.write_json(notes / str(number), ["bad"] if run == "bad" else [])
                    if run == "bad" and stop:
                        (notes / jobs.STOP).touch()
            return ""

        monkeypatch.setattr(jobs, "launch", launch)
        return jobs.send(runs, tmp_path, "", stop, None), done, launches

    return do


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "culprits", [c for n in range(4) for c in itertools.combinations("abcde", n)], ids="".join
)
def test_only_culprits_fail_and_every_other_run_happens_once(culprits, processes, send, tmp_path):
    faults, done, launches = send(list("abcde"), processes, dict.fromkeys(culprits, 99))
    assert [run for run, lines in zip("abcde", faults, strict=True) if lines] == list(culprits)
    assert sorted(done) == sorted(set("abcde") - set(culprits))
    assert not any((tmp_path / "launches").iterdir())
    assert all(line.startswith("its process was killed ") for lines in faults for line in lines)
    assert len(launches) <= 3 * 5


@pytest.mark.parametrize("run", "abcde")
def test_a_run_that_was_killed_once_finishes(run, send):
    faults, done, _ = send(list("abcde"), 2, {run: 1})
    assert faults == [[]] * 5 and sorted(done) == list("abcde")


def test_nothing_starts_after_a_failure_with_on_failure_stop(send):
    faults, done, _ = send(["a", "bad", "c", "d"], 1, {"a": 1}, stop=True)
    after = "after another run failed (on_failure=stop)"
    assert faults == [[f"killed, {after}"], ["bad"], *2 * [[f"not started, {after}"]]] and done == [
        "bad"
    ]


def test_a_death_for_good_stops_too(send):
    faults, done, _ = send(["a", "b", "c"], 1, {"a": 99}, stop=True)
    assert faults[0][0].startswith("its process was killed 2 times") and sorted(done) == ["b", "c"]


def test_a_launcher_that_starts_nothing_is_reported_for_each_run(send, monkeypatch):
    monkeypatch.setattr(jobs, "read_ends", lambda folder: {})
    faults, _, launches = send(["a", "b"], 1)
    assert faults == 2 * [["its launcher did not start it"]] and len(launches) == 1


HOLD = """
import sys, time
from pathlib import Path
from nersweep.machine import locks
with locks.hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_launch_lasts_while_a_process_of_its_jobs_lives(tmp_path):
    (tmp_path / "0").touch()
    command = [sys.executable, "-c", HOLD, jobs.lock_of(tmp_path / "0")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    waiting = threading.Thread(target=jobs.wait, args=[tmp_path])
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    process.kill()
    process.wait()
    waiting.join(10)
    assert not waiting.is_alive() and jobs.read_ends(tmp_path) == {0: None}
