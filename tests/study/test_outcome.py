"""What a study leaves, from small real runs on generated data."""

import shlex
import shutil
from importlib.util import find_spec
from itertools import combinations

import optuna
import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState
from studies import LR, SMALL, compose, make_queue, name_of, states, trials_of, work, work_without

from nersweep import __main__ as program
from nersweep import terminal
from nersweep.faults import UserError
from nersweep.results.result import FinishedResult, Status, read_result
from nersweep.run import execute
from nersweep.study import loop
from nersweep.study.metric import final_metrics
from nersweep.study.outcome import efficient, seconds_of
from nersweep.study.queue import SECONDS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def gamma_beta(output_dir):
    """Run a study of two trials, then of three: (command, trials of the first, best value)."""
    command = [
        f"output_dir={output_dir}",
        "study=gamma_beta",
        "study.seeds=2",
        "loss=class_balanced",
    ]
    work(*command, "study.trials=2")
    before = trials_of(output_dir, name_of(output_dir, "gamma_beta"))
    value = work(*command, "study.trials=3")
    return command, before, value


def test_trials_are_counted_over_restarts_and_a_finished_study_only_prints(
    gamma_beta, output_dir, capsys
):
    command, before, value = gamma_beta
    trials = trials_of(output_dir, name_of(output_dir, "gamma_beta"))
    assert states(trials) == ["COMPLETE"] * 3
    assert [t.params for t in trials[:2]] == [t.params for t in before]
    assert value == max(t.value for t in trials)
    runs = len(list((output_dir / "runs").iterdir()))
    assert work(*command, "study.trials=3") == value
    assert len(list((output_dir / "runs").iterdir())) == runs
    assert "3 complete" in capsys.readouterr().out


def test_a_trial_is_the_mean_over_its_seeds_and_beta_is_1_minus_the_parameter(
    gamma_beta, output_dir
):
    for trial in trials_of(output_dir, name_of(output_dir, "gamma_beta")):
        assert trial.value == pytest.approx(sum(trial.user_attrs["values"]) / 2)
        assert len(trial.user_attrs["values"]) == 2 and trial.user_attrs["epochs"] == [2, 2]
        assert 1e-5 <= trial.params["1-class_balance_beta"] <= 1e-1
        assert list(trial.intermediate_values) == [1, 2]
    runs = [r for r in results(output_dir) if r.setting.startswith("class_balanced")]
    betas = {round(1 - result.config["effective_beta"], 9) for result in runs}
    parameters = {
        round(t.params["1-class_balance_beta"], 9)
        for t in trials_of(output_dir, name_of(output_dir, "gamma_beta"))
    }
    assert parameters == betas and {result.seed for result in runs} == {1, 2}


def test_the_file_of_the_best_trial_reruns_it(
    gamma_beta, output_dir, tmp_path, monkeypatch, capsys, exit_code
):
    (file,) = output_dir.glob("studies/gamma_beta-*/experiment/best.yaml")
    head = file.read_text().splitlines()
    assert head[0] == "# @package _global_" and head[1].startswith(
        "# python -m nersweep --config-dir "
    )
    runs = len(list((output_dir / "runs").iterdir()))
    printed = shlex.split(head[1].removeprefix("# python "))
    monkeypatch.chdir(tmp_path)
    assert exit_code(program.main, *printed[2:]) == 0, capsys.readouterr().err
    assert len(list((output_dir / "runs").iterdir())) == runs  # the run was finished before
    best = max(trials_of(output_dir, name_of(output_dir, "gamma_beta")), key=lambda t: t.value)
    copy = tmp_path / "copy" / "experiment" / "mine.yaml"
    copy.parent.mkdir(parents=True)
    shutil.copy(file, copy)
    command = ["--config-dir", str(copy.parents[1]), "experiment=mine", f"output_dir={tmp_path}"]
    assert exit_code(program.main, *command) == 0, capsys.readouterr().err
    (result,) = results(tmp_path)
    assert result.dev.f1 == best.user_attrs["values"][0]
    same_name = next(tmp_path.glob("runs/*")).name  # and so the same fingerprint
    assert (output_dir / "runs" / same_name / "result.json").exists()


def test_the_tracker_has_one_run_for_the_study_with_pictures_and_children(gamma_beta, output_dir):
    client = MlflowClient(f"sqlite:///{output_dir}/mlflow.db")
    experiment = client.get_experiment_by_name("nersweep").experiment_id
    name = name_of(output_dir, "gamma_beta")
    (parent,) = client.search_runs([experiment], f"tags.study = '{name}'")
    assert parent.info.status == "FINISHED"
    assert parent.data.params["space.focal_gamma"] == "interval(0,5)"
    assert (
        parent.data.metrics["best/f1"] == gamma_beta[2]
        and parent.data.metrics["trials/complete"] == 3
    )
    assert (
        float(parent.data.tags["best/class_balance_beta"])
        == parent.data.metrics["best/class_balance_beta"]
    )
    children = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    assert len(children) == 6
    artifacts = {file.path for file in client.list_artifacts(parent.info.run_id)}
    plots = ("history", "importance", "slice", "contour")
    assert {f"{name}.png" for name in plots} | {"best.yaml"} <= artifacts
    if find_spec("plotly"):
        assert {f"{name}.html" for name in plots} <= artifacts
        page = (output_dir / "studies" / name / "slice.html").read_text()
        assert "plotly" in page and 'src="http' not in page


