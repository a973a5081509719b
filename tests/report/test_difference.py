"""Two runs side by side: all that differs, and sentences counted by who is right."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from finished import unfinished

from nersweep.faults import UserError
from nersweep.labels import spans
from nersweep.report.difference import all_correct, print_difference, with_brackets
from nersweep.report.records import read_run
from nersweep.results.result import read_result, write_result
from nersweep.terminal import console


def copy_run(folder, copy, change):
    """A copy of a run with another result."""
    shutil.copytree(folder, copy)
    result = read_result(copy / "result.json")
    change(result)
    write_result(copy, result)
    return read_run(copy, "test")


def printed(*runs):
    with console.capture() as capture:
        print_difference(*runs)
    return capture.get()


def sentences(split, tags):
    """The entities of each sentence."""
    groups = []
    for end, length in zip(split.ends, split.lengths, strict=True):
        groups.append(set(spans(tags[end - length : end])))
    return groups


def test_sentences_are_counted_by_who_is_right(runs):
    a, b = (read_run(folder, "test") for folder in (runs[0], runs[2]))
    is_right = []
    for split in (a.predictions(), b.predictions()):
        gold, predicted = sentences(split, split.gold_tags), sentences(split, split.tags)
        expected = np.array([one == other for one, other in zip(gold, predicted, strict=True)])
        assert (all_correct(split) == expected).all()
        is_right.append(expected)
    first, second = is_right
    text = printed(a, b)
    for name, group in {
        "both right": first & second,
        f"only {a.result.name} right": first & ~second,
        f"only {b.result.name} right": ~first & second,
    }.items():
        assert re.search(rf"^{re.escape(name)} +{group.sum()}$", text, re.MULTILINE)
    wrong = re.findall(r"^both wrong, \w+ +(\d+)$", text, re.MULTILINE)
    assert sum(map(int, wrong)) == (~first & ~second).sum()


def test_all_that_differs_is_printed_also_for_runs_of_one_name(runs, tmp_path):
    def change(result):
        result.config["train"]["lr"] = 0.125
        result.config |= {"report": False, "rerun": True, "device": "cuda"}  # identify no run
        result.versions["nersweep"] = "9.9.9"

    a, b = read_run(runs[0], "test"), copy_run(runs[0], tmp_path / "cross_entropy-s1-other", change)
    text = printed(a, b)
    assert re.search(r"^train.lr +\S+ +0.125$", text, re.MULTILINE) and "9.9.9" in text
    assert runs[0].name in text and "cross_entropy-s1-other" in text and "train.epochs" not in text
    assert not re.search(r"^(report|rerun|device) ", text, re.MULTILINE)


def test_sentences_of_different_data_are_not_compared(runs, tmp_path):
    def change(result):
        result.data = replace(result.data, checksum="0ther")

    text = printed(read_run(runs[0], "test"), copy_run(runs[2], tmp_path / "x", change))
    assert "0ther" in text and "sentences are not compared" in text and "both right" not in text


def test_one_run_twice_and_unfinished_runs_are_refused(runs):
    run = read_run(runs[0], "test")
    for other, value in ((run, f"{run.result.name},{run.result.name}"), (unfinished(), "focal-s1")):
        with pytest.raises(UserError) as error:
            print_difference(run, other)
        (fault,) = error.value.faults
        assert (fault.setting, fault.value) == ("compare", value)


def test_entities_stand_in_brackets_in_the_sentence(runs):
    split = read_run(runs[0], "test").predictions()
    for number, (end, length) in enumerate(zip(split.ends, split.lengths, strict=True)):
        text = with_brackets(split, split.gold, number)
        starts = [tag[2:] for tag in split.gold_tags[end - length : end] if tag.startswith("B-")]
        assert text.count("]") - text.count("]]>") >= len(starts)
        assert re.findall(r"\[(\S+) ", text) == starts
