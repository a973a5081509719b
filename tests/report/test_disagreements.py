"""What settings predict in a sentence, against entities compared pair by pair."""

from dataclasses import replace

import pytest
from finished import finished_result, record

from nersweep import labels
from nersweep.report.comparison import Comparison
from nersweep.report.disagreements import Entity, Reading, find_disagreements
from nersweep.report.rows import Row


@pytest.fixture
def compare_tags(tmp_path):
    """compare_tags(gold, {setting: {seed: tags}}, spans): tags by sentence; words are numbers."""

    def make(gold, predicted, spans=None):
        rows = []
        for setting, seeds in predicted.items():
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
                records.append(record(finished_result(setting, seed), folder=folder))
            rows.append(Row(setting, tuple(records)))
        return Comparison(tuple(rows), None, "test")

    return make


def test_a_sentence_is_shown_if_settings_differ_not_if_all_err_alike(compare_tags):
    gold = ["B-PER I-PER O", "B-LOC O", "O B-PER O B-LOC"]
    disagreements = find_disagreements(
        compare_tags(
            gold,
            {
                "a": {1: ["B-PER I-PER O", "O O", "O O O B-LOC"]},
                "b": {1: ["B-PER I-PER O", "O O", "O B-LOC O B-LOC"]},
                "c": {1: ["B-PER I-PER O", "O O", "B-PER O O B-LOC"]},
                "d": {1: ["B-PER I-PER O", "O O", "O O O B-LOC"]},
            },
        )
    )
    assert (disagreements.total, disagreements.seed, disagreements.reason) == (1, 1, "")
    (sentence,) = disagreements.sentences
    assert (sentence.number, sentence.words) == (3, ("0", "1", "2", "3"))
    assert sentence.gold == (Entity(1, 2, "PER"), Entity(3, 4, "LOC"))
    assert sentence.readings == (
        Reading(("a", "d"), (Entity(1, 2, "PER", "missed"), Entity(3, 4, "LOC"))),
        Reading(("b",), (Entity(1, 2, "LOC", "type"), Entity(3, 4, "LOC"))),
        Reading(
            ("c",),
            (Entity(0, 1, "PER", "spurious"), Entity(1, 2, "PER", "missed"), Entity(3, 4, "LOC")),
        ),
    )
    of_b = {("b", "type", "LOC"), ("b", "type", "PER")}  # a PER taken for a LOC concerns both
    missed = {(name, "missed", "PER") for name in "acd"}
    assert sentence.errors() == of_b | missed | {("c", "spurious", "PER")}


def test_sentences_on_which_more_pairs_of_settings_differ_come_first(compare_tags):
    gold = ["B-PER", "B-PER", "B-PER O B-LOC"]
    most, half, twice = ["B-PER B-PER B-PER O", "O B-PER O B-PER", "O B-PER O B-PER"]
    tags = [
        [one, two, f"{three} O {'B-LOC' if three == 'B-PER' else 'O'}"]
        for one, two, three in zip(most.split(), half.split(), twice.split(), strict=True)
    ]
    comparison = compare_tags(
        gold, {name: {1: by_setting} for name, by_setting in zip("abcd", tags, strict=True)}
    )
    assert [sentence.number for sentence in find_disagreements(comparison).sentences] == [3, 2, 1]
    cut = find_disagreements(comparison, limit=2)
    assert (cut.total, [sentence.number for sentence in cut.sentences]) == (3, [3, 2])


def test_a_page_of_many_readings_has_fewer_sentences(compare_tags, monkeypatch):
    tags = {name: {1: ["O", "B-PER O", other]} for name, other in (("a", "O"), ("b", "B-PER"))}
    tags["c"] = {1: ["B-PER", "O B-PER", "B-LOC"]}
    comparison = compare_tags(["O", "O O", "O"], tags)
    whole = find_disagreements(comparison)
    sizes = [len(sentence.readings) for sentence in whole.sentences]
    assert sorted(sizes) == [2, 2, 3]
    monkeypatch.setattr("nersweep.report.disagreements.READINGS", sum(sizes[:2]))
    cut = find_disagreements(comparison)
    assert cut.sentences == whole.sentences[:2] and cut.total == 3


