"""What a study leaves, from small real runs on generated data; and what makes two studies the same."""

import json
import shlex
import shutil
import subprocess
import sys

import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState
from studies import LR, SMALL, asked, make_queue, names, states, trials_of, work, work_without

from nersweep import __main__ as program
from nersweep import terminal
from nersweep.evaluation import metrics
from nersweep.losses import FocalLoss
from nersweep.run import execute, identity
from nersweep.study import loop
from nersweep.study import space as spaces


@pytest.fixture(scope="module")
def gamma_beta(output_dir):
    """A study of three trials, and then of four: (typed, printed by the second, output_dir)."""
    typed = [f"output_dir={output_dir}", "study=gamma_beta", "study.seeds=2", "loss=class_balanced"]
    work(*typed, "study.trials=3")
    before = trials_of(output_dir, names(output_dir, "gamma_beta"))
    value = work(*typed, "study.trials=4")
    return typed, before, value


def test_the_total_is_counted_over_restarts_and_a_finished_study_only_tells(
    gamma_beta, output_dir, capsys
):
    typed, before, value = gamma_beta
    trials = trials_of(output_dir, names(output_dir, "gamma_beta"))
    assert states(trials) == ["COMPLETE"] * 4
    assert [t.params for t in trials[:3]] == [t.params for t in before]
    assert value == max(t.value for t in trials)
    runs = len(list((output_dir / "runs").iterdir()))
    assert work(*typed, "study.trials=4") == value
    assert len(list((output_dir / "runs").iterdir())) == runs
    assert "4 ran to the end" in capsys.readouterr().out


def test_a_trial_is_the_mean_over_its_seeds_and_beta_is_1_minus_what_was_drawn(
    gamma_beta, output_dir
):
    for trial in trials_of(output_dir, names(output_dir, "gamma_beta")):
        assert trial.value == pytest.approx(sum(trial.user_attrs["values"]) / 2)
        assert len(trial.user_attrs["values"]) == 2 and trial.user_attrs["epochs"] == [2, 2]
        assert 1e-5 <= trial.params["1-class_balance_beta"] <= 1e-1
        assert list(trial.intermediate_values) == [1, 2]
    runs = [r for r in results(output_dir) if r["name"].startswith("class_balanced-")]
    betas = {round(1 - result["config"]["effective_beta"], 9) for result in runs}
    drawn = {
        round(t.params["1-class_balance_beta"], 9)
        for t in trials_of(output_dir, names(output_dir, "gamma_beta"))
    }
    assert drawn == betas and {result["config"]["seed"] for result in runs} == {1, 2}


