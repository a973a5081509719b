"""Studies: exactly so many trials over restarts, workers and deaths; spaces in Hydra's grammar; what is left.

Small real runs on generated data where training matters, and a formula in its place where only the queue does."""

import itertools
import json
import multiprocessing
import os
import pickle
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from omegaconf import OmegaConf
from optuna.trial import TrialState

from nersweep import cli, command, filesystems, plan, signals, store, tracking
from nersweep import config as sections
from nersweep.compose import Composer
from nersweep.progress import TrainingProgress
from nersweep.study import lease, loop, storage
from nersweep.study import space as spaces
from nersweep.study.queue import Queue, make_pruner, make_sampler

SMALL = [
    "data.train=60", "data.dev=20", "data.test=20", "train.epochs=2", "train.batch_size=8", "train.lr=1e-2",
    "model.hidden=8", "model.layers=1", "model.heads=2", "train.precision=fp32",
]  # fmt: skip
LR = "study.space.train.lr="
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["nersweep.study.loop"])


def composed(*arguments):
    """(configuration, its overrides, what composes)."""
    sections.register()
    overrides = [command.as_hydra_takes_it(argument) for argument in arguments]
    composer = Composer()
    return composer(overrides), overrides, composer


def work(*arguments):
    return loop.work(*composed(*SMALL, *arguments))


def work_without(setting, *arguments):
    """With that setting left to the study."""
    return loop.work(*composed(*(a for a in SMALL if not a.startswith(setting)), *arguments))


def faults(*arguments):
    config, _, composer = composed(*SMALL, *arguments)
    return spaces.faults(config, composer)


