"""The trials of a study: exactly so many over restarts, workers, signals and deaths; storages and samplers.

Small real runs where training matters, and a formula in its place where only the queue does."""

import itertools
import json
import os
import pickle
import shlex
import signal
import threading
import time
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

import optuna
import pytest
from forked import FORKED
from mlflow import MlflowClient
from optuna.trial import FrozenTrial, TrialState
from studies import LR, SMALL, composed, drain, make_queue, states, trials_of, wait_for, work

from nersweep import tracking
from nersweep.config.check import check_overrides
from nersweep.machine import databases, signals
from nersweep.results import folder as folder_module
from nersweep.run import plan
from nersweep.study import lease, loop, storage
from nersweep.study.queue import make_sampler
from nersweep.training.progress import TrainingProgress

# Workers that share a study, and die


def test_a_worker_that_was_killed_leaves_its_trial_to_another_that_goes_on_from_the_checkpoint(
    output_dir, capsys
):
    typed = [
        f"output_dir={output_dir}",
        f"{LR}choice(0.021,0.022,0.023)",
        "study.sampler=grid",
        "study.name=shared",
        "train.epochs=30",
        "study.pruner=none",
    ]
    arguments = [a for a in SMALL if not a.startswith("train.")] + [
        "train.precision=fp32",
        "train.batch_size=8",
    ]
    killed, other = (
        FORKED.Process(target=work_from, args=[[*arguments, *typed]]) for _ in range(2)
    )
    killed.start()
    wait_for(lambda: list(output_dir.glob("runs/*-s1-*/checkpoint.safetensors")))
    (folder,) = [file.parent for file in output_dir.glob("runs/*-s1-*/checkpoint.safetensors")]
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    before = json.loads((folder / "result.json").read_text())
    assert before["status"] == "running"
    other.start()
    loop.work(*composed(*arguments, *typed))
    other.join()
    assert other.exitcode == 0
    trials = trials_of(output_dir, "shared")
    assert states(trials) == ["COMPLETE"] * 3
    assert [t.user_attrs.get("deaths", 0) for t in trials] == [1, 0, 0]
    assert {t.user_attrs["lease"]["pid"] for t in trials} <= {os.getpid(), other.pid}
    assert sorted(t.params["train.lr"] for t in trials) == [0.021, 0.022, 0.023]
    after = json.loads((folder / "result.json").read_text())
    assert after["status"] == "finished" and after["run_id"] == before["run_id"]
    history = MlflowClient(f"sqlite:///{output_dir}/mlflow.db").get_metric_history(
        after["run_id"], "dev/f1"
    )
    assert [metric.step for metric in history] == list(range(1, 31))


def work_from(arguments):
    signals.listen()
    loop.work(*composed(*arguments))


def test_a_second_death_is_a_failure(tmp_path):
    queue = make_queue(tmp_path, f"{LR}interval(0.1,1)", "study.trials=2")
    gone = lease.here() | {"pid": 2**22 + 1}
    trial, drawn = queue.take()
    trial.set_user_attr("lease", gone)
    again, drawn_again = queue.take()
    assert (again.number, drawn_again) == (trial.number, drawn)
    again.set_user_attr("lease", gone)
    new, _ = queue.take()
    assert new.number == 1
    assert queue.trials()[0].state == TrialState.FAIL
    assert queue.trials()[0].user_attrs["failed"] == "its process died twice"


def test_a_lease_of_another_host_ends_when_it_is_not_renewed(tmp_path):
    queue = make_queue(tmp_path, f"{LR}interval(0.1,1)", "study.trials=1")
    trial, _ = queue.take()
    trial.set_user_attr("lease", lease.here() | {"host": "another", "pid": 2**22 + 1})
    assert queue.take() is None
    old = time.time() - lease.STALE_SECONDS - 1
    trial.set_user_attr("lease", lease.here() | {"host": "another", "time": old})
    assert queue.take()[0].number == trial.number


