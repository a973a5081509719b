"""python -m nersweep.evaluate: the run's own numbers on its own data, fair ones on other data."""

import json
import shutil
from dataclasses import replace

import pytest

from nersweep import evaluate
from nersweep.deployment.evaluation import EvaluateOptions, folder_of
from nersweep.report.records import read_run
from nersweep.results.result import RESULT, read_result

pytestmark = pytest.mark.slow


@pytest.fixture
def scores(ask, tmp_path):
    """scores(*arguments): what the command wrote to scores.json, and its output."""

    def call(*arguments):
        code, out, err = ask(evaluate, f"folder={tmp_path}", *arguments)
        assert code == 0, err
        return json.loads((tmp_path / "scores.json").read_text()), out

    return call


@pytest.mark.parametrize("split", ["dev", "test"])
@pytest.mark.parametrize("head", ["token", "viterbi", "crf", "span"])
def test_a_run_has_its_own_scores_on_its_own_data(head, split, outputs, scores, tmp_path):
    run = outputs[1][head]
    result = read_result(run / RESULT)
    values, out = scores(f"model={run}", f"split={split}")
    expected = read_run(run, split).scores
    for chosen in ("threshold/tau", "temperature/value"):  # on dev, they are no scores
        expected.pop(chosen)
    assert values["scores"] == pytest.approx(expected, abs=2e-6) and values["notes"] == []
    assert values["types"] == list(result.test.types)
    for name in ("conll", "spans.jsonl"):
        file = run / "predictions" / f"{split}.{name}"
        written = tmp_path / f"predictions.{name}"
        assert file.exists() == written.exists() == (name == "conll" or head == "span")
        if file.exists():
            assert written.read_text() == file.read_text()
    if split == "test":
        assert (tmp_path / "report.txt").read_text() == (run / "report.txt").read_text()
    assert ["strict/f1", f"{result.scores(split).strict.f1:.4f}"] in map(
        str.split, out.splitlines()
    )


COLUMNS = """Anna B-PER\nSilva I-PER\n( O\n12 O\n\nIn O\n{place} {tag}\nnow O\n"""


def test_other_data_are_scored_on_the_types_that_both_have(outputs, scores, tmp_path):
    (tmp_path / "gold.txt").write_text(COLUMNS.format(place="<b>Pau", tag="B-RIVER"))
    run = outputs[1]["token"]
    values, out = scores(f"model={run}", "data=conll", f"input={tmp_path / 'gold.txt'}")
    assert values["types"] == ["PER"]
    assert "note: entities of RIVER in the data are not scored" in out
    assert any(note.startswith("predictions of ") for note in values["notes"])
    lines = (tmp_path / "predictions.conll").read_text().split("\n")
    assert [line.split(" ")[1] for line in lines if line][:2] == ["B-PER", "I-PER"]
    assert {line.split(" ")[1] for line in lines if line} == {"B-PER", "I-PER", "O"}
    assert {line.split(" ")[2][2:] for line in lines if line} <= {"", "PER"}
    assert not {"cross_entropy", "auc", "threshold/f1"} & values["scores"].keys()
    assert {"f1", "seen/f1", "errors/missed"} <= values["scores"].keys()


def test_entities_within_one_that_is_not_scored_count(outputs, scores, tmp_path):
    inner, outer = {"start": 4, "end": 8, "label": "PER"}, {"start": 0, "end": 8, "label": "LOC"}
    (tmp_path / "gold.jsonl").write_text(json.dumps({"text": "Rue Anna", "spans": [outer, inner]}))
    reader = ["data=jsonl", "data.overlaps=outermost", f"input={tmp_path / 'gold.jsonl'}"]
    gold = {"": "B-LOC I-LOC", "types=PER": "O B-PER", "types=LOC": "B-LOC I-LOC"}
    for types, tags in gold.items():
        values, _ = scores(f"model={outputs[1]['token']}", *reader, *filter(None, [types]))
        lines = (tmp_path / "predictions.conll").read_text().split("\n")
        assert [line.split(" ")[1] for line in lines if line] == tags.split()
        assert values["types"] == (
            types.removeprefix("types=").split(",") if types else ["LOC", "PER"]
        )


def test_the_page_of_errors_shows_them_escaped(outputs, scores, tmp_path):
    (tmp_path / "gold.txt").write_text(COLUMNS.format(place="<b>Pau", tag="B-PER"))
    scores(f"model={outputs[1]['token']}", "data=conll", f"input={tmp_path / 'gold.txt'}")
    page = (tmp_path / "errors.html").read_text()
    assert "&lt;b&gt;Pau" in page and "<b>" not in page
    assert "missed" in page and "of 2 sentences have an error" in page


def test_a_model_without_its_training_data_lacks_what_they_give(outputs, scores, tmp_path):
    model = shutil.copytree(outputs[1]["crf"] / "model", tmp_path / "model")
    (tmp_path / "gold.txt").write_text(COLUMNS.format(place="Pau", tag="B-LOC"))
    values, _ = scores(f"model={model}", "data=conll", f"input={tmp_path / 'gold.txt'}")
    assert values["notes"][0].startswith("seen, unseen and auc are left out")
    assert not [name for name in values["scores"] if name.startswith(("seen", "unseen", "auc"))]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["input=GOLD"], "input=GOLD: needs its reader; set data=NAME"),
        (["data=conll", "input=/nowhere"], "input=/nowhere: no such file"),
        (["split=tests"], "split=tests: must be one of train, dev, test"),
        (["data=conll", "input=GOLD", "types=PER,X"], "types=PER,X: the model has no X; it has"),
        (["data=conll", "input=OTHER"], "model and data: share no type: the model has"),
        (["model=RUN/model/../model/", "folder=GOLD"], "folder=GOLD: cannot be written to"),
    ],
)
def test_a_wrong_command_is_one_line(arguments, fault, outputs, ask, tmp_path):
    (tmp_path / "gold.txt").write_text(COLUMNS.format(place="Pau", tag="B-LOC"))
    (tmp_path / "other.txt").write_text("Pau B-RIVER\n")
    names = {"GOLD": tmp_path / "gold.txt", "OTHER": tmp_path / "other.txt"}
    names["RUN"] = outputs[1]["token"]
    for name, path in names.items():
        arguments = [argument.replace(name, str(path)) for argument in arguments]
        fault = fault.replace(name, str(path))
    code, _, err = ask(evaluate, f"model={names['RUN']}", *arguments)
    (line,) = err.splitlines()
    assert code == 1 and line.startswith(f"nersweep: {fault}")


def test_other_options_write_to_another_folder(tmp_path):
    options = EvaluateOptions(output_dir=str(tmp_path))
    changes = [{}, {"types": "PER"}, {"thresholds": "tau"}, {"input": "a/x"}, {"input": "b/x"}]
    folders = [folder_of(replace(options, **change), "run-x-test") for change in changes]
    assert len(set(folders)) == len(changes)
    assert folder_of(options, "run-x-test") == folders[0]
