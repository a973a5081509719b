"""Search spaces are parsed as Hydra does, and trials have the settings of their options."""

import pytest
from omegaconf import OmegaConf
from studies import compose, drain, faults_of_study, make_queue

from nersweep.config.overrides import literal
from nersweep.study.space import Dimension, Space, parse_dimension, parse_space


def test_a_knob_is_sampled_in_trials_whose_option_has_it(tmp_path):
    queue = make_queue(tmp_path, "study=loss", "study.trials=40", "study.sampler=random")
    owners = {
        "focal_gamma": {"focal", "batch_balanced", "class_balanced"},
        "gce_q": {"gce"},
        "ghm_bins": {"ghm"},
    }
    sampled = set()
    for overrides in drain(queue):
        values = dict(override.split("=") for override in overrides)
        sampled.add(values["loss"])
        for knob, losses in owners.items():
            assert (knob in values) == (values["loss"] in losses), overrides
    assert {"focal", "gce", "ghm", "cross_entropy"} <= sampled


GRAMMAR = {
    "interval(0,5)": dict(low=0.0, high=5.0),
    "int(interval(1,8))": dict(low=1, high=8, integer=True),
    "tag(log, int(interval(1,8)))": dict(low=1, high=8, integer=True, log=True),
    "tag(log, complement, interval(1e-5, 1e-1))": dict(
        low=1e-5, high=0.1, log=True, complement=True
    ),
    "range(1,4)": dict(values=(1, 2, 3)),
    "a, b,a": dict(values=("a", "b")),
    "choice('a b', true, 3)": dict(values=("a b", True, 3)),
    "[1,2],[3]": dict(values=([1, 2], [3])),
}


@pytest.mark.parametrize("text", GRAMMAR)
def test_a_space_is_parsed_as_hydra_does(text):
    assert parse_dimension("x", text) == Dimension("x", text, **GRAMMAR[text])
    (dimension,), faults = parse_space({"train": {"x": text}})
    assert dimension.name == "train.x" and not faults


def test_the_complement_has_no_digits_from_subtraction():
    dimension = parse_dimension("b", "tag(log,complement,interval(1e-5,1e-1))")
    assert dimension.parameter == "1-b" and dimension.extremes() == [0.99999, 0.9]


@pytest.mark.parametrize(
    "value", ["a b", "it's", "a\\", "true", "3", None, True, 1e-05, [1, "x y"], {"O": 0.5}, ""]
)
def test_hydra_reads_a_literal_back(value):
    config, _, _ = compose(f"+data.x={literal(value)}")
    read = config.data.x
    assert (OmegaConf.to_container(read) if OmegaConf.is_config(read) else read) == value


def test_a_trial_has_the_values_of_the_command_and_of_the_study_file(tmp_path):
    (tmp_path / "study").mkdir()
    text = "# @package _global_\ndefaults: [override /loss: focal, _self_]\n"
    text += "train: {epochs: 5}\nfocal_alpha: {O: 0.5}\nstudy: {space: {focal_gamma: '0,1'}}\n"
    (tmp_path / "study" / "mine.yaml").write_text(text)
    overrides = ["study=mine", "seed=7", "train.lr=0.5"]
    config, _, composer = compose(*overrides, folder=str(tmp_path))
    choice = composer.choice(overrides)
    assert not faults_of_study(overrides, composer)
    space = Space.of(config, choice, composer)
    overrides = [*space.fixed, *next(space.examples())]
    trial = composer(overrides)
    assert (trial.train.epochs, trial.train.lr, trial.seed, trial.focal_gamma) == (5, 0.5, 7, 0)
    assert composer.choice(overrides)["loss"] == "focal"
    assert trial.focal_alpha == {"O": 0.5} and not trial.study.space
