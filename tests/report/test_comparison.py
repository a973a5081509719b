"""Settings over their seeds: groups, tests worked out by hand, and no overstated conclusion."""

import math
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from finished import finished_result, unfinished

from nersweep.evaluation import stats
from nersweep.evaluation.counts import NO_DOCUMENTS, from_dense
from nersweep.evaluation.inference import infer, mean_intervals
from nersweep.evaluation.influence import Rate, cluster_counts, measure
from nersweep.faults import UserError
from nersweep.report import comparison as comparison_module
from nersweep.report import rows as row_module
from nersweep.report.records import Record
from nersweep.report.reference import NO_REFERENCE, Claim, Reference
from nersweep.report.tables import make_tables
from nersweep.results.result import DataFacts

SENTENCES = 400
REFERENCE = Reference(
    "a paper",
    time_of="focal",
    rows={"focal": Claim(f1=91.2, own={"focal_gamma": 3.0}), "cross_entropy": Claim(f1=86.5)},
)


def compare(runs, baseline="cross_entropy", reference=NO_REFERENCE, resolution=0.5, alpha=0.05):
    return comparison_module.compare(
        runs, baseline, "test", reference, resolution=resolution, alpha=alpha
    )


def record(loss="focal", seed=1, right=600, checksum="c0ffee" * 4, version="0.1.0", **changes):
    """A run that predicts so many of 800 entities, two in each sentence, and nothing wrong.

    changes: settings, with __ for the dot. Runs of different settings differ in their confusion."""
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
    confusion = np.array([[zlib.crc32(repr((loss, changes)).encode())]])
    return Record(result, "test", counts, confusion)


def rows_of(*records, baseline="cross_entropy", reference=REFERENCE):
    return {row.setting: row for row in compare(records, baseline, reference).rows}


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


def test_rows_with_the_source_s_settings_stand_after_the_others_and_are_named_so():
    runs = [record("focal", focal_gamma=3.0), record("focal", focal_gamma=2.0), record("dice")]
    answer = compare([*runs, record("cross_entropy")], "cross_entropy", REFERENCE)
    settings = ["focal focal_gamma=2.0", "cross_entropy", "dice", "focal focal_gamma=3.0"]
    assert [row.setting for row in answer.rows] == settings
    assert [row.claim.f1 for row in answer.rows] == [91.2, 86.5, None, 91.2]
    table = make_tables(answer)[0]
    column = table.header.index("settings")
    assert [cells[column] for cells in table.rows] == ["ours", "ours", "–", "theirs"]
    assert "settings" not in make_tables(compare(runs[1:], "dice", REFERENCE))[0].header


def rows_with(gains, seeds=3):
    """Runs of cross entropy, and of settings that find so many entities more, by seed."""
    runs = [record("cross_entropy", seed, 600 + seed) for seed in range(1, seeds + 1)]
    for loss, gain in gains.items():
        numbers = gain if isinstance(gain, list) else [gain] * seeds
        runs += [record(loss, seed, 600 + seed + more) for seed, more in enumerate(numbers, 1)]
    return runs


def with_documents(runs, size=20):
    """The runs, so many sentences to a document."""
    numbers = np.arange(SENTENCES) // size
    known = []
    for run in runs:
        counts = cluster_counts(run.counts[:, None], numbers).astype(np.int64)
        known.append(replace(run, documents=from_dense((), True, counts[:, :, None])))
    return known


def with_types(runs):
    """The runs, whose even documents have LOC alone and the others PER, strict ones half right."""
    known = []
    for run in with_documents(runs):
        counts = np.zeros((run.documents.documents, 2, 2, 3), dtype=np.int64)
        counts[::2, 0, 0] = run.documents.lenient[::2, 0]
        counts[1::2, 1, 0] = run.documents.lenient[1::2, 0]
        counts[:, :, 1] = counts[:, :, 0] // [2, 1, 1]
        known.append(replace(run, documents=from_dense(("LOC", "PER"), True, counts)))
    return known


@pytest.mark.parametrize(
    ("name", "mode", "types", "rate"),
    [
        ("f2", 0, [0, 1], Rate(2)),
        ("PER/f2", 0, [1], Rate(2)),
        ("strict/f0.5", 1, [0, 1], Rate(0.5)),
    ],
)
def test_rows_are_judged_by_the_metric(name, mode, types, rate):
    runs = with_types(rows_with({"dice": [-40, -44, -38], "focal": [5, 8, 3]}))
    answer = comparison_module.compare(runs, "cross_entropy", "test", metric=name)
    samples = {}
    for setting in sorted(
        (row.setting for row in answer.rows), key=lambda name: name != "cross_entropy"
    ):
        counts = {}
        for run in runs:
            if run.setting == setting:
                counts[run.seed] = run.documents.dense()[:, types, mode].sum(1, keepdims=True)
        samples[setting] = measure(setting, counts, rate)
    rows = {row.setting: row for row in answer.rows}
    for contrast in infer(list(samples.values()), 0.5).contrasts:
        assert rows[contrast.name].contrast == contrast
    for setting, row in rows.items():
        assert list(100 * row.values()) == pytest.approx(list(samples[setting].scores.values()))
    assert [row.setting for row in answer.rows] == sorted(rows, key=lambda x: -rows[x].mean())
    assert make_tables(answer)[0].header[2] == answer.metric.label


