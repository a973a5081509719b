"""python -m nersweep.export model=RUN: a folder to share, ONNX, and a version in MLflow."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from nersweep import export, sync
from nersweep.data.words import words
from nersweep.model.saved import SavedTagger
from nersweep.results.result import RESULT, read_result

pytestmark = pytest.mark.slow
TEXT = "Anna Nozex Silva won in Lake Seisa, however."


@pytest.mark.parametrize("head", ["token", "crf"])
def test_an_export_holds_the_model_and_a_card_of_its_scores(head, outputs, ask, tmp_path):
    run = outputs[1][head]
    (tmp_path / "tagger").mkdir()
    code, out, err = ask(export, f"model={run}", f"to={tmp_path / 'tagger'}")
    assert code == 0 and "hf upload OWNER/tagger" in out, err
    sentence = [[TEXT[start:end] for start, end in words(TEXT)]]
    exported = SavedTagger(tmp_path / "tagger").tag(sentence)
    assert exported == SavedTagger(run / "model").tag(sentence)
    _, meta, card = (tmp_path / "tagger" / "README.md").read_text().split("---\n", 2)
    result, facts = read_result(run / RESULT), yaml.safe_load(meta)
    assert facts["pipeline_tag"] == "token-classification"
    assert facts["library_name"] == ("transformers" if head == "token" else "nersweep")
    (measured,) = facts["model-index"][0]["results"]
    values = {metric["type"]: metric["value"] for metric in measured["metrics"]}
    assert values["f1"] == pytest.approx(result.test.f1, abs=1e-6)
    assert f"{100 * result.test.f1:.2f}" in card and f"seed {result.seed}" in card
    assert f"{100 * result.dev.f1:.2f}" in card and result.fingerprint in card
    assert "python -m nersweep data.train=200" in card and "data=generated" not in card
    for type_, scores in result.test.types.items():
        (row,) = [line for line in card.splitlines() if line.startswith(f"| {type_} ")][:1]
        assert f"{100 * scores.f1:.2f}" in row and str(scores.support) in row
    assert not list(tmp_path.glob(".*"))


def test_onnx_has_the_logits_of_the_model(outputs, ask, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install -e '.[onnx]'")
    pytest.importorskip("onnxscript", reason="pip install -e '.[onnx]'")
    run = outputs[1]["token"]
    code, out, err = ask(export, f"model={run}", f"to={tmp_path / 'tagger'}", "onnx=true")
    assert code == 0 and "model.onnx: logits differ" in out, err
    tagger = SavedTagger(run / "model")
    sentence = [TEXT[start:end] for start, end in words(TEXT)]
    split = tagger.tokenise([sentence])
    session = onnxruntime.InferenceSession(str(tmp_path / "tagger" / "model.onnx"))
    pieces = split.pieces[None].astype("int64")
    (logits,) = session.run(None, {"input_ids": pieces, "attention_mask": pieces * 0 + 1})
    expected = tagger.predictions(split, 1.0).emissions
    assert logits[0, split.word_place] == pytest.approx(expected, abs=1e-3)


def test_a_registered_model_tags_texts(outputs, ask, tmp_path, monkeypatch):
    import mlflow

    copy = tmp_path / "outputs"
    run = shutil.copytree(outputs[1]["span"], copy / "runs" / outputs[1]["span"].name)
    arguments = [f"output_dir={copy}", f"model={run}", "register=tagger"]
    code, _, err = ask(export, *arguments)
    assert code == 1 and "is not in MLflow" in err and "nersweep.sync" in err
    assert ask(sync, f"output_dir={copy}")[0] == 0
    for version in ("1", "2"):
        code, out, err = ask(export, *arguments)
        assert code == 0 and out.endswith(f"registered: models:/tagger/{version}\n"), err
    shutil.rmtree(run / "model")  # the registry has a copy
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{copy / 'mlflow.db'}")
    tagger = mlflow.pyfunc.load_model("models:/tagger/1")
    spans = tagger.predict([TEXT, ""])
    words_ = [TEXT[start:end] for start, end in words(TEXT)]
    ((_, entities),) = SavedTagger(outputs[1]["span"] / "model").predict([words_])
    assert [(x["label"], x["text"]) for x in spans[0]] == [
        (type_, " ".join(words_[start:end])) for start, end, type_ in entities
    ]
    assert spans[1] == [] and json.dumps(spans)
    artifacts = [path for path in Path(copy / "mlartifacts").rglob("*") if path.is_file()]
    assert not [path for path in artifacts if path.suffix in (".pkl", ".pickle", ".bin", ".pt")]


def test_a_run_that_its_store_has_lost_is_not_registered(outputs, ask, tmp_path):
    from mlflow import MlflowClient

    run = shutil.copytree(outputs[1]["token"], tmp_path / "runs" / outputs[1]["token"].name)
    assert ask(sync, f"output_dir={tmp_path}")[0] == 0
    tracked = json.loads((run / "tracked.json").read_text())
    for entry in tracked.values():
        entry["run_id"] = 32 * "0"
    (run / "tracked.json").write_text(json.dumps(tracked))
    arguments = [f"output_dir={tmp_path}", f"model={run}", "register=tagger"]
    code, _, err = ask(export, *arguments)
    assert code == 1 and "is not in MLflow" in err and "nersweep.sync" in err
    assert not MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}").search_registered_models()
    assert ask(sync, f"output_dir={tmp_path}")[0] == 0
    assert ask(export, *arguments)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["model=RUN"], "to: must be given; set to=DIR or register=NAME"),
        (["model=RUN", "to=RUN"], "to=RUN: exists already"),
        (["model=RUN", "to=LINK"], "to=LINK: exists already"),
        (["model=RUN", "to=NEW", "folder=x"], "folder=x: is for the CSV files of all runs"),
        (["to=NEW"], "to=NEW: is for a model; set model="),
        (["model=RUN", "to=NEW", "onnx=yes"], "onnx=yes: must be true or false"),
        (["model=CRF", "to=NEW", "onnx=true"], "onnx=true: has the logits of the encoder alone"),
        (["model=APART", "to=NEW"], "model=APART: lies apart from its run"),
    ],
)
def test_a_wrong_command_is_one_line(arguments, fault, outputs, ask, tmp_path):
    names = {"RUN": outputs[1]["token"], "CRF": outputs[1]["crf"], "NEW": tmp_path / "new"}
    names["APART"] = outputs[0] / "apart"
    shutil.copytree(outputs[1]["token"] / "model", names["APART"], dirs_exist_ok=True)
    names["LINK"] = outputs[0] / "link"
    (outputs[0] / "empty").mkdir(exist_ok=True)
    names["LINK"].unlink(missing_ok=True)
    names["LINK"].symlink_to("empty")
    for name, path in names.items():
        arguments = [argument.replace(name, str(path)) for argument in arguments]
        fault = fault.replace(name, str(path))
    code, _, err = ask(export, *arguments)
    (line,) = err.splitlines()
    assert code == 1 and line.startswith(f"nersweep: {fault}") and not list(tmp_path.iterdir())


def test_a_link_in_a_model_is_not_published(outputs, ask, tmp_path):
    run = shutil.copytree(outputs[1]["token"], tmp_path / "run")
    (run / "model" / "notes.txt").symlink_to("/etc/hostname")
    code, _, err = ask(export, f"model={run}", f"to={tmp_path / 'new'}")
    assert code == 1 and "notes.txt: a link in a model's folder" in err
    assert not (tmp_path / "new").exists()
