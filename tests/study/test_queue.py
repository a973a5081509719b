"""A study has exactly as many trials as asked for, over restarts, workers, signals and deaths.

Small real runs where training matters, and a formula in its place where only the queue does.
"""

import itertools
import os
import signal
import threading
import time
from datetime import datetime

import optuna
import pytest
from examples import scores
from forked import FORKED
from mlflow import MlflowClient
from optuna.trial import FrozenTrial, TrialState
from studies import LR, SMALL, compose, drain, make_queue, states, trials_of, wait_for, work

from nersweep.config.check import check_overrides
from nersweep.machine import signals
from nersweep.results import folder as folder_module
from nersweep.results.result import RESULT, Status, read_result
from nersweep.run import execute, plan
from nersweep.run.execute import Pruned
from nersweep.study import lease, loop
from nersweep.tracking.reading import run_id_of
from nersweep.training.progress import TrainingProgress

pytestmark = pytest.mark.slow


def test_a_killed_worker_s_trial_is_resumed_by_another_from_its_checkpoint(output_dir):
    command = [
        f"output_dir={output_dir}",
        f"{LR}choice(0.021,0.022)",
        "study.sampler=grid",
        "study.name=shared",
        "train.epochs=12",
        "study.pruner=none",
    ]
    arguments = [a for a in SMALL if not a.startswith("train.")] + [
        "train.precision=fp32",
        "train.batch_size=8",
    ]
    killed, other = (
        FORKED.Process(target=work_from, args=[[*arguments, *command]]) for _ in range(2)
    )
    killed.start()
    wait_for(lambda: list(output_dir.glob("runs/*-s1-*/checkpoint.safetensors")))
    (folder,) = [file.parent for file in output_dir.glob("runs/*-s1-*/checkpoint.safetensors")]
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    assert read_result(folder / RESULT).status == Status.RUNNING
    other.start()
    loop.work(*compose(*arguments, *command))
    other.join()
    assert other.exitcode == 0
    trials = trials_of(output_dir, "shared")
    assert states(trials) == ["COMPLETE"] * 2
    assert [t.user_attrs.get("deaths", 0) for t in trials] == [1, 0]
    assert {t.user_attrs["lease"]["pid"] for t in trials} <= {os.getpid(), other.pid}
    assert sorted(t.params["train.lr"] for t in trials) == [0.021, 0.022]
    assert read_result(folder / RESULT).status == Status.FINISHED
    store = f"sqlite:///{output_dir}/mlflow.db"
    history = MlflowClient(store).get_metric_history(run_id_of(folder, store), "dev/f1")
    assert [metric.step for metric in history] == list(range(1, 13))


def work_from(arguments):
    signals.listen()
    loop.work(*compose(*arguments))


def test_a_second_death_is_a_failure(tmp_path):
    queue = make_queue(tmp_path, f"{LR}interval(0.1,1)", "study.trials=2")
    dead = lease.current() | {"pid": 2**22 + 1}
    trial, overrides = queue.ask()
    trial.set_user_attr("lease", dead)
    again, overrides_again = queue.ask()
    assert (again.number, overrides_again) == (trial.number, overrides)
    again.set_user_attr("lease", dead)
    other, _ = queue.ask()
    assert other.number == 1
    assert queue.trials()[0].state == TrialState.FAIL
    assert queue.trials()[0].user_attrs["failed"] == "its process died twice"


def test_a_lease_of_another_host_ends_without_renewal(tmp_path):
    queue = make_queue(tmp_path, f"{LR}interval(0.1,1)", "study.trials=1")
    trial, _ = queue.ask()
    trial.set_user_attr("lease", lease.current() | {"host": "another", "pid": 2**22 + 1})
    assert queue.ask() is None
    old = time.time() - lease.STALE_SECONDS - 1
    trial.set_user_attr("lease", lease.current() | {"host": "another", "time": old})
    assert queue.ask()[0].number == trial.number


@pytest.mark.parametrize("name", ["laptop", "my laptop of 2026"])
def test_a_lease_from_before_a_reboot_ends_in_a_local_file(name, tmp_path, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: name)
    queue = make_queue(tmp_path, f"{LR}interval(0.1,1)", "study.trials=1")
    trial, _ = queue.ask()
    own = lease.current()
    without_boot = {key: own[key] for key in own.keys() - {"boot", "processes"}}
    another_machine = own | {"host": "another", "boot": "1-2-3"}
    another_container = own | {"processes": "pid:[1]"}
    for alive in (another_machine, another_container, without_boot):
        trial.set_user_attr("lease", alive)
        assert queue.ask() is None
    trial.set_user_attr("lease", own | {"boot": "1-2-3"})
    (stored,) = queue.trials()
    # machines that share a database may share a name
    assert not lease.is_dead(stored, local=False)
    assert queue.ask()[0].number == trial.number


