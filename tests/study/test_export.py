"""What is written of the best trial of a study."""

import shlex

import pytest
from hydra._internal.utils import get_args_parser
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial
from studies import SMALL, make_plan

from nersweep.command import line
from nersweep.study import export

TAGGED = "Ada B-PER\nsaw O\nLyon B-LOC\n. O\n"


@pytest.mark.parametrize("place", ["${oc.env:NER_DATA}", "${output_dir}/data"])
def test_the_file_holds_values_where_the_command_refers_to_others(place, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("NER_DATA", str(tmp_path / "data"))
    splits = []
    for split in ("train", "dev", "test"):
        (tmp_path / "data" / f"{split}.txt").write_text(TAGGED, encoding="utf-8")
        splits.append(f"data.{split}={place}/{split}.txt")
    small = [override for override in SMALL if not override.startswith("data.")]
    space = "study.space.focal_gamma=interval(0,5)"
    command = ["data=conll", *splits, f"output_dir={tmp_path}", *small, "loss=focal", space]
    plan = make_plan(*command)
    trial = create_trial(
        value=0.5,
        params={"focal_gamma": 2.5},
        distributions={"focal_gamma": FloatDistribution(0, 5)},
    )
    file = tmp_path / "own" / "experiment" / "best.yaml"
    export.write_experiment(file, trial, 1, plan)
    arguments = shlex.split(export.rerun_command(file, trial, plan))[3:]
    read = line.read(get_args_parser().parse_args(arguments))
    assert read.faults == []
    values = read.first().settings.values
    assert values["data"]["train"] == str(tmp_path / "data" / "train.txt")
    assert values["focal_gamma"] == 2.5
