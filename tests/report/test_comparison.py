"""Settings over their seeds: groups, tests worked out by hand, and no overstated conclusion."""

import math
from dataclasses import replace

import numpy as np
import pytest
from finished import finished_result, unfinished

from nersweep.evaluation import stats
from nersweep.faults import UserError
from nersweep.report import comparison as comparison_module
from nersweep.report import rows as row_module
from nersweep.report.power import seeds_to_detect
from nersweep.report.records import Record
from nersweep.report.reference import NO_REFERENCE, Claim, Reference
from nersweep.report.tables import make_tables
from nersweep.results.result import DataFacts

SENTENCES = 400
REFERENCE = Reference(
    "a paper", "focal", {"focal": Claim(f1=91.2), "cross_entropy": Claim(f1=86.5)}
)


def compare(runs, baseline, reference=NO_REFERENCE):
    return comparison_module.compare(runs, baseline, "test", reference)


def record(loss="focal", seed=1, right=600, checksum="c0ffee" * 4, version="0.1.0", **changes):
    """A run that predicts so many of 800 entities, two in each sentence, and nothing wrong.

    changes: settings, with __ for the dot."""
    config = {
        "output_dir": "outputs",
        "device": "auto",
        "train": {"lr": 0.001, "checkpoint_minutes": 10, "batch_size": 8},
        "data": {"path": "data", "_target_": "nersweep.data.Conll"},
        "model": {"name": "minilm"},
        "loss": {"_target_": f"nersweep.losses.{loss}"},
    }
    for key, value in changes.items():
        section, _, inner = key.rpartition("__")
        (config[section] if section else config)[inner] = value
    correct = np.full(SENTENCES, right // SENTENCES)
    correct[np.random.default_rng(seed).permutation(SENTENCES)[: right % SENTENCES]] += 1
    counts = np.stack([correct, correct, np.full(SENTENCES, 2)], axis=1)
    result = finished_result(
        loss,
        seed,
        float(stats.f1(counts.sum(0))),
        {"PER": 500, "LOC": 300},
        config,
        epochs=2,
        data=DataFacts(checksum, {"train": 80}, {"PER": 9, "LOC": 7}),
        versions={"nersweep": version},
    )
    return Record(result, "test", counts)


def rows_of(*records, baseline="cross_entropy", reference=REFERENCE):
    return {row.setting: row for row in compare(records, baseline, reference).rows}


def test_the_statistics_are_those_of_the_counts():
    gains = {"focal": (4, 7, 2), "dice": (4, -6, 3)}
    base = [record("cross_entropy", seed, 600 + seed) for seed in (1, 2, 3)]
    others = {
        loss: [record(loss, i, 600 + i + gain) for i, gain in enumerate(of, 1)]
        for loss, of in gains.items()
    }
    rows = rows_of(*base, *others["focal"], *others["dice"])
    y = np.array(
        [2 * n / (n + 800) for n in (601, 602, 603)]
    )  # by hand: precision 1, recall n / 800
    for loss, of in gains.items():
        x = np.array([2 * n / (n + 800) for n in (600 + i + gain for i, gain in enumerate(of, 1))])
        contrast = rows[loss].contrast
        assert contrast.difference == pytest.approx((x - y).mean(), abs=1e-12)
        assert contrast.g == pytest.approx(stats.hedges_g(x, y))
        assert contrast.superiority == pytest.approx(np.mean([a > b for a in x for b in y]))
        a, b = (np.stack([r.counts for r in side]) for side in (others[loss], base))
        assert contrast.p_sentences == stats.approximate_randomisation(a, b)
        low, high = stats.student_interval(stats.resampled_f1(a) - stats.resampled_f1(b), x - y)
        assert contrast.interval == pytest.approx((low, high))
    assert (rows["focal"].contrast.p_seeds, rows["dice"].contrast.p_seeds) == (
        0.25,
        1,
    )  # of 8 signs: 2, and all
    assert (rows["focal"].contrast.adjusted_seeds, rows["dice"].contrast.adjusted_seeds) == (0.5, 1)
    assert rows["cross_entropy"].contrast is None


def test_a_setting_is_a_row_and_places_are_no_setting():
    same = {
        "output_dir": "elsewhere",
        "device": "cuda",
        "train__checkpoint_minutes": 1,
        "data__path": "/mnt",
    }
    assert list(rows_of(record(seed=1), record(seed=2, **same))) == ["focal"]
    assert rows_of(record(seed=1), record(seed=2, **same))["focal"].seeds == (1, 2)
    for key, values in {"train__lr": (0.001, 1e-05), "model__name": ("minilm", "bert")}.items():
        first, second = (f"focal {key.replace('__', '.')}={value}" for value in values)
        rows = rows_of(*(record(seed=seed, **{key: value}) for value in values for seed in (1, 2)))
        assert sorted(rows) == sorted([first, second])
        assert rows[first].seeds == rows[second].seeds == (1, 2)


def failed(loss="focal", seed=1, status="failed"):
    return unfinished(loss, seed, status, "out of memory")


def test_runs_that_did_not_finish_stand_in_the_row_of_their_setting():
    runs = [failed(seed=2), failed("dice", 1, "running")]
    rows = rows_of(record(seed=1), *runs)
    assert list(rows) == ["focal", "dice"]  # those without a finished run last
    assert rows["focal"].unfinished == (runs[0],) and not rows["dice"].records
    assert row_module.outcome(runs[0]) == "failed (out of memory)"
    assert row_module.outcome(runs[1]) == "not finished (out of memory)"
    rows = rows_of(record(train__lr=1.0), record(train__lr=2.0), runs[0])
    assert rows["focal"].unfinished == (runs[0],)  # unknown which of the two settings


def test_the_order_of_the_runs_changes_nothing():
    runs = [
        record(loss, seed, 600 + 7 * seed)
        for loss in ("focal", "dice", "cross_entropy")
        for seed in (1, 2)
    ]
    runs += [failed("focal", 3), record("focal", 2, 700, version="0.10.0")]
    one, other = (compare(of, "cross_entropy") for of in (runs, runs[::-1]))
    assert [row.setting for row in one.rows] == [row.setting for row in other.rows]
    assert (one.notes, one.conclusions) == (other.notes, other.conclusions)
    (row,) = (row for row in one.rows if row.setting == "focal")
    assert (
        row.records[1].result.versions["nersweep"] == "0.10.0"
    )  # later than 0.1.0, and stands for seed 2
    assert any("nersweep 0.1.0 and 0.10.0" in note for note in one.notes)
    assert any(note.startswith("focal: several runs of seed 2;") for note in one.notes)


def test_of_two_runs_of_one_seed_the_same_one_counts_in_any_order():
    runs = [record("focal", 1, 600 + n) for n in range(4)]
    for n, run in enumerate(runs):
        run.result.fingerprint = str(n)
    means = {compare(of, "focal").rows[0].mean() for of in (runs, runs[::-1], runs[2:] + runs[:2])}
    assert len(means) == 1


def test_precisions_are_settings_also_where_a_machine_chose_them():
    runs = [record("focal", seed) for seed in (1, 2)]
    runs[1].result.precision = "bfloat16"
    assert sorted(rows_of(*runs)) == [
        "focal train.precision=bfloat16",
        "focal train.precision=float32",
    ]


def test_different_code_is_reported():
    runs = [record("focal", seed) for seed in (1, 2)]
    runs[1].result.versions = {"nersweep": "0.1.0", "code": "c0de"}
    assert any(
        "different versions are compared: code c0de and unknown" in n
        for n in compare(runs, "").notes
    )


def test_different_data_are_refused_in_one_line_that_names_them():
    runs = [record(seed=seed) for seed in (1, 2)]
    others = [record("dice", seed, checksum="0ther") for seed in (1, 2)]
    with pytest.raises(UserError) as error:
        compare([*runs, *others], "cross_entropy")
    (fault,) = error.value.faults
    first, second = fault.setting.split("; ")
    assert first.startswith("focal-s1 and 1 more (conll2003")
    assert second.startswith("dice-s1 and 1 more") and "0ther" in second
    shorter = replace(record("dice"), counts=record("dice").counts[:-1])
    with pytest.raises(UserError, match=r"focal-s1 and 1 more.*; dice-s1 .*different data"):
        compare([*runs, shorter], "cross_entropy")


def test_a_single_seed_is_not_tested_and_the_table_says_why():
    answer = compare([record("cross_entropy"), record("focal", right=700)], "cross_entropy")
    assert not answer.conclusions and any(
        note.startswith("one seed: no test") for note in answer.notes
    )
    contrast = answer.rows[0].contrast or answer.rows[1].contrast
    assert (
        contrast.difference > 0
        and np.isnan([contrast.p_seeds, contrast.p_sentences, contrast.adjusted_seeds]).all()
    )


@pytest.mark.parametrize(
    "changes", [{"device": "cuda:1"}, {"hardware": "another CPU"}], ids=["device", "hardware"]
)
def test_times_of_unlike_hardware_are_not_compared(changes):
    runs = [record("cross_entropy"), record("dice"), record("focal", 1), record("focal", 2)]
    for name, value in changes.items():
        setattr(runs[3].result, name, value)  # one seed of two
    answer = compare(runs, "cross_entropy")
    rows = {row.setting: row for row in answer.rows}
    assert math.isnan(answer.time_ratio(rows["focal"])) and answer.time_ratio(rows["dice"]) == 1
    (table,) = [table for table in make_tables(answer) if "step" in table.header]
    steps = {cells[0]: cells[table.header.index("step")] for cells in table.rows}
    assert steps == {"cross_entropy": "1.00×", "dice": "1.00×", "focal": "–"}


def test_claims_stand_in_their_order_and_time_is_a_ratio_to_the_claimed_row():
    runs = [record("dice", right=790), record("cross_entropy"), record("focal")]
    runs[1].result.cpu_seconds = 25.0
    answer = compare(runs, "cross_entropy", REFERENCE)
    assert [row.setting for row in answer.rows] == ["focal", "cross_entropy", "dice"]
    assert [answer.time_ratio(row) for row in answer.rows] == [1, 2.5, 1]
    assert [row.claim.f1 for row in answer.rows] == [91.2, 86.5, None]
    assert answer.rarest == "LOC"  # 7 of them in training, and fewer in the test set as well
    assert (
        compare(runs[:2], "cross_entropy", REFERENCE).time_unit.setting == "cross_entropy"
    )  # no focal row: the baseline


def concluded(monkeypatch, gains, interval, p_sentences, rows=1):
    """Return the conclusion on the first of `rows` rows whose seeds gain so many entities.

    The bootstrap gives this interval in points, and a wider one for a higher level.
    """

    def interval_of(resampled, observed, level=0.95):
        low, high = interval
        more = (1 - 0.95) / (1 - level) - 1  # 0 at 95%, then .2 points for each further row
        return (low - 0.2 * more) / 100, (high + 0.2 * more) / 100

    monkeypatch.setattr(row_module, "interval_of", interval_of)
    monkeypatch.setattr(row_module.stats, "approximate_randomisation", lambda *_: p_sentences)
    base = [record("cross_entropy", seed, 600 + seed % 3) for seed in range(len(gains))]
    mine = [
        record(loss, seed, 600 + seed % 3 + gain)
        for loss in ("focal", "dice", "ghm", "gce", "poly1")[:rows]
        for seed, gain in enumerate(gains)
    ]
    lines = compare([*base, *mine], "cross_entropy").conclusions
    return next(line for line in lines if "focal" in line)


UP, MIXED = (30, 20, 25, 40, 10, 15, 20, 30), (30, -5, 25, 40, 10, -15, 20, -30)


@pytest.mark.parametrize(
    "gains, interval, p, begins, holds",
    [
        (
            UP[:6],
            (0.5, 2),
            0.5,
            "focal is better than cross_entropy on this data",
            ["p = 0.0312 after Holm"],
        ),
        ([-x for x in UP], (-2, -0.5), 0.5, "focal is worse than cross_entropy", ["p = 0.0078"]),
        (
            UP[:3],
            (0.5, 2),
            0.5,
            "focal seems better",
            ["3 seeds are too few", "cannot go below 0.25"],
        ),
        (
            MIXED,
            (0.5, 2),
            0.5,
            "A difference between focal and cross_entropy is not confirmed with 8 seeds",
            ["the interval excludes 0, but", "does not confirm it"],
        ),
        (
            UP,
            (-0.5, 2),
            0.5,
            "No difference",
            ["the seeds agree (p = 0.0078", "chance in the sentences"],
        ),
        (
            MIXED[:3],
            (-1, 2),
            0.001,
            "No difference",
            ["with 3 seeds", "A t test over seeds needs", "says nothing about"],
        ),
    ],
)
def test_no_more_is_concluded_than_interval_and_test_allow(
    gains, interval, p, begins, holds, monkeypatch
):
    line = concluded(monkeypatch, gains, interval, p)
    assert line.startswith(begins) and all(part in line for part in holds), line
    assert ("These particular models do differ" in line) == (p <= 0.05)


@pytest.mark.parametrize(
    "seeds, interval, begins, holds",
    [
        (
            5,
            (1, 2),
            "focal seems better",
            "cannot go below 0.312 after Holm's correction for 5 rows",
        ),
        (
            6,
            (1, 2),
            "focal seems better",
            "cannot go below 0.156 after Holm's correction for 5 rows",
        ),
        (8, (1, 2), "focal is better", "p = 0.0391 after Holm's correction"),
        (
            8,
            (0.5, 2),
            "A difference between focal and cross_entropy is not confirmed",
            "as wide as 5 rows need",
        ),
    ],
)
def test_of_several_rows_each_needs_more(seeds, interval, begins, holds, monkeypatch):
    line = concluded(monkeypatch, UP[:seeds], interval, 0.5, rows=5)
    assert line.startswith(begins) and holds in line, line


def test_the_verdict_mentions_unshared_and_unfinished_seeds():
    base = [record("cross_entropy", seed, 600 + seed) for seed in (1, 2, 3)]
    others = [record("focal", seed, 700) for seed in (1, 2)] + [failed("focal", 3, "diverged")]
    others += [record("dice", 1), record("ghm", 9)]
    focal, *apart = sorted(
        compare([*base, *others], "cross_entropy").conclusions, key=lambda line: "share" in line
    )
    assert "1 of its 3 seeds did not finish and are not counted" in focal
    assert sorted(apart) == [
        "dice and cross_entropy share one seed (1), so they are not tested.",
        "ghm and cross_entropy share no seed, so they are not tested.",
    ]


def test_of_many_rows_without_a_difference_one_line_tells():
    base = [record("cross_entropy", seed, 600 + 9 * seed) for seed in (1, 2, 3)]
    losses = ("focal", "dice", "ghm", "gce", "poly1", "tversky", "crf")
    alike = [record(loss, seed, 600 + 9 * (4 - seed)) for loss in losses for seed in (1, 2, 3)]
    worse = [record("bad", seed, 300 + seed) for seed in (1, 2, 3)]
    first, last = compare([*base, *alike, *worse], "cross_entropy").conclusions
    assert (
        first.startswith("bad seems worse")
        and all(f"{loss} (" in last for loss in losses)
        and "bad" not in last
    )
    assert len(compare([*base, *alike[:18], *worse], "cross_entropy").conclusions) == 7


def test_seeds_needed_are_those_of_the_t_test_and_enough_for_the_sign_flip_test():
    assert seeds_to_detect(0.003, 0.002, 1) == 9  # the rule of thumb: .3 points, where the sd is .2
    assert (
        seeds_to_detect(0.005, 0.002, 1) == 6
    )  # 4 by the t test, but with fewer than 6 no p is below .05
    assert seeds_to_detect(0.01, 0.002, 5) == 8  # 5 rows: 2^-7 is the first below .01
    assert seeds_to_detect(0.003, 0.002, 5) > 9 and seeds_to_detect(0.003, 0, 5) == 8


def test_a_missing_or_ambiguous_baseline_is_reported():
    with_rivals = compare(
        [record(train__lr=lr, seed=seed) for lr in (1.0, 2.0) for seed in (1, 2)], "focal"
    )
    assert with_rivals.baseline == "focal train.lr=1.0"
    assert any(
        "focal train.lr=1.0 is used" in n and "others are focal train.lr=2.0" in n
        for n in with_rivals.notes
    )
    without = compare([record(), record("dice")], "cross_entropy")
    assert without.baseline is None
    assert any(
        "baseline=cross_entropy: no such row" in n and "dice, focal" in n for n in without.notes
    )
    with pytest.raises(UserError, match="no run has finished"):
        compare([failed()], "cross_entropy")
