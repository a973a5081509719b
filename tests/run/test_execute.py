"""One run from the command line to its files and its tracker, on the embedded corpus."""

import json
import logging
from pathlib import Path

import pytest
from mlflow import MlflowClient
from omegaconf import OmegaConf
from seqeval.metrics import f1_score
from transformers import pipeline

from nersweep import __main__ as cli
from nersweep.config import schema
from nersweep.config.check import check_overrides
from nersweep.config.compose import Composer
from nersweep.faults import Fault, Unavailable, UserError
from nersweep.labels import spans
from nersweep.model.saved import SavedTagger
from nersweep.results.counts import read_counts
from nersweep.run import execute, plan
from nersweep.tracking import facts, tracker
from nersweep.tracking.reading import run_id_of

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[2]
SMALL = [
    "train.precision=fp32",
    "data.train=150", "data.dev=40", "data.test=40", "train.epochs=2", "model.hidden=32",
    "model.layers=1",
]  # fmt: skip


@pytest.fixture
def run(capsys, exit_code):
    """run(*arguments): exit code, standard output and error of `python -m nersweep`."""

    def call(*arguments):
        code = exit_code(cli.main, *arguments)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def result_of(out):
    last = out.rstrip("\n").split("\n")[-1]
    assert last.startswith("result: ")
    file = Path(last.removeprefix("result: "))
    return json.loads(file.read_text(encoding="utf-8")), file.parent


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One output folder for many runs: to make the tables of a tracking store takes seconds."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture
def focal(tmp_path, run):
    """A finished run of the main job: (result, folder, output_dir)."""
    arguments = [
        "loss=focal",
        "focal_gamma=3",
        "weights=inverse_sqrt",
        f"output_dir={tmp_path}",
        *SMALL,
    ]
    code, out, err = run(*arguments)
    assert code == 0, err
    return (*result_of(out), tmp_path, arguments)


def test_a_run_leaves_what_it_promises(focal, run):
    result, folder, output_dir, arguments = focal
    assert result["status"] == "finished" and result["name"] == "focal-inverse_sqrt-g3-s1"
    assert folder.name.endswith(result["fingerprint"][:8]) and result["best_epoch"] in (1, 2)
    for split in ("dev", "test"):
        assert {"f1", "precision", "recall", "accuracy", "macro_f1", "strict", "types"} <= result[
            split
        ].keys()
        assert len(result[split]["types"]) >= 4
    assert result["seconds"].keys() == {"setup", "train", "eval", "tracking", "total"}
    assert (
        sum(v for k, v in result["seconds"].items() if k != "total") <= result["seconds"]["total"]
    )
    assert (
        min(result["sentences_per_second"], result["words_per_second"], result["peak_memory_bytes"])
        > 0
    )
    config = OmegaConf.load(folder / "config.yaml")
    assert config.loss.gamma == 3 and config.choice.weights == "inverse_sqrt"

    # The predictions are those that were scored, and the saved model makes them.
    blocks = (
        (folder / "predictions" / "test.conll").read_text(encoding="utf-8").strip().split("\n\n")
    )
    rows = [[line.split(" ") for line in block.split("\n")] for block in blocks]
    assert len(rows) == 40
    gold, predicted = ([[row[i] for row in sentence] for sentence in rows] for i in (1, 2))
    assert f1_score(gold, predicted) == pytest.approx(result["test"]["f1"])
    tagger = pipeline("token-classification", model=str(folder / "model"), ignore_labels=[])
    for sentence, tags in zip(rows[:10], predicted, strict=False):
        actual = tagger(" ".join(row[0] for row in sentence))
        assert [entry["entity"] for entry in actual if not entry["word"].startswith("##")] == tags

    # Metrics: a line per optimiser step and a line per epoch.
    lines = [
        json.loads(line)
        for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").split("\n")
        if line
    ]
    steps, epochs = [x for x in lines if "step" in x], [x for x in lines if "epoch" in x]
    assert len(steps) == 2 * 5 and [x["step"] for x in steps] == list(range(1, 11))
    best = epochs[result["best_epoch"] - 1]
    assert best["dev"] == result["dev"]
    assert best["cross_entropy"] == result["analysis"]["dev"]["cross_entropy"] > 0

    # The tracker knows the same.
    client = MlflowClient(f"sqlite:///{output_dir}/mlflow.db")
    run_id = run_id_of(folder, f"sqlite:///{output_dir}/mlflow.db")
    tracked = client.get_run(run_id)
    assert tracked.info.status == "FINISHED" and tracked.info.run_name == result["name"]
    assert tracked.data.params["focal_gamma"] == "3" and tracked.data.params["train.epochs"] == "2"
    assert (
        tracked.data.tags["loss"] == "focal"
        and tracked.data.tags["fingerprint"] == result["fingerprint"]
    )
    assert tracked.data.metrics["test/f1"] == pytest.approx(result["test"]["f1"])
    assert (
        tracked.data.metrics["dev/best_f1"]
        == result["dev"]["f1"]
        == max(x["dev"]["f1"] for x in epochs)
    )
    history = client.get_metric_history(run_id, "dev/f1")
    assert [(m.step, m.value) for m in history] == [(x["epoch"], x["dev"]["f1"]) for x in epochs]
    history = client.get_metric_history(run_id, "dev/cross_entropy")
    assert [m.value for m in history] == [x["cross_entropy"] for x in epochs]
    assert len(client.get_metric_history(run_id, "train/loss")) == 10
    assert {
        "train/B-PER/count",
        "train/B-PER/weight",
        "train/PER/absent_steps",
        "test/types/PER/f1",
        "test/threshold/f1",
        "test/threshold/tau",
        "test/type_thresholds/f1",
        "test/temperature/value",
        "test/temperature/calibration_error/all",
        "test/cross_entropy",
    } <= tracked.data.metrics.keys()
    artifacts = {file.path for file in client.list_artifacts(run_id)}
    assert {
        "config.yaml",
        "report.txt",
        "confusion_matrix.png",
        "learning_curves.png",
        "predictions",
    } <= artifacts
    assert {tag.value for d in tracked.inputs.dataset_inputs for tag in d.tags} == {
        "train",
        "dev",
        "test",
    }

    # What has finished is not run twice, unless asked.
    code, out, _ = run(*arguments)
    assert code == 0 and "finished before" in out and result_of(out)[0] == result
    code, out, _ = run(*arguments, "rerun=true")
    again, _ = result_of(out)
    assert run_id_of(folder, f"sqlite:///{output_dir}/mlflow.db") != run_id
    assert again["dev"] == result["dev"] and again["test"] == result["test"]


