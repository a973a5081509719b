"""A run read back: its entities are those of its scores, an archive holds the same numbers and no word of the data."""

import json
import shutil

import numpy as np
import pytest

from nersweep.evaluation import stats
from nersweep.report.records import read_archive, read_run, setting_of, to_line, write_archive
from nersweep.results import result as result_module


@pytest.fixture
def folder(runs, tmp_path):
    """A run to be damaged. It is as it was trained, and not one of the copies that predict other things."""
    return shutil.copytree(next((runs[0].parents[1] / "runs").iterdir()), tmp_path / "run")


def test_entities_of_the_sentences_sum_to_the_score(folder):
    for split in ("dev", "test"):
        record = read_run(folder, split)
        assert stats.f1(record.counts.sum(0)) == pytest.approx(record.scores["f1"], abs=1e-6)
        assert record.counts.sum(0)[2] == sum(
            x["support"] for x in record.result[split]["types"].values()
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
    counts = read_run(folder, "test").counts
    assert counts[:, 1].tolist() == [1] + [0] * (sentences - 1)


def test_an_archive_gives_the_same_record_without_a_word_of_the_data(runs, tmp_path):
    records = [read_run(folder, "test") for folder in runs[:2]]
    write_archive(tmp_path / "a.jsonl", records)
    for before, after in zip(records, read_archive(tmp_path / "a.jsonl"), strict=True):
        assert set(before.config) - set(after.config) == {"data", "output_dir", "tracking"}
        mine, theirs = ({**of.result, "config": setting_of(of)} for of in (before, after))
        assert theirs == json.loads(json.dumps(mine)) and after.seed == before.seed
        assert (after.counts == before.counts).all() and (after.confusion == before.confusion).all()
        assert (after.epochs, after.losses, after.split) == (
            before.epochs,
            before.losses,
            before.split,
        )
        assert to_line(after) == to_line(before)
    text = (tmp_path / "a.jsonl").read_text("utf-8")
    assert str(runs[0].parents[1]) not in text  # where the data and the runs lie
    words = {word for record in records for word in record.predictions().words}
    assert len(words) > 9 and not [
        word for word in words if len(word) > 3 and json.dumps(word)[1:-1] in text
    ]


def sealed(text):
    result = json.loads(text)
    del result["checksum"]
    return json.dumps(result_module.sealed(result))


@pytest.mark.parametrize(
    "name, damage, told",
    [
        ("result.json", lambda text: text[: len(text) // 2], "result.json: cannot be read"),
        ("result.json", lambda text: "[]", "result.json: cannot be read"),
        (
            "result.json",
            lambda text: sealed(text.replace('"analysis"', '"anal"')),
            "has no analysis",
        ),
        (
            "result.json",
            lambda text: sealed(text.replace('"types"', '"typs"')),
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
        ("metrics.jsonl", lambda text: text[: len(text) // 2], "metrics.jsonl: cannot be read"),
        (
            "metrics.jsonl",
            lambda text: text.replace('"gradients"', '"gradient"'),
            "has no gradients",
        ),
        ("metrics.jsonl", lambda text: "3\n", "metrics.jsonl: cannot be read"),
        ("metrics.jsonl", lambda text: None, "metrics.jsonl: cannot be read"),
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
def test_what_is_missing_or_damaged_is_told_in_one_line_with_its_file(folder, name, damage, told):
    file = folder / name
    text = damage(file.read_text("utf-8"))
    if text is None:
        file.unlink()
    else:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError) as refused:
        read_run(folder, "test")
    assert (
        told in str(refused.value)
        and str(folder) in str(refused.value)
        and "\n" not in str(refused.value)
    )


@pytest.mark.parametrize("line", ["{}", "[]", "3", '{"result": ', "{broken"])
def test_a_line_that_is_no_run_is_told_with_its_number(runs, tmp_path, line):
    file = tmp_path / "a.jsonl"
    file.write_text(to_line(read_run(runs[0], "test")) + f"\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"archive=.*a.jsonl: line 2 is no run"):
        read_archive(file)


def test_learning_rates_that_differ_in_the_last_digit_are_two_settings(folder):
    file = folder / "result.json"
    result = json.loads(file.read_text("utf-8"))
    result["config"]["train"]["lr"] = 0.00012345678901
    del result["checksum"]
    result_module.write_result(folder, result)
    assert setting_of(read_run(folder, "test"))["train.lr"] == 0.00012345678901


def test_losses_are_thinned_out_to_means(folder):
    values = np.random.default_rng(0).random(1000)
    lines = [json.dumps({"step": i, "loss": float(x)}) for i, x in enumerate(values, 1)]
    (folder / "metrics.jsonl").write_text("\n".join(lines), encoding="utf-8")
    losses = read_run(folder, "test").losses
    assert [step for step, _ in losses] == list(range(5, 1001, 5))
    assert [loss for _, loss in losses] == pytest.approx(values.reshape(-1, 5).mean(1), abs=1e-6)