def test_the_lease_is_renewed_during_a_trial(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.01)
    trial, _ = make_queue(tmp_path, f"{LR}interval(0.1,1)").ask()
    first = trial.user_attrs["lease"]["time"]
    with lease.renewal(trial):
        wait_for(lambda: trial.study.trials[0].user_attrs["lease"]["time"] > first)
    assert trial.study.trials[0].user_attrs["lease"]["time"] > first


class PruneAlways(optuna.pruners.BasePruner):
    """Prunes any trial."""

    def prune(self, study, trial):
        return True


def test_a_resumed_trial_is_pruned_at_its_last_reported_epoch_or_later(tmp_path):
    queue = make_queue(tmp_path, f"{LR}interval(0.1,1)", "study.trials=1")
    trial, _ = queue.ask()
    for epoch in (1, 2):
        trial.report(0.5, epoch)
    queue.release(trial)
    again, _ = queue.ask()
    assert again.number == trial.number
    queue.study.pruner = PruneAlways()
    steps = queue.reported_steps(again)
    reporter = loop.Reporter(again, "f1", 0, steps, last=None, enabled=True)
    reporter(1, scores(0.7))
    with pytest.raises(Pruned, match="after epoch 2"):  # the process may have ended before that
        reporter(2, scores(0.7))
    (stored,) = queue.trials()
    assert stored.intermediate_values == {1: 0.5, 2: 0.5} and stored.user_attrs["epochs"] == [2]


