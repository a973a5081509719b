"""Seeds until the answer is known: rounds that stop, resume to the same plan, and refuse misuse."""

import json
import re
import shutil
import signal

import numpy as np
import pytest
from examples import finished
from hydra._internal.utils import get_args_parser

from nersweep import __main__ as cli
from nersweep.command import line
from nersweep.config import schema as sections
from nersweep.evaluation.counts import from_dense
from nersweep.evaluation.inference import Verdict
from nersweep.faults import UserError
from nersweep.report.report import compare_sets
from nersweep.report.sources import ReportOptions, select_runs
from nersweep.results.counts import write_counts
from nersweep.results.looks import read_looks
from nersweep.results.result import Result, Status, write_result
from nersweep.run import execute
from nersweep.sweep import launch, seeds

TINY = [
    "data.train=24", "data.dev=8", "data.test=8", "model.hidden=8", "model.layers=1",
    "model.heads=2", "train.precision=fp32", "device=cpu", "tracking.kind=none",
]  # fmt: skip
LOSSES = "loss=dice,focal,cross_entropy,poly1"
SHARES = {
    "cross_entropy": 0.8,
    "focal": 0.795,
    "dice": 0.5,
    "poly1": 0.8,
}  # of entities that are found


@pytest.fixture
def plans_of(tmp_path, monkeypatch):
    """plans_of(*arguments): the plans of a command, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    sections.register()

    def make(*arguments):
        options = get_args_parser().parse_intermixed_args(["-m", *TINY, *arguments])
        command = line.read(options, cli.run_faults, cli.recommend)
        assert not command.faults
        with command.composer as composer:
            return seeds.make(command, composer)

    return make


@pytest.fixture
def plan_of(plans_of):
    """plan_of(*arguments): the plan of a command of one set."""

    def make(*arguments):
        (plan,) = plans_of(*arguments)
        return plan

    return make


def end(plan, run):
    """Write the result and the counts of a run, the same ones whenever it is made."""
    setting, seed = run
    share = SHARES[setting.partition("-")[0]]
    rng = np.random.default_rng((seed, *setting.encode()))
    gold = np.full((40, 1), 20)
    correct = rng.binomial(20, share + 0.004 * rng.normal(), size=(40, 1))
    counts = from_dense((), True, np.stack([correct, gold, gold], axis=-1)[:, :, None])
    member = plan.runs[run]
    result = finished(setting, seed, fingerprint=member.fingerprint)
    result.data.checksum = plan.checksum
    write_counts(member.folder, {"dev": counts})
    write_result(member.folder, result)


def finish(plan):
    """Make the runs that the plan asks for; return its last progress and the runs."""
    made = []
    while (progress := plan.look({})).next_runs:
        for run in progress.next_runs:
            assert run not in made
            end(plan, run)
            made.append(run)
    return progress, made


PLANNED = [LOSSES, "seeds.max=6", "resolution=2"]


def test_each_data_set_has_a_plan_that_no_other_changes(plans_of, plan_of):
    plans = plans_of(*PLANNED, "data.imbalance=1,30")
    assert [plan.name for plan in plans] == [f"generated data.imbalance={n}" for n in (1, 30)]
    labels = [member.label for plan in plans for member in plan.runs.values()]
    assert len(set(labels)) == 48 and "focal-g2-s3 data.imbalance=30" in labels
    first, second = plans
    assert first.settings == second.settings and first.settings[0] == "cross_entropy"
    finish(first)
    assert not second.look({}).looks and len(second.look({}).next_runs) == 8
    alone = plan_of(*PLANNED, "data.imbalance=30")
    assert alone.identity == second.identity
    assert finish(second)[0] == alone.look({})


def test_an_encoder_has_a_plan_if_each_has_several_settings(plans_of, tmp_path):
    folder = tmp_path / "conf" / "model"
    folder.mkdir(parents=True)
    (folder / "small.yaml").write_text("# @package _global_\ndefaults: [tiny]\ntrain: {lr: 3e-3}\n")
    own = [f"--config-dir={folder.parent}", "seeds.max=3"]
    plans = plans_of(*own, "model=tiny,small", "loss=dice,focal")
    assert [plan.name for plan in plans] == ["generated, tiny", "generated, small"]
    assert [plan.settings for plan in plans] == 2 * [("dice-s1", "focal-g2")]
    (plan,) = plans_of(*own, "model=tiny,small")
    assert plan.name == "generated"
    assert plan.settings == ("cross_entropy model=small", "cross_entropy model=tiny")


def test_the_baseline_leads_and_the_seeds_continue_those_of_the_command(plan_of, plans_of):
    plan = plan_of(LOSSES, "seed=7,3", "seeds.max=4")
    assert plan.settings[0] == "cross_entropy" and len(plan.settings) == 4
    assert plan.seeds == (7, 3, 8, 9) and plan.first == 2 and len(plan.runs) == 16
    assert plan_of(LOSSES, "seeds.max=3").seeds == (1, 2, 3)
    assert plan_of(LOSSES, "seed=1,2,3", "seeds.max=3").first == 3
    assert plan_of("loss=focal,dice", "seeds.max=2").settings[0] == "focal-g2"
    assert plans_of(LOSSES) == []


def test_settings_of_one_name_are_told_apart_and_equal_ones_count_once(plan_of):
    plan = plan_of("loss=focal", "focal_gamma=2,2.0,3", "train.lr=1e-3,1e-2", "seeds.max=2")
    assert len(plan.settings) == 4
    assert {setting for setting in plan.settings if " train.lr=" in setting} == set(plan.settings)


def test_looks_are_taken_by_the_metric(plan_of, faults_of):
    progress, _ = finish(plan_of(*PLANNED))
    plan = plan_of(*PLANNED, "metric=recall")
    assert plan.identity != plan_of(*PLANNED).identity
    by_recall, _ = finish(plan)
    assert plan.looks(by_recall).metric == "recall"
    # Of gold and as many predictions, recall is the correct share, as F1 is.
    assert by_recall.stopped["dice-s1"] == progress.stopped["dice-s1"]
    (fault,) = faults_of(lambda: plan_of(*PLANNED, "metric=f1,recall"))
    assert fault.setting == "seeds.max" and "not by f1, recall" in fault.must


def test_settings_stop_at_their_answers(plan_of):
    progress, made = finish(plan_of(*PLANNED))
    assert progress.stopped["dice-s1"].verdict is Verdict.MUCH_WORSE
    assert sum(setting == "dice-s1" for setting, _ in made) == 2
    lengths = [sum(setting == name for name, _ in made) for setting in plan_of(*PLANNED).settings]
    assert lengths[0] == max(lengths) and len(made) < 24
    assert set(progress.runs) == set(made)


def test_a_sweep_killed_after_any_run_resumes_to_the_same_plan(plan_of, tmp_path, monkeypatch):
    expected, made = finish(plan_of(*PLANNED))
    for kept in (1, len(made) // 2):
        (tmp_path / str(kept)).mkdir()
        monkeypatch.chdir(tmp_path / str(kept))
        plan = plan_of(*PLANNED, f"output_dir={tmp_path / str(kept)}")
        for run in made[:kept]:
            end(plan, run)
        progress, rest = finish(plan_of(*PLANNED, f"output_dir={tmp_path / str(kept)}"))
        assert progress == expected and sorted([*made[:kept], *rest]) == sorted(made)


def test_a_failed_run_is_asked_for_by_the_next_command_and_a_diverged_one_is_not(plan_of):
    plan = plan_of(*PLANNED)
    first, second, *others = plan.look({}).next_runs
    for run in others:
        end(plan, run)
    member = plan.runs[first]
    assert plan.look({member.fingerprint: ["no memory"]}).next_runs == (second,)
    assert plan.look({}).next_runs == (first, second)
    diverged = Result(status=Status.DIVERGED, name=member.name, fingerprint=member.fingerprint)
    write_result(member.folder, diverged)
    assert plan.look({}).next_runs == (second,)


def test_expected_runs_lie_between_those_asked_for_and_the_most(plan_of):
    plan = plan_of(*PLANNED)
    progress = plan.look({})
    assert 8 < plan.expected_runs(progress) <= 24 == progress.runs_at_most
    for run in progress.next_runs:
        end(plan, run)
    progress = plan.look({})
    assert len(progress.runs) <= plan.expected_runs(progress) <= 8 + progress.runs_at_most
    assert progress.runs_at_most < 16
    progress, made = finish(plan)
    assert plan.expected_runs(progress) == len(progress.runs) == 8 + len(made)


def test_runs_of_other_data_are_not_compared(plan_of):
    plan = plan_of(*PLANNED)
    end(plan, plan.look({}).next_runs[0])
    other = plan_of(*PLANNED)
    object.__setattr__(other, "checksum", "another")
    with pytest.raises(UserError, match="its data are not those"):
        other.look({})


@pytest.fixture
def start(tmp_path, monkeypatch, capfd, exit_code):
    """start(*overrides): exit code, lines of standard output and error of a command."""
    monkeypatch.chdir(tmp_path)

    def do(*overrides):
        code = exit_code(cli.main, overrides[0], *TINY, *overrides[1:])
        printed = capfd.readouterr()
        return code, printed.out.splitlines(), printed.err.splitlines()

    return do


@pytest.mark.parametrize(
    ("arguments", "setting", "must"),
    [
        (["-m", LOSSES, "seeds.max=1"], "seeds.max=1", "must be ≥ 2"),
        (["-m", LOSSES, "seeds.max=two"], "seeds.max=two", "whole number"),
        (["-m", LOSSES, "seed=1,2,3", "seeds.max=2"], "seeds.max=2", "at least 3"),
        (["-m", LOSSES, "seed=999999999", "seeds.max=2"], "seed=999999999", "must be below"),
        (["-m", LOSSES, "seeds.max=2,3"], "seeds.max=2,3", "cannot be swept"),
        (["loss=focal", "seeds.max=3"], "seeds.max=3", "is for a sweep of runs"),
        (["-m", "study=focal_gamma", "seeds.max=3"], "seeds.max=3", "set study.seeds"),
        (["-m", "loss=focal", "seeds.max=3"], "seeds.max=3", "focal-g2 is compared with nothing"),
        (["-m", "loss=focal", "focal_gamma=2,2.0", "seeds.max=3"], "seeds.max=3", "nothing"),
        (
            ["-m", "sweep.settings=[loss=focal,loss=dice,data.seed=2]", "seeds.max=3"],
            "seeds.max=3",
            "cross_entropy on generated data.seed=2 is compared with nothing",
        ),
        (["-m", LOSSES, "data.dev=1", "seeds.max=3"], "seeds.max=3", "two documents"),
        (["-m", LOSSES, "resolution=0"], "resolution=0", "> 0 and ≤ 100"),
        (["-m", LOSSES, "resolution=100.5"], "resolution=100.5", "> 0 and ≤ 100"),
        (["-m", LOSSES, "resolution=true"], "resolution=true", "> 0 and ≤ 100"),
    ],
)
def test_misuse_gets_one_line_and_leaves_nothing(arguments, setting, must, start, tmp_path):
    code, _, err = start(*arguments)
    assert code == 1 and len(err) == 1
    assert err[0].startswith(f"nersweep: {setting}: ") and must in err[0]
    assert not list(tmp_path.iterdir())


def test_a_dry_run_tells_the_most_and_the_expected_runs(start, tmp_path):
    code, out, _ = start("-m", LOSSES, "seeds.max=5", "dry_run=true")
    assert code == 0 and "8 runs, 8 to do" in out and not list(tmp_path.iterdir())
    (numbers,) = [
        found for text in out if (found := re.search(r"about (\d+) runs .* most (\d+),", text))
    ]
    assert 8 < int(numbers[1]) <= int(numbers[2]) == 20


# Runs that differ, and of which no two or three seeds give so short an interval.
OPEN = [
    "loss=cross_entropy,focal", "seeds.max=3", "resolution=0.01", "data.train=200", "data.dev=40",
    "model.hidden=16", "train.lr=1e-2", "train.epochs=4",
]  # fmt: skip


@pytest.mark.slow
def test_a_sweep_of_two_data_sets_killed_between_rounds_resumes_to_the_same_plan(
    start, tmp_path, monkeypatch
):
    command = ["-m", *OPEN, "data.train=24,200"]
    names = ["generated data.train=24", "generated data.train=200"]
    code, out, _ = start(*command, "dry_run=true")
    assert code == 0 and "8 runs, 8 to do" in out and any("at most 12," in text for text in out)

    trained, perform, look = [], execute.perform, launch.take_look

    def count(prepared, *given):
        trained.append(prepared.folder.name)
        return perform(prepared, *given)

    def look_and_end(plans, faults, *given):
        members = look(plans, faults, *given)
        if len(members) > 8:
            signal.raise_signal(signal.SIGTERM)
        return members

    monkeypatch.setattr(execute, "perform", count)
    monkeypatch.setattr(launch, "take_look", look_and_end)
    code, out, _ = start(*command)
    assert code == 143 and "round 1: 8 runs; at most 4 more" in out and len(trained) == 8
    (folder,) = (tmp_path / "outputs" / "sweeps").glob("*")
    before = read_looks(folder)
    assert [looks.name for looks in before] == names and not before[1].is_complete
    assert len([text for text in out if re.match(r"generated data.train=\d+: after 2", text)]) == 2

    monkeypatch.setattr(launch, "take_look", look)
    code, out, err = start(*command)
    runs = json.loads((folder / "sweep.json").read_text())["runs"]
    assert (code, err) == (0, []) and len(set(trained)) == len(trained) == len(runs)
    assert f"{len(runs)} of {len(runs)} runs finished" in out
    assert out.count("no answer with these seeds: focal-g2") >= 1
    after = read_looks(folder)
    assert [looks.looks[0] for looks in after] == [looks.looks[0] for looks in before]
    assert all(looks.is_complete and looks.baseline == "cross_entropy" for looks in after)
    assert [each.seeds for each in after[1].looks] == [2, 3] and after[1].seeds == (1, 2, 3)
    assert len(runs) == sum(2 * looks.looks[-1].seeds for looks in after)

    selection = select_runs(ReportOptions(output_dir="outputs"))
    comparisons, missing = compare_sets(selection, "cross_entropy", 0.01)
    assert list(comparisons) == names and not missing
    for looks in after:
        comparison = comparisons[looks.name]
        assert comparison.alpha == looks.alpha < 0.05
        assert comparison.baseline == looks.baseline

    # As if nobody had ended it: the same runs, and no sweep yet.
    shutil.copytree("outputs/runs", "whole/runs")
    assert start(*command, "output_dir=whole")[0] == 0 and len(trained) == len(runs)
    (whole,) = (tmp_path / "whole" / "sweeps").glob("*")
    assert read_looks(whole) == after
    undisturbed = json.loads((whole / "sweep.json").read_text())["runs"]
    fingerprints = {run["fingerprint"] for run in undisturbed}
    assert fingerprints == {run["fingerprint"] for run in runs}
