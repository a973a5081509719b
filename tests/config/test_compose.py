"""The composer gives what Hydra gives, values and faults alike."""

import random
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from nersweep.config import schema as sections
from nersweep.config.compose import COMPOSITION, Composer

CONF = Path(__file__).parents[2] / "conf"
# conf/reference is for the report, which compares what was measured with it.
OPTIONS = [
    f"{f.parent.name}={f.stem}"
    for f in sorted(CONF.glob("*/*.yaml"))
    if f.parent.name != "reference"
]


@pytest.fixture(scope="module")
def composer():
    sections.register()
    with Composer() as ready:
        yield ready


def by_hydra(overrides):
    """What a job is given, or what Hydra raises, as type and text."""
    try:
        config = GlobalHydra.instance().hydra.compose_config(
            "config", list(overrides), RunMode.RUN, from_shell=False
        )
        HydraConfig.instance().set_config(config)
        with open_dict(config):
            del config["hydra"]
        return OmegaConf.to_container(config, resolve=True)
    except COMPOSITION as error:
        return type(error), str(error)


def by_us(composer, overrides):
    try:
        return OmegaConf.to_container(composer(overrides), resolve=True)
    except COMPOSITION as error:
        return type(error), str(error)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_composed_as_hydra_does(option, composer):
    overrides = [option, "seed=7", "train.lr=0.1"]
    assert by_us(composer, overrides) == by_hydra(overrides)
    config, (group, _, name) = composer(overrides), option.partition("=")
    choice = composer.choice(overrides)
    assert (config.seed, config.train.lr) == (7, 0.1)
    assert group not in choice or choice[group] == name


COMPOSED = [
    ["loss=focal", "focal_gamma=3"],
    ["focal_gamma=1e-3", "loss=focal"],
    ["loss=focal", "focal_alpha={O: 0.25, B-EVENT: 4}"],
    ["loss=focal", "focal_alpha=[1,2.5,3]"],
    ["loss=focal", "loss=dice"],
    [
        "loss=compound",
        "compound_weights={dice:0,focal:2}",
        "compound_weights.focal=3",
        "focal_gamma=1",
    ],
    ["loss=class_balanced", "class_balance_beta=0.9"],
    ["weights=effective", "effective_beta=0.9999", "weights.cap=10"],
    ["aux=pos", "aux.columns=[a,b,c]", "aux_weight=uncertainty"],
    ["data=conll", "data.train='a b'", "data.dev=???", "data.columns=[word,tag]"],
    ["train.lr=1e-4", "train.epochs=7", "train.patience=3", "train.patience=null"],
    ["train={epochs:2}"],
    ["train=3"],
    ["tracking.experiment='a, b = \"c\" {d} [e] \\'f\\' äß中'"],
    ['tracking.experiment="it\'s"'],
    ["tracking.experiment="],
    ["tracking.experiment=' x '"],
    ["tracking.uri=sqlite:////tmp/x.db"],
    ["tracking.experiment=${hydra:runtime.choices.loss}-${seed}", "seed=5"],
    ["output_dir=${oc.env:HOME}/x", "output_dir=null"],
    ["output_dir=${hydra:runtime.choices.loss}", "loss=dice"],
    ["seed=3", "output_dir=o/${hydra:job.override_dirname}", "train.lr=3"],
    ["hydra.job.name=x", "seed=3"],
    # What adds and takes away, among values: the order counts
    ["seed=5", "++seed=3"],
    ["++seed=3", "seed=5"],
    ["+extra={a:1}", "extra.a=2", "+extra.b=2", "extra.b=3"],
    ["++extra=2", "extra=3"],
    ["~data.dev"],
    ["data.dev=5", "seed=2", "~data.dev", "seed=3"],
    ["data.dev=5", "~data.dev=5", "+data.dev=9"],
    ["weights=manual", "manual_weights={B-PER:3}", "+manual_weights.O=0.2", "manual_weights.O=1"],
    # Faults
    ["sed=3"],
    ["train.epocs=3"],
    ["train.epochs=x"],
    ["train.lr=[1]", "seed=3"],
    ["seed.x=3"],
    ["seed=1,2"],
    ["focal_gamma=3"],
    ["loss=nope"],
    ["loss@x=focal"],
    ["seed@x=3"],
    ["+seed=3"],
    ["seed=5", "+seed=3"],
    ["extra=1", "+extra=2"],
    ["~nothing"],
    ["~loss=dice"],
    ["~data.dev=6"],
    ["data.dev=5", "~data.dev=6"],
    ["data.dev=5", "~data"],
    ["data.dev=5", "~data.dev", "data.dev=6"],
    ["loss=focal", "~focal_gamma"],
    ["+loss=focal"],
    ["tracking.experiment=${nothing}"],
]


@pytest.mark.parametrize("overrides", COMPOSED, ids=" ".join)
def test_values_and_faults_are_those_of_hydra(overrides, composer):
    assert by_us(composer, overrides) == by_hydra(overrides)


POOL = [
    *(f"seed={seed}" for seed in (0, 12, 3.0, "x", "null")),
    *(
        "loss=focal",
        "loss=weighted_focal",
        "loss=compound",
        "head=crf",
        "weights=effective",
        "data=conll",
        "aux=pos",
    ),
    *(
        "focal_gamma=1",
        "focal_gamma=2.5",
        "effective_beta=.9",
        "weights.cap=3",
        "loss.reduction=sum",
    ),
    *(
        "train.epochs=1",
        "train.lr=1e-3",
        "train.lr=a",
        "train.patience=null",
        "data.seed=${seed}",
        "data.train=t",
    ),
    *(
        "++train.lr=3",
        "+data.extra=1",
        "data.extra=2",
        "++data.extra=[1,{a:2}]",
        "~data.train",
        "~data.seed=1",
    ),
    *(
        "tracking={experiment:e}",
        "~tracking.experiment",
        "tracking.experiment='x y'",
        "+more={a:{b:1}}",
        "more.a.b=2",
    ),
]


def test_any_mixture_in_any_order_composes_as_hydra_does(composer):
    mixtures, composed = random.Random(1), 0
    for _ in range(25):
        overrides = mixtures.sample(POOL, mixtures.randint(2, 6))
        ours, hydras = by_us(composer, overrides), by_hydra(overrides)
        if isinstance(ours, tuple) and isinstance(hydras, tuple):
            continue  # of several faults, another one may be the first
        composed += 1
        assert ours == hydras, overrides
    assert 5 < composed < 20  # both kinds have been tried


def test_a_copy_is_independent_of_the_next(composer):
    overrides = ["loss=focal", "focal_alpha=[1,2]", "train.lr=1"]
    config = composer(overrides)
    config.train.lr, config.loss.gamma = 7, 9
    config.focal_alpha.append(3)
    with open_dict(config):
        del config["model"]
    assert by_us(composer, overrides) == by_hydra(overrides)
    assert by_us(composer, ["loss=focal"]) == by_hydra(["loss=focal"])


def test_a_fault_leaves_nothing_behind(composer):
    by_us(composer, ["loss=focal", "train.lr=1", "train.epochs=x"])
    by_us(composer, ["loss=focal", "focal_gamma=2", "~data.dev", "nothing=1"])
    assert by_us(composer, ["loss=focal"]) == by_hydra(["loss=focal"])


def test_hydra_composes_options_once_whatever_values_come_with_them(composer):
    before = composer.whole.cache_info().misses
    for seed in range(20):
        composer(
            ["loss=focal", f"focal_gamma={seed}", f"seed={seed}", "hydra.job.name=once", "+extra=1"]
        )
    assert composer.whole.cache_info().misses == before + 1