@pytest.fixture(scope="module")
def output_dir(tmp_path_factory):
    """One for all studies here: to make the tables of a tracking store takes seconds."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(autouse=True)
def nothing_told():
    cli.told.clear()
    yield
    cli.told.clear()


def trials_of(output_dir, name):
    return optuna.load_study(study_name=name, storage=f"sqlite:///{output_dir}/studies.db").trials


def states(trials):
    return [trial.state.name for trial in trials]


def make_queue(folder, *arguments, name="s"):
    """The queue of a study on no data."""
    config, _, composer = composed(*arguments)
    kept, lock = storage.open_storage(f"sqlite:///{folder}/studies.db")
    pruner = make_pruner(config.study.pruner, 8)
    study = optuna.create_study(
        study_name=name, storage=kept, direction=config.study.direction, pruner=pruner, load_if_exists=True
    )
    return Queue.of(study, kept, lock, spaces.make(config, composer), config)


def drain(queue, value=lambda trial: trial.number / 100):
    """Overrides of the trials that were taken until there were enough; `value` is told of each."""
    taken = []
    while not queue.over():
        trial, drawn = queue.take()
        taken.append(drawn)
        queue.study.tell(trial, value(trial))
    return taken


# What a study leaves


@pytest.fixture(scope="module")
def gamma_beta(output_dir):
    """A study of three trials, and then of four: (typed, printed by the second, output_dir)."""
    typed = [f"output_dir={output_dir}", "study=gamma_beta", "study.seeds=2", "loss=class_balanced"]
    work(*typed, "study.trials=3")
    before = trials_of(output_dir, names(output_dir, "gamma_beta"))
    value = work(*typed, "study.trials=4")
    return typed, before, value


def names(output_dir, option):
    """The one study of this option."""
    found = optuna.get_all_study_names(f"sqlite:///{output_dir}/studies.db")
    (name,) = [name for name in found if name.startswith(f"{option}-")]
    return name


def test_the_total_is_counted_over_restarts_and_a_finished_study_only_tells(gamma_beta, output_dir, capsys):
    typed, before, value = gamma_beta
    trials = trials_of(output_dir, names(output_dir, "gamma_beta"))
    assert states(trials) == ["COMPLETE"] * 4
    assert [t.params for t in trials[:3]] == [t.params for t in before]
    assert value == max(t.value for t in trials)
    runs = len(list((output_dir / "runs").iterdir()))
    assert work(*typed, "study.trials=4") == value
    assert len(list((output_dir / "runs").iterdir())) == runs
    assert "4 ran to the end" in capsys.readouterr().out


def test_a_trial_is_the_mean_over_its_seeds_and_beta_is_1_minus_what_was_drawn(gamma_beta, output_dir):
    for trial in trials_of(output_dir, names(output_dir, "gamma_beta")):
        assert trial.value == pytest.approx(sum(trial.user_attrs["values"]) / 2)
        assert len(trial.user_attrs["values"]) == 2 and trial.user_attrs["epochs"] == [2, 2]
        assert 1e-5 <= trial.params["1-class_balance_beta"] <= 1e-1
        assert list(trial.intermediate_values) == [1, 2]
    runs = [r for r in results(output_dir) if r["name"].startswith("class_balanced-")]
    betas = {round(1 - result["config"]["effective_beta"], 9) for result in runs}
    drawn = {round(t.params["1-class_balance_beta"], 9) for t in trials_of(output_dir, names(output_dir, "gamma_beta"))}
    assert drawn == betas and {result["config"]["seed"] for result in runs} == {1, 2}


def test_the_best_trial_s_file_reruns_it(gamma_beta, output_dir, tmp_path, monkeypatch, capsys):
    from nersweep import __main__ as program

    (file,) = output_dir.glob("studies/gamma_beta-*/experiment/best.yaml")
    head = file.read_text().splitlines()
    assert head[0] == "# @package _global_" and head[1].startswith("# python -m nersweep --config-dir ")
    runs = len(list((output_dir / "runs").iterdir()))
    printed = shlex.split(head[1].removeprefix("# python "))
    done = subprocess.run([sys.executable, *printed], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(list((output_dir / "runs").iterdir())) == runs  # the run is there already
    best = max(trials_of(output_dir, names(output_dir, "gamma_beta")), key=lambda t: t.value)
    kept = tmp_path / "kept" / "experiment" / "mine.yaml"
    kept.parent.mkdir(parents=True)
    shutil.copy(file, kept)
    typed = ["--config-dir", str(kept.parents[1]), "experiment=mine", f"output_dir={tmp_path}"]
    monkeypatch.setattr("sys.argv", ["nersweep", *typed])
    with pytest.raises(SystemExit) as end:
        program.main()
    assert end.value.code == 0, capsys.readouterr().err
    (result,) = [json.loads(f.read_text()) for f in tmp_path.glob("runs/*/result.json")]
    assert result["dev"]["f1"] == best.user_attrs["values"][0]
    assert (output_dir / "runs" / next(tmp_path.glob("runs/*")).name / "result.json").exists()  # the same fingerprint


def test_the_tracker_has_one_run_for_the_study_with_pictures_and_children(gamma_beta, output_dir):
    client = MlflowClient(f"sqlite:///{output_dir}/mlflow.db")
    experiment = client.get_experiment_by_name("nersweep").experiment_id
    name = names(output_dir, "gamma_beta")
    (parent,) = client.search_runs([experiment], f"tags.study = '{name}'")
    assert parent.info.status == "FINISHED"
    assert parent.data.params["space.focal_gamma"] == "interval(0,5)"
    assert parent.data.metrics["best/f1"] == gamma_beta[2] and parent.data.metrics["trials/complete"] == 4
    assert float(parent.data.tags["best/class_balance_beta"]) == parent.data.metrics["best/class_balance_beta"]
    children = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    assert len(children) == 8
    kept = {file.path for file in client.list_artifacts(parent.info.run_id)}
    pictures = {f"{name}.{kind}" for name in ("history", "importance", "slice", "contour") for kind in ("png", "html")}
    assert pictures | {"best.yaml"} <= kept
    page = (output_dir / "studies" / name / "slice.html").read_text()
    assert "<img" in page or "plotly" in page
    assert 'src="http' not in page


# Pruning and failures


def test_a_hopeless_learning_rate_is_pruned(output_dir, capsys):
    lrs = "choice(0.01,0.011,0.012,0.013,0.014,1e-12)"
    typed = [f"output_dir={output_dir}", f"{LR}{lrs}", "study.sampler=grid", "study.name=hopeless"]
    work_without("train.lr", *typed, "train.epochs=4", "study.metric=accuracy")
    trials = trials_of(output_dir, "hopeless")
    assert states(trials) == ["COMPLETE"] * 5 + ["PRUNED"]
    assert trials[-1].params == {"train.lr": 1e-12} and trials[-1].user_attrs["epochs"] == [2]
    assert "pruning saved 2 of 24 epochs" in capsys.readouterr().out
    (result,) = [r for r in results(output_dir) if r["status"] == "pruned"]
    assert "config" not in result


def results(output_dir):
    return [json.loads(file.read_text()) for file in (output_dir / "runs").glob("*/result.json")]


def test_a_trial_that_diverges_is_told_and_stops_no_other(output_dir, capsys):
    typed = [f"output_dir={output_dir}", f"{LR}choice(1e30,0.02)", "study.sampler=grid", "study.name=diverging"]
    work_without("train.lr", *typed, "train.max_grad_norm=1e30", "train.warmup=0")
    failed, finished = trials_of(output_dir, "diverging")
    assert states([failed, finished]) == ["FAIL", "COMPLETE"]
    assert failed.user_attrs["failed"].startswith("the loss is ")
    (line,) = cli.told
    assert line.startswith("trial 0 (train.lr=1e+30): the loss is ")
    assert "1 ran to the end, 1 failed" in capsys.readouterr().out


# Workers that share a study, and die


def test_a_worker_that_was_killed_leaves_its_trial_to_another_that_goes_on_from_the_checkpoint(output_dir, capsys):
    typed = [
        f"output_dir={output_dir}",
        f"{LR}choice(0.021,0.022,0.023)",
        "study.sampler=grid",
        "study.name=shared",
        "train.epochs=30",
        "study.pruner=none",
    ]
    arguments = [a for a in SMALL if not a.startswith("train.")] + ["train.precision=fp32", "train.batch_size=8"]
    killed, other = (PROCESSES.Process(target=work_from, args=[[*arguments, *typed]]) for _ in range(2))
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
    history = MlflowClient(f"sqlite:///{output_dir}/mlflow.db").get_metric_history(after["run_id"], "dev/f1")
    assert [metric.step for metric in history] == list(range(1, 31))


def work_from(arguments):
    signals.listen()
    loop.work(*composed(*arguments))


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


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
    worker = loop.Worker(queue, config, [1], composer, "")
    watch = loop.Watch(worker, again, 0, queue.told(again), last=None, reports=True)
    watch(1, {"f1": 0.7})
    with pytest.raises(loop.run.Pruned, match="after epoch 2"):  # as where the process ended between both
        watch(2, {"f1": 0.7})
    (kept,) = queue.trials()
    assert kept.intermediate_values == {1: 0.5, 2: 0.5} and kept.user_attrs["epochs"] == [2]


def test_a_run_that_another_process_makes_is_waited_for(output_dir):
    space = ["study.space.loss=choice(cross_entropy,focal)", "study.sampler=grid", "study.name=beside"]
    _, _, composer = composed()
    made = plan.make(composer([*SMALL, f"output_dir={output_dir}", "loss=focal", "seed=4"]))
    holds = threading.Event()

    def hold():
        with store.claimed(made.folder):
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
    worker = loop.Worker(queue, config, [1], composer, "")
    loop.Watch(worker, trial, 0, set(), last=3, reports=True)(3, {"f1": 0.5})
    with pytest.raises(loop.run.Pruned, match="after epoch 2"):
        loop.Watch(worker, trial, 0, set(), last=3, reports=True)(2, {"f1": 0.5})


def test_a_signal_gives_the_trial_back_and_the_same_command_goes_on(output_dir, monkeypatch):
    typed = [f"output_dir={output_dir}", "loss=focal", "study=focal_gamma", "study.trials=1", "study.name=signalled"]
    before = [signal.getsignal(number) for number in signals.ENDING]
    signals.listen()
    try:
        with monkeypatch.context() as patched, pytest.raises(SystemExit):
            patched.setattr(TrainingProgress, "step", lambda _: signal.raise_signal(signal.SIGTERM))
            work(*typed)
    finally:
        for number, handler in zip(signals.ENDING, before, strict=True):
            signal.signal(number, handler)
    (trial,) = trials_of(output_dir, "signalled")
    assert trial.state == TrialState.WAITING and trial.params
    signals.asked.clear()
    work(*typed)
    (again,) = trials_of(output_dir, "signalled")
    assert again.state == TrialState.COMPLETE and again.params == trial.params and "deaths" not in again.user_attrs


def test_four_processes_at_once_open_an_empty_storage_and_share_exactly_so_many_trials(tmp_path):
    workers = [PROCESSES.Process(target=drain_shared, args=[tmp_path, i]) for i in range(4)]
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
    typed = [f"{LR}tag(log,interval(1e-4,1e-1))", "study.space.train.warmup=interval(0,0.5)", f"study.sampler={name}"]
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
        *[("loss=focal", f"focal_gamma={g}", f"train.lr={lr}") for g in (1, 2) for lr in (0.1, 0.2)],
    ]
    assert queue.over() and queue.take() is None
    assert len(drain(make_queue(tmp_path, *typed, "study.trials=4", name="less"))) == 4


# Spaces


def test_a_knob_is_drawn_in_the_trials_whose_option_has_it(tmp_path):
    queue = make_queue(tmp_path, "study=loss", "study.trials=40", "study.sampler=random")
    owners = {"focal_gamma": {"focal", "batch_balanced", "class_balanced"}, "gce_q": {"gce"}, "ghm_bins": {"ghm"}}
    seen = set()
    for drawn in drain(queue):
        values = dict(override.split("=") for override in drawn)
        seen.add(values["loss"])
        for knob, losses in owners.items():
            assert (knob in values) == (values["loss"] in losses), drawn
    assert {"focal", "gce", "ghm", "cross_entropy"} <= seen


GRAMMAR = {
    "interval(0,5)": dict(low=0.0, high=5.0),
    "int(interval(1,8))": dict(low=1, high=8, whole=True),
    "tag(log, int(interval(1,8)))": dict(low=1, high=8, whole=True, log=True),
    "tag(log, complement, interval(1e-5, 1e-1))": dict(low=1e-5, high=0.1, log=True, complement=True),
    "range(1,4)": dict(values=(1, 2, 3)),
    "a, b,a": dict(values=("a", "b")),
    "choice('a b', true, 3)": dict(values=("a b", True, 3)),
    "[1,2],[3]": dict(values=([1, 2], [3])),
}


@pytest.mark.parametrize("text", GRAMMAR)
def test_a_space_is_read_as_hydra_reads_it(text):
    assert spaces.dimension("x", text) == spaces.Dimension("x", text, **GRAMMAR[text])
    (found,) = spaces.read({"train": {"x": text}})[0]
    assert found.name == "train.x"


def test_a_number_on_a_log_scale_of_1_minus_it_has_no_digits_that_subtraction_made_up():
    dimension = spaces.dimension("b", "tag(log,complement,interval(1e-5,1e-1))")
    assert dimension.key == "1-b" and dimension.corners() == [0.99999, 0.9]


@pytest.mark.parametrize("value", ["a b", "it's", "a\\", "true", "3", None, True, 1e-05, [1, "x y"], {"O": 0.5}, ""])
def test_a_value_is_typed_so_that_hydra_reads_it_back(value):
    config, _, _ = composed(f"+data.x={spaces.quoted(value)}")
    read = config.data.x
    assert (OmegaConf.to_container(read) if OmegaConf.is_config(read) else read) == value


def test_a_trial_has_what_was_typed_and_what_the_study_s_own_file_sets(tmp_path):
    (tmp_path / "study").mkdir()
    text = "# @package _global_\ndefaults: [override /loss: focal, _self_]\n"
    text += "train: {epochs: 5}\nfocal_alpha: {O: 0.5}\nstudy: {space: {focal_gamma: '0,1'}}\n"
    (tmp_path / "study" / "mine.yaml").write_text(text)
    sections.register()
    composer = Composer(folder=str(tmp_path))
    config = composer(["study=mine", "seed=7", "train.lr=0.5"])
    assert not spaces.faults(config, composer)
    space = spaces.make(config, composer)
    trial = composer([*space.fixed, *space.first()])
    assert (trial.train.epochs, trial.train.lr, trial.seed, trial.focal_gamma) == (5, 0.5, 7, 0)
    assert trial.focal_alpha == {"O": 0.5} and trial.choice.loss == "focal" and not trial.study.space


WITH_GAMMA = "loss=batch_balanced|class_balanced|compound|focal|weighted_focal"
EXPECTED = f"expected {spaces.GRAMMAR}"
BAD = {
    "study.space.focal_gamma=interval(0,5)": [
        f"study.space.focal_gamma=interval(0,5): nothing reads it with loss=cross_entropy; it belongs to {WITH_GAMMA}"
    ],
    "loss=focal study.space.focal_gamma=interval(-1,5)": ["focal_gamma=-1.0: must be ≥ 0 (0 is cross entropy)"],
    "loss=focal study.space.focal_gamma=interval(5,0)": [
        "study.space.focal_gamma=interval(5,0): an empty interval; must be from a lower number to a higher one"
    ],
    "study.space.foo=interval(0,5)": ["study.space.foo=interval(0,5): no such setting"],
    "study.space.train.lr=3": [f"study.space.train.lr=3: one value, and nothing to search; {EXPECTED}"],
    "study.space.train.lr=interval(0": [f"study.space.train.lr=interval(0: cannot be read; {EXPECTED}"],
    "study.space.train.warmup=tag(log,interval(0,0.5))": [
        "study.space.train.warmup=tag(log,interval(0,0.5)): a log scale begins above 0"
    ],
    "study.space.train.warmup=tag(lg,interval(0,0.5))": [
        "study.space.train.warmup=tag(lg,interval(0,0.5)): no such tag: lg; there are complement, log"
    ],
    "study.space.loss=focal,nope": ["study.space.loss=focal,nope: no such option: nope"],
    "study.space.loss=focal,crf weights=effective": [
        "weights=effective: loss=crf takes no class weights; type weights=none"
    ],
    "study.space.seed=1,2": ["study.space.seed=1,2: is not searched; study.seeds are those of each trial"],
    "study.space.train.checkpoint_minutes=1,2": [
        "study.space.train.checkpoint_minutes=1,2: is not searched, for it changes no score"
    ],
    "study.space.device=cpu,cuda": ["study.space.device=cpu,cuda: is not searched, for it changes no score"],
    "study=focal_gamma focal_gamma=3": ["focal_gamma=3: is searched, by study.space.focal_gamma; leave one out"],
    "study=focal_gamma study.sampler=grid study.seeds=0": [
        "study.seeds=0: expected how many, or a list of different whole numbers, as in [1,2,3]",
        "study.space.focal_gamma=interval(0, 5): study.sampler=grid needs values; type choice(...) or range(...)",
    ],
    "study=focal_gamma study.pruner=wilcoxon study.seeds=4": [
        "study.pruner=wilcoxon: prunes from the fourth seed on; type study.seeds=5 or more"
    ],
    "study=focal_gamma study.name=a/b": ["study.name=a/b: expected letters, digits, - and _, up to 100 of them"],
    "study=focal_gamma study.export=best.yaml": [
        "study.export=best.yaml: expected DIR/experiment/NAME.yaml, for experiment=NAME"
    ],
    "study.trials=3": [
        "study.trials=3: nothing is searched; type study=NAME, or study.space.KNOB=interval(LOW,HIGH)"
    ],
}  # fmt: skip


@pytest.mark.parametrize("typed", BAD)
def test_a_bad_space_is_told_in_one_line_each(typed):
    assert faults(*typed.split(" ")) == BAD[typed]


STUDIES = sorted(file.stem for file in (Path(__file__).parents[1] / "conf" / "study").glob("*.yaml"))


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_is_without_fault(name):
    assert faults(f"study={name}") == []


def test_a_study_of_that_name_that_searched_something_else_is_told_with_the_difference(output_dir, gamma_beta):
    name = names(output_dir, "gamma_beta")
    typed = [f"output_dir={output_dir}", f"study.name={name}", "loss=class_balanced", "data.train=61", "study.seeds=2"]
    typed += ["study.space.focal_gamma=interval(0,4)", "study.direction=minimize", "study=gamma_beta"]
    remedy = f"; the study {name} was begun that way: type it so, or another study.name"
    with pytest.raises(ValueError) as told:
        work(*typed)
    assert str(told.value).split("\n") == [
        f"study.direction=minimize: was maximize{remedy}",
        f"study.space.focal_gamma=interval(0,4): was interval(0,5){remedy}",
        f"data.train=61: was data.train=60{remedy}",
    ]


def asked(*arguments):
    config, overrides, composer = composed(*arguments)
    return loop.ask(config, overrides, composer)


def test_a_study_is_the_same_wherever_it_is_made_and_its_data_lies(tmp_path):
    files = {}
    for place in ("a", "b", "other"):
        (tmp_path / place).mkdir()
        for split in ("train", "dev", "test"):
            word = "Eva" if place == "other" else "Ada"
            (tmp_path / place / split).write_text(f"{word} B-PER\nsaw O\nPau B-LOC\n\n" * 4)
        files[place] = [
            "data=conll",
            *(f"data.{split}={tmp_path / place / split}" for split in ("train", "dev", "test")),
        ]
    typed = [*(setting for setting in SMALL if not setting.startswith("data.")), "study=focal_gamma"]
    first = asked(*typed, *files["a"])
    elsewhere = ["gpus_per_run=0.5", "train.checkpoint_minutes=1", "train.auto_batch=true", f"output_dir={tmp_path}"]
    elsewhere += ["tracking.experiment=x", "on_failure=stop", "study.trials=9", "study.worker=3"]
    moved = asked(*typed, *files["b"], *elsewhere)
    assert moved.name == first.name
    assert not loop.contradictions("x", first.about, moved.about)
    for other in ("train.warmup=0.5", "study.seeds=2", "seed=2", "study.sampler=random"):
        assert asked(*typed, *files["a"], other).name != first.name, other
    slower = [setting.replace("train.lr=1e-2", "train.lr=1e-3") for setting in typed]
    assert slower != typed and asked(*slower, *files["a"]).name != first.name
    another = asked(*typed, *files["other"])
    assert another.name != first.name
    (line,) = loop.contradictions("x", first.about, another.about)
    assert line.startswith("data.dev=") and f"{tmp_path}/other/train" in line and f"{tmp_path}/a/train" in line


def test_a_metric_that_no_run_has(output_dir):
    with pytest.raises(ValueError, match=r"study.metric=f2: no such score; there are f1, .*strict/f1, .*PER/f1"):
        work(f"output_dir={output_dir}", "loss=focal", "study=focal_gamma", "study.metric=f2")


# Storages


def test_a_storage_is_named_in_full(tmp_path):
    assert storage.url_of(None, tmp_path) == f"sqlite:///{tmp_path}/studies.db"
    assert storage.url_of("postgresql://me:pw@host/x", tmp_path) == "postgresql+psycopg://me:pw@host/x"
    for wrong in ("mysql://host/x", "sqlite://", "studies.db"):
        with pytest.raises(ValueError, match=f"study.storage={wrong}: expected sqlite:///FILE"):
            storage.url_of(wrong, tmp_path)


def test_sqlite_on_a_network_file_system_is_refused(tmp_path, monkeypatch):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 0:1 / / rw - ext4 /dev/vda rw\n23 22 0:2 / /net rw shared:1 - nfs4 host:/ rw\n"
        "24 23 0:3 / /net/my\\040disk rw - xfs /dev/vdb rw\n"
    )
    monkeypatch.setattr(filesystems, "MOUNTS", mounts)
    assert filesystems.file_system(Path("/net/my disk/x")) == "xfs"
    with pytest.raises(ValueError, match=r"tracking.uri=sqlite:////net/me/mlflow.db: /net/me is on a network file"):
        tracking.open_store(None, Path("/net/me"))
    with pytest.raises(ValueError, match=r"study.storage=sqlite:////net/me/studies.db: /net/me is on a network file"):
        storage.url_of(None, Path("/net/me"))


def test_a_storage_that_cannot_be_used_is_told_in_one_line(tmp_path):
    broken = tmp_path / "studies.db"
    broken.write_bytes(b"no database " * 100)
    with pytest.raises(ConnectionError, match=f"study.storage=sqlite:///{broken}: cannot be used \\(file is not a"):
        storage.open_storage(f"sqlite:///{broken}")
    with pytest.raises(ConnectionError) as told:
        storage.open_storage("postgresql+psycopg://me:secret@127.0.0.1:9/x")
    assert "secret" not in str(told.value) and "\n" not in str(told.value)


def test_the_dashboard_s_command_can_be_typed_and_shows_no_password(tmp_path, monkeypatch):
    monkeypatch.setattr(storage.sys, "executable", str(tmp_path / "python"))
    url = f"sqlite:///{tmp_path}/my studies.db"
    command = storage.dashboard_command(url)
    assert command == f"pip install 'nersweep[studies]' && optuna-dashboard '{url}' --host 127.0.0.1"
    (tmp_path / "optuna-dashboard").touch()
    assert shlex.split(storage.dashboard_command(url)) == [
        str(tmp_path / "optuna-dashboard"), url, "--host", "127.0.0.1",
    ]  # fmt: skip
    told = storage.dashboard_command("postgresql+psycopg://me:secret@host/x")
    assert "secret" not in told and "me:***@host/x" in told and told.endswith("(with the password for ***)")


def test_a_sampler_without_its_package_is_told(monkeypatch):
    typed = ["study=gamma_beta", "loss=class_balanced", "study.sampler=cmaes"]
    monkeypatch.setattr(spaces, "find_spec", lambda name: None)
    assert faults(*typed) == ["study.sampler=cmaes: needs the package cmaes; type pip install 'nersweep[studies]'"]
    monkeypatch.setattr(spaces, "find_spec", lambda name: name)
    assert faults(*typed) == []


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
        ValueError, match=r"^study.sampler=cmaes: the storage holds .*open, which is no state of CMA-ES"
    ):
        sampler._restore_optimizer([trial])
    assert not (tmp_path / "made").exists()


def test_what_was_left_by_a_process_that_was_killed_while_it_made_the_tables_is_replaced(tmp_path):
    (tmp_path / "studies.db.new").write_bytes(b"half")
    storage.open_storage(f"sqlite:///{tmp_path}/studies.db")
    assert optuna.get_all_study_names(f"sqlite:///{tmp_path}/studies.db") == []
