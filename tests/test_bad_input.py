"""Bad input gets one line per fault, exit code 1, and leaves nothing half-written."""

import http.server
import json
import shlex
import signal
import socket
import threading
from pathlib import Path

import pytest
from mlflow import MlflowClient

from nersweep import __main__ as cli
from nersweep.data import hub
from nersweep.run import plan
from nersweep.tracking.reading import run_id_of
from nersweep.training.progress import TrainingProgress

SMALL = [
    "train.epochs=1",
    "model.hidden=8",
    "model.layers=1",
    "model.heads=2",
    "train.precision=fp32",
]
SENTENCES = "Ada B-PER\nlives O\nin O\nParis B-LOC\n\nAda B-PER\nB I-PER\nsang O\n\n" * 8


@pytest.fixture
def cli_run(tmp_path, capsys, monkeypatch, exit_code):
    """cli_run(*arguments): exit code, standard output, lines of error, in an empty folder."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.delenv("NERSWEEP_DATA", raising=False)
    monkeypatch.setenv("NERSWEEP_TRACEBACK", "")  # main may set it

    def run(*arguments):
        code = exit_code(cli.main, *arguments)
        printed = capsys.readouterr()
        return code, printed.out, printed.err.splitlines()

    return run


@pytest.fixture
def assert_refused(cli_run):
    """assert_refused(arguments, *subjects): the command ends with a line for each of these faults,
    which says what is wrong, and writes nothing."""

    def check(arguments, *subjects):
        code, out, err = cli_run(*arguments)
        assert (code, out) == (1, "")
        assert len(err) == len(subjects)
        for line, subject in zip(err, subjects, strict=True):
            assert line.startswith(f"nersweep: {subject}: ") and len(line) > len(subject) + 18
        assert not list(Path.cwd().iterdir())

    return check


@pytest.fixture
def column_files(tmp_path):
    """column_files(train=TEXT): arguments that name three column files; the others are valid."""

    def write(**given):
        arguments = ["data=conll"]
        for split in ("train", "dev", "test"):
            file = tmp_path / f"{split}.conll"
            text = given.get(split, SENTENCES)
            file.write_bytes(text if isinstance(text, bytes) else text.encode())
            arguments.append(f"data.{split}={file}")
        return arguments

    return write


@pytest.fixture(scope="module")
def output_dir(tmp_path_factory):
    """One for all runs here: to make the tables of a tracking store takes seconds."""
    return tmp_path_factory.mktemp("outputs")


def status_in_mlflow(output_dir, result):
    uri = f"sqlite:///{output_dir}/mlflow.db"
    folder = output_dir / "runs" / "{name}-{fingerprint:.8}".format(**result)
    return MlflowClient(uri).get_run(run_id_of(folder, uri)).info.status


def results(output_dir):
    files = sorted(
        (output_dir / "runs").glob("*/result.json"), key=lambda file: file.stat().st_mtime_ns
    )
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


# The command line; tests/command has every fault of it


@pytest.mark.parametrize(
    "text",
    [
        "loss=focal focal_gamma=-1",
        "train.epocs=3",
        "tracking.experiment=",
        "metric=3",
        "metric=GPE/f1",
        "-m loss=focal,dice metric=exact/PER/f1",
        "-m hydra/launcher=joblib hydra.launcher.n_jobs=0",
        "-m hydra/launcher=joblib hydra.launcher.n_jobs=1,2",
        "-m seed=1,2 hydra/launcher=basic,joblib",
        "--config-name=x",
    ],
)
def test_a_fault_is_one_line_and_nothing_is_written(text, assert_refused):
    assert_refused(text.split(), text.split()[-1])


def test_an_unknown_option_is_one_line(cli_run):
    code, out, (line,) = cli_run("--nope")
    assert (code, out) == (1, "")
    assert line == "nersweep: unrecognized arguments: --nope; see python -m nersweep --help"


def test_an_internal_error_says_so_and_how_to_see_the_traceback(cli_run, monkeypatch):
    def fail(*_):
        raise KeyError("lost")

    monkeypatch.setattr(plan, "make", fail)
    code, _, (line,) = cli_run()
    assert code == 1 and line.startswith("nersweep: internal error: KeyError: ")
    assert line.endswith("set NERSWEEP_TRACEBACK=1 to see the traceback")


@pytest.mark.parametrize("show", ["environment", "hydra.verbose=true"])
def test_a_traceback_is_printed_on_request(show, cli_run, monkeypatch):
    if show == "environment":
        monkeypatch.setenv("NERSWEEP_TRACEBACK", "1")
    arguments = [show] if "=" in show else []
    monkeypatch.setattr(plan, "make", lambda checked: 1 / 0)
    code, _, err = cli_run(*arguments)
    assert code == 1 and "Traceback (most recent call last):" in err
    assert err[-1].startswith("nersweep: internal error: ZeroDivisionError")


# Losses, weights and heads

PARTS = {  # faults that only the data shows
    "weights=manual manual_weights=[1,2]": "manual_weights=[1, 2]",
    "weights=manual manual_weights={O:0.2,PER:3}": "manual_weights={O: 0.2, PER: 3}",
    "head=span weights=manual manual_weights={B-PER:2}": "manual_weights={B-PER: 2}",
    "loss=focal focal_alpha=[1,2]": "focal_alpha=[1, 2]",
    "loss=dice dice_exclude=[B-ORG]": "dice_exclude=[B-ORG]",
    "loss=dice dice_exclude=[99]": "dice_exclude=[99]",
    "aux=pos": "aux=pos",
}


@pytest.mark.parametrize("text", PARTS)
def test_parts_that_do_not_fit_the_data_are_refused(text, column_files, assert_refused):
    assert_refused([*column_files(), *text.split(" ")], PARTS[text])


# What is in the data

BAD_FILES = {  # text, and the line that is at fault
    "ragged row": ("Ada NNP B-PER\nsang VBD\n", ":2"),
    "one column": ("Ada\n", ":1"),
    "no sentence": ("", ""),
    "only blank lines": ("\n\n\t\n", ""),
    "no tag": ("Ada PER\n", ":1"),
    "not UTF-8": (b"Ada B-PER\nM\xfcller I-PER\n", ":2"),
}


@pytest.mark.parametrize("resolution", ["0", "100.5", "true", "half"])
def test_a_resolution_is_a_number_of_points(resolution, assert_refused):
    given = f"resolution={resolution}"
    assert_refused(["-m", "seed=1,2", given], given)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("fault", BAD_FILES)
def test_a_bad_data_file_is_reported_by_its_line(
    fault, split, column_files, assert_refused, tmp_path
):
    text, place = BAD_FILES[fault]
    assert_refused(column_files(**{split: text}), f"{tmp_path / split}.conll{place}")


def test_a_data_file_that_is_a_folder(column_files, assert_refused, tmp_path):
    *arguments, _ = column_files()
    assert_refused([*arguments, f"data.test={tmp_path}"], f"{tmp_path}")


CLUENER = (
    '{"text": "李白在成都", "label": {"name": {"李白": [[0, 1]]}, "address": {"成都": [[3, 4]]}}}\n'
)
BAD_OFFSETS = {
    "another surface": '{"text": "李白在成都", "label": {"address": {"成都": [[2, 3]]}}}',
    "outside": '{"text": "李白在成都", "label": {"address": {"成都": [[4, 5]]}}}',
}


@pytest.mark.parametrize("split", ["train", "dev"])
@pytest.mark.parametrize("fault", BAD_OFFSETS)
def test_bad_offsets_are_reported_by_their_line(fault, split, assert_refused, tmp_path):
    line = BAD_OFFSETS[fault]
    for name in ("train", "dev"):
        text = 3 * CLUENER + (f"{line}\n" if name == split else "")
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    assert_refused(["data=cluener", f"data.path={tmp_path}"], f"{tmp_path}/{split}.json:4")


def test_cluener_without_a_folder_says_where_it_comes_from(cli_run):
    code, _, (seed, folder) = cli_run("data=cluener", "data.dev_seed=-1")
    assert code == 1 and seed.startswith("nersweep: data.dev_seed=-1: ")
    assert "data=cluener" in folder and "https://github.com/CLUEbenchmark/CLUENER2020" in folder


def test_data_without_entities(column_files, assert_refused):
    plain = "no O\nname O\n"
    assert_refused(column_files(train=plain, dev=plain, test=plain), "data=conll")


def test_labels_that_training_lacks_and_broken_entities_are_noted(
    column_files, cli_run, output_dir
):
    dev = "Ada B-PER\nB O\nC I-PER\nin O\n\nRex B-DOG\nand O\nBo B-DOG\n"
    code, out, err = cli_run(*column_files(dev=dev), f"output_dir={output_dir}", *SMALL)
    assert (code, err) == (0, [])
    assert "note: dev: 1 I- tags began an entity and are read as B-" in out.splitlines()
    assert "note: dev: B-DOG (2 words) is not in the training data" in out.splitlines()
    result = results(output_dir)[-1]
    assert (
        result["dev"]["types"]["DOG"]["support"] == 2
        and result["dev"]["types"]["PER"]["support"] == 2
    )
    noted = "test: 16 of 16 sentences (100.0%) are in train too"
    assert [note.startswith(noted) for note in result["notes"]] == [False, False, True]


# Places and servers


@pytest.mark.parametrize("folder", ["/proc/nersweep", __file__ + "/outputs"])
def test_an_output_folder_that_cannot_be_written_to(folder, column_files, cli_run):
    code, _, (line,) = cli_run(*column_files(), f"output_dir={folder}")
    assert code == 1 and line.startswith(f"nersweep: output_dir={folder}: cannot be written to (")
    assert line.endswith("output_dir=DIR")


@pytest.mark.parametrize("server", ["silent", "absent"])
def test_a_tracking_server_that_does_not_answer(server, column_files, cli_run):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        if server == "silent":
            deaf.listen()
        uri = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        code, _, (line,) = cli_run(*column_files(), f"tracking.uri={uri}")
    assert code == 1 and line.startswith(f"nersweep: tracking.uri={uri}: ")
    assert not list(Path.cwd().glob("outputs/*"))


@pytest.fixture
def fake_hub(monkeypatch):
    """A hub of our own; `fake_hub(status, code)` sets what it answers to everything."""
    answer = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(answer["status"])
            if answer["code"]:
                self.send_header("X-Error-Code", answer["code"])
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(
        hub, "hf_hub_url", lambda name, file, **_: f"http://127.0.0.1:{server.server_port}/{file}"
    )
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_, **__: None)
    yield lambda status, code="": answer.update(status=status, code=code)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "cause"),
    [
        (404, "RepoNotFound", "no model of that name"),
        (403, "GatedRepo", "gated"),
        (404, "RevisionNotFound", "no revision v9"),
        (404, "EntryNotFound", "no config.json"),
    ],
)
def test_a_model_that_the_hub_does_not_give(status, code, cause, fake_hub, column_files, cli_run):
    fake_hub(status, code)
    arguments = [*column_files(), "model=hf", "model.name=some/model", "model.revision=v9"]
    code, out, (line,) = cli_run(*arguments)
    assert (code, out) == (1, "asking the hub for some/model\n")
    assert line.startswith("nersweep: model.name=some/model: ") and cause in line
    assert "model=hf model.name=DIR" in line  # the remedy
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize("name", ["/nowhere/model", "a/b/c"])
def test_a_model_that_is_neither_a_folder_nor_a_name(name, column_files, assert_refused):
    arguments = [*column_files(), "model=hf", f"model.name={name}"]
    assert_refused(arguments, f"model.name={name}")


def test_without_a_network_the_hub_is_tried_once(column_files, cli_run, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(hub, "hf_hub_url", lambda *_, **__: f"http://127.0.0.1:{port}/config.json")
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_, **__: None)
    code, out, (line,) = cli_run(*column_files(), "model=bert_base")
    assert code == 1 and out == "asking the hub for bert-base-cased\n"
    assert line.startswith("nersweep: model.name=bert-base-cased: ")
    assert "model=hf model.name=DIR" in line

    code, out, (line,) = cli_run("data=wnut17")
    assert code == 1 and out == "asking the hub for leondz/wnut_17\n"
    assert line.startswith("nersweep: data=wnut17: ")
    assert "data.path=DIR" in line and "NERSWEEP_DATA" in line


# Runs that end early


def test_a_loss_that_is_no_number_ends_its_run_and_no_other(column_files, cli_run, output_dir):
    arguments = [
        *column_files(),
        f"output_dir={output_dir}",
        *SMALL,
        "train.batch_size=2",
        "train.warmup=0",
    ]
    before = len(results(output_dir))
    code, _, err = cli_run("-m", *arguments, "train.max_grad_norm=1e30", "train.lr=1e30,1e-3")
    assert code == 1 and len(err) == 1
    failed, finished = results(output_dir)[before:]
    folder = output_dir / "runs" / "{name}-{fingerprint:.8}".format(**failed)
    steps = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert err[0].startswith("nersweep: cross_entropy-s1 train.lr=1e+30: the loss is ")
    assert err[0].endswith(
        f" at step {len(steps) + 1} with learning rate 8.75e+29; last good loss: "
        f"{steps[-1]['loss']:.4g}; a lower train.lr or train.max_grad_norm may help"
    )
    assert (
        failed["status"] == "diverged"
        and f"nersweep: cross_entropy-s1 train.lr=1e+30: {failed['error']}" == err[0]
    )
    assert status_in_mlflow(output_dir, failed) == "FAILED"
    assert finished["status"] == status_in_mlflow(output_dir, finished).lower() == "finished"


@pytest.mark.parametrize(
    ("number", "code", "cause", "error"),
    [
        (signal.SIGTERM, 143, "stopped by SIGTERM", "stopped by SIGTERM"),
        (signal.SIGINT, 130, "interrupted", "KeyboardInterrupt"),
    ],
)
def test_a_signal_marks_the_run_killed(
    number, code, cause, error, column_files, cli_run, output_dir, monkeypatch
):
    monkeypatch.setattr(TrainingProgress, "step", lambda _: signal.raise_signal(number))
    command = [*column_files(), f"output_dir={output_dir}", *SMALL, f"seed={code}"]
    ended, _, err = cli_run(*command, "rerun=true")
    again = shlex.join(command)  # with rerun=true it would begin again
    assert ended == code and len(err) == 1 and err[0].endswith(again)
    assert err[0].startswith(f"nersweep: {cause}; the same command resumes: python -m ")
    result = results(output_dir)[-1]
    assert (result["status"], result["error"], result["seed"]) == ("killed", error, code)
    assert status_in_mlflow(output_dir, result) == "KILLED"
