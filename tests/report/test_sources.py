"""The same runs give the same table, wherever they are read from: folders, a tracking server, an archive."""

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from nersweep import __main__ as cli
from nersweep.config.schema import TrackingConfig
from nersweep.report import answer, sources
from nersweep.report.records import Record
from nersweep.report.sources import ReportConfig
from nersweep.tracking.reading import Store, StoredRun, run_id_of

TINY = [
    "data.train=40", "data.dev=20", "data.test=30", "model.hidden=8", "model.layers=1", "model.heads=2",
    "train.epochs=1", "device=cpu",
]  # fmt: skip
TABLES = ("report.csv", "report.tex")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An MLflow server that keeps artifacts itself, with an empty store."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        f"{folder}/kept",
    ]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(command, env=environment, start_new_session=True, **quiet)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def swept(server, tmp_path_factory):
    """The output_dir of a sweep of two losses and two seeds, tracked by the server."""
    output_dir = tmp_path_factory.mktemp("here")
    typed = [
        "loss=cross_entropy,focal",
        "seed=1,2",
        f"tracking.uri={server}",
        f"output_dir={output_dir}",
        *TINY,
    ]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", ["nersweep", "-m", *typed])
        cli.main()
    assert end.value.code == 0
    return output_dir


def tables_of(folder: Path, **asked):
    """What a report says, and what it holds."""
    answer.report(ReportConfig(folder=str(folder), **asked))
    return [(folder / name).read_bytes() for name in TABLES]


def test_the_table_is_the_same_from_folders_a_server_and_an_archive(swept, server, tmp_path):
    uri, here = TrackingConfig(uri=server), str(swept)
    (sweep,) = (swept / "sweeps").glob("*/sweep.json")
    archive = str(tmp_path / "runs.jsonl")
    wanted = tables_of(tmp_path / "last", output_dir=here, tracking=uri, save=archive)
    assert wanted[0].count(b"\n") == 3
    sweep_id = run_id_of(sweep.parent, server)
    kept = {item.path for item in Store(server).client.list_artifacts(sweep_id, "report")}
    assert {
        "report/report.html",
        "report/report.md",
        *(f"report/{name}" for name in TABLES),
    } <= kept
    for number, asked in enumerate(
        [
            {"output_dir": here, "sweep": sweep.parent.name},
            {"sweep": str(sweep.parent)},  # which belongs to an output_dir of its own
            {"output_dir": here, "experiment": "nersweep"},
            {
                "output_dir": here,
                "filter": "params.`train.epochs` = '1' and metrics.`test/f1` >= 0",
            },
            {"output_dir": str(tmp_path), "archive": archive},
        ]
    ):
        assert tables_of(tmp_path / str(number), tracking=uri, **asked) == wanted, asked
    away = swept.with_name("away")
    swept.rename(away)  # the server alone has the runs now
    try:
        elsewhere = {"output_dir": str(tmp_path / "there"), "tracking": uri}
        for _ in range(2):  # fetched, and then at hand
            assert tables_of(tmp_path / "fetched", experiment="nersweep", **elsewhere) == wanted
        assert "Only" not in (tmp_path / "fetched" / "report.md").read_text("utf-8")
        assert not list((tmp_path / "there" / "fetched").glob(".*"))
        with pytest.raises(ValueError, match=r"test\.conll"):
            fetched = next((tmp_path / "there" / "fetched").iterdir())
            (fetched / "predictions" / "test.conll").unlink()
            tables_of(tmp_path / "damaged", experiment="nersweep", **elsewhere)
        assert not (tmp_path / "damaged").exists()
    finally:
        away.rename(swept)


def test_a_report_of_a_study_is_of_its_trials_on_dev(tmp_path, monkeypatch):
    typed = [
        "study=focal_gamma",
        "study.name=gamma",
        "study.trials=3",
        "study.pruner=none",
        f"output_dir={tmp_path}",
    ]
    monkeypatch.setattr(sys, "argv", ["nersweep", *typed, *TINY])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    results = [json.loads(file.read_text("utf-8")) for file in tmp_path.glob("runs/*/result.json")]
    report = tmp_path / "studies" / "gamma" / "report"
    answer.report(ReportConfig(study="gamma", output_dir=str(tmp_path)))
    rows = list(csv.DictReader((report / "report.csv").read_text("utf-8").splitlines()))
    wanted = {
        result["name"].removesuffix("-s1"): round(result["dev"]["f1"], 5) for result in results
    }
    assert {row["setting"]: round(float(row["f1"]), 5) for row in rows} == wanted and len(
        wanted
    ) == 3
    told = (report / "report.md").read_text("utf-8")
    assert "dev chose the best epoch" in told and "a study tried 3 settings" in told
    assert (report / "over_knob.png").exists()
    study = next(Store(f"sqlite:///{tmp_path}/mlflow.db").runs('tags.kind = "study"'))
    kept = {
        item.path
        for item in Store(f"sqlite:///{tmp_path}/mlflow.db").client.list_artifacts(
            study.id, "report"
        )
    }
    assert {"report/report.html", "report/report.md"} <= kept


