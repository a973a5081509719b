"""Runs of a sweep whose splits are drawn: what they share, and what cannot use them."""

import pytest
from hydra._internal.utils import get_args_parser

from nersweep import __main__ as cli
from nersweep.command import line
from nersweep.config import schema
from nersweep.results.sets import group_runs
from nersweep.sweep import seeds, tuning
from nersweep.sweep.members import members_of


@pytest.fixture
def read(tmp_path):
    """read(*arguments): the command of a sweep over the draws of a file of 40 sentences."""
    file = tmp_path / "all.conll"
    text = "".join(f"w{i} B-{'PER' if i % 2 else 'LOC'}\nsaid O\n\n" for i in range(40))
    file.write_text(text, encoding="utf-8")
    schema.register()

    def read_line(*arguments):
        data = ["data=conll", f"data.train={file}"]
        options = get_args_parser().parse_intermixed_args(["-m", *data, *arguments])
        command = line.read(options, cli.run_faults, cli.recommend)
        assert not command.faults
        return command

    return read_line


def members(command):
    with command.composer:
        return members_of(command)


def test_each_seed_draws_splits_of_one_corpus(read):
    first, second, again = members(read("data.resample=true", "seed=1,2,3"))
    assert len({first.fingerprint, second.fingerprint, again.fingerprint}) == 3
    assert list(group_runs([first, second, again])) == ["conll"]
    (same,) = members(read("data.resample=true", "seed=2"))
    assert same.fingerprint == second.fingerprint


def test_a_draw_is_another_run_than_one_of_fixed_splits(read):
    (drawn,) = members(read("data.resample=true", "seed=1"))
    (fixed,) = members(read("data.split_seed=1", "seed=1"))
    assert drawn.fingerprint != fixed.fingerprint


def test_folds_are_runs_on_one_corpus_and_other_folds_on_another(read):
    runs = members(read("data.folds=3", "data.fold=range(3)"))
    assert len({run.fingerprint for run in runs}) == 3 and len(group_runs(runs)) == 1
    other = members(read("data.folds=4", "data.fold=0"))
    assert list(group_runs([*runs, *other])) == ["conll data.folds=3", "conll data.folds=4"]


@pytest.mark.parametrize(
    ("make", "setting"), [(seeds.make, "seeds.max"), (tuning.make, "tune.trials")]
)
def test_what_needs_one_split_refuses_draws(make, setting, read, faults_of):
    command = read("data.resample=true", "loss=focal,dice", "seed=1,2", f"{setting}=3")
    with command.composer as composer:
        (fault,) = faults_of(lambda: make(command, composer))
    assert (fault.setting, fault.value) == (setting, 3) and "data.resample" in fault.remedy