def test_the_best_trial_s_file_reruns_it(gamma_beta, output_dir, tmp_path, monkeypatch, capsys):
    (file,) = output_dir.glob("studies/gamma_beta-*/experiment/best.yaml")
    head = file.read_text().splitlines()
    assert head[0] == "# @package _global_" and head[1].startswith(
        "# python -m nersweep --config-dir "
    )
    runs = len(list((output_dir / "runs").iterdir()))
    printed = shlex.split(head[1].removeprefix("# python "))
    done = subprocess.run(
        [sys.executable, *printed], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
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
    assert (
        output_dir / "runs" / next(tmp_path.glob("runs/*")).name / "result.json"
    ).exists()  # the same fingerprint


def test_the_tracker_has_one_run_for_the_study_with_pictures_and_children(gamma_beta, output_dir):
    client = MlflowClient(f"sqlite:///{output_dir}/mlflow.db")
    experiment = client.get_experiment_by_name("nersweep").experiment_id
    name = names(output_dir, "gamma_beta")
    (parent,) = client.search_runs([experiment], f"tags.study = '{name}'")
    assert parent.info.status == "FINISHED"
    assert parent.data.params["space.focal_gamma"] == "interval(0,5)"
    assert (
        parent.data.metrics["best/f1"] == gamma_beta[2]
        and parent.data.metrics["trials/complete"] == 4
    )
    assert (
        float(parent.data.tags["best/class_balance_beta"])
        == parent.data.metrics["best/class_balance_beta"]
    )
    children = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    assert len(children) == 8
    kept = {file.path for file in client.list_artifacts(parent.info.run_id)}
    pictures = {
        f"{name}.{kind}"
        for name in ("history", "importance", "slice", "contour")
        for kind in ("png", "html")
    }
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
    typed = [
        f"output_dir={output_dir}",
        f"{LR}choice(1e30,0.02)",
        "study.sampler=grid",
        "study.name=diverging",
    ]
    work_without("train.lr", *typed, "train.max_grad_norm=1e30", "train.warmup=0")
    failed, finished = trials_of(output_dir, "diverging")
    assert states([failed, finished]) == ["FAIL", "COMPLETE"]
    assert failed.user_attrs["failed"].startswith("the loss is ")
    (line,) = terminal.faults
    assert line.startswith("trial 0 (train.lr=1e+30): the loss is ")
    assert "1 ran to the end, 1 failed" in capsys.readouterr().out


def test_a_study_that_stops_at_a_failure_begins_no_other_trial(output_dir):
    typed = [
        f"output_dir={output_dir}",
        f"{LR}choice(1e30,0.02)",
        "study.sampler=grid",
        "study.name=stopping",
    ]
    typed += ["train.max_grad_norm=1e30", "train.warmup=0", "on_failure=stop"]
    with pytest.raises(ValueError, match=r"^trial 0 \(train.lr=1e\+30\): the loss is "):
        work_without("train.lr", *typed)
    assert states(trials_of(output_dir, "stopping")) == ["FAIL"]
    client = MlflowClient(f"sqlite:///{output_dir}/mlflow.db")
    (run,) = client.search_runs(
        [client.get_experiment_by_name("nersweep").experiment_id], "tags.study = 'stopping'"
    )
    assert run.info.status == "FAILED"


def test_a_failure_stops_the_other_workers_too(tmp_path):
    typed = ["loss=focal", "study.space.focal_gamma=choice(1,2,3)", "on_failure=stop"]
    one, other = (make_queue(tmp_path, *typed) for _ in range(2))
    trial, _ = one.take()
    assert not other.over()
    one.study.tell(trial, state=TrialState.FAIL)
    assert other.over()


def test_a_tracker_that_is_away_ends_no_study_and_is_told_by_the_same_command(
    output_dir, monkeypatch, capsys
):
    typed = [
        f"output_dir={output_dir}",
        f"{LR}choice(2e30,0.0202)",
        "study.sampler=grid",
        "study.name=away",
    ]
    typed += ["train.max_grad_norm=1e30", "train.warmup=0"]
    file, aside, perform = output_dir / "mlflow.db", output_dir / "aside", execute.perform

    def take_away(*given):
        if not aside.exists():
            file.rename(aside)
            file.mkdir()
        return perform(*given)

    with monkeypatch.context() as during:
        during.setattr(execute, "perform", take_away)
        value = work_without("train.lr", *typed)
    file.rmdir()
    aside.rename(file)
    out = capsys.readouterr().out
    assert (
        "1 ran to the end, 1 failed" in out
        and "to tell MLflow of what it has missed, type the same command again" in out
    )
    client = MlflowClient(f"sqlite:///{file}")
    experiment = [client.get_experiment_by_name("nersweep").experiment_id]
    (whole,) = client.search_runs(experiment, "tags.study = 'away'")
    assert whole.info.status == "RUNNING" and "best/f1" not in whole.data.metrics

    monkeypatch.setattr(loop.Worker, "made", None)  # nothing is trained again
    assert work_without("train.lr", *typed) == value
    whole, children = (
        client.get_run(whole.info.run_id),
        f"tags.mlflow.parentRunId = '{whole.info.run_id}'",
    )
    assert whole.info.status == "FINISHED" and whole.data.metrics["best/f1"] == value
    told = {child.data.tags["status"]: child for child in client.search_runs(experiment, children)}
    assert told.keys() == {"finished", "diverged"} and told["diverged"].info.status == "FAILED"
    assert told["finished"].data.metrics["dev/best_f1"] == value


def test_with_the_formula_of_any_of_its_losses_a_study_is_another(output_dir, monkeypatch):
    typed = [*SMALL, f"output_dir={output_dir}", "study.space.loss=choice(cross_entropy,focal)"]
    first, source = asked(*typed), identity.source
    monkeypatch.setattr(
        identity, "source", lambda part: "edited" if part is FocalLoss else source(part)
    )
    assert asked(*typed).name != first.name


def test_a_score_that_is_known_at_the_end_is_the_value_of_a_trial(output_dir):
    typed = [
        f"output_dir={output_dir}",
        "loss=focal",
        "study.space.focal_gamma=0,1",
        "study.sampler=grid",
    ]
    typed += [
        "study.metric=errors/missed",
        "study.direction=minimize",
        "study.pruner=none",
        "seed=6",
    ]
    value = work(*typed, "study.name=once")
    trials, made = (
        trials_of(output_dir, "once"),
        [r for r in results(output_dir) if r["name"].endswith("-s6")],
    )
    missed = {r["config"]["focal_gamma"]: r["analysis"]["dev"]["errors"]["missed"] for r in made}
    assert {t.params["focal_gamma"]: t.value for t in trials} == missed and len(missed) == 2
    assert value == min(missed.values()) and not any(t.intermediate_values for t in trials)
    told = metrics.flatten(made[0]["analysis"]["dev"], "dev")
    assert {f"dev/{name}" for name in spaces.ONCE} == {
        name for name in told if not name.endswith("/support")
    }


# Options of a folder


OWN = "# @package _global_\nmy_gamma: 2.0\nloss: {_target_: nersweep.losses.FocalLoss, gamma: '${my_gamma}'}\n"


@pytest.mark.parametrize("export", [[], ["study.export=own/experiment/best.yaml"]])
def test_the_commands_that_are_told_work_with_the_options_of_a_folder(
    export, tmp_path, monkeypatch, capsys
):
    (tmp_path / "own" / "loss").mkdir(parents=True)
    (tmp_path / "own" / "loss" / "mine.yaml").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    typed = [
        "--config-dir",
        "own",
        *SMALL,
        "loss=mine",
        "study.space.my_gamma=interval(0,5)",
        *export,
    ]
    run(monkeypatch, *typed, "study.trials=1", "seed=3")
    (best,) = [line for line in capsys.readouterr().out.split("\n") if line.startswith("best: ")]
    (file,) = (
        [tmp_path / export[0].partition("=")[2]]
        if export
        else tmp_path.glob("outputs/studies/*/experiment/*")
    )
    rerun, _, found_by = (line.removeprefix("# ") for line in file.read_text().split("\n")[1:4])
    assert rerun == best.removeprefix("best: ")
    assert shlex.split(found_by) == ["python", "-m", "nersweep", *typed, "study.trials=1", "seed=3"]
    client = MlflowClient(f"sqlite:///{tmp_path}/outputs/mlflow.db")
    (study,) = client.search_runs(
        [client.get_experiment_by_name("nersweep").experiment_id], "tags.kind = 'study'"
    )
    assert study.data.tags["mlflow.note.content"] == f"`{found_by}`"
    for told in (rerun, found_by):  # the run is there already, and so is the study
        run(monkeypatch, *shlex.split(told)[3:])
        assert len(results(tmp_path / "outputs")) == 1
    assert (tmp_path / "own" / "experiment").exists() == bool(export)


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["nersweep", *arguments])
    with pytest.raises(SystemExit) as end:
        program.main()
    assert end.value.code == 0, terminal.faults


