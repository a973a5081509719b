"""python -m nersweep.predict: what is saved predicts what was scored, from any input."""

import json
import shutil

import pytest

from nersweep import predict
from nersweep.data.words import words
from nersweep.deployment import documents, prediction
from nersweep.labels import spans
from nersweep.model.saved import SavedTagger
from nersweep.report.predictions import read_predictions
from nersweep.results.result import RESULT, read_result

pytestmark = pytest.mark.slow
HEADS = ["token", "viterbi", "crf", "span"]
DATA = ["data=generated", "data.train=200", "data.dev=40", "data.test=40"]


def sentences_of(run):
    """The words of the test split as the run wrote them, with the tags that it predicted."""
    blocks = (run / "predictions" / "test.conll").read_text(encoding="utf-8").strip().split("\n\n")
    for block in blocks:
        rows = [line.split(" ") for line in block.split("\n")]
        yield [row[0] for row in rows], [row[2] for row in rows]


@pytest.mark.parametrize("head", HEADS)
def test_what_is_saved_predicts_what_was_scored(head, outputs, ask):
    """From the words of the data, and from lines of words, tags and entities are the run's."""
    run = outputs[1][head]
    expected = list(sentences_of(run))
    assert any(tag != "O" for _, tags in expected for tag in tags), "an untrained run shows nothing"
    code, out, err = ask(predict, f"model={run}", *DATA, "output_format=conll")
    assert (code, err) == (0, "")
    blocks = [block.split("\n") for block in out.removesuffix("\n\n").split("\n\n")]
    assert [
        ([line.split("\t")[0] for line in block], [line.split("\t")[1] for line in block])
        for block in blocks
    ] == expected
    file = run.parent / f"{head}.txt"
    file.write_text("".join(" ".join(sentence) + "\n" for sentence, _ in expected))
    code, out, _ = ask(predict, f"model={run}", f"input={file}", "input_format=words")
    records = [json.loads(line) for line in out.splitlines()]
    assert [(record["words"], record["tags"]) for record in records] == expected
    types = SavedTagger(run / "model").labels.types
    predicted = read_predictions(run, "test", types).predicted.tolist()
    rows, first = [], 0
    for record, (sentence, _) in zip(records, expected, strict=True):
        starts = {start: i for i, (start, _) in enumerate(documents.of_words(sentence).offsets)}
        for span in record["spans"]:
            start, count = first + starts[span["start"]], len(span["text"].split(" "))
            rows.append([start, start + count, 1 + types.index(span["label"])])
            assert record["text"][span["start"] : span["end"]] == span["text"]
            assert 0 < span["probability"] <= 1
        first += len(sentence)
    assert sorted(rows) == sorted(predicted)


def test_a_raw_text_is_tagged_by_the_words_of_the_rule(outputs, ask):
    run = outputs[1]["token"]
    text = "".join(" ".join(sentence) + "  " for sentence, _ in list(sentences_of(run))[:5])
    code, out, _ = ask(predict, f"model={run.name}", f"output_dir={outputs[0]}", f"text={text}")
    record = json.loads(out)
    assert code == 0 and record["text"] == text
    bounds = words(text)
    ((tags, _),) = SavedTagger(run / "model").predict([[text[a:b] for a, b in bounds]])
    expected = [(bounds[i][0], bounds[j - 1][1], type_) for i, j, type_ in spans(tags)]
    assert expected
    assert [(x["start"], x["end"], x["label"]) for x in record["spans"]] == expected


def test_a_long_text_is_tagged_in_parts(outputs):
    tagger = SavedTagger(outputs[1]["token"] / "model")
    words_of = [sentence for sentence, _ in sentences_of(outputs[1]["token"])]
    whole = documents.of_words([word for sentence in words_of[:8] for word in sentence])
    bounds = documents.parts(whole.words, 20)
    assert len(bounds) > 3
    ((document, tagged),) = prediction.tag_all(tagger, [whole], 20)
    alone = tagger.tag([whole.words[start:end] for start, end in bounds])
    tags, entities = [], []
    for (start, _), part in zip(bounds, alone, strict=True):
        tags += part.tags
        entities += [(start + a, start + b, *rest) for a, b, *rest in part.entities]
    assert document is whole and entities
    assert (tagged.tags, [tuple(entity) for entity in tagged.entities]) == (tags, entities)


