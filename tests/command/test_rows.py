"""sweep.settings: each entry is a row, whatever is wrong in one is said of that one."""

import pytest

from nersweep.command import rows
from nersweep.faults import Fault
from nersweep.sweep.members import members_of

TINY = ["data.train=20", "data.dev=5", "data.test=5"]
ROWS = """sweep.settings=[loss=cross_entropy, "loss=focal focal_gamma=2.7",
  {name: "guide's focal (γ=2, α=inverse)", loss: weighted_focal, weights: inverse,
  focal_gamma: 2}]"""
SWEEP = """sweep:
  settings:
    - loss=focal focal_gamma=3
    - {name: mine, loss: dice, train: {lr: 1e-3}}
hydra: {mode: MULTIRUN, sweeper: {params: {seed: "1,2"}}}"""


def test_rows_multiply_with_what_else_is_swept(read):
    command = read("-m", ROWS, "seed=1,2", *TINY)
    assert not command.faults
    assert [run[:-3] for run in command.runs[:3]] == [
        ("loss=cross_entropy", "seed=1"),
        ("loss=focal", "focal_gamma=2.7", "seed=1"),
        ("loss=weighted_focal", "weights=inverse", "focal_gamma=2", "seed=1"),
    ]
    assert [run[-4] for run in command.runs[3:]] == ["seed=2"] * 3
    with command.composer:
        members = members_of(command)
    assert [member.setting for member in members[:3]] == [
        "cross_entropy",
        "focal-g2.7",
        "guide's focal (γ=2, α=inverse)",
    ]


def test_a_run_is_the_same_under_a_name_and_without(read):
    named = read("-m", "sweep.settings=[{name: mine, loss: focal, focal_gamma: 3}]", *TINY)
    plain = read("-m", "loss=focal", "focal_gamma=3", *TINY)
    with named.composer:
        (one,) = members_of(named)
    with plain.composer:
        (other,) = members_of(plain)
    assert (one.folder, one.fingerprint) == (other.folder, other.fingerprint)
    assert (one.label, other.label) == ("mine-s1", "focal-g3-s1")


def test_rows_of_one_name_are_told_apart_by_what_else_is_swept(read):
    command = read("-m", "sweep.settings=[{name: a, loss: focal}]", "train.lr=0.01,0.02", *TINY)
    with command.composer:
        labels = [member.label for member in members_of(command)]
    assert labels == ["a-s1 train.lr=0.01", "a-s1 train.lr=0.02"]


def test_rows_of_a_file_are_rows_and_the_command_line_wins(read, strangers):
    folder = strangers("experiment/mine", SWEEP)
    command = read(folder, "experiment=mine", "train.lr=2e-3", *TINY)
    assert not command.faults and len(command.runs) == 4
    lrs = {checked.settings.train.lr for checked in command.checked.values()}
    assert lrs == {2e-3}


@pytest.mark.parametrize(
    ("entry", "setting"),
    [
        ('"loss=focal focal_gama=3"', "focal_gama"),
        ('"loss=focal focal_gamma=-1"', "focal_gamma"),
        ('"loss=focal focal_gamma=1,2"', "focal_gamma"),
        ("loss=nope", "loss"),
        ("seed=3", "seed"),
        ("output_dir=x", "output_dir"),
        ("dry_run=true", "dry_run"),
        ('"hydra.job.name=x"', "hydra.job.name"),
        ('"loss=focal loss._target_=os.system"', "loss._target_"),
        ("{name: 3, loss: focal}", "name"),
        ("{name: other, loss: focal}", "name"),
    ],
)
def test_a_fault_of_an_entry_is_one_line_that_names_it(entry, setting, faults):
    (fault,) = faults("-m", f"sweep.settings=[{{name: other, loss: dice}}, {entry}]", *TINY)
    assert (fault.setting, fault.file) == (setting, "entry 2 of sweep.settings") and fault.must


@pytest.mark.parametrize("value", ["3", "[]", "x", "{loss: focal}"])
def test_what_is_no_list_of_rows_is_refused(value, faults):
    (fault,) = faults("-m", f"sweep.settings={value}", *TINY)
    assert fault.setting == rows.SETTINGS and "must be a list" in fault.must


@pytest.mark.parametrize("value", ["[3]", '[""]', "[{name: x}]"])
def test_an_entry_sets_something(value, faults):
    (fault,) = faults("-m", f"sweep.settings={value}", *TINY)
    assert fault.setting == "entry 1 of sweep.settings"


def test_what_all_rows_share_is_no_fault_of_an_entry(faults):
    (fault,) = faults("-m", "sweep.settings=[loss=focal, loss=dice]", "train.lr=-1", *TINY)
    assert (fault.setting, fault.file) == ("train.lr", "")


def test_a_setting_is_given_in_one_place(faults):
    (fault,) = faults("-m", "sweep.settings=[loss=focal, weights=inverse]", "weights=none", *TINY)
    assert fault == Fault(
        "weights", "none", "entry 2 of sweep.settings sets it too", "leave one of them out"
    )


def test_one_run_has_no_rows(faults):
    (fault,) = faults("sweep.settings=[loss=focal]", *TINY)
    assert fault.setting == rows.SETTINGS and fault.remedy == "use -m"


@pytest.mark.parametrize(
    "entry",
    [
        "{loss: {_target_: os.system}}",
        "{loss: focal, focal_gamma: '${oc.env:HOME}'}",
        "{tracking: {uri: 'http://evil'}}",
        "loss=focal hydra/launcher=joblib",
        "{loss: focal, output_dir: /}",
    ],
)
def test_rows_of_a_strangers_file_are_vetted(entry, strangers, faults):
    folder = strangers(
        "experiment/mine", f"sweep: {{settings: [{entry}]}}\nhydra: {{mode: MULTIRUN}}"
    )
    assert faults(folder, "experiment=mine", *TINY)