def test_runs_are_those_of_the_smallest_seed_that_all_rows_have(compare_tags):
    right, wrong = ["B-PER"], ["O"]
    comparison = compare_tags(
        ["B-PER"], {"a": {1: wrong, 2: right, 3: wrong}, "b": {2: wrong, 3: wrong}}
    )
    disagreements = find_disagreements(comparison)
    assert disagreements.seed == 2
    assert [
        reading.settings for reading in disagreements.sentences[0].readings if reading.correct
    ] == [("a",)]


def test_a_reason_is_given_if_there_is_nothing_to_compare(compare_tags, comparison):
    tags = ["B-PER"]
    reasons = []
    for rows in (
        {"alone": {1: tags}},
        {"a": {1: tags}, "b": {2: tags}},
        {"c": {1: tags}, "d": {1: tags}},
    ):
        reasons.append(find_disagreements(compare_tags(["B-PER"], rows)).reason)
    assert "one setting" in reasons[0] and "no seed" in reasons[1] and not reasons[2]
    rows = []
    for row in comparison.rows:
        records = tuple(replace(record, folder=None) for record in row.records)
        rows.append(replace(row, records=records))
    disagreements = find_disagreements(replace(comparison, rows=tuple(rows)))
    assert "archive" in disagreements.reason and not disagreements.sentences


def test_entities_that_a_head_predicts_may_overlap(compare_tags):
    spans = {"pointers": '[]\n[[0, 3, "LOC"], [0, 1, "PER"]]\n'}
    disagreements = find_disagreements(
        compare_tags(
            ["O", "B-PER O O"],
            {"tags": {1: ["O", "O O O"]}, "pointers": {1: ["O", "O O O"]}},
            spans,
        )
    )
    by_setting = {
        name: group.entities
        for group in disagreements.sentences[0].readings
        for name in group.settings
    }
    assert by_setting["pointers"] == (Entity(0, 1, "PER"), Entity(0, 3, "LOC", "type"))
    assert by_setting["tags"] == (Entity(0, 1, "PER", "missed"),)


def judge_slowly(gold, predicted):
    """Entities with their kind of error, pair by pair."""
    entities = set()
    for start, end, type_ in predicted:
        over = [other for other in gold if other[0] < end and start < other[1]]
        error = "type"
        if (start, end, type_) in gold:
            error = ""
        elif any(other[2] == type_ for other in over):
            error = "boundary"
        elif not over:
            error = "spurious"
        entities.add((start, end, type_, error))
    for start, end, type_ in gold:
        if not any(start < other[1] and other[0] < end for other in predicted):
            entities.add((start, end, type_, "missed"))
    return entities


def read_tags(folder):
    """Gold and predicted tags of each sentence."""
    sentences = []
    for block in (folder / "predictions" / "test.conll").read_text("utf-8").split("\n\n"):
        rows = [line.rsplit(" ", 2) for line in block.splitlines()]
        sentences.append(([row[1] for row in rows], [row[2] for row in rows]))
    return sentences


def test_random_predictions_are_judged_as_pair_by_pair(comparison):
    tags = {row.setting: read_tags(row.records[0].folder) for row in comparison.rows}
    expected = {}
    for number, sentence in enumerate(zip(*tags.values(), strict=True), 1):
        readings = {}
        for setting, (gold, predicted) in zip(tags, sentence, strict=True):
            readings[setting] = judge_slowly(labels.spans(gold), labels.spans(predicted))
        if len(set(map(frozenset, readings.values()))) > 1:
            expected[number] = readings
    disagreements = find_disagreements(comparison, limit=1000)
    errors, kinds = {}, set()
    for sentence in disagreements.sentences:
        kinds |= {kind for _, kind, _ in sentence.errors()}
        errors[sentence.number] = {}
        for reading in sentence.readings:
            errors[sentence.number] |= dict.fromkeys(reading.settings, frozenset(reading.entities))
    assert errors == expected and 0 < len(expected) == disagreements.total < 40
    assert kinds == {"boundary", "type", "spurious", "missed"}