def test_a_lease_from_before_the_machine_was_started_anew_is_over_in_a_file_of_its_own(tmp_path):
    queue = make_queue(tmp_path, f"{LR}interval(0.1,1)", "study.trials=1")
    name, boot, space = lease.here()["host"].split()
    trial, _ = queue.take()
    for elsewhere in (f"another-{name} 1-2-3 {space}", f"{name} {boot} pid:[1]", name):
        trial.set_user_attr("lease", lease.here() | {"host": elsewhere})
        assert queue.take() is None
    before = lease.here() | {"host": f"{name} 1-2-3 {space}"}
    trial.set_user_attr("lease", before)
    (kept,) = queue.trials()
    assert not lease.dead(
        kept, local=False
    )  # in a database for several machines, which may share a name
    assert queue.take()[0].number == trial.number


def test_the_lease_is_renewed_while_a_trial_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.01)
    trial, _ = make_queue(tmp_path, f"{LR}interval(0.1,1)").take()
    first = trial.user_attrs["lease"]["time"]
    with lease.held(trial):
        wait_for(lambda: trial.study.trials[0].user_attrs["lease"]["time"] > first)


class Always(optuna.pruners.BasePruner):
    """Would end any trial."""

    def prune(self, study, trial):
        return True


def test_what_was_reported_before_is_judged_at_its_last_epoch_alone(tmp_path):
    queue = make_queue(tmp_path, f"{LR}interval(0.1,1)", "study.trials=1")
    trial, _ = queue.take()
    for epoch in (1, 2):
        trial.report(0.5, epoch)
    queue.give_back(trial)
    again, _ = queue.take()
    assert again.number == trial.number
    queue.study.pruner = Always()
    config, _, composer = composed()
    worker = loop.Worker(queue, config, [1], composer)
    watch = loop.Watch(worker, again, 0, queue.told(again), last=None, reports=True)
    watch(1, {"f1": 0.7})
    with pytest.raises(
        loop.run.Pruned, match="after epoch 2"
    ):  # as where the process ended between both
        watch(2, {"f1": 0.7})
    (kept,) = queue.trials()
    assert kept.intermediate_values == {1: 0.5, 2: 0.5} and kept.user_attrs["epochs"] == [2]


def test_a_run_that_another_process_makes_is_waited_for(output_dir):
    space = [
        "study.space.loss=choice(cross_entropy,focal)",
        "study.sampler=grid",
        "study.name=beside",
    ]
    _, _, composer = composed()
    made = plan.make(
        check_overrides(composer, [*SMALL, f"output_dir={output_dir}", "loss=focal", "seed=4"])
    )
    holds = threading.Event()

    def hold():
        with folder_module.claimed(made.folder):
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
    trial, _ = queue.take()
    queue.study.pruner = Always()
    config, _, composer = composed()
    worker = loop.Worker(queue, config, [1], composer)
    loop.Watch(worker, trial, 0, set(), last=3, reports=True)(3, {"f1": 0.5})
    with pytest.raises(loop.run.Pruned, match="after epoch 2"):
        loop.Watch(worker, trial, 0, set(), last=3, reports=True)(2, {"f1": 0.5})


@pytest.fixture
def signalled(monkeypatch):
    """signalled(*arguments): a study that gets SIGTERM at its first step."""

    def work_so_far(*arguments):
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
            signals.asked.clear()

    return work_so_far


def test_a_signal_gives_the_trial_back_and_the_same_command_goes_on(output_dir, signalled):
    typed = [
        f"output_dir={output_dir}",
        "loss=focal",
        "study=focal_gamma",
        "study.trials=1",
        "study.name=signalled",
    ]
    signalled(*typed)
    (trial,) = trials_of(output_dir, "signalled")
    assert trial.state == TrialState.WAITING and trial.params
    killed = tracked(output_dir, "signalled")
    assert killed.info.status == "KILLED" and killed.data.tags["status"] == "killed"
    work(*typed)
    (again,) = trials_of(output_dir, "signalled")
    assert (
        again.state == TrialState.COMPLETE
        and again.params == trial.params
        and "deaths" not in again.user_attrs
    )
    finished = tracked(output_dir, "signalled")
    assert (finished.info.status, finished.info.run_id) == ("FINISHED", killed.info.run_id)


