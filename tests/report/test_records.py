"""A run read back has the entities of its scores; an archive has its numbers and no words."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from nersweep.evaluation import stats
from nersweep.faults import UserError
from nersweep.machine.files import fingerprint
from nersweep.report.archive import Archive, read_archive, to_line, write_archive
from nersweep.report.records import read_run, thin_out
from nersweep.results.result import read_result, write_result
from nersweep.training.history import StepRecord


@pytest.fixture
def folder(runs, tmp_path):
    """The original run, to be damaged."""
    return shutil.copytree(next((runs[0].parents[1] / "runs").iterdir()), tmp_path / "run")


def test_entities_of_the_sentences_sum_to_the_score(folder):
    for split in ("dev", "test"):
        record = read_run(folder, split)
        assert stats.f1(record.counts.sum(0)) == pytest.approx(record.scores["f1"], abs=1e-6)
        assert record.counts.sum(0)[2] == sum(
            scores.support for scores in record.result.scores(split).types.values()
        )
        words = sum(
            1
            for line in (folder / f"predictions/{split}.conll").read_text("utf-8").splitlines()
            if line
        )
        assert record.confusion.sum() == words


def test_predicted_spans_count_where_the_head_predicts_spans(folder):
    gold = read_run(folder, "test").predictions().gold
    first = [[int(s), int(e), "LOC"] for s, e, _ in gold[gold[:, 0] < 5].tolist()[:1]]
    sentences = len(read_run(folder, "test").counts)
    lines = [json.dumps(first)] + ["[]"] * (sentences - 1)
    (folder / "predictions" / "test.spans.jsonl").write_text(
        "\n".join(lines) + "\n", encoding="utf-8"
    )
    (folder / "predictions" / "counts.json").unlink()
    counts = read_run(folder, "test").counts
    assert counts[:, 1].tolist() == [1] + [0] * (sentences - 1)


def test_an_archive_gives_the_same_record_without_a_word_of_the_data(runs, tmp_path):
    records = [read_run(folder, "test") for folder in runs[:2]]
    write_archive(tmp_path / "a.jsonl", Archive(records, "test"))
    archive = read_archive(tmp_path / "a.jsonl")
    assert (archive.split, archive.tuning, archive.alpha) == ("test", None, None)
    for before, after in zip(records, archive.runs, strict=True):
        assert set(before.config) - set(after.config) == {"data", "output_dir", "tracking"}
        assert after.identity == before.identity and after.seed == before.seed
        bare = replace(before.result, config={}, data_settings={})
        assert replace(after.result, config={}) == bare
        assert (after.documents.lenient == before.documents.lenient).all()
        assert (after.counts == before.counts).all() and (after.confusion == before.confusion).all()
        assert (after.epochs, after.losses, after.split) == (
            before.epochs,
            before.losses,
            before.split,
        )
        assert to_line(after, "test") == to_line(before, "test")
    text = (tmp_path / "a.jsonl").read_text("utf-8")
    assert str(runs[0].parents[1]) not in text  # where the data and the runs lie
    words = {word for record in records for word in record.predictions().words}
    assert len(words) > 9 and not [
        word for word in words if len(word) > 3 and json.dumps(word)[1:-1] in text
    ]


def test_a_run_of_an_older_version_counts_its_sentences_as_documents(folder, tmp_path):
    record = read_run(folder, "test")
    assert record.documents.marked is False
    (folder / "predictions" / "counts.json").unlink()
    older = read_run(folder, "test")
    assert older.documents.marked is None and older.documents.types == record.documents.types
    assert (older.documents.lenient == record.documents.lenient).all()
    assert (older.documents.dense() == record.documents.dense()).all()


def test_an_archive_without_documents_counts_its_sentences(runs, tmp_path):
    record = read_run(runs[0], "test")
    values = json.loads(to_line(record, "test"))
    del values["documents"]
    (tmp_path / "a.jsonl").write_text(json.dumps(values) + "\n", encoding="utf-8")
    (older,) = read_archive(tmp_path / "a.jsonl").runs
    assert (older.documents.marked, older.documents.types) == (None, ())
    assert older.documents.dense().shape[1:] == (1, 1, 3)
    assert (older.documents.lenient[:, 0] == record.documents.lenient.sum(1)).all()


def reseal(text):
    values = json.loads(text)
    del values["checksum"]
    return json.dumps(values | {"checksum": fingerprint(values)})


@pytest.mark.parametrize(
    "name, damage, message",
    [
        ("result.json", lambda text: text[: len(text) // 2], "result.json: cannot be read"),
        ("result.json", lambda text: "[]", "result.json: cannot be read"),
        (
            "result.json",
            lambda text: reseal(text.replace('"analysis"', '"anal"')),
            "has no analysis",
        ),
        (
            "result.json",
            lambda text: reseal(text.replace('"types"', '"typs"')),
            "not the result of a run",
        ),
        (
            "result.json",
            lambda text: text.replace('"best_epoch": 1', '"best_epoch": 2'),
            "it is damaged",
        ),
        (
            "result.json",
            lambda text: text.replace('"checksum"', '"sum"'),
            "an older version made it",
        ),
        ("metrics.jsonl", lambda text: text[: len(text) // 2], "not a record of this version"),
        ("metrics.jsonl", lambda text: text.replace('"gradients"', '"gradient"'), "gradients"),
        ("metrics.jsonl", lambda text: "3\n", "not a record of this version"),
        ("metrics.jsonl", lambda text: None, "metrics.jsonl: cannot be read"),
        ("predictions/counts.json", lambda text: text[:-9], "not the counts of a run"),
        ("predictions/counts.json", lambda text: "{}", "not the counts of a run"),
        (
            "predictions/counts.json",
            lambda text: json.dumps(dict.fromkeys(("dev", "test"), json.loads(text)["dev"])),
            "not the counts of test.conll",
        ),
        ("predictions/test.conll", lambda text: None, "test.conll: cannot be read"),
        ("predictions/test.conll", lambda text: text[: len(text) // 2], "test.conll: "),
        (
            "predictions/test.conll",
            lambda text: text.rpartition("\n\n")[0] + "\n",
            "39 sentences, expected 40",
        ),
        (
            "predictions/test.conll",
            lambda text: text.replace("B-LOC", "B-NEW"),
            "not the predictions of a run",
        ),
        ("predictions/test.conll", lambda text: "", "not the predictions of a run"),
    ],
)
def test_a_damaged_file_is_one_fault_that_names_it(folder, name, damage, message):
    file = folder / name
    text = damage(file.read_text("utf-8"))
    if text is None:
        file.unlink()
    else:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_run(folder, "test")
    (fault,) = error.value.faults
    assert str(folder) in fault.setting and message in str(fault) and "\n" not in str(fault)


def test_a_line_of_another_version_is_a_fault_that_names_what_it_lacks(runs, tmp_path):
    file = tmp_path / "a.jsonl"
    values = json.loads(to_line(read_run(runs[0], "test"), "test"))
    for name in ("confusion", "result", "result.analysis"):
        copied = json.loads(json.dumps(values))
        place = copied
        *sections, last = name.split(".")
        for section in sections:
            place = place[section]
        del place[last]
        file.write_text(json.dumps(copied) + "\n", encoding="utf-8")
        with pytest.raises(UserError) as error:
            read_archive(file)
        (fault,) = error.value.faults
        assert fault.must == f"line 1 has no {last}, so another version wrote it"


@pytest.mark.parametrize("alpha", [0, 1, "high", None])
def test_a_wrong_level_in_an_archive_is_a_fault_in_its_first_line(alpha, tmp_path, faults_of):
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"alpha": alpha}), encoding="utf-8")
    (fault,) = faults_of(lambda: read_archive(file))
    assert fault.must.startswith("line 1 is not a run")


@pytest.mark.parametrize("line", ["[]", "3", '{"result": ', "{broken"])
def test_a_line_that_is_not_a_run_is_a_fault_with_its_number(runs, tmp_path, line):
    file = tmp_path / "a.jsonl"
    file.write_text(to_line(read_run(runs[0], "test"), "test") + f"\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_archive(file)
    (fault,) = error.value.faults
    assert (fault.setting, fault.value) == ("archive", file)
    assert fault.must.startswith("line 2 is not a run")


def test_learning_rates_that_differ_in_the_last_digit_are_two_settings(folder):
    result = read_result(folder / "result.json")
    result.config["train"]["lr"] = 0.00012345678901
    write_result(folder, result)
    assert read_run(folder, "test").identity["train.lr"] == 0.00012345678901


def test_a_loss_curve_is_thinned_out_to_means():
    values = np.random.default_rng(0).random(1000)
    steps = [
        StepRecord(step=i, loss=float(x), lr=0.1, grad_norm=1.0) for i, x in enumerate(values, 1)
    ]
    losses = thin_out(steps)
    assert [step for step, _ in losses] == list(range(5, 1001, 5))
    assert [loss for _, loss in losses] == pytest.approx(values.reshape(-1, 5).mean(1), abs=1e-6)
    assert thin_out([]) == []
