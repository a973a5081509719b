"""The presets of conf/experiment are the sweeps that they say, and what is typed wins over them."""

from pathlib import Path

import pytest
from hydra._internal.utils import get_args_parser

from nersweep import command, sweep
from nersweep import config as sections

FILES = (Path(__file__).parents[1] / "conf" / "experiment").glob("*.yaml")
PRESETS = {file.stem: file.read_text("utf-8") for file in sorted(FILES)}


@pytest.fixture
def presets(tmp_path):
    """presets(*arguments): the command, with a folder that holds a data set in four columns as further --config-dir."""
    for name in ("train", "valid", "test"):
        (tmp_path / f"{name}.txt").write_text("EU NNP B-NP B-ORG\n\n")
    sections.register()

    def read(*arguments):
        typed = [f"--config-dir={tmp_path}", *(str(a).replace("=DIR", f"={tmp_path}") for a in arguments)]
        read = command.read(get_args_parser().parse_args(typed))
        assert not read.faults
        return read

    return read


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_begins_with_its_command_which_is_a_sweep(preset, presets):
    package, typed = PRESETS[preset].splitlines()[:2]
    assert package == "# @package _global_"
    start = f"# python -m nersweep experiment={preset}"
    assert typed.startswith(start)
    made = presets(f"experiment={preset}", *typed.removeprefix(start).split())
    assert made.many and len(set(made.runs)) == len(made.runs) > 1


def test_the_table_has_six_losses_with_five_seeds(presets):
    made = presets("experiment=conll2003_table", "data.path=DIR")
    with made.composer as composer:
        configs = [composer(run) for run in made.runs]
    losses = ["focal", "batch_balanced", "class_balanced", "weighted_cross_entropy", "cross_entropy", "label_smoothing"]
    assert [(c.choice.loss, c.seed) for c in configs] == [(loss, seed) for loss in losses for seed in range(1, 6)]
    assert {(c.choice.data, c.choice.model, c.train.epochs) for c in configs} == {("conll2003", "minilm", 3)}
    assert {c.focal_gamma for c in configs if c.choice.loss == "focal"} == {2}


def test_what_is_typed_wins_over_a_preset_wherever_it_stands(presets):
    typed = [
        "seed=7",
        "loss=dice,focal",
        "train.epochs=1",
        "model=tiny",
        "experiment=conll2003_table",
        "data=generated",
    ]
    made = presets(*typed)
    with made.composer as composer:
        configs = [composer(run) for run in made.runs]
    assert [(c.choice.loss, c.seed) for c in configs] == [("dice", 7), ("focal", 7)]
    assert {(c.choice.data, c.choice.model, c.train.epochs) for c in configs} == {("generated", "tiny", 1)}


def test_a_run_is_the_same_with_a_preset_and_without(presets):
    small = ["data.train=20", "data.dev=5", "data.test=5"]
    sweeps = ["experiment=quickstart"], ["-m", "loss=weighted_cross_entropy,focal", "seed=2"]
    preset, typed = (presets(*arguments, *small) for arguments in sweeps)
    with preset.composer as composer:
        one, other = ({m.name: m.fingerprint for m in sweep.planned(made.runs, composer)} for made in (preset, typed))
    assert len(other) == 2 and other.items() <= one.items()
