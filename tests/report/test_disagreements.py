"""What settings say of a sentence, against pairs of entities compared one by one."""

from dataclasses import replace

import numpy as np
import pytest

from nersweep import labels
from nersweep.report.comparison import Comparison
from nersweep.report.disagreements import Entity, Said, find
from nersweep.report.records import Record, from_line, to_line
from nersweep.report.rows import Row


@pytest.fixture
def compared(tmp_path):
    """compared(gold, {setting: {seed: tags}}, spans): the tags of sentences a line each; the words are numbers."""

    def make(gold, said, spans=None):
        rows = []
        for setting, seeds in said.items():
            records = []
            for seed, tags in seeds.items():
                folder = tmp_path / f"{setting}-{seed}"
                (folder / "predictions").mkdir(parents=True)
                pairs = [
                    zip(a.split(), b.split(), strict=True) for a, b in zip(gold, tags, strict=True)
                ]
                blocks = [
                    "".join(f"{i} {a} {b}\n" for i, (a, b) in enumerate(pair)) for pair in pairs
                ]
                (folder / "predictions" / "test.conll").write_text(
                    "\n".join(blocks), encoding="utf-8"
                )
                if setting in (spans or {}):
                    (folder / "predictions" / "test.spans.jsonl").write_text(
                        spans[setting], encoding="utf-8"
                    )
                result = {
                    "status": "finished",
                    "config": {"seed": seed},
                    "test": {"types": {"LOC": {}, "PER": {}}},
                }
                records.append(Record(result, "test", folder=folder))
            rows.append(Row(setting, tuple(records), (), (np.nan, np.nan)))
        return Comparison(tuple(rows), None, {}, "test", (), ())

    return make


def test_a_sentence_is_shown_where_settings_differ_not_where_all_err_alike(compared):
    gold = ["B-PER I-PER O", "B-LOC O", "O B-PER O B-LOC"]
    found = find(
        compared(
            gold,
            {
                "a": {1: ["B-PER I-PER O", "O O", "O O O B-LOC"]},
                "b": {1: ["B-PER I-PER O", "O O", "O B-LOC O B-LOC"]},
                "c": {1: ["B-PER I-PER O", "O O", "B-PER O O B-LOC"]},
                "d": {1: ["B-PER I-PER O", "O O", "O O O B-LOC"]},
            },
        )
    )
    assert (found.total, found.seed, found.lacking) == (1, 1, "")
    (sentence,) = found.sentences
    assert (sentence.number, sentence.words) == (3, ("0", "1", "2", "3"))
    assert sentence.gold == (Entity(1, 2, "PER"), Entity(3, 4, "LOC"))
    assert sentence.said == (
        Said(("a", "d"), (Entity(1, 2, "PER", "missed"), Entity(3, 4, "LOC"))),
        Said(("b",), (Entity(1, 2, "LOC", "type"), Entity(3, 4, "LOC"))),
        Said(
            ("c",),
            (Entity(0, 1, "PER", "spurious"), Entity(1, 2, "PER", "missed"), Entity(3, 4, "LOC")),
        ),
    )
    of_b = {("b", "type", "LOC"), ("b", "type", "PER")}  # a PER taken for a LOC concerns both
    missed = {(name, "missed", "PER") for name in "acd"}
    assert sentence.errors() == of_b | missed | {("c", "spurious", "PER")}


def test_those_first_on_which_more_pairs_of_settings_differ_and_a_cut_is_told(compared):
    gold = ["B-PER", "B-PER", "B-PER O B-LOC"]
    most, half, twice = ["B-PER B-PER B-PER O", "O B-PER O B-PER", "O B-PER O B-PER"]
    tags = [
        [one, two, f"{three} O {'B-LOC' if three == 'B-PER' else 'O'}"]
        for one, two, three in zip(most.split(), half.split(), twice.split(), strict=True)
    ]
    answer = compared(gold, {name: {1: said} for name, said in zip("abcd", tags, strict=True)})
    assert [sentence.number for sentence in find(answer).sentences] == [3, 2, 1]
    cut = find(answer, most=2)
    assert (cut.total, [sentence.number for sentence in cut.sentences]) == (3, [3, 2])


def test_runs_are_those_of_the_smallest_seed_that_all_rows_have(compared):
    right, wrong = ["B-PER"], ["O"]
    answer = compared(["B-PER"], {"a": {1: wrong, 2: right, 3: wrong}, "b": {2: wrong, 3: wrong}})
    found = find(answer)
    assert found.seed == 2
    assert [said.settings for said in found.sentences[0].said if said.right] == [("a",)]


def test_where_there_is_nothing_to_show_it_says_why(compared, answer):
    said = ["B-PER"]
    lines = [
        find(compared(["B-PER"], rows)).lacking
        for rows in (
            {"alone": {1: said}},
            {"a": {1: said}, "b": {2: said}},
            {"c": {1: said}, "d": {1: said}},
        )
    ]
    assert "one setting" in lines[0] and "no seed" in lines[1] and not lines[2]
    kept = [
        replace(row, records=tuple(from_line(to_line(record)) for record in row.records))
        for row in answer.rows
    ]
    found = find(replace(answer, rows=tuple(kept)))
    assert "archive" in found.lacking and not found.sentences


def test_entities_that_a_head_predicts_may_overlap(compared):
    spans = {"pointers": '[]\n[[0, 3, "LOC"], [0, 1, "PER"]]\n'}
    found = find(
        compared(
            ["O", "B-PER O O"],
            {"tags": {1: ["O", "O O O"]}, "pointers": {1: ["O", "O O O"]}},
            spans,
        )
    )
    said = {name: group.entities for group in found.sentences[0].said for name in group.settings}
    assert said["pointers"] == (Entity(0, 1, "PER"), Entity(0, 3, "LOC", "type"))
    assert said["tags"] == (Entity(0, 1, "PER", "missed"),)


def slowly(gold, found):
    """Entities with their kind of error, pair by pair."""
    made = set()
    for start, end, type_ in found:
        over = [other for other in gold if other[0] < end and start < other[1]]
        kinds = [
            ""
            if (start, end, type_) in gold
            else "boundary"
            if any(x[2] == type_ for x in over)
            else "type"
        ]
        made.add((start, end, type_, kinds[0] if over else "spurious"))
    free = [x for x in gold if not any(x[0] < other[1] and other[0] < x[1] for other in found)]
    return made | {(*x, "missed") for x in free}


def test_of_random_predictions_the_same_comes_out_slowly(answer):
    files = {
        row.setting: row.records[0].folder / "predictions" / "test.conll" for row in answer.rows
    }
    read = {
        name: [
            [line.rsplit(" ", 2) for line in block.splitlines()]
            for block in file.read_text(encoding="utf-8").split("\n\n")
        ]
        for name, file in files.items()
    }
    expected = {}
    for i, rows in enumerate(zip(*read.values(), strict=True)):
        gold = labels.spans([true for _, true, _ in rows[0]])
        said = [slowly(gold, labels.spans([tag for _, _, tag in one])) for one in rows]
        if any(one != said[0] for one in said):
            expected[i + 1] = dict(zip(read, said, strict=True))
    found = find(answer, most=1000)
    shown = {
        s.number: {name: set(g.entities) for g in s.said for name in g.settings}
        for s in found.sentences
    }
    assert shown == expected and 0 < len(expected) == found.total < len(read["cross_entropy"])
    kinds = {kind for sentence in found.sentences for _, kind, _ in sentence.errors()}
    assert kinds == {"boundary", "type", "spurious", "missed"}