def test_a_study_that_another_worker_goes_on_with_is_not_ended_by_a_signal(output_dir, signalled):
    typed = [
        f"output_dir={output_dir}",
        "loss=focal",
        "study=focal_gamma",
        "study.trials=2",
        "study.name=two",
    ]
    signalled(*typed)
    study = optuna.load_study(study_name="two", storage=f"sqlite:///{output_dir}/studies.db")
    other = {"lease": lease.here() | {"host": "another"}}
    study.add_trial(
        FrozenTrial(1, TrialState.RUNNING, None, datetime.now(), None, {}, {}, other, {}, {}, 1)
    )
    signalled(*typed)
    assert states(study.trials) == ["WAITING", "RUNNING"]
    assert tracked(output_dir, "two").info.status == "RUNNING"
    gone = other["lease"] | {"time": time.time() - lease.STALE_SECONDS - 1}
    study._storage.set_trial_user_attr(study.trials[1]._trial_id, "lease", gone)
    signalled(*typed)
    assert tracked(output_dir, "two").info.status == "KILLED"


def tracked(output_dir, name):
    """The run of a study in the tracker."""
    client = MlflowClient(f"sqlite:///{output_dir}/mlflow.db")
    (run,) = client.search_runs(
        [client.get_experiment_by_name("nersweep").experiment_id], f"tags.study = '{name}'"
    )
    return run


