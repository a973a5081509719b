"""Exports of doccano, Prodigy and Label Studio."""

import json
import re

import pytest

from nersweep.data.jsonl import JsonFiles
from nersweep.labels import spans

NAMES = {"Tessa": "PER", "Lund": "LOC", "Mira Holm": "PER", "Norvik": "LOC"}
TEXTS = [
    f"{a} sang in {b}, No. {i}."
    for i, (a, b) in enumerate(zip(NAMES, reversed(NAMES), strict=True))
] * 5


def places(text):
    """The entities of a text by their characters, found without nersweep."""
    matches = re.finditer("|".join(NAMES), text)
    return [(m.start(), m.end(), NAMES[m.group()], m.group()) for m in matches]


def doccano(i, text):
    return {"id": i, "text": text, "label": [[s, e, type_] for s, e, type_, _ in places(text)]}


def doccano_relations(i, text):
    keys = ("start_offset", "end_offset", "label")
    return {
        "text": text,
        "entities": [dict(zip(keys, place[:3], strict=True)) for place in places(text)],
    }


def prodigy(i, text):
    tokens = [
        {"text": m.group(), "start": m.start(), "end": m.end(), "id": n}
        for n, m in enumerate(re.finditer(r"\w+|\S", text))
    ]
    spans = []
    for start, end, type_, _ in places(text):
        inside = [token["id"] for token in tokens if start <= token["start"] < end]
        span = {"start": start, "end": end, "label": type_}
        spans.append(span | {"token_start": inside[0], "token_end": inside[-1]})
    return {"text": text, "tokens": tokens, "spans": spans, "answer": "accept"}


def label_studio(i, text):
    result = [{"type": "choices", "value": {"choices": ["good"]}}]
    for start, end, type_, surface in places(text):
        value = {"start": start, "end": end, "text": surface, "labels": [type_]}
        result.append({"type": "labels", "from_name": "label", "value": value})
    cancelled = {"was_cancelled": True, "result": []}
    return {"id": i, "data": {"article": text}, "annotations": [cancelled, {"result": result}]}


def label_studio_min(i, text):
    labels = []
    for start, end, type_, surface in places(text):
        labels.append({"start": start, "end": end, "text": surface, "labels": [type_]})
    return {"id": i, "text": text, "label": labels}


def lines(records):
    return "\n".join(map(json.dumps, records)) + "\n"


def read(folder, content, notes=None, **settings):
    file = folder / "a.json"
    file.write_text(content, encoding="utf-8")
    reader = JsonFiles(train=str(file), **settings)
    sentences = reader.read(file)
    if notes is not None:
        notes += reader.notes
    return sentences


SHAPES = [doccano, doccano_relations, prodigy, label_studio, label_studio_min]


@pytest.mark.parametrize("write", [lines, json.dumps, lambda x: json.dumps(x, indent=2)])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_entities_are_those_of_the_export(shape, write, tmp_path):
    notes = []
    sentences = read(tmp_path, write([shape(i, text) for i, text in enumerate(TEXTS)]), notes)
    assert len(sentences) == len(TEXTS) == 20
    for text, sentence in zip(TEXTS, sentences, strict=True):
        read_back = [
            (" ".join(sentence.words[start:end]), type_)
            for start, end, type_ in spans(sentence.tags)
        ]
        assert read_back == [(surface, type_) for _, _, type_, surface in places(text)]
        assert "".join(sentence.words) == text.replace(" ", "") and sentence.document is None
    tool = shape.__name__.split("_")[0]
    (note,) = notes
    assert tool in note.lower().replace(" ", "_") or tool == "label"
    assert note.endswith(": 20")


def test_texts_of_several_lines_are_documents(tmp_path):
    records = [{"text": "a b\nc", "label": []}, {"text": "d", "labels": []}]
    sentences = read(tmp_path, lines(records))
    assert [(s.words, s.document) for s in sentences] == [
        (("a", "b"), 0),
        (("c",), 0),
        (("d",), 1),
    ]


def test_answers_that_are_not_accepted_are_left_out_and_counted(tmp_path):
    records = [prodigy(i, text) for i, text in enumerate(TEXTS[:4])]
    records[1]["answer"], records[2]["answer"] = "reject", "ignore"
    del records[3]["answer"]
    notes = []
    assert len(read(tmp_path, lines(records), notes)) == 2
    assert any("answer" in note and note.endswith(": 2") for note in notes)


def test_of_several_annotations_the_ground_truth_is_read_else_the_first(tmp_path):
    task = label_studio(0, "Tessa sang")
    other = {"result": [{"value": {"start": 6, "end": 10, "labels": ["VERB"]}}]}
    task["annotations"] += [other]
    notes = []
    (sentence,) = read(tmp_path, json.dumps([task]), notes)
    assert sentence.tags == ("B-PER", "O") and any("several annotations" in n for n in notes)
    other["ground_truth"] = True
    (sentence,) = read(tmp_path, json.dumps([task]))
    assert sentence.tags == ("O", "B-VERB")


def test_tasks_without_annotation_are_left_out(tmp_path):
    task = {"data": {"text": "Tessa"}, "annotations": []}
    assert len(read(tmp_path, json.dumps([task, label_studio(1, TEXTS[0])]))) == 1


