"""What a study is told to try, and its settings: read as Hydra reads them; faults in one line each."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from studies import SMALL, asked, composed, drain, faults, make_queue, work

from nersweep.config import schema as sections
from nersweep.config.compose import Composer
from nersweep.study import space as spaces


def test_a_knob_is_drawn_in_the_trials_whose_option_has_it(tmp_path):
    queue = make_queue(tmp_path, "study=loss", "study.trials=40", "study.sampler=random")
    owners = {
        "focal_gamma": {"focal", "batch_balanced", "class_balanced"},
        "gce_q": {"gce"},
        "ghm_bins": {"ghm"},
    }
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
    "tag(log, complement, interval(1e-5, 1e-1))": dict(
        low=1e-5, high=0.1, log=True, complement=True
    ),
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


@pytest.mark.parametrize(
    "value", ["a b", "it's", "a\\", "true", "3", None, True, 1e-05, [1, "x y"], {"O": 0.5}, ""]
)
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
    overrides = ["study=mine", "seed=7", "train.lr=0.5"]
    config, choice = composer(overrides), composer.choice(overrides)
    assert not spaces.faults(config, choice, composer)
    space = spaces.make(config, choice, composer)
    overrides = [*space.fixed, *next(space.firsts())]
    trial = composer(overrides)
    assert (trial.train.epochs, trial.train.lr, trial.seed, trial.focal_gamma) == (5, 0.5, 7, 0)
    assert composer.choice(overrides)["loss"] == "focal"
    assert trial.focal_alpha == {"O": 0.5} and not trial.study.space


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
    "study=focal_gamma study.storage=postgresql://host/x train.precision=auto": [
        "train.precision=auto: is chosen by each machine, and study.storage is for several; type train.precision=bf16 "
        "or fp32"
    ],
    "study=focal_gamma rerun=true": ["rerun=true: a study keeps its trials; type another study.name for new ones"],
    "study=focal_gamma study.metric=dev/unseen/f1": [
        "study.metric=dev/unseen/f1: is known after the last epoch, and study.pruner=median looks at each; type "
        "study.pruner=none, or wilcoxon with study.seeds=5 or more"
    ],
    "study.trials=3": [
        "study.trials=3: nothing is searched; type study=NAME, or study.space.KNOB=interval(LOW,HIGH)"
    ],
}  # fmt: skip


@pytest.mark.parametrize("typed", BAD)
def test_a_bad_space_is_told_in_one_line_each(typed):
    assert faults(*typed.split(" ")) == BAD[typed]


GOOD = [
    "study=focal_gamma study.storage=sqlite:////x.db train.precision=auto",
    "study=focal_gamma study.storage=postgresql://host/x train.precision=bf16",
    "study=focal_gamma study.storage=postgresql://host/x study.space.train.precision=fp32,bf16",
    "study=focal_gamma study.metric=unseen/f1 study.pruner=none",
    "study=focal_gamma study.metric=unseen/f1 study.pruner=wilcoxon study.seeds=5",
]


@pytest.mark.parametrize("typed", GOOD)
def test_what_fits_has_no_fault(typed):
    small = (a for a in SMALL if "precision" not in a)
    config, overrides, composer = composed(*small, *typed.split(" "))
    assert spaces.faults(config, composer.choice(overrides), composer) == []


@pytest.mark.parametrize(
    "typed",
    ["loss=focal focal_gamma=2 study.space.focal_gamma=1,2", "study=loss loss=cross_entropy"],
)
def test_the_usual_value_typed_for_what_is_searched_is_told_too(typed):
    name, value = typed.split(" ")[1].split("=")
    with pytest.raises(ValueError) as told:
        asked(*SMALL, *typed.split(" "))
    assert str(told.value) == f"{name}={value}: is searched, by study.space.{name}; leave one out"


STUDIES = sorted(
    file.stem for file in (Path(__file__).parents[2] / "conf" / "study").glob("*.yaml")
)


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_is_without_fault(name):
    assert faults(f"study={name}") == []


def test_a_metric_that_no_run_has(output_dir):
    with pytest.raises(
        ValueError, match=r"study.metric=f2: no such score; there are f1, .*strict/f1, .*PER/f1"
    ):
        work(f"output_dir={output_dir}", "loss=focal", "study=focal_gamma", "study.metric=f2")


def test_a_sampler_without_its_package_is_told(monkeypatch):
    typed = ["study=gamma_beta", "loss=class_balanced", "study.sampler=cmaes"]
    monkeypatch.setattr(spaces, "find_spec", lambda name: None)
    assert faults(*typed) == [
        "study.sampler=cmaes: needs the package cmaes; type pip install -e '.[studies]' in a checkout"
    ]
    monkeypatch.setattr(spaces, "find_spec", lambda name: name)
    assert faults(*typed) == []