def test_workers_that_draw_the_same_setting_make_its_run_once(output_dir):
    log = output_dir / "performed"
    space = ["study.space.loss=dice,ghm", "study.sampler=random", "study.trials=3"]
    command = [*SMALL, f"output_dir={output_dir}", "study.name=twins", "seed=9", *space]
    workers = [FORKED.Process(target=log_work, args=[command, log]) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    trials = trials_of(output_dir, "twins")
    assert states(trials) == ["COMPLETE"] * 3
    losses = {trial.params["loss"] for trial in trials}  # two at most, so two trials share one
    assert len(losses) < 3 and len(log.read_text().split()) == len(losses)


def log_work(arguments, log):
    """Work on a study, and log the name of each run that this process trains."""
    perform = execute.perform

    def logged(prepared, *rest):
        with log.open("a") as file:
            file.write(f"{prepared.name}\n")
        return perform(prepared, *rest)

    execute.perform = logged
    work_from(arguments)


def test_a_trial_waits_for_a_run_of_another_process(output_dir):
    space = [
        "study.space.loss=choice(cross_entropy,focal)",
        "study.sampler=grid",
        "study.name=beside",
    ]
    _, _, composer = compose()
    overrides = [*SMALL, f"output_dir={output_dir}", "loss=focal", "seed=4"]
    run = plan.make(check_overrides(composer, overrides))
    holds = threading.Event()

    def hold():
        with folder_module.claim(run.folder):
            holds.set()
            time.sleep(3)

    holder = threading.Thread(target=hold)
    holder.start()
    holds.wait(60)
    work(f"output_dir={output_dir}", "seed=4", *space)
    holder.join()
    assert states(trials_of(output_dir, "beside")) == ["COMPLETE", "COMPLETE"]


def test_a_trial_is_not_pruned_after_its_last_epoch(tmp_path):
    queue = make_queue(tmp_path, f"{LR}interval(0.1,1)", "study.trials=1")
    trial, _ = queue.ask()
    queue.study.pruner = PruneAlways()
    loop.Reporter(trial, "f1", 0, set(), last=3, enabled=True)(3, scores(0.5))
    with pytest.raises(Pruned, match="after epoch 2"):
        loop.Reporter(trial, "f1", 0, set(), last=3, enabled=True)(2, scores(0.5))


@pytest.fixture
def interrupt(monkeypatch):
    """Return a function that runs a study which gets SIGTERM at its first step."""

    def interrupted_study(*arguments):
        before = [signal.getsignal(number) for number in signals.ENDING]
        signals.listen()
        try:
            with monkeypatch.context() as patched, pytest.raises(SystemExit):
                patched.setattr(
                    TrainingProgress, "step", lambda _: signal.raise_signal(signal.SIGTERM)
                )
                work(*arguments)
        finally:
            for number, handler in zip(signals.ENDING, before, strict=True):
                signal.signal(number, handler)
            signals.pending.clear()

    return interrupted_study


def test_a_signal_releases_the_trial_and_the_same_command_resumes(output_dir, interrupt):
    command = [
        f"output_dir={output_dir}",
        "loss=focal",
        "study=focal_gamma",
        "study.trials=1",
        "study.name=signalled",
    ]
    interrupt(*command)
    (trial,) = trials_of(output_dir, "signalled")
    assert trial.state == TrialState.WAITING and trial.params
    killed = tracked(output_dir, "signalled")
    assert killed.info.status == "KILLED" and killed.data.tags["status"] == "killed"
    work(*command)
    (again,) = trials_of(output_dir, "signalled")
    assert (
        again.state == TrialState.COMPLETE
        and again.params == trial.params
        and "deaths" not in again.user_attrs
    )
    finished = tracked(output_dir, "signalled")
    assert (finished.info.status, finished.info.run_id) == ("FINISHED", killed.info.run_id)


def test_a_signal_does_not_end_a_study_that_another_worker_continues(output_dir, interrupt):
    command = [
        f"output_dir={output_dir}",
        "loss=focal",
        "study=focal_gamma",
        "study.trials=2",
        "study.name=two",
    ]
    interrupt(*command)
    study = optuna.load_study(study_name="two", storage=f"sqlite:///{output_dir}/studies.db")
    other = {"lease": lease.current() | {"host": "another"}}
    study.add_trial(
        FrozenTrial(1, TrialState.RUNNING, None, datetime.now(), None, {}, {}, other, {}, {}, 1)
    )
    interrupt(*command)
    assert states(study.trials) == ["WAITING", "RUNNING"]
    assert tracked(output_dir, "two").info.status == "RUNNING"
    dead = other["lease"] | {"time": time.time() - lease.STALE_SECONDS - 1}
    study._storage.set_trial_user_attr(study.trials[1]._trial_id, "lease", dead)
    interrupt(*command)
    assert tracked(output_dir, "two").info.status == "KILLED"


def tracked(output_dir, name):
    """The run of a study in the tracker."""
    client = MlflowClient(f"sqlite:///{output_dir}/mlflow.db")
    (run,) = client.search_runs(
        [client.get_experiment_by_name("nersweep").experiment_id], f"tags.study = '{name}'"
    )
    return run


def test_four_processes_open_an_empty_storage_and_share_the_trials(tmp_path):
    workers = [FORKED.Process(target=drain_shared, args=[tmp_path, i]) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    trials = trials_of(tmp_path, "s")
    assert states(trials).count("COMPLETE") == 12 and states(trials).count("RUNNING") == 0
    rates = [trial.params["train.lr"] for trial in trials]
    assert len(set(rates)) == len(rates)  # no two workers draw the same numbers


def drain_shared(folder, worker):
    queue = make_queue(folder, f"{LR}interval(0.1,1)", "study.trials=12", "study.sampler=random")
    turn = itertools.count()
    while not queue.is_over():
        if next_trial := queue.ask():
            if worker == 0 and next(turn) == 0:  # a failure, which does not count
                queue.study.tell(next_trial[0], state=TrialState.FAIL)
            else:
                queue.study.tell(next_trial[0], 0.5)
        else:
            time.sleep(0.02)


@pytest.mark.parametrize("name", ["tpe", "gp", "random"])
def test_an_interrupted_sampler_draws_the_same_numbers(name, tmp_path):
    command = [
        f"{LR}tag(log,interval(1e-4,1e-1))",
        "study.space.train.warmup=interval(0,0.5)",
        f"study.sampler={name}",
    ]
    for place in ("a", "b"):
        (tmp_path / place).mkdir()

    def value(trial):
        return -abs(trial.params["train.warmup"] - 0.3)

    whole = drain(make_queue(tmp_path / "a", *command, "study.trials=12"), value)
    parts = [
        drain(make_queue(tmp_path / "b", *command, f"study.trials={n}"), value) for n in (5, 12)
    ]
    assert [len(part) for part in parts] == [5, 7] and [*parts[0], *parts[1]] == whole


def test_a_grid_has_every_valid_combination_once(tmp_path):
    command = [
        "study.space.loss=focal,cross_entropy",
        "study.space.focal_gamma=choice(1,2)",
        "study.space.train.lr=[0.1,0.2]",
        "study.sampler=grid",
    ]
    queue = make_queue(tmp_path, *command)
    trials = drain(queue)
    assert sorted(map(tuple, trials)) == [
        ("loss=cross_entropy", "train.lr=0.1"),
        ("loss=cross_entropy", "train.lr=0.2"),
        *[
            ("loss=focal", f"focal_gamma={g}", f"train.lr={lr}")
            for g in (1, 2)
            for lr in (0.1, 0.2)
        ],
    ]
    assert queue.is_over() and queue.ask() is None
    assert len(drain(make_queue(tmp_path, *command, "study.trials=4", name="less"))) == 4
