"""The faults of a study are found before it starts."""

from pathlib import Path

import pytest
from studies import SMALL, compose, faults_of_study, study_faults, work

from nersweep.faults import UserError

# The command: the settings at fault, each with words of its message.
FAULTY = {
    "study.space.focal_gamma=interval(0,5)": {"study.space.focal_gamma": "loss=cross_entropy"},
    "loss=focal study.space.focal_gamma=interval(-1,5)": {"focal_gamma": "≥ 0"},
    "loss=focal study.space.focal_gamma=interval(5,0)": {"study.space.focal_gamma": "is empty"},
    "study.space.train.epochs=interval(1,3)": {"study.space.train.epochs": "int(interval(1,3))"},
    "study.space.train.lr=interval(0,1),interval(1,2)": {"study.space.train.lr": "interval(LOW"},
    "study.space.train.lr=[interval(0,1)]": {"study.space.train.lr": "is a list of intervals"},
    "study.space.foo=interval(0,5)": {"study.space.foo": "no such setting"},
    "study.space.train.lr=3": {"study.space.train.lr": "one value"},
    "study.space.train.lr=interval(0": {"study.space.train.lr": "cannot be parsed"},
    "study.space.train.warmup=tag(log,interval(0,0.5))": {"study.space.train.warmup": "above 0"},
    "study.space.train.warmup=tag(lg,interval(0,0.5))": {"study.space.train.warmup": "tag: lg"},
    "study.space.train.warmup=tag(log,range(0,5))": {"study.space.train.warmup": "an interval"},
    "study.space.loss=interval(0,1)": {"study.space.loss": "use choice(NAME,NAME)"},
    "study.space.loss=1,2": {"study.space.loss": "must name options"},
    "study.space.loss=focal,nope": {"study.space.loss": "no such option: nope"},
    "study.space.loss=focal,crf weights=effective": {"weights": "weights=none"},
    "study.space.seed=1,2": {"study.space.seed": "study.seeds"},
    "study.space.train.checkpoint_minutes=1,2": {
        "study.space.train.checkpoint_minutes": "changes no score"
    },
    "study.space.device=cpu,cuda": {"study.space.device": "changes no score"},
    "study=focal_gamma focal_gamma=3": {"focal_gamma": "study.space.focal_gamma"},
    "study=focal_gamma study.sampler=grid study.seeds=0": {
        "study.seeds": "[1,2,3]",
        "study.space.focal_gamma": "study.sampler=grid needs values",
    },
    "study=focal_gamma study.seeds=null study.metric=zzz": {
        "study.seeds": "different",
        "study.metric": "TYPE/f1",
    },
    "study=focal_gamma study.metric=macro/f-3": {"study.metric": "no such metric"},
    "study=focal_gamma study.metric=cross_entropy study.pruner=none": {
        "study.direction": "set study.direction=minimize"
    },
    "study=focal_gamma metric=auc": {"metric": "set study.pruner=none"},
    "study=focal_gamma study.seeds=[1,1]": {"study.seeds": "different"},
    "study=focal_gamma study.pruner=wilcoxon study.seeds=4": {"study.pruner": "study.seeds=5"},
    "study=focal_gamma study.name=a/b": {"study.name": "letters, digits"},
    "study=focal_gamma study.export=best.yaml": {"study.export": "DIR/experiment/NAME.yaml"},
    "study=focal_gamma study.storage=postgresql://host/x train.precision=auto": {
        "train.precision": "set train.precision=bf16 or fp32"
    },
    "study=focal_gamma rerun=true": {"rerun": "study.name"},
    "study=focal_gamma study.metric=dev/unseen/f1": {"study.metric": "set study.pruner=none"},
    "study.trials=3": {"study.trials": "set study=NAME"},
}


@pytest.mark.parametrize("command", FAULTY)
def test_a_faulty_study_has_these_faults(command):
    faults = study_faults(*command.split(" "))
    settings = [fault.setting.partition("=")[0] for fault in faults]
    assert settings == list(FAULTY[command])
    for fault in faults:
        words = FAULTY[command][fault.setting.partition("=")[0]]
        assert words in str(fault) and "\n" not in str(fault)


def test_a_fault_names_setting_value_range_and_remedy():
    (fault,) = study_faults("study=focal_gamma", "study.pruner=wilcoxon", "study.seeds=4")
    expected = "study.pruner=wilcoxon: prunes from the fourth seed on; set study.seeds=5 or more"
    assert str(fault) == expected


FAULTLESS = [
    "study=focal_gamma study.storage=sqlite:////x.db train.precision=auto",
    "study=focal_gamma study.storage=postgresql://host/x train.precision=bf16",
    "study=focal_gamma study.storage=postgresql://host/x study.space.train.precision=fp32,bf16",
    "study=focal_gamma study.metric=unseen/f1 study.pruner=none",
    "study=focal_gamma study.metric=unseen/f1 study.pruner=wilcoxon study.seeds=5",
]


@pytest.mark.parametrize("command", FAULTLESS)
def test_a_study_whose_settings_fit_has_no_fault(command):
    arguments = [a for a in SMALL if "precision" not in a]
    _, overrides, composer = compose(*arguments, *command.split(" "))
    assert faults_of_study(overrides, composer) == []


STUDIES = sorted(
    file.stem for file in (Path(__file__).parents[2] / "conf" / "study").glob("*.yaml")
)


@pytest.mark.parametrize("name", STUDIES)
def test_every_shipped_study_is_without_fault(name):
    assert study_faults(f"study={name}") == []


@pytest.mark.parametrize(
    "command",
    ["loss=focal focal_gamma=2 study.space.focal_gamma=1,2", "study=loss loss=cross_entropy"],
)
def test_the_default_value_of_a_searched_setting_is_refused_too(command):
    (fault,) = study_faults(*command.split(" "))
    name = command.split(" ")[1].partition("=")[0]
    assert fault.setting == name and f"study.space.{name}" in fault.must


def test_a_metric_that_no_run_has_is_refused(output_dir):
    with pytest.raises(UserError) as error:
        work(f"output_dir={output_dir}", "loss=focal", "study=focal_gamma", "study.metric=f1_micro")
    (fault,) = error.value.faults
    assert (fault.setting, fault.value) == ("study.metric", "f1_micro")
    names = fault.remedy.rpartition("one of ")[2].split(", ")
    assert {"f1", "strict/f1", "types/PER/f1", "unseen/f1"} <= set(names)
    assert "ent_type" in fault.remedy  # metrics that no run stores under a name


@pytest.mark.parametrize("place", ["/proc/experiment/best.yaml", "a/experiment/best.yaml"])
def test_an_export_that_cannot_be_written_is_refused_before_the_first_trial(
    place, output_dir, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "experiment" / "best.yaml").mkdir(parents=True)
    with pytest.raises(UserError) as error:
        work(f"output_dir={output_dir}", "loss=focal", "study=focal_gamma", f"study.export={place}")
    (fault,) = error.value.faults
    assert fault.setting == "study.export" and str(fault.value).endswith(place)
    assert not (Path(output_dir) / "studies").exists() and not (Path(output_dir) / "runs").exists()