def test_runs_of_several_metrics_need_one_to_be_reported_by(faults_of):
    runs = with_types([record("focal"), record("dice", metric="PER/recall")])
    (fault,) = faults_of(lambda: compare(runs))
    assert (fault.setting, fault.value) == ("metric", "PER/recall, f1")
    assert "metric=NAME" in fault.remedy
    answer = comparison_module.compare(runs, "focal", "test", metric="recall")
    assert answer.metric.label == "recall"
    note = "judged by recall, but each run has the epoch with the best F1 or PER recall on dev"
    assert note in answer.notes
    assert not any(note.startswith("judged") for note in compare(runs[:1]).notes)


def test_a_type_that_the_split_lacks_makes_no_rows_the_same(faults_of):
    runs = []
    for run in with_types(rows_with({"focal": [1, 2, 3]})):
        lacking = replace(run.result.test.types["PER"], support=0)
        test = replace(run.result.test, types=run.result.test.types | {"PER": lacking})
        runs.append(replace(run, result=replace(run.result, test=test)))
    (fault,) = faults_of(lambda: comparison_module.compare(runs, "focal", "test", metric="PER/f1"))
    assert (fault.setting, fault.value) == ("metric", "PER/f1") and "no entity of PER" in fault.must


def test_a_metric_that_the_runs_cannot_tell_is_refused_in_a_line(faults_of):
    runs = with_documents(rows_with({"focal": [1, 2, 3]}))
    for name, lacks in (("ent_type/f1", "the view ent_type"), ("GPE/f1", "no such metric")):
        (fault,) = faults_of(
            lambda name=name: comparison_module.compare(runs, "focal", "test", metric=name)
        )
        assert (fault.setting, fault.value) == ("metric", name) and lacks in fault.must


def test_an_archive_that_lacks_counts_cannot_be_run_again():
    runs = with_documents(rows_with({"focal": [1, 2, 3]}))
    for folder, can_run in ((None, False), (Path("run"), True)):
        placed = [replace(run, folder=folder) for run in runs]
        with pytest.raises(UserError) as error:
            comparison_module.compare(placed, "focal", "test", metric="ent_type/f1")
        (fault,) = error.value.faults
        assert ("rerun=true" in fault.remedy) == can_run and "use f1" in fault.remedy


def test_rows_without_a_right_entity_are_undecided_and_a_note_says_that_this_tells_nothing():
    runs = with_types([record(loss, seed, 0) for loss in ("focal", "dice") for seed in (1, 2)])
    guesses = []
    for run in runs:
        counts = run.documents.dense()
        counts[..., 1] = 1
        predicted = np.where(run.counts == 0, 1, run.counts) * [0, 1, 1]
        documents = from_dense(("LOC", "PER"), True, counts)
        guesses.append(replace(run, counts=predicted, documents=documents))
    note = "recall is 0 in all runs of dice, focal: that they are equal tells nothing"
    answer = comparison_module.compare(guesses, "focal", "test", metric="recall")
    assert note in answer.notes
    assert answer.conclusions[0].startswith("dice is undecided: 0.00 points; this test set cannot")
    assert answer.decision.setting == "" and "enough seeds, and scores" in answer.decision.certainty
    assert not any("tells nothing" in note for note in compare(rows_with({"dice": [1, 2]})).notes)


def test_rows_have_the_inference_of_their_documents():
    runs = with_documents(rows_with({"dice": [-40, -44, -38], "focal": [5, 8, 3]}))
    answer = compare(runs, resolution=0.3)
    samples = []
    for setting in ("cross_entropy", "dice", "focal"):
        counts = {run.seed: run.documents.lenient for run in runs if run.setting == setting}
        samples.append(measure(setting, counts, Rate()))
    dice, focal = infer(samples, 0.3).contrasts
    rows = {row.setting: row for row in answer.rows}
    assert rows["cross_entropy"].contrast is None
    for row, contrast in ((rows["dice"], dice), (rows["focal"], focal)):
        assert row.contrast.difference == pytest.approx(contrast.difference)
        assert row.contrast.document_variance == pytest.approx(contrast.document_variance)
    assert 100 * np.array(rows["focal"].interval) == pytest.approx(
        mean_intervals(samples)[2], abs=0.01
    )  # up to the draws, which depend on the order of the rows
    assert not any("documents unknown" in note for note in answer.notes)
    mixed = compare([replace(runs[0], documents=NO_DOCUMENTS), *runs[1:]])  # sentences, for all
    (again,) = (row.contrast for row in mixed.rows if row.setting == "dice")
    assert again.difference == pytest.approx(dice.difference)
    assert again.document_variance != pytest.approx(dice.document_variance)
    assert any("documents unknown" in note for note in mixed.notes)


