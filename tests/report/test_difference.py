"""Two runs side by side: all that differs, and sentences counted by who is right."""

import json
import re
import shutil

import numpy as np
import pytest

from nersweep.report import difference
from nersweep.report.records import read_run
from nersweep.results import result as result_module
from nersweep.terminal import console


def changed(folder, copy, change):
    """A copy of a run with another result.json."""
    shutil.copytree(folder, copy)
    result = json.loads((copy / "result.json").read_text("utf-8"))
    del result["checksum"]
    change(result)
    result_module.write_result(copy, result)
    return read_run(copy, "test")


def shown(*records):
    with console.capture() as capture:
        difference.show(*records)
    return capture.get()


def test_sentences_are_counted_by_who_is_right(runs):
    a, b = (read_run(folder, "test") for folder in (runs[0], runs[2]))
    said = [record.predictions() for record in (a, b)]
    ends = np.cumsum(said[0].lengths)
    tags = [[x.tags[end - n : end] for end, n in zip(ends, x.lengths, strict=True)] for x in said]
    gold = [said[0].gold_tags[end - n : end] for end, n in zip(ends, said[0].lengths, strict=True)]
    spans = lambda sentence: {tuple(row) for row in sentence}  # noqa: E731
    rights = [[difference.exact(x)[i] for i in range(len(gold))] for x in said]
    for own, sentences, right in zip(said, tags, rights, strict=True):
        assert all(
            not (same and not ok)
            for same, ok in zip(map(list.__eq__, sentences, gold), right, strict=True)
        )
        for i, ok in enumerate(right):
            inside = [
                spans(x[(x[:, 0] >= ends[i] - own.lengths[i]) & (x[:, 0] < ends[i])].tolist())
                for x in (own.found, own.gold)
            ]
            assert ok == (inside[0] == inside[1])
    text = shown(a, b)
    first, second = map(np.array, rights)
    for name, count in {
        "both right": (first & second).sum(), f"only {a.name} right": (first & ~second).sum(),
        f"only {b.name} right": (~first & second).sum(),
    }.items():  # fmt: skip
        assert re.search(rf"^{re.escape(name)} +{count}$", text, re.MULTILINE)
    wrong = sum(int(n) for n in re.findall(r"^both wrong, \w+ +(\d+)$", text, re.MULTILINE))
    assert wrong == (~first & ~second).sum()


def test_what_differs_is_shown_also_of_two_runs_of_one_name(runs, tmp_path):
    def change(result):
        result["config"]["train"]["lr"] = 0.125
        result["config"] |= {
            "report": False,
            "rerun": True,
            "device": "cuda",
        }  # no part of what a run is
        result["versions"]["nersweep"] = "9.9.9"

    a, b = read_run(runs[0], "test"), changed(runs[0], tmp_path / "cross_entropy-s1-other", change)
    text = shown(a, b)
    assert re.search(r"^train.lr +\S+ +0.125$", text, re.MULTILINE) and "9.9.9" in text
    assert runs[0].name in text and "cross_entropy-s1-other" in text and "train.epochs" not in text
    assert not re.search(r"^(report|rerun|device) ", text, re.MULTILINE)
    with pytest.raises(ValueError, match="the same run twice"):
        difference.show(a, read_run(runs[0], "test"))


def test_sentences_of_different_data_are_not_compared(runs, tmp_path):
    other = changed(runs[2], tmp_path / "x", lambda result: result["data"].update(checksum="0ther"))
    text = shown(read_run(runs[0], "test"), other)
    assert (
        "0ther" in text and "their sentences are not compared" in text and "both right" not in text
    )


def test_a_run_that_did_not_finish_is_refused(runs, tmp_path):
    other = changed(runs[2], tmp_path / "x", lambda result: result.update(status="killed"))
    with pytest.raises(ValueError, match=r"compare=focal-g2-s1: killed; only finished runs"):
        difference.show(read_run(runs[0], "test"), other)


def test_entities_stand_in_brackets_in_the_sentence(runs):
    predicted = read_run(runs[0], "test").predictions()
    for number in range(len(predicted.lengths)):
        text = difference.sentence_of(predicted, None, number)
        end = predicted.lengths[: number + 1].sum()
        own = predicted.gold_tags[end - predicted.lengths[number] : end]
        assert text.count("]") - text.count("]]>") >= sum(tag.startswith("B-") for tag in own)
        assert [t for t in re.findall(r"\[(\S+) ", text)] == [
            tag[2:] for tag in own if tag.startswith("B-")
        ]