def test_a_hopeless_learning_rate_is_pruned(output_dir, capsys):
    lrs = "choice(0.01,0.011,0.012,0.013,0.014,1e-12)"
    command = [
        f"output_dir={output_dir}",
        f"{LR}{lrs}",
        "study.sampler=grid",
        "study.name=hopeless",
    ]
    work_without("train.lr", *command, "train.epochs=4", "study.metric=accuracy")
    trials = trials_of(output_dir, "hopeless")
    assert states(trials) == ["COMPLETE"] * 5 + ["PRUNED"]
    assert trials[-1].params == {"train.lr": 1e-12} and trials[-1].user_attrs["epochs"] == [2]
    assert "pruning saved 2 of 24 epochs" in capsys.readouterr().out
    (result,) = [r for r in results(output_dir) if r.status == Status.PRUNED]
    assert not isinstance(result, FinishedResult)


def results(output_dir):
    """Return the results of all runs."""
    return [read_result(file) for file in output_dir.glob("runs/*/result.json")]


def test_a_diverging_trial_is_printed_and_ends_no_other(output_dir, capsys):
    command = [
        f"output_dir={output_dir}",
        f"{LR}choice(1e30,0.02)",
        "study.sampler=grid",
        "study.name=diverging",
    ]
    work_without("train.lr", *command, "train.max_grad_norm=1e30", "train.warmup=0")
    failed, finished = trials_of(output_dir, "diverging")
    assert states([failed, finished]) == ["FAIL", "COMPLETE"]
    assert failed.user_attrs["failed"].startswith("the loss is ")
    (line,) = terminal.faults
    assert line.startswith("trial 0 (train.lr=1e+30): the loss is ")
    assert "1 complete, 1 failed" in capsys.readouterr().out


def test_the_front_has_the_trials_that_no_other_beats_in_value_and_time():
    trials = []
    for value, seconds in [(0.5, [9]), (0.4, [4, 4]), (0.3, [8.5]), (0.3, [1]), (0.2, None)]:
        own = {SECONDS: seconds} if seconds else {}
        trials.append(optuna.trial.create_trial(value=value, user_attrs=own))
    assert [seconds_of(trial) for trial in efficient(trials)] == [9, 8, 1]
    assert efficient(trials[-1:]) == []


def test_a_study_says_what_more_random_trials_would_bring_and_draws_its_front(output_dir, capsys):
    space = ["study.space.train.epochs=choice(1,2,3)", f"{LR}interval(0.001,0.1)"]
    command = [f"output_dir={output_dir}", "study.trials=4", "study.pruner=none", *space]
    without = [setting for setting in SMALL if not setting.startswith(("train.lr", "train.epochs"))]
    loop.work(*compose(*without, *command, "study.sampler=random", "study.name=drawn"))
    trials = trials_of(output_dir, "drawn")
    best = max(trial.value for trial in trials)
    pairs = [max(a.value, b.value) for a, b in combinations(trials, 2)]
    gain = best - sum(pairs) / len(pairs)
    line = f"2 more trials would improve f1 by at most {gain:.4f} on average"
    assert line in " ".join(capsys.readouterr().out.split())
    assert (output_dir / "studies" / "drawn" / "front.png").stat().st_size > 0
    for trial in trials:
        (seconds,) = trial.user_attrs[SECONDS]
        assert 0 < seconds < (trial.datetime_complete - trial.datetime_start).total_seconds()


def test_on_failure_stop_starts_no_other_trial(output_dir):
    command = [
        f"output_dir={output_dir}",
        f"{LR}choice(1e30,0.02)",
        "study.sampler=grid",
        "study.name=stopping",
    ]
    command += ["train.max_grad_norm=1e30", "train.warmup=0", "on_failure=stop"]
    with pytest.raises(UserError) as error:
        work_without("train.lr", *command)
    (fault,) = error.value.faults
    assert fault.setting == "trial 0 (train.lr=1e+30)" and fault.must.startswith("the loss is ")
    assert states(trials_of(output_dir, "stopping")) == ["FAIL"]
    client = MlflowClient(f"sqlite:///{output_dir}/mlflow.db")
    (run,) = client.search_runs(
        [client.get_experiment_by_name("nersweep").experiment_id], "tags.study = 'stopping'"
    )
    assert run.info.status == "FAILED"


def test_on_failure_stop_ends_the_other_workers_too(tmp_path):
    command = ["loss=focal", "study.space.focal_gamma=choice(1,2,3)", "on_failure=stop"]
    one, other = (make_queue(tmp_path, *command) for _ in range(2))
    trial, _ = one.ask()
    assert not other.is_over()
    one.study.tell(trial, state=TrialState.FAIL)
    assert other.is_over()