def test_a_sweep_that_looked_several_times_has_intervals_of_its_smaller_level():
    runs = rows_with({"dice": [-40, -44, -38], "focal": [5, 8, 3]})
    once, repeatedly = compare(runs), compare(runs, alpha=0.01)
    for row, other in zip(once.rows, repeatedly.rows, strict=True):
        if row.contrast:
            assert other.contrast.low < row.contrast.low < row.contrast.high < other.contrast.high
    (legend,) = (text for name, text in make_tables(repeatedly)[0].legend if name == "p")
    assert legend == "below .01 exactly where 0 is outside of it"


@pytest.mark.parametrize(
    "gains, begins, holds",
    [
        ([100] * 3, "is better than cross_entropy by more than 0.5 points", "p < .001"),
        ([-100] * 3, "is worse than cross_entropy by more than 0.5 points", "p < .001"),
        ([30, -25, 12], "is undecided", "more seeds would decide it"),
        ([30], "is undecided", "one seed tells no more than that"),
    ],
)
def test_each_verdict_has_its_words(gains, begins, holds):
    first = compare(rows_with({"focal": gains}, len(gains))).conclusions[0]
    differences = []
    for seed, gain in enumerate(gains, 1):
        right = 600 + seed  # of 800, with precision 1
        more = right + gain
        differences.append(200 * more / (more + 800) - 200 * right / (right + 800))
    difference = f"{np.mean(differences):+.2f}".replace("-", "−")
    assert first.startswith(f"focal {begins}: {difference} points") and holds in first, first


def test_the_resolution_decides_what_is_practically_the_same():
    runs = rows_with({"focal": [0, 1, -1]})
    words = "focal is practically the same as cross_entropy: 0.00 points ["
    first = compare(runs, resolution=10).conclusions[0]
    assert first.startswith(words) and first.endswith("within ±10.")
    assert "focal is undecided" in compare(runs, resolution=0.01).conclusions[0]


def test_what_no_number_of_seeds_decides_says_what_the_test_set_can_see():
    runs = with_documents(rows_with({"focal": [0, 1, -1]}), 100)  # four documents
    first = compare(runs, resolution=0.01).conclusions[0]
    assert "no number of seeds decides it: this test set cannot detect less than" in first


def test_the_decision_is_the_setting_of_least_regret_with_its_command_and_model():
    runs = rows_with({"focal": [20, 22, 21], "dice": [-20, -30, -10]})
    for run in runs:
        run.result.dev = replace(run.result.dev, f1=0.9 if run.seed == 2 else 0.5)
    runs = [replace(r, folder=Path("runs") / r.result.name, command=f"run {r.seed}") for r in runs]
    decision = compare(runs).decision
    assert (decision.setting, decision.command) == ("focal", "run 2")
    assert decision.choice == "Take focal" and "runs/focal-s2/model (seed 2" in decision.model
    assert "best of 3 with probability above 99%" in decision.certainty
    assert "No other setting may be the best" in decision.certainty


def test_one_seed_prefers_nothing_and_says_what_it_can_tell():
    decision = compare([record("cross_entropy"), record("focal", right=700)]).decision
    assert decision.setting == "" and "focal has the highest F1" in decision.choice
    assert "one seed shows" in decision.certainty


def test_a_setting_that_predicts_nothing_is_not_compared():
    runs = rows_with({"focal": 20})
    runs += [record("dice", seed, 0) for seed in (1, 2, 3)]
    answer = compare(runs)
    rows = {row.setting: row for row in answer.rows}
    assert rows["dice"].contrast is None and rows["dice"].standing is None
    assert "dice did not train: it predicts no entity." in answer.conclusions
    assert rows["focal"].contrast == compare(rows_with({"focal": 20})).rows[0].contrast
    none = compare([record(loss, 1, 0) for loss in ("dice", "cross_entropy")])
    assert none.decision.setting == "" and len(none.rows) == 2
    assert "All 2 settings did not train: they predict no entity." in none.conclusions