def test_four_processes_at_once_open_an_empty_storage_and_share_exactly_so_many_trials(tmp_path):
    workers = [FORKED.Process(target=drain_shared, args=[tmp_path, i]) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    trials = trials_of(tmp_path, "s")
    assert states(trials).count("COMPLETE") == 12 and states(trials).count("RUNNING") == 0
    drawn = [trial.params["train.lr"] for trial in trials]
    assert len(set(drawn)) == len(drawn)  # no two workers draw the same numbers


def drain_shared(folder, worker):
    queue = make_queue(folder, f"{LR}interval(0.1,1)", "study.trials=12", "study.sampler=random")
    turn = itertools.count()
    while not queue.over():
        if taken := queue.take():
            failed = worker == 0 and next(turn) == 0  # which counts for nothing
            queue.study.tell(taken[0], None if failed else 0.5, TrialState.FAIL if failed else None)
        else:
            time.sleep(0.02)


# Samplers


@pytest.mark.parametrize("name", ["tpe", "gp", "cmaes", "random"])
def test_a_sampler_goes_on_where_it_was_interrupted(name, tmp_path):
    if name == "cmaes" and find_spec("cmaes") is None:
        pytest.skip("the package cmaes is not installed")
    typed = [
        f"{LR}tag(log,interval(1e-4,1e-1))",
        "study.space.train.warmup=interval(0,0.5)",
        f"study.sampler={name}",
    ]
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
    value = lambda trial: -abs(trial.params["train.warmup"] - 0.3)  # noqa: E731
    whole = drain(make_queue(tmp_path / "a", *typed, "study.trials=12"), value)
    parts = [drain(make_queue(tmp_path / "b", *typed, f"study.trials={n}"), value) for n in (5, 12)]
    assert [len(part) for part in parts] == [5, 7] and [*parts[0], *parts[1]] == whole


def test_a_grid_is_every_valid_combination_once_and_then_exhausted(tmp_path):
    typed = [
        "study.space.loss=focal,cross_entropy",
        "study.space.focal_gamma=choice(1,2)",
        "study.space.train.lr=[0.1,0.2]",
        "study.sampler=grid",
    ]
    queue = make_queue(tmp_path, *typed)
    found = drain(queue)
    assert sorted(map(tuple, found)) == [
        ("loss=cross_entropy", "train.lr=0.1"),
        ("loss=cross_entropy", "train.lr=0.2"),
        *[
            ("loss=focal", f"focal_gamma={g}", f"train.lr={lr}")
            for g in (1, 2)
            for lr in (0.1, 0.2)
        ],
    ]
    assert queue.over() and queue.take() is None
    assert len(drain(make_queue(tmp_path, *typed, "study.trials=4", name="less"))) == 4


# Storages


def test_a_storage_is_named_in_full(tmp_path):
    assert storage.url_of(None, tmp_path) == f"sqlite:///{tmp_path}/studies.db"
    assert (
        storage.url_of("postgresql://me:pw@host/x", tmp_path) == "postgresql+psycopg://me:pw@host/x"
    )
    for wrong in ("mysql://host/x", "sqlite://", "studies.db"):
        with pytest.raises(ValueError, match=f"study.storage={wrong}: expected sqlite:///FILE"):
            storage.url_of(wrong, tmp_path)


def test_sqlite_on_a_network_file_system_is_refused(monkeypatch):
    monkeypatch.setattr(databases, "file_system", lambda path: "nfs4")
    with pytest.raises(
        ValueError, match=r"tracking.uri=sqlite:////net/me/mlflow.db: /net/me is on a network file"
    ):
        tracking.open_store(None, Path("/net/me"))
    with pytest.raises(
        ValueError,
        match=r"study.storage=sqlite:////net/me/studies.db: /net/me is on a network file",
    ):
        storage.url_of(None, Path("/net/me"))


def test_a_storage_that_cannot_be_used_is_told_in_one_line(tmp_path):
    broken = tmp_path / "studies.db"
    broken.write_bytes(b"no database " * 100)
    with pytest.raises(
        ConnectionError, match=f"study.storage=sqlite:///{broken}: cannot be used \\(file is not a"
    ):
        storage.open_storage(f"sqlite:///{broken}")
    with pytest.raises(ConnectionError) as told:
        storage.open_storage("postgresql+psycopg://me:secret@127.0.0.1:9/x")
    assert "secret" not in str(told.value) and "\n" not in str(told.value)


def test_the_dashboard_s_command_can_be_typed_and_shows_no_password(tmp_path, monkeypatch):
    monkeypatch.setattr(storage.sys, "executable", str(tmp_path / "python"))
    url = f"sqlite:///{tmp_path}/my studies.db"
    command = storage.dashboard_command(url)
    remark = "  (after pip install -e '.[studies]' in a checkout)"
    assert command == f"optuna-dashboard '{url}' --host 127.0.0.1{remark}"
    (tmp_path / "optuna-dashboard").touch()
    assert shlex.split(storage.dashboard_command(url)) == [
        str(tmp_path / "optuna-dashboard"), url, "--host", "127.0.0.1",
    ]  # fmt: skip
    told = storage.dashboard_command("postgresql+psycopg://me:secret@host/x")
    assert (
        "secret" not in told
        and "me:***@host/x" in told
        and told.endswith("(with the password for ***)")
    )


class Harm:
    """What a stranger may have put into a storage: read, it would make a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


def test_the_state_of_cma_es_in_a_storage_is_not_run(tmp_path):
    pytest.importorskip("cmaes", reason="the extra studies is not installed")
    sampler = make_sampler("cmaes", 1)
    state = sampler._split_optimizer_str(pickle.dumps(Harm(tmp_path / "made")).hex())
    trial = optuna.trial.create_trial(value=0.0, system_attrs=state)
    with pytest.raises(
        ValueError,
        match=r"^study.sampler=cmaes: the storage holds .*open, which is no state of CMA-ES",
    ):
        sampler._restore_optimizer([trial])
    assert not (tmp_path / "made").exists()


def test_what_was_left_by_a_process_that_was_killed_while_it_made_the_tables_is_replaced(tmp_path):
    (tmp_path / "studies.db.new").write_bytes(b"half")
    storage.open_storage(f"sqlite:///{tmp_path}/studies.db")
    assert optuna.get_all_study_names(f"sqlite:///{tmp_path}/studies.db") == []
