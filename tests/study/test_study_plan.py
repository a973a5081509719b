"""What identifies a study."""

import pytest
from studies import SMALL, make_plan, trials_of, work

from nersweep.faults import UserError
from nersweep.losses import FocalLoss
from nersweep.run import identity
from nersweep.study.plan import contradictions


def test_an_edited_loss_makes_another_study(output_dir, monkeypatch):
    command = [*SMALL, f"output_dir={output_dir}", "study.space.loss=choice(cross_entropy,focal)"]
    first, source = make_plan(*command), identity.source

    def edited_source(part):
        return "edited" if part is FocalLoss else source(part)

    monkeypatch.setattr(identity, "source", edited_source)
    assert make_plan(*command).name != first.name


def test_a_study_that_searched_something_else_is_refused_with_the_differences(output_dir):
    command = [f"output_dir={output_dir}", "study.name=same", "loss=focal", "study=focal_gamma"]
    work(*command, "study.trials=1")
    different = ["data.train=61", "train.warmup=0.5", "study.direction=minimize"]
    different.append("study.space.focal_gamma=interval(0,4)")
    with pytest.raises(UserError) as error:
        work(*command, *different)
    faults = error.value.faults
    assert [(fault.setting, fault.value, fault.must) for fault in faults] == [
        ("study.direction", "minimize", "was maximize"),
        ("study.space.focal_gamma", "interval(0,4)", "was interval(0,5)"),
        ("data.train", "61", "was 60"),
        ("train.warmup", "0.5", "was not set"),
    ]
    assert all("study same" in fault.remedy for fault in faults)
    assert len(trials_of(output_dir, "same")) == 1


def test_a_study_is_the_same_wherever_it_runs_and_its_data_lies(tmp_path):
    files = {}
    for place in ("a", "b", "other"):
        (tmp_path / place).mkdir()
        files[place] = ["data=conll"]
        for split in ("train", "dev", "test"):
            word = "Eva" if place == "other" else "Ada"
            file = tmp_path / place / split
            file.write_text(f"{word} B-PER\nsaw O\nPau B-LOC\n\n" * 4)
            files[place].append(f"data.{split}={file}")
    command = [setting for setting in SMALL if not setting.startswith("data.")]
    command.append("study=focal_gamma")
    first = make_plan(*command, *files["a"])
    irrelevant = [
        "gpus_per_run=0.5",
        "train.checkpoint_minutes=1",
        "train.auto_batch=true",
        f"output_dir={tmp_path}",
        "tracking.experiment=x",
        "on_failure=stop",
        "study.trials=9",
        "study.worker=3",
    ]
    moved = make_plan(*command, *files["b"], *irrelevant)
    assert moved.name == first.name
    assert not contradictions("x", first.identity, moved.identity)
    for relevant in ("train.warmup=0.5", "study.seeds=2", "seed=2", "study.sampler=random"):
        assert make_plan(*command, *files["a"], relevant).name != first.name, relevant
    slower = [setting.replace("train.lr=1e-2", "train.lr=1e-3") for setting in command]
    assert slower != command and make_plan(*slower, *files["a"]).name != first.name
    other = make_plan(*command, *files["other"])
    assert other.name != first.name
    faults = contradictions("x", first.identity, other.identity)
    assert len(faults) == 3
    for fault in faults:
        split = fault.setting.removeprefix("data.")
        assert f"{tmp_path}/other/{split}" in fault.value and f"{tmp_path}/a/{split}" in fault.must