def test_settings_that_a_study_tried_are_counted_where_pruning_left_but_their_names():
    names = ["dice-s1", "dice-s1", "dice-s1", "dice-s2", "focal-g2-s1"]
    statuses = ["pruned", "pruned", "finished", "finished", "finished"]
    records = [
        Record({"name": n, "status": s}, "dev") for n, s in zip(names, statuses, strict=True)
    ]
    assert sources.settings_tried(records) == 4


def test_what_the_tracker_lacks_and_what_it_does_not_understand_is_one_line(
    swept, server, tmp_path
):
    tracker = Store(server)
    run = next(run for run in tracker.runs() if "fingerprint" in run.tags)
    with pytest.raises(
        ValueError, match=rf"{run.name}: the tracker has no gone.json of it \(run {run.id}\)"
    ):
        tracker.fetch(run, ("gone.json",), tmp_path)
    with pytest.raises(
        ValueError, match=r"^filter=loss is good: MLflow does not understand it \(.*\)$"
    ):
        list(tracker.runs("loss is good"))
    with pytest.raises(
        ValueError, match=r"^experiment=nosuch: no such experiment in .*; it has .*nersweep"
    ):
        list(tracker.runs("", "nosuch"))
    with pytest.raises(ValueError, match="the tracker did not take it"):
        tracker.attach("0" * 32, tmp_path, "report")
    config = ReportConfig(output_dir=str(tmp_path), tracking=TrackingConfig(uri=server))
    for asked, told in {
        "study": "study=nosuch: the tracker knows no such study",
        "sweep": "sweep=nosuch: no such sweep",
        "archive": "archive=nosuch: cannot be read",
        "filter": "does not understand",
    }.items():
        with pytest.raises(ValueError, match=told):
            sources.find(
                ReportConfig(
                    **{asked: "nosuch"}, output_dir=config.output_dir, tracking=config.tracking
                )
            )
    with pytest.raises(ValueError, match=r"filter=tags.loss = 'nosuch': no run in it"):
        sources.find(
            ReportConfig(
                filter="tags.loss = 'nosuch'", output_dir=str(tmp_path), tracking=config.tracking
            )
        )


def test_of_a_run_made_several_times_the_last_that_finished_counts(tmp_path):
    tags = {"fingerprint": "f"}
    runs = [
        StoredRun(i, "focal-s1", "", tags | {"status": status})
        for i, status in (("3", "killed"), ("2", "failed"))
    ]
    (record,) = sources.read_tracked(runs, ReportConfig(output_dir=str(tmp_path)), "test")
    assert (record.name, record.result["status"]) == (
        "focal-s1",
        "killed",
    )  # the tracker gives the last first
    parent = StoredRun("4", "sweep-1", "", {"kind": "sweep"})
    assert not sources.read_tracked([parent], ReportConfig(output_dir=str(tmp_path)), "test")


def test_a_run_is_found_by_folder_name_and_tracker_id(swept, server):
    folders = sorted((swept / "runs").iterdir())
    config = ReportConfig(output_dir=str(swept), tracking=TrackingConfig(uri=server))
    result = json.loads((folders[0] / "result.json").read_text("utf-8"))
    run_id = run_id_of(folders[0], server)
    for name in (str(folders[0]), folders[0].name, result["name"], run_id):
        assert sources.one(name, config).folder.samefile(folders[0])
    twin = shutil.copytree(folders[0], folders[0].with_name(f"{result['name']}-0f0f0f0f"))
    try:
        for name in (result["name"], result["name"].partition("-")[0]):
            with pytest.raises(
                ValueError, match=f"compare={name}: several runs begin so: .*{twin.name}"
            ):
                sources.one(name, config)
    finally:
        shutil.rmtree(twin)
    for name in ("nosuch", "/nosuch/run", "*", "[", "../x"):
        with pytest.raises(ValueError, match="no such run; type a folder"):
            sources.one(name, config)


def test_runs_that_were_not_begun_or_damaged_sweeps_are_told(swept, tmp_path):
    folder = shutil.copytree(swept, tmp_path / "copy")
    gone = next((folder / "runs").glob("focal-g2-s2-*"))
    shutil.rmtree(gone)
    found = sources.find(ReportConfig(output_dir=str(folder)))
    assert sorted((r.name, r.result["status"]) for r in found.records if not r.finished) == [
        ("focal-g2-s2", "not begun")
    ]
    (file,) = (folder / "sweeps").glob("*/sweep.json")
    named = sources.find(ReportConfig(output_dir=str(folder))).title
    assert named == f"generated (sweep {file.parent.name})"
    of_experiment = file.read_text("utf-8").replace(
        "-m loss=", "-m experiment=conll2003_table loss="
    )
    file.write_text(of_experiment, encoding="utf-8")
    assert (
        sources.find(ReportConfig(output_dir=str(folder))).title
        == f"conll2003_table (sweep {file.parent.name})"
    )
    file.write_text(file.read_text("utf-8")[:-9], encoding="utf-8")
    with pytest.raises(ValueError, match=r"sweep\.json: cannot be read"):
        sources.find(ReportConfig(output_dir=str(folder)))
    with pytest.raises(ValueError, match="no sweep in it; type sweep="):
        sources.find(ReportConfig(output_dir=str(tmp_path / "empty")))