class Recorder:
    """A tracker that notes the status and the number of records of each sync."""

    name = address = "recorder"

    def __init__(self):
        self.syncs, self.error = [], None

    def open(self): ...

    def sync(self, folder):
        record = facts.read(folder)
        self.syncs.append((record.status, len(record.curves)))
        if self.error:
            raise self.error

    def view(self):
        return ""


@pytest.fixture
def recorder(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(tracker, "of", lambda settings, output_dir: recorder)
    return recorder


def test_a_tracker_is_shown_nothing_of_an_earlier_attempt(shared, recorder, run):
    arguments = [f"output_dir={shared}", *SMALL, "train.epochs=1", "seed=200"]
    for more in ([], ["rerun=true"]):
        recorder.syncs.clear()
        assert run(*arguments, *more)[0] == 0
        assert recorder.syncs[0] == ("running", 0) and recorder.syncs[-1][0] == "finished"


def test_what_the_tracker_refuses_fails_the_run_at_once(shared, recorder, run):
    recorder.error = UserError(Fault("tracking.experiment", "x", "deleted"))
    code, _, err = run(f"output_dir={shared}", *SMALL, "seed=201")
    assert (code, err) == (1, "nersweep: tracking.experiment=x: deleted\n")
    assert recorder.syncs == [("running", 0)]
    (file,) = shared.glob("runs/*-s201-*/result.json")
    assert json.loads(file.read_text())["status"] == "failed"


def test_what_the_tracker_refuses_fails_the_sweep_at_once(tmp_path, recorder, run):
    recorder.error = UserError(Fault("tracking.experiment", "x", "deleted"))
    code, _, err = run("-m", f"output_dir={tmp_path}", *SMALL, "seed=202,203")
    assert (code, err) == (1, "nersweep: tracking.experiment=x: deleted\n")
    assert recorder.syncs == [("running", 0)] and not (tmp_path / "runs").exists()
    (file,) = tmp_path.glob("sweeps/*/card.json")
    assert json.loads(file.read_text())["status"] == "failed"


def test_only_the_first_start_needs_a_tracker_that_answers(shared, recorder, run, monkeypatch):
    def fail():
        raise away

    away = Unavailable(Fault("tracking.uri", "x", "does not answer"))
    command = [f"output_dir={shared}", *SMALL, "train.epochs=1"]
    recorder.error = UserError(Fault("tracking.experiment", "x", "deleted"))
    assert run(*command, "seed=204")[0] == 1
    recorder.error = away
    monkeypatch.setattr(recorder, "open", fail)
    code, out, _ = run(*command, "seed=204")
    assert code == 0 and result_of(out)[0]["status"] == "finished"
    assert run(*command, "seed=205")[0] == 1 and not list(shared.glob("runs/*-s205-*"))


def test_the_same_command_gives_the_same_numbers_and_another_seed_others(tmp_path, run):
    results = []
    for place, seed in (("a", 1), ("b", 1), ("c", 2)):
        arguments = [f"output_dir={tmp_path / place}", f"seed={seed}", "tracking.kind=none"]
        code, out, err = run(*arguments, *SMALL)
        assert code == 0, err
        result, folder = result_of(out)
        results.append(
            (
                result["fingerprint"],
                result["dev"],
                result["test"],
                (folder / "metrics.jsonl").read_text(),
            )
        )
    assert results[0] == results[1]
    assert results[0][0] != results[2][0] and results[0][3] != results[2][3]


def test_fingerprints_follow_what_can_change_a_result():
    schema.register()
    composer = Composer()

    def fingerprint(*arguments):
        return plan.make(check_overrides(composer, [*SMALL, *arguments])).fingerprint

    first = fingerprint()
    assert fingerprint("tracking.experiment=other") == first
    assert fingerprint("loss=cross_entropy", "device=cpu") == first
    assert fingerprint("loss=focal", "focal_gamma=3") == fingerprint(
        "loss=focal", "focal_gamma=3.0"
    )
    others = [
        fingerprint(x)
        for x in ("train.lr=2e-3", "data.seed=2", "loss=label_smoothing", "weights=effective")
    ]
    assert len({first, *others}) == 5


def test_a_result_that_cannot_be_read_is_reported_once_and_the_run_starts_over(shared, caplog, run):
    arguments = ["-m", f"output_dir={shared}", *SMALL, "seed=100"]
    assert run(*arguments)[0] == 0
    (file,) = shared.glob("runs/*-s100-*/result.json")
    before = json.loads(file.read_text())
    caplog.clear()
    file.write_bytes(file.read_bytes()[:-100])
    assert run(*arguments)[0] == 0
    (line,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert line.startswith(f"{file}: cannot be read (")
    assert line.endswith("); the run starts over")
    after = json.loads(file.read_text())
    assert after["status"] == "finished" and after["dev"] == before["dev"]


def test_the_default_says_how_to_get_real_data(shared, run):
    _, out, _ = run(f"output_dir={shared}", *SMALL)
    assert "data=conll2003" in out and "label" in out and "weight" in out


def test_real_data_by_folder(shared, local_data, run):
    """One short epoch on a part of WNUT-17: its odd separators, its labels, its path."""
    few = shared / "few_wnut17"
    few.mkdir()
    for file in local_data("wnut17").iterdir():
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        (few / file.name).write_text("".join(lines[:8000]), encoding="utf-8")
    arguments = ["data=wnut17", f"data.path={few}", f"output_dir={shared}"]
    code, out, err = run(*arguments, "train.epochs=1", "model.hidden=16", "model.layers=1")
    assert code == 0, err
    result, _ = result_of(out)
    assert set(result["test"]["types"]) == {
        "corporation", "creative-work", "group", "location", "person", "product",
    }  # fmt: skip


def predicted(folder):
    """The words and tags of predictions/test.conll, sentence by sentence."""
    blocks = (
        (folder / "predictions" / "test.conll").read_text(encoding="utf-8").strip().split("\n\n")
    )
    rows = [[line.split(" ") for line in block.split("\n")] for block in blocks]
    return [[row[0] for row in sentence] for sentence in rows], [
        [row[2] for row in sentence] for sentence in rows
    ]


@pytest.mark.parametrize(
    "loss", sorted(file.stem for file in (CHECKOUT / "conf" / "loss").glob("*.yaml"))
)
def test_every_loss_trains_and_its_model_loads(loss, shared, run):
    """A new conf/loss/*.yaml is covered by existing."""
    arguments = [f"output_dir={shared}", "seed=7", "tracking.kind=none"]
    code, out, err = run(f"loss={loss}", *SMALL, *arguments)
    assert code == 0, err
    result, folder = result_of(out)
    losses = [
        json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]
    assert losses[-1] < losses[0] and result["config"]["choice"]["loss"] == loss
    words, tags = predicted(folder)
    assert [actual for actual, _ in SavedTagger(folder / "model").predict(words)] == tags


@pytest.mark.parametrize("choice", ["loss=cross_entropy weights=inverse", "loss=crf", "head=span"])
def test_a_model_with_its_thresholds_predicts_what_was_scored(choice, shared, run):
    size = ["data.train=150", "data.dev=100", "data.test=60", "train.epochs=4"]
    arguments = [f"output_dir={shared}", "tracking.kind=none"]
    code, out, err = run(*choice.split(), *SMALL[:1], *size, *arguments)
    assert code == 0, err
    result, folder = result_of(out)
    tau = result["analysis"]["threshold"]
    types = result["analysis"]["type_thresholds"]
    assert tau["tau"] != 0 or any(types["offsets"].values())
    assert result["dev"]["f1"] <= tau["dev"]["f1"] <= types["dev"]["f1"]
    scored = {"none": result["test"], "tau": tau["test"], "types": types["test"]}
    words, _ = predicted(folder)
    gold = [spans(tags) for tags in gold_tags(folder)]
    for name, scores in scored.items():
        tagger = SavedTagger(folder / "model", thresholds=name)
        found = [entities for _, entities in tagger.predict(words)]
        right = sum(len(set(a) & set(b)) for a, b in zip(gold, found, strict=True))
        total = sum(map(len, gold)) + sum(map(len, found))
        assert 2 * right / total == pytest.approx(scores["f1"])
    assert tagger.temperature == result["analysis"]["temperature"]["value"]
    temperature = result["analysis"]["temperature"]["dev"]["cross_entropy"]
    assert temperature <= result["analysis"]["dev"]["cross_entropy"] + 1e-9


def gold_tags(folder):
    """The gold tags of predictions/test.conll, sentence by sentence."""
    text = (folder / "predictions" / "test.conll").read_text(encoding="utf-8")
    blocks = text.strip().split("\n\n")
    return [[line.split(" ")[1] for line in block.split("\n")] for block in blocks]


def test_the_same_command_syncs_a_run_that_ended_while_the_tracker_was_away(
    shared, monkeypatch, run
):
    file, aside, perform = shared / "mlflow.db", shared / "aside", execute.perform

    def take_away(*given):
        file.rename(aside)
        file.mkdir()
        return perform(*given)

    arguments = [f"output_dir={shared}", *SMALL, "seed=8"]
    monkeypatch.setattr(execute, "perform", take_away)
    code, out, _ = run(*arguments)
    assert code == 0 and "MLflow did not answer when the run ended" in out
    monkeypatch.setattr(execute, "perform", None)  # it is not trained again
    code, out, _ = run(*arguments)
    assert (
        code == 0 and "finished before" in out and "MLflow did not answer when the run ended" in out
    )
    file.rmdir()
    aside.rename(file)
    code, out, _ = run(*arguments)
    assert code == 0 and "finished before" in out and "MLflow did not answer" not in out
    result, folder = result_of(out)
    mlflow_run = MlflowClient(f"sqlite:///{file}").get_run(run_id_of(folder, f"sqlite:///{file}"))
    assert mlflow_run.info.status == "FINISHED" and mlflow_run.data.metrics[
        "test/f1"
    ] == pytest.approx(result["test"]["f1"])
    assert json.loads((folder / "result.json").read_text(encoding="utf-8")) == result


def test_every_term_of_a_loss_is_tracked_under_its_own_name(shared, run):
    code, out, err = run("loss=compound", f"output_dir={shared}", *SMALL, "seed=3")
    assert code == 0, err
    client = MlflowClient(f"sqlite:///{shared}/mlflow.db")
    run_id = run_id_of(result_of(out)[1], f"sqlite:///{shared}/mlflow.db")
    total, focal, dice = (
        [m.value for m in client.get_metric_history(run_id, f"train/{name}")]
        for name in ("loss", "focal_loss", "dice_loss")
    )
    assert len(total) == 10 and total == pytest.approx(
        [a + b for a, b in zip(focal, dice, strict=True)]
    )


def test_auxiliary_tasks_on_the_columns_of_conll(shared, local_data, run):
    folder = local_data("conll2003")
    few = shared / "few"
    few.mkdir()
    for file in ("train.txt", "valid.txt", "test.txt"):
        text = (folder / file).read_text(encoding="utf-8")
        (few / file).write_text("\n\n".join(text.split("\n\n")[:100]) + "\n", encoding="utf-8")
    arguments = [
        "data=conll2003",
        f"data.path={few}",
        f"output_dir={shared}",
        *SMALL[:1],
        *SMALL[4:],
    ]
    for weight in ("0.5", "uncertainty"):
        code, out, err = run(
            *arguments,
            "aux=pos_chunk",
            f"aux_weight={weight}",
            "weights=inverse",
        )
        assert code == 0, err
        _, folder = result_of(out)
        steps = [
            x
            for x in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
            if "step" in x
        ]
        names = {"ner", "pos", "chunk"} | ({"uncertainty"} if weight == "uncertainty" else set())
        assert all(step["terms"].keys() == names for step in steps)
        assert steps[-1]["terms"]["pos"] < steps[0]["terms"]["pos"]
        assert SavedTagger(folder / "model").predict([["EU", "rejects"]])


def test_cluener_with_two_pointers(shared, local_data, run):
    folder = local_data("cluener")
    few = shared / "few_cluener"
    few.mkdir()
    for file in ("train.json", "dev.json"):
        lines = (folder / file).read_text(encoding="utf-8").splitlines()[:120]
        (few / file).write_text("\n".join(lines) + "\n", encoding="utf-8")
    arguments = ["data=cluener", f"data.path={few}", f"output_dir={shared}", *SMALL[:1], *SMALL[4:]]
    code, out, err = run(*arguments, "head=span", "loss=ghm")
    assert code == 0, err
    assert "the test split" in out.replace("\n", " ") or "test is dev.json" in out
    _, folder = result_of(out)
    words, tags = predicted(folder)
    actual = SavedTagger(folder / "model").predict(words)
    assert len(words) == 120 and [of_words for of_words, _ in actual] == tags
    written = (folder / "predictions" / "test.spans.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in written] == [
        [list(span) for span in spans] for _, spans in actual
    ]


def test_the_counts_of_a_run_are_by_document_and_give_its_scores(tmp_path, run):
    document = "-DOCSTART- O\n\nAda B-PER\nmet O\nPau B-LOC\n\nBob B-PER\nslept O\n\n"
    times = {"train": 20, "dev": 3, "test": 5}
    for split, documents in times.items():
        (tmp_path / split).write_text(documents * document, "utf-8")
    data = ["data=conll", *(f"data.{split}={tmp_path / split}" for split in times)]
    tiny = ["model.hidden=16", "model.layers=1", "model.heads=2", "train.epochs=3", "device=cpu"]
    code, out, err = run(*data, *tiny, f"output_dir={tmp_path}")
    assert code == 0, err
    assert "40 train, 6 dev, 10 test sentences; 20 train, 3 dev, 5 test documents" in out
    result, folder = result_of(out)
    for split in ("dev", "test"):
        counts = read_counts(folder, split)
        assert counts.marked and counts.types == ("LOC", "PER")
        assert counts.lenient[..., 2].tolist() == [[1, 2]] * times[split]
        for type_, (correct, guessed, gold) in zip(
            counts.types, counts.lenient.sum(0).tolist(), strict=True
        ):
            rates = result[split]["types"][type_]
            assert rates["f1"] == 2 * correct / (guessed + gold)
            assert (rates["recall"], rates["support"]) == (correct / gold, gold)
        correct, guessed, gold = counts.dense()[:, :, 1].sum((0, 1)).tolist()
        assert result[split]["strict"]["f1"] == 2 * correct / (guessed + gold)


def test_a_test_split_without_entities_does_not_cost_the_run(tmp_path, run):
    sentences = "Ada B-PER\nmet O\n\nBob B-PER\nslept O\n\n"
    for split in ("train", "dev", "test"):
        (tmp_path / split).write_text(
            sentences.replace("B-PER", "O") if split == "test" else 20 * sentences, "utf-8"
        )
    data = [
        "data=conll",
        *(f"data.{split}={tmp_path / split}" for split in ("train", "dev", "test")),
    ]
    tiny = ["model.hidden=16", "model.layers=1", "model.heads=2", "train.epochs=1", "device=cpu"]
    code, _, err = run(*data, *tiny, f"output_dir={tmp_path}")
    (file,) = tmp_path.glob("runs/*/result.json")
    assert code == 0, err
    assert json.loads(file.read_text("utf-8"))["test"]["types"]["PER"]["support"] == 0