def test_several_types_of_a_span_are_entities_that_overlap(tmp_path):
    span = {"start": 0, "end": 5, "labels": ["PER", "ART"]}
    (sentence,) = read(tmp_path, json.dumps({"text": "Tessa", "label": [span]}))
    assert sentence.tags == ("B-PER",) and sentence.entities == ((0, 1, "ART"), (0, 1, "PER"))


GOOD = '{"text": "ab", "label": []}'
FAULTS = {
    '{"text": "ab", "labeled": []}': "unknown shape, with the keys text, labeled",
    '{"tekst": "ab", "label": []}': "unknown shape, with the keys tekst, label",
    '"Tessa"': "a JSON str",
    "{": "not valid JSON",
    '{"text": 5, "label": []}': "text 5: must be text",
    '{"text": "ab", "label": {"PER": 1}}': 'label {"PER": 1}: must be a list',
    '{"text": "ab", "label": [[0, 1]]}': "[0, 1] has no start",
    '{"text": "ab", "label": [{"start": 0, "stop": 2}]}': '{"start": 0, "stop": 2} has no end',
    '{"text": "ab", "label": [[0, "2", "X"]]}': 'end "2": must be a whole number',
    '{"text": "ab", "label": [[0, true, "X"]]}': "end true: must be a whole number",
    '{"text": "ab", "label": [[0, 2, ""]]}': "label",
    '{"text": "ab", "label": [[0, 2, null]]}': "label",
    '{"text": "ab", "label": [[0, 3, "X"]]}': "X [0, 3] lies outside the text",
    '{"text": "ab", "label": [[1, 2, "X"]]}': 'X [1, 2] cuts the word "ab"',
    '{"text": "ab", "spans": [], "tokens": [{"start": 0, "end": 9}]}': "token [0, 9] lies outside",
    '{"data": {"a": "x", "b": "y"}, "annotations": []}': "data has 2 texts (a, b)",
    '{"data": {}, "annotations": []}': "data has 0 texts",
    '{"data": "ab", "annotations": []}': "data has 0 texts",
}


@pytest.mark.parametrize("content", FAULTS, ids=FAULTS.values())
def test_faults_name_file_and_line(content, tmp_path, faults_of):
    for before, after in (("", ""), ("[", "]")):
        text = f"{before}{GOOD},\n\n{content},\n{GOOD}{after}\n"
        (fault,) = faults_of(lambda text=text: read(tmp_path, text))
        assert fault.setting.startswith(f"{tmp_path}/a.json:3")
        assert fault.must.startswith(FAULTS[content])


def test_a_file_without_texts(tmp_path, faults_of):
    for content in ("", "\n", "[]", '{"text": " ", "label": []}'):
        (fault,) = faults_of(lambda content=content: read(tmp_path, content))
        assert fault.must == "no sentence in it"


def test_lists_of_words_and_tags_are_rows_of_a_table(tmp_path, faults_of):
    records = [
        {"tokens": ["Tessa", "sang"], "ner_tags": ["B-PER", "O"]},
        {"tokens": [], "ner_tags": []},
    ]
    notes = []
    (sentence,) = read(tmp_path, lines(records), notes)
    assert (sentence.words, sentence.tags) == (("Tessa", "sang"), ("B-PER", "O"))
    assert notes == ["a.json: a sentence in each row, words in tokens, tags in ner_tags"]
    records.append({"tokens": ["Tessa"], "ner_tags": ["O", "O"]})
    (fault,) = faults_of(lambda: read(tmp_path, lines(records)))
    assert fault.setting == f"{tmp_path}/a.json:3"
    for other in ({"text": "Tessa", "label": []}, {"words": ["Tessa"], "tags": ["O"]}, 5):
        (fault,) = faults_of(lambda other=other: read(tmp_path, lines([*records[:2], other])))
        assert fault.setting == f"{tmp_path}/a.json:3"
    assert read(tmp_path, lines([records[1], records[0]])) == [sentence]
    numbers = [{"words": ["Tessa", "sang"], "tags": [1, 0]}]
    (sentence,) = read(tmp_path, json.dumps(numbers), labels=["O", "B-PER"])
    assert sentence.tags == ("B-PER", "O")


def test_an_array_must_end_and_be_all(tmp_path, faults_of):
    contents = {
        f"[{GOOD},\n{GOOD}": "no end",
        f"[{GOOD}]\n{GOOD}": "after the end",
        f"{GOOD}\n]\n{GOOD}": "not valid",
    }
    for content, must in contents.items():
        (fault,) = faults_of(lambda content=content: read(tmp_path, content))
        assert must in fault.must


def test_entities_beside_tokens_and_other_labels_are_read(tmp_path):
    tokens = [{"text": "Tessa", "start": 0, "end": 5}]
    record = {"text": "Tessa", "tokens": tokens, "label": "news", "entities": [[0, 5, "PER"]]}
    (sentence,) = read(tmp_path, json.dumps(record))
    assert sentence.tags == ("B-PER",)


def test_a_setting_for_tables_is_refused_for_spans(tmp_path, faults_of):
    (fault,) = faults_of(lambda: read(tmp_path, GOOD, labels=["O"]))
    assert fault.setting == "data.labels"
