"""The presets of conf/experiment are the sweeps that they say, and what is typed wins over them."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hydra._internal.utils import get_args_parser

from nersweep import __main__ as cli
from nersweep.command import line
from nersweep.config import schema as sections
from nersweep.config.check import check_overrides
from nersweep.faults import UserError
from nersweep.report.reference import read_reference
from nersweep.sweep.members import members_of

FILES = (Path(__file__).parents[1] / "conf" / "experiment").glob("*.yaml")
PRESETS = {file.stem: file.read_text("utf-8") for file in sorted(FILES)}


def read_line(arguments):
    """Return the command that these arguments give."""
    options = get_args_parser().parse_args(arguments)
    return line.read(options, cli.run_faults, cli.recommend)


@pytest.fixture
def presets(tmp_path):
    """presets(*arguments): the command; its --config-dir has a data set in four columns."""
    for name in ("train", "valid", "test"):
        (tmp_path / f"{name}.txt").write_text("EU NNP B-NP B-ORG\n\n")
    sections.register()

    def read(*arguments):
        words = [
            f"--config-dir={tmp_path}",
            *(str(a).replace("=DIR", f"={tmp_path}") for a in arguments),
        ]
        read = read_line(words)
        assert not read.faults
        return read

    return read


def test_a_glob_sweeps_every_option_and_those_of_the_folder_too(presets, tmp_path):
    losses = {file.stem for file in (Path(__file__).parents[1] / "conf" / "loss").glob("*.yaml")}
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "mine.yaml").write_text("_target_: nersweep.losses.CrossEntropyLoss\n")

    def swept(glob):
        return [run[0] for run in presets("-m", f"loss={glob}", "seed=1").runs]

    assert len(losses) > 10 and sorted(swept("glob(*)")) == sorted(
        f"loss={name}" for name in {*losses, "mine"}
    )
    assert swept("glob([*focal*,m*],exclude=weighted*)") == ["loss=focal", "loss=mine"]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_begins_with_its_command_which_is_a_sweep(preset, presets):
    package, command = PRESETS[preset].splitlines()[:2]
    assert package == "# @package _global_"
    start = f"# python -m nersweep experiment={preset}"
    assert command.startswith(start)
    composed = presets(f"experiment={preset}", *command.removeprefix(start).split())
    assert composed.many and len(set(composed.runs)) == len(composed.runs) > 1


def test_the_table_has_two_blocks_with_two_to_ten_seeds(presets):
    composed = presets("experiment=conll2003_table", "data.path=DIR")
    with composed.composer as composer:
        configs = [check_overrides(composer, run).settings for run in composed.runs]
    ours = [
        "focal",
        "batch_balanced",
        "class_balanced",
        "weighted_cross_entropy",
        "cross_entropy",
        "label_smoothing",
    ]
    guide = ["weighted_focal", "class_balanced", "label_smoothing"]
    rows = {}
    for config in configs:
        knobs = {name: value for name, value in config.values.items() if name != "seed"}
        row = config.choice.loss, config.choice.weights, json.dumps(knobs, default=str)
        rows.setdefault(row, []).append(config.seed)
    assert sorted(loss for loss, *_ in rows) == sorted(ours + guide)
    assert set(map(tuple, rows.values())) == {(1, 2)}
    assert {(c.seeds.max, c.resolution) for c in configs} == {(10, 0.5)}
    assert {(c.choice.data, c.choice.model) for c in configs} == {("conll2003", "minilm")}
    assert {c.values["focal_gamma"] for c in configs if c.choice.loss == "focal"} == {2}


def test_the_guide_s_block_has_the_settings_of_its_claims(presets):
    composed = presets("experiment=conll2003_table", "data.path=DIR")
    claimed = {}
    with composed.composer as composer:
        for run in composed.runs:
            settings = check_overrides(composer, run).settings
            choice = asdict(settings.choice)
            for loss, claim in read_reference("conll2003").rows.items():
                if claim.is_own(choice, settings.values):
                    claimed[loss] = settings.choice.loss
    assert claimed == {
        "focal": "weighted_focal",
        "class_balanced": "class_balanced",
        "label_smoothing": "label_smoothing",
    }


def test_the_command_line_wins_over_a_preset_in_any_order(presets):
    arguments = [
        "seed=7",
        "loss=dice,focal",
        "train.epochs=1",
        "model=tiny",
        "experiment=conll2003_table",
        "sweep.settings=null",
        "data=generated",
    ]
    composed = presets(*arguments)
    with composed.composer as composer:
        configs = [check_overrides(composer, run).settings for run in composed.runs]
    assert [(c.choice.loss, c.seed) for c in configs] == [("dice", 7), ("focal", 7)]
    assert {(c.choice.data, c.choice.model, c.train.epochs) for c in configs} == {
        ("generated", "tiny", 1)
    }


def test_a_run_is_the_same_with_a_preset_and_without(presets):
    small = ["data.train=20", "data.dev=5", "data.test=5"]
    sweeps = ["experiment=quickstart"], ["-m", "loss=weighted_cross_entropy,focal", "seed=2"]
    preset, sweep = (presets(*arguments, *small) for arguments in sweeps)
    one, other = (
        {m.name: m.fingerprint for m in members_of(composed)} for composed in (preset, sweep)
    )
    assert len(other) == 2 and other.items() <= one.items()


SKEWED = ["data=generated", "data.train=300", "data.dev=20", "data.test=20", "data.imbalance=100"]
EVEN = [
    "data=generated",
    "data.train=4000",
    "data.dev=20",
    "data.test=20",
    "data.imbalance=1",
    "data.ambiguity=0",
]


def settings_of(composed):
    """The choices of each run, by its seed."""
    with composed.composer as composer:
        configs = [check_overrides(composer, run).settings for run in composed.runs]
    result = {}
    for c in configs:
        result.setdefault(c.seed, []).append((c.choice.loss, c.choice.weights, c.train.sampler))
    return result


def test_the_recommended_sweep_is_that_of_its_data(presets):
    plain, smooth = ("cross_entropy", "none", "random"), ("label_smoothing", "none", "random")
    for_all = [
        ("logit_adjusted", "none", "random"),
        ("cross_entropy", "inverse_sqrt", "random"),
        ("cross_entropy", "none", "entity_balanced"),
    ]
    result = settings_of(presets("experiment=recommended", *SKEWED))
    assert set(result) == {1, 2} and result[1] == result[2]
    assert result[1][:5] == [plain, smooth, *for_all]
    assert settings_of(presets("experiment=recommended", *EVEN))[1] == [
        plain,
        smooth,
        ("crf", "none", "random"),
    ]
    span = settings_of(presets("experiment=recommended", *EVEN, "head=span"))
    assert span[1] == [plain, smooth]


def test_each_data_set_of_a_recommended_sweep_has_its_own_settings(presets):
    swept = [
        "data.imbalance=1,100",
        *(a for a in EVEN if "imbalance" not in a),
        "seed=5",
        "experiment=recommended",
    ]
    composed = presets(*swept)
    with composed.composer as composer:
        configs = [check_overrides(composer, run).settings for run in composed.runs]
    assert [c.choice.loss for c in configs if c.values["data"]["imbalance"] == 1] == [
        "cross_entropy",
        "label_smoothing",
        "crf",
    ]
    assert "logit_adjusted" in [
        c.choice.loss for c in configs if c.values["data"]["imbalance"] == 100
    ]


def test_the_command_line_wins_over_recommendations(presets):
    result = settings_of(
        presets(
            "experiment=recommended", *SKEWED, "train.sampler=random", "weights=none", "seed=4,5"
        )
    )
    assert set(result) == {4, 5} and {sampler for _, _, sampler in result[4]} == {"random"}
    assert {weights for _, weights, _ in result[4]} == {"none"}


def test_a_recommended_sweep_of_missing_data_has_one_fault(tmp_path):
    sections.register()
    arguments = ["experiment=recommended", "data=conll2003", f"data.path={tmp_path}"]
    (fault,) = read_line(arguments).faults
    assert (fault.setting, fault.value) == ("data", "conll2003") and str(tmp_path) in fault.must


def test_a_recommended_sweep_of_data_that_cannot_be_read_tells_file_and_line(tmp_path):
    sections.register()
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.txt").write_text("EU B-ORG\nrejects\n")
    arguments = [
        "experiment=recommended",
        "data=conll",
        *(f"data.{s}={tmp_path}/{s}.txt" for s in ("train", "dev", "test")),
    ]
    with pytest.raises(UserError) as error:
        read_line(arguments)
    assert error.value.faults[0].setting == f"{tmp_path}/train.txt:2"
