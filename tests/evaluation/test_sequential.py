"""Looks: their level by an independent simulation, and plans that survive interruptions."""

import numpy as np
import pytest
import scipy.stats

from nersweep.evaluation.inference import Verdict, infer
from nersweep.evaluation.influence import Sample
from nersweep.evaluation.sequential import DRAWS, calibrate, expected_runs, look

SEEDS = [7, 1, 2, 3, 4]
MEANS = {"base": 90.0, "worse": 80.0, "same": 90.0, "near": 90.45}


def runs(name: str, seeds) -> Sample:
    """Return the runs of a setting, each the same whenever it is made."""
    scores, influences = {}, {}
    for seed in seeds:
        rng = np.random.default_rng((seed, *name.encode()))
        scores[seed] = MEANS[name] + 0.06 * rng.normal()
        influences[seed] = 0.001 * rng.normal(size=20)
    return Sample(name, scores, influences)


def swept(samples: dict[str, set[int]], **options):
    return look([runs(name, sorted(samples[name])) for name in MEANS], SEEDS, 0.3, **options)


def finish(samples: dict[str, set[int]]):
    """Make the next runs until there are none; return the last progress, and all runs made."""
    made = []
    while (progress := swept(samples)).next_runs:
        for name, seed in progress.next_runs:
            samples[name].add(seed)
            made.append((name, seed))
    return progress, made


def test_one_setting_is_called_different_in_one_sweep_of_twenty():
    looks = tuple(range(2, 11))
    level = calibrate(1, looks).level
    x = np.random.default_rng(77).normal(size=(40_000, 10))
    crossed = np.zeros(len(x), dtype=bool)
    for n in looks:
        crossed |= scipy.stats.ttest_1samp(x[:, :n], 0, axis=1).pvalue < level
    assert crossed.mean() == pytest.approx(0.05, abs=0.006)


def test_one_look_has_the_level_itself():
    # From 8 seeds on, the statistic's distribution is exactly the one that is drawn for one row.
    assert calibrate(1, (9,)).level == pytest.approx(0.05, abs=0.006)


def test_more_looks_take_a_smaller_level():
    levels = [calibrate(3, tuple(range(2, most + 1))).level for most in (2, 4, 8)]
    assert levels[0] > levels[1] > levels[2] > 0.05 / 8


def test_a_sweep_stops_each_setting_at_its_answer():
    progress, made = finish({name: set() for name in MEANS})
    assert progress.stopped["worse"].verdict is Verdict.MUCH_WORSE
    assert progress.stopped["same"].verdict is Verdict.SAME
    assert progress.stopped["worse"].seeds == 2
    assert len(made) == len(set(made)) < 4 * 5  # all seeds of three settings and the baseline
    lengths = [contrast.seeds for contrast in progress.stopped.values()]
    lengths += [contrast.seeds for contrast in progress.open.values()]
    assert sum(seed for name, seed in made if name == "base") == sum(SEEDS[: max(lengths)])
    assert len(made) == sum(lengths) + max(lengths)


def test_a_look_has_the_intervals_of_its_level():
    progress = swept({name: {7, 1} for name in MEANS})
    samples = [runs(name, [7, 1]) for name in MEANS]
    assert progress.alpha == calibrate(3, (2, 3, 4, 5)).level < 0.05
    for contrast in infer(samples, 0.3, progress.alpha, DRAWS).contrasts:
        assert contrast == progress.stopped.get(contrast.name, progress.open.get(contrast.name))


def test_a_killed_sweep_resumes_to_the_same_plan():
    expected, made = finish({name: set() for name in MEANS})
    for kept in range(len(made)):
        samples = {name: set() for name in MEANS}
        for name, seed in made[:kept]:
            samples[name].add(seed)
        progress, rest = finish(samples)
        assert progress == expected
        assert sorted(made[:kept] + rest) == sorted(made)


def test_runs_that_are_there_count_and_change_no_answer():
    expected, _ = finish({name: set() for name in MEANS})
    progress, made = finish({name: {*SEEDS, 55} for name in MEANS})
    assert progress == expected
    assert not made


def test_a_sweep_begins_with_two_seeds_of_each():
    progress = swept({name: set() for name in MEANS})
    assert progress.next_runs == tuple((name, seed) for seed in (7, 1) for name in MEANS)
    assert progress.look == 0 and progress.runs_at_most == 4 * 5
    assert progress.open == dict.fromkeys(("worse", "same", "near"))
    assert swept({name: {7} for name in MEANS}).runs_at_most == 16


def test_failed_runs_are_not_repeated():
    failed = {("worse", seed) for seed in SEEDS} | {("same", 1)}
    samples = {"base": {7, 1}, "worse": set(), "same": {7}, "near": {7, 1}}
    progress = swept(samples, failed=failed)
    assert progress.look == 2
    assert progress.open["worse"] is None
    assert progress.open["same"].seeds == 1
    assert ("same", 2) in progress.next_runs
    assert not failed & set(progress.next_runs)


def test_the_expected_runs_lie_between_the_least_and_the_most():
    clear = expected_runs([20.0] * 4, 6, 0.5, document_sd=0.01)
    assert clear == pytest.approx(10, abs=1.5)  # two seeds of five settings
    unclear = expected_runs([0.45] * 4, 6, 0.5, seed_sd=2.0)
    assert 28 < unclear <= 5 * 6
    # Documents alone make an interval wider than the resolution.
    assert expected_runs([0.0] * 4, 6, 0.5, document_sd=0.5) > 28


@pytest.mark.parametrize("seeds", [[1], [1, 1, 2]])
def test_too_few_seeds_are_refused(seeds):
    with pytest.raises(ValueError, match="at least two"):
        look([runs("base", [1]), runs("same", [1])], seeds, 0.5)


@pytest.mark.parametrize(("rows", "looks"), [(0, (2,)), (1, ()), (1, (1, 2)), (1, (3, 2))])
def test_looks_ascend_from_two(rows, looks):
    with pytest.raises(ValueError, match="must be"):
        calibrate(rows, looks)


def test_a_setting_whose_runs_all_failed_gets_no_more():
    failed = {("worse", 7), ("worse", 1)}
    samples = {"base": {7, 1}, "worse": set(), "same": {7, 1}, "near": {7, 1}}
    progress = swept(samples, failed=failed)
    assert progress.look == 2 and "worse" in progress.open
    assert {seed for name, seed in progress.runs if name == "worse"} == {7, 1}
    assert "worse" not in {name for name, _ in progress.next_runs}


def test_a_baseline_without_a_run_ends_the_sweep():
    failed = {("base", 7), ("base", 1)}
    samples = {"base": set(), "worse": {7, 1}, "same": {7, 1}, "near": {7, 1}}
    progress = swept(samples, failed=failed)
    assert not progress.next_runs and not progress.stopped and progress.look == 0


def test_looks_may_begin_with_more_seeds():
    progress = swept({name: set() for name in MEANS}, first=3)
    assert progress.runs == tuple((name, seed) for name in MEANS for seed in (7, 1, 2))
    progress = swept({name: {7, 1, 2} for name in MEANS}, first=3)
    assert [seeds for seeds, _ in progress.looks] == [3]
    assert progress.stopped["worse"].seeds == 3
    assert progress.alpha > swept({name: set() for name in MEANS}).alpha