def test_a_setting_whose_best_epoch_is_the_last_was_still_improving():
    runs = rows_with({"focal": 20})
    assert not any("improving" in line for line in compare(runs).conclusions)
    for run in runs[3:5]:  # two of three seeds of focal
        run.result.best_epoch = run.result.epochs
    assert compare(runs).conclusions[-1].startswith("focal was still improving")


def test_equal_runs_under_different_names_count_once():
    plain = rows_with({"focal": [3, 9, 6], "dice": [8, 2, 5]})
    names = {"focal": "twin", "cross_entropy": "plain"}
    twins = []
    for run in plain:
        if run.setting in names:
            twin = record(names[run.setting], run.seed, 0)
            twins.append(replace(run, result=replace(twin.result, test=run.result.test)))
    answer = compare([*plain, *twins])
    assert {row.setting: row.equals for row in answer.rows} == {
        "focal": ("twin",),
        "dice": (),
        "cross_entropy": ("plain",),
    }
    assert [row.contrast for row in answer.rows] == [row.contrast for row in compare(plain).rows]
    assert any(note.startswith("twin: the same predictions as focal") for note in answer.notes)


def test_a_sweep_that_still_runs_has_a_provisional_report():
    runs = rows_with({"focal": 20})
    assert compare([*runs, failed()]).decision.provisional == ""
    open_runs = [failed("dice", 1, "running"), failed("dice", 2, "not started")]
    assert compare([*runs, *open_runs]).decision.provisional.startswith("Provisional: 2 of 8 runs")


def test_the_sentence_mentions_seeds_that_did_not_finish():
    runs = [*rows_with({"focal": 100}), failed("focal", 4, "diverged")]
    assert "1 of its 4 seeds did not finish and are not counted" in compare(runs).conclusions[0]


def test_many_rows_of_a_verdict_share_a_sentence():
    losses = ("focal", "dice", "ghm", "gce", "poly1", "tversky", "crf")
    runs = rows_with({loss: 9 + i for i, loss in enumerate(losses)} | {"bad": -300})
    first, last = compare(runs, resolution=0.01).conclusions
    assert first.startswith("7 settings are better than cross_entropy")
    assert all(f"{loss} (+" in first for loss in losses) and last.startswith("bad is worse")


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


def drawn(loss, fold, right, seed=1, pool="whole"):
    """A run on one fold of a corpus, which scores a sentence for four that it trains on."""
    run = record(loss, seed, right, checksum=f"{pool} {seed} {fold}")
    data = replace(run.result.data, sentences={"train": 80, "test": 20}, pool=pool, fold=fold)
    return replace(run, result=replace(run.result, data=data))


def test_folds_are_runs_of_one_row_paired_by_seed_and_fold():
    runs = []
    for seed in (1, 2):
        for fold, right in enumerate((500, 560, 640)):
            runs.append(drawn("cross_entropy", fold, right, seed))
            runs.append(drawn("focal", fold, right + 20 + fold, seed))
    rows = {row.setting: row for row in compare(runs).rows}
    focal, base = rows["focal"], rows["cross_entropy"]
    assert len(focal.records) == len(base.records) == 6
    gaps = 100 * (focal.values() - base.values())
    assert focal.contrast.paired and focal.contrast.seeds == 6
    assert focal.contrast.difference == pytest.approx(gaps.mean(), abs=1e-4)
    variance = (1 / 6 + 1 / 4) * gaps.var(ddof=1)
    assert focal.contrast.standard_error == pytest.approx(math.sqrt(variance), rel=1e-3)
    notes = " ".join(compare(runs).notes)
    assert "3 folds × 2 seeds of one corpus" in notes and "0.25 sentences" in notes


def test_runs_of_one_fold_have_the_intervals_of_its_documents():
    runs = [drawn("cross_entropy", 0, 500), drawn("focal", 0, 520)]
    same = [record("cross_entropy", 1, 500), record("focal", 1, 520)]
    one, other = (compare(each).rows[0].interval for each in (runs, same))
    assert one == other


def test_folds_of_different_corpora_are_refused(faults_of):
    (fault,) = faults_of(lambda: compare([drawn("focal", 0, 500), drawn("dice", 0, 500, 1, "b")]))
    assert "different data" in fault.must


def test_a_fold_without_a_type_does_not_count_for_its_mean():
    runs = [drawn("focal", fold, 500 + fold) for fold in (0, 1)]
    of_types = runs[0].result.test.types
    absent = {"PER": of_types["PER"], "LOC": replace(of_types["LOC"], f1=0.0, support=0)}
    lacking = replace(runs[0].result, test=replace(runs[0].result.test, types=absent))
    row = compare([replace(runs[0], result=lacking), runs[1]]).rows[0]
    assert row.mean("types/LOC/f1") == row.values("types/LOC/f1")[1] > 0