def test_a_dead_tracker_ends_no_study_and_the_same_command_brings_it_up_to_date(
    output_dir, monkeypatch, capsys
):
    command = [
        f"output_dir={output_dir}",
        f"{LR}choice(2e30,0.0202)",
        "study.sampler=grid",
        "study.name=away",
    ]
    command += ["train.max_grad_norm=1e30", "train.warmup=0"]
    file, aside, perform = output_dir / "mlflow.db", output_dir / "aside", execute.perform

    def take_away(*given):
        if not aside.exists():
            file.rename(aside)
            file.mkdir()
        return perform(*given)

    with monkeypatch.context() as during:
        during.setattr(execute, "perform", take_away)
        value = work_without("train.lr", *command)
    file.rmdir()
    aside.rename(file)
    out = capsys.readouterr().out
    assert "1 complete, 1 failed" in out and "to sync MLflow, run the same command again" in out
    client = MlflowClient(f"sqlite:///{file}")
    experiment = [client.get_experiment_by_name("nersweep").experiment_id]
    (whole,) = client.search_runs(experiment, "tags.study = 'away'")
    assert whole.info.status == "RUNNING" and "best/f1" not in whole.data.metrics

    monkeypatch.setattr(loop.Worker, "run_once", None)  # nothing is trained again
    assert work_without("train.lr", *command) == value
    whole, children = (
        client.get_run(whole.info.run_id),
        f"tags.mlflow.parentRunId = '{whole.info.run_id}'",
    )
    assert whole.info.status == "FINISHED" and whole.data.metrics["best/f1"] == value
    runs = {child.data.tags["status"]: child for child in client.search_runs(experiment, children)}
    assert runs.keys() == {"finished", "diverged"} and runs["diverged"].info.status == "FAILED"
    assert runs["finished"].data.metrics["dev/best_f1"] == value


def test_a_score_of_the_end_can_be_the_value_of_a_trial(output_dir):
    command = [
        f"output_dir={output_dir}",
        "loss=focal",
        "study.space.focal_gamma=0,1",
        "study.sampler=grid",
    ]
    command += [
        "study.metric=errors/missed",
        "study.direction=minimize",
        "study.pruner=none",
        "seed=6",
    ]
    value = work(*command, "study.name=once")
    trials = trials_of(output_dir, "once")
    runs = [result for result in results(output_dir) if result.seed == 6]
    missed = {run.config["focal_gamma"]: run.analysis.dev.errors.missed for run in runs}
    assert {t.params["focal_gamma"]: t.value for t in trials} == missed and len(missed) == 2
    assert value == min(missed.values()) and not any(t.intermediate_values for t in trials)
    names = {name for name in runs[0].analysis.dev.flat() if not name.endswith("/support")}
    assert names == set(final_metrics())


OWN = """# @package _global_
my_gamma: 2.0
loss: {_target_: nersweep.losses.FocalLoss, gamma: '${my_gamma}'}
"""


BEST = "study.export=own/experiment/best.yaml"


@pytest.mark.parametrize("export", [pytest.param([], marks=pytest.mark.long), [BEST]])
def test_printed_commands_work_with_the_options_of_a_folder(
    export, tmp_path, monkeypatch, capsys, exit_code
):
    (tmp_path / "own" / "loss").mkdir(parents=True)
    (tmp_path / "own" / "loss" / "mine.yaml").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    command = [
        "--config-dir",
        "own",
        *SMALL,
        "loss=mine",
        "study.space.my_gamma=interval(0,5)",
        *export,
    ]
    assert exit_code(program.main, *command, "study.trials=1", "seed=3") == 0
    (best,) = [line for line in capsys.readouterr().out.split("\n") if line.startswith("best: ")]
    (file,) = (
        [tmp_path / export[0].partition("=")[2]]
        if export
        else tmp_path.glob("outputs/studies/*/experiment/*")
    )
    rerun, _, study_command = (
        line.removeprefix("# ") for line in file.read_text().split("\n")[1:4]
    )
    assert rerun == best.removeprefix("best: ")
    assert shlex.split(study_command) == [
        "python",
        "-m",
        "nersweep",
        *command,
        "study.trials=1",
        "seed=3",
    ]
    client = MlflowClient(f"sqlite:///{tmp_path}/outputs/mlflow.db")
    (study,) = client.search_runs(
        [client.get_experiment_by_name("nersweep").experiment_id], "tags.kind = 'study'"
    )
    assert study.data.tags["mlflow.note.content"] == f"`{study_command}`"
    for command_line in (rerun, study_command):  # run and study are finished
        assert exit_code(program.main, *shlex.split(command_line)[3:]) == 0
        assert len(results(tmp_path / "outputs")) == 1
    assert (tmp_path / "own" / "experiment").exists() == bool(export)