def test_a_file_of_json_lines_keeps_its_fields_and_its_lines(outputs, ask, tmp_path):
    (tmp_path / "in.jsonl").write_text(
        '{"id": 1, "text": "Anna Silva won"}\n{"id": 2, "text": ""}\n'
    )
    out = tmp_path / "out" / "tagged.jsonl"
    code, printed, err = ask(
        predict, f"model={outputs[1]['crf']}", f"input={tmp_path / 'in.jsonl'}", f"output={out}"
    )
    assert (code, printed, err) == (0, "", "")
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(x["id"], x["text"]) for x in records] == [(1, "Anna Silva won"), (2, "")]


def test_a_file_that_is_no_text_leaves_no_output(outputs, ask, tmp_path):
    (tmp_path / "bad").write_bytes(b"Ada\n\xff\xfe\n")
    out = tmp_path / "out.jsonl"
    out.write_text("before")
    code, _, err = ask(
        predict, f"model={outputs[1]['token']}", f"input={tmp_path / 'bad'}", f"output={out}"
    )
    assert code == 1 and err.startswith(f"nersweep: {tmp_path / 'bad'}:2: not valid UTF-8")
    assert out.read_text() == "before" and sorted(x.name for x in tmp_path.iterdir()) == [
        "bad",
        "out.jsonl",
    ]


@pytest.fixture
def refused(outputs, ask):
    """refused(*arguments): the only line of the fault. model=token unless an argument says."""

    def call(*arguments):
        given = [x.replace("TOKEN", str(outputs[1]["token"])) for x in arguments]
        if not any(x.startswith("model=") for x in given):
            given = [f"model={outputs[1]['token']}", *given]
        code, out, err = ask(predict, f"output_dir={outputs[0]}", *given)
        (line,) = err.splitlines()
        assert (code, out) == (1, "")
        return line.removeprefix("nersweep: ")

    return call


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["text=x", "input=y"], "text=x input=y: two inputs; set one of"),
        (["text=x", "data=generated"], "text=x data=generated: two inputs"),
        ([], "nothing to tag; set text="),
        (["input=/nowhere"], "input=/nowhere: no such file"),
        (["input=/"], "input=/: is a folder"),
        (["input=TOKEN/result.json"], "input=TOKEN/result.json: may hold one JSON value or one"),
        (["text=x", "output=/"], "output=/: cannot be written to"),
        (["text=x", "output_format=xml"], "output_format=xml: must be one of jsonl, conll"),
        (["input=TOKEN/result.json", "input_format=xml"], "input_format=xml: must be one of"),
        (["text=x", "input_format=words"], "input_format=words: is the format of input=FILE"),
        (["data=generated", "split=tets"], "split=tets: must be one of train, dev, test"),
        (["data=generatd"], "data=generatd: no such option; data takes"),
        (["data=generated", "input=TOKEN/result.json"], "data=generated: reads no single file"),
        (["text=x", "model=cross_entrop-s1"], "model=cross_entrop-s1: no such folder, and no run"),
        (["text=x", "model=TOKEN/predictions"], "model=TOKEN/predictions: neither a run of"),
        (["text=x", "model=best"], "output_dir=OUTPUTS: has no sweep"),
        (["text=x", "sweep=mine"], "sweep=mine: selects a run for model=best only"),
        (["text=x", "precision=int8"], "precision=int8: must be fp32 or bf16"),
        (["text=x", "thresholds=best"], "thresholds=best: must be one of none, tau, types"),
        (["text=x", "device=tpu"], "device=tpu: must be auto, cpu, cuda"),
    ],
)
def test_a_wrong_command_is_one_line(arguments, fault, refused, outputs):
    expected = fault.replace("TOKEN", str(outputs[1]["token"])).replace("OUTPUTS", str(outputs[0]))
    assert refused(*arguments).startswith(expected)