# The same study


def test_a_study_of_that_name_that_searched_something_else_is_told_with_the_difference(
    output_dir, gamma_beta
):
    name = names(output_dir, "gamma_beta")
    typed = [
        f"output_dir={output_dir}",
        f"study.name={name}",
        "loss=class_balanced",
        "data.train=61",
        "study.seeds=2",
    ]
    typed += [
        "study.space.focal_gamma=interval(0,4)",
        "study.direction=minimize",
        "study=gamma_beta",
    ]
    remedy = f"; the study {name} was begun that way: type it so, or another study.name"
    with pytest.raises(ValueError) as told:
        work(*typed)
    assert str(told.value).split("\n") == [
        f"study.direction=minimize: was maximize{remedy}",
        f"study.space.focal_gamma=interval(0,4): was interval(0,5){remedy}",
        f"data.train=61: was data.train=60{remedy}",
    ]


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
    typed = [
        *(setting for setting in SMALL if not setting.startswith("data.")),
        "study=focal_gamma",
    ]
    first = asked(*typed, *files["a"])
    elsewhere = [
        "gpus_per_run=0.5",
        "train.checkpoint_minutes=1",
        "train.auto_batch=true",
        f"output_dir={tmp_path}",
    ]
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
    assert (
        line.startswith("data.dev=")
        and f"{tmp_path}/other/train" in line
        and f"{tmp_path}/a/train" in line
    )