def test_an_unknown_name_offers_the_nearest(refused, outputs):
    line = refused("text=x", "model=crff-s1")
    assert line.endswith(f"; the nearest are {outputs[1]['crf'].name}")


def test_the_input_is_not_overwritten(refused, tmp_path):
    (tmp_path / "texts").write_text("Ada\n")
    line = refused(f"input={tmp_path / 'texts'}", f"output={tmp_path / '.' / 'texts'}")
    assert "is the input" in line and (tmp_path / "texts").read_text() == "Ada\n"


@pytest.mark.parametrize("argument", ["model=nowhere", "thresholds=best", "data=generatd"])
def test_a_refused_command_makes_no_folder(argument, refused, tmp_path):
    text = [] if argument.startswith("data=") else ["text=x"]
    assert refused(argument, *text, f"output={tmp_path / 'new' / 'tagged'}").startswith(argument)
    assert not list(tmp_path.iterdir())


def test_a_run_without_a_model_is_refused(refused, outputs, tmp_path):
    run = shutil.copytree(outputs[1]["token"], tmp_path / "run")
    (run / "model" / "nersweep.json").unlink()
    assert refused("text=x", f"model={run}").startswith(f"model={run}: this run kept no model")


def test_a_run_that_has_not_finished_is_refused(refused, tmp_path):
    from nersweep.results.result import Result, Status, write_result

    write_result(tmp_path, Result(status=Status.KILLED, name="focal-s1", fingerprint="f" * 64))
    line = refused("text=x", f"model={tmp_path}")
    assert "since it has not finished (killed)" in line and "its command resumes it" in line


def test_a_model_of_another_project_is_refused(refused, outputs, tmp_path):
    other = shutil.copytree(outputs[1]["token"] / "model", tmp_path / "other")
    (other / "nersweep.json").unlink()
    assert "neither a run of nersweep" in refused("text=x", f"model={other}")
    (other / "nersweep.json").write_text("{}")
    assert "not the model folder of a run" in refused("text=x", f"model={other}")


@pytest.fixture
def sweep(outputs):
    """sweep(*names): a sweep's folder whose runs are these, or one that never started."""

    def make(*names):
        runs = []
        for name in names:
            values = {"name": "away-s1", "fingerprint": "0" * 64, "setting": "away", "seed": 1}
            if name in outputs[1]:
                result = read_result(outputs[1][name] / RESULT)
                values = {key: getattr(result, key) for key in values}
            runs.append(values)
        folder = outputs[0] / "sweeps" / "-".join(names)
        folder.mkdir(parents=True, exist_ok=True)
        content = {"command": "python -m nersweep -m", "runs": runs}
        (folder / "sweep.json").write_text(json.dumps(content))
        return folder

    return make


def test_the_best_of_a_sweep_is_what_its_report_takes(outputs, ask, sweep):
    folder = sweep("token", "span", "crf", "away")
    f1 = {name: read_result(outputs[1][name] / RESULT).test.f1 for name in ("token", "span", "crf")}
    best = outputs[1][max(f1, key=f1.__getitem__)]
    assert len(set(f1.values())) == 3
    text = "text=Anna Silva won in Lake Seisa"
    expected = ask(predict, f"model={best}", text)[1]
    code, out, err = ask(predict, "model=best", f"sweep={folder}", f"output_dir={outputs[0]}", text)
    assert (code, out) == (0, expected) and str(best / "model") in err


def test_a_sweep_without_a_finished_run_has_no_best(refused, sweep):
    line = refused("text=x", "model=best", f"sweep={sweep('away')}")
    assert line.startswith("no run has finished")
