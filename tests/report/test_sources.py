"""The same runs give the same tables from folders, from a tracking server and from an archive."""

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
from dataclasses import replace

import pytest
from finished import finished_result, record, unfinished

from nersweep import __main__ as cli
from nersweep.faults import UserError
from nersweep.report import formats
from nersweep.report.archive import Archive, read_archive, write_archive
from nersweep.report.comparison import compare
from nersweep.report.records import Record
from nersweep.report.report import compare_sets, report
from nersweep.report.sources import (
    ReportOptions,
    count_settings,
    find_run,
    read_stored,
    select_runs,
)
from nersweep.results.looks import LOOKS, Looks, write_looks
from nersweep.results.result import Status, read_result
from nersweep.results.tuning import UNTUNED, Search, Tuning, write_tuning
from nersweep.tracking.mlflow import NOTE
from nersweep.tracking.reading import Store, StoredRun, run_id_of

pytestmark = pytest.mark.slow

TINY = [
    "data.train=40", "data.dev=20", "data.test=30", "model.hidden=8", "model.layers=1",
    "model.heads=2",
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
def output_dir(server, tmp_path_factory, exit_code):
    """The output_dir of a sweep of two losses and two seeds, tracked by the server."""
    folder = tmp_path_factory.mktemp("here")
    overrides = [
        "loss=cross_entropy,focal",
        "seed=1,2",
        f"tracking.uri={server}",
        f"output_dir={folder}",
        *TINY,
    ]
    assert exit_code(cli.main, "-m", *overrides) == 0
    return folder


def tables_of(**options):
    """The tables of a report."""
    options = ReportOptions(**options)
    selection = select_runs(options)
    comparison = compare(selection.runs, options.baseline, selection.split)
    return [formats.comma_separated(comparison), formats.latex(comparison)]


def artifacts(uri, run_id):
    """The files of a report in the tracker."""
    return {item.path for item in Store(uri).client.list_artifacts(run_id, "report")}


def faults_of(action, *arguments):
    with pytest.raises(UserError) as error:
        action(*arguments)
    return error.value.faults


def test_the_tables_are_the_same_from_folders_a_server_and_an_archive(output_dir, server, tmp_path):
    here = str(output_dir)
    (sweep,) = (output_dir / "sweeps").glob("*/sweep.json")
    archive = str(tmp_path / "runs.jsonl")
    last = {"output_dir": here, "tracking_uri": server}
    report(ReportOptions(folder=str(tmp_path / "last"), save=archive, **last))
    tables = [(tmp_path / "last" / name).read_text("utf-8") for name in TABLES]
    assert tables[0].count("\n") == 3
    names = {"report.html", "report.md", *TABLES}
    assert {f"report/{name}" for name in names} <= artifacts(
        server, run_id_of(sweep.parent, server)
    )
    note = Store(server).client.get_run(run_id_of(sweep.parent, server)).data.tags[NOTE]
    decision, *_, command = note.split("\n\n")
    assert decision in (tmp_path / "last" / "report.md").read_text("utf-8")
    assert command.startswith("`python -m ") and note.count("How sure") == 1
    finished = "params.`train.epochs` = '1' and metrics.`test/f1` >= 0"
    for options in (
        last,
        {"output_dir": here, "sweep": sweep.parent.name},
        {"sweep": str(sweep.parent)},  # which belongs to an output_dir of its own
        {"output_dir": here, "experiment": "nersweep"},
        {"output_dir": here, "filter": finished},
        {"output_dir": str(tmp_path), "archive": archive},
    ):
        assert tables_of(**{"tracking_uri": server} | options) == tables, options
    away = output_dir.with_name("away")
    output_dir.rename(away)  # only the server has the runs now
    options = {"experiment": "nersweep", "tracking_uri": server}
    options["output_dir"] = str(tmp_path / "there")
    try:
        for _ in range(2):  # fetched, and then at hand
            assert tables_of(**options) == tables
        assert not list((tmp_path / "there" / "fetched").glob(".*"))
        folder = next((tmp_path / "there" / "fetched").iterdir())
        (folder / "predictions" / "test.conll").unlink()
        damaged = ReportOptions(folder=str(tmp_path / "damaged"), **options)
        (fault,) = faults_of(report, damaged)
        assert "test.conll" in fault.setting and not (tmp_path / "damaged").exists()
    finally:
        away.rename(output_dir)


def test_runs_of_the_tracker_have_the_level_of_their_sweep_or_a_note(output_dir, server, tmp_path):
    options = ReportOptions(experiment="nersweep", output_dir=str(tmp_path), tracking_uri=server)
    (sweep,) = (output_dir / "sweeps").iterdir()
    looks = Looks(0.5, 0.01, (1, 2), "cross_entropy", True, ())
    write_looks(sweep, [looks])
    selection = select_runs(options)
    assert selection.alpha("generated") == 0.01 and not selection.notes
    away = output_dir.with_name("away")
    (sweep / LOOKS).unlink()
    output_dir.rename(away)
    try:
        selection = select_runs(options)
        (note,) = selection.notes
        assert sweep.name in note
        (comparison,) = compare_sets(selection, "cross_entropy", 0.5)[0].values()
        assert note in comparison.notes and comparison.alpha == 0.05
    finally:
        away.rename(output_dir)


def test_a_report_of_a_study_is_of_its_trials_on_dev(tmp_path, exit_code):
    study = ["study=focal_gamma", "study.name=gamma", "study.trials=3", "study.pruner=none"]
    assert exit_code(cli.main, *study, f"output_dir={tmp_path}", *TINY) == 0
    f1 = {}
    for file in tmp_path.glob("runs/*/result.json"):
        result = read_result(file)
        f1[result.setting] = round(result.dev.f1, 5)
    folder = tmp_path / "studies" / "gamma" / "report"
    report(ReportOptions(study="gamma", output_dir=str(tmp_path)))
    rows = csv.DictReader((folder / "report.csv").read_text("utf-8").splitlines())
    assert {row["setting"]: round(float(row["f1"]), 5) for row in rows} == f1 and len(f1) == 3
    text = (folder / "report.md").read_text("utf-8")
    assert "dev selected the best epoch" in text and "a study tried 3 settings" in text
    assert (folder / "over_knob.png").exists()
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    run = next(Store(uri).runs('tags.kind = "study"'))
    assert {"report/report.html", "report/report.md"} <= artifacts(uri, run.id)


def test_the_settings_of_a_study_are_counted_although_pruned_runs_share_a_name():
    runs = [unfinished("dice", 1, "pruned"), unfinished("dice", 1, "pruned")]
    for loss, seed in (("dice", 1), ("dice", 2), ("focal", 1)):
        runs.append(record(finished_result(loss, seed)))
    assert count_settings(runs) == 4


def test_what_the_tracker_lacks_or_cannot_parse_is_one_fault(output_dir, server, tmp_path):
    store = Store(server)
    run = next(run for run in store.runs() if "fingerprint" in run.tags)
    (fault,) = faults_of(store.fetch, run, ("gone.json",), tmp_path)
    assert fault.setting == run.name and "gone.json" in fault.must
    (fault,) = faults_of(list, store.runs("loss is good"))
    assert (fault.setting, fault.value) == ("filter", "loss is good")
    (fault,) = faults_of(list, store.runs("", "nosuch"))
    assert (fault.setting, fault.value) == ("experiment", "nosuch") and "nersweep" in fault.must
    (fault,) = faults_of(store.attach, "0" * 32, tmp_path, "report", "")
    assert fault.setting == str(tmp_path)
    for name in ("study", "sweep", "archive", "filter"):
        options = ReportOptions(**{name: "nosuch"}, output_dir=str(tmp_path), tracking_uri=server)
        (fault,) = faults_of(select_runs, options)
        assert (fault.setting, str(fault.value)) == (name, "nosuch")
    query = "tags.loss = 'nosuch'"
    options = ReportOptions(filter=query, output_dir=str(tmp_path), tracking_uri=server)
    (fault,) = faults_of(select_runs, options)
    assert (fault.setting, fault.value, fault.must) == ("filter", query, "has no run")


def test_of_a_run_started_several_times_the_last_that_finished_counts(tmp_path):
    options = ReportOptions(output_dir=str(tmp_path))
    runs = []
    for number, status in (("3", "killed"), ("2", "failed")):  # the tracker gives the last first
        tags = {"fingerprint": "f", "status": status, "setting": "focal", "seed": "1"}
        runs.append(StoredRun(number, "focal-s1", "", tags))
    (run,) = read_stored(runs, options)
    assert (run.name, run.setting, run.seed, run.status) == ("focal-s1", "focal", 1, Status.KILLED)
    parent = StoredRun("4", "sweep-1", "", {"kind": "sweep"})
    assert not read_stored([parent], options)


@pytest.mark.parametrize("tag", [{"status": "COMPLETED"}, {"seed": "first"}, {"seed": "1.5"}])
def test_runs_that_another_program_logged_are_skipped(tag, tmp_path):
    ours = StoredRun("1", "focal-s1", "", {"fingerprint": "f", "status": "failed", "seed": "1"})
    foreign = StoredRun("2", "theirs", "", {"fingerprint": "g"} | tag)
    (run,) = read_stored([foreign, ours], ReportOptions(output_dir=str(tmp_path)))
    assert (run.name, run.status, run.seed) == ("focal-s1", Status.FAILED, 1)


def test_a_run_can_be_selected_by_folder_name_and_tracker_id(output_dir, server):
    folder = min((output_dir / "runs").iterdir())
    options = ReportOptions(output_dir=str(output_dir), tracking_uri=server)
    name = read_result(folder / "result.json").name
    for text in (str(folder), folder.name, name, run_id_of(folder, server)):
        assert find_run(text, options).folder.samefile(folder)
    twin = shutil.copytree(folder, folder.with_name(f"{name}-0f0f0f0f"))
    try:
        for text in (name, name.partition("-")[0]):
            (fault,) = faults_of(find_run, text, options)
            assert (fault.setting, fault.value) == ("compare", text) and twin.name in fault.must
    finally:
        shutil.rmtree(twin)
    for text in ("nosuch", "/nosuch/run", "*", "[", "../x"):
        (fault,) = faults_of(find_run, text, options)
        assert fault.must == "no such run"


def test_a_sweep_lists_runs_that_were_not_started_and_a_damaged_one_is_a_fault(
    output_dir, tmp_path
):
    folder = shutil.copytree(output_dir, tmp_path / "copy")
    shutil.rmtree(next((folder / "runs").glob("focal-g2-s2-*")))
    options = ReportOptions(output_dir=str(folder))
    runs = [run for run in select_runs(options).runs if not isinstance(run, Record)]
    assert [(run.setting, run.seed, run.status) for run in runs] == [
        ("focal-g2", 2, Status.NOT_STARTED)
    ]
    (file,) = (folder / "sweeps").glob("*/sweep.json")
    assert select_runs(options).title == f"generated (sweep {file.parent.name})"
    assert select_runs(options).alpha("generated") == 0.05
    looks = Looks(0.5, 0.01, (1, 2), "cross_entropy", True, ())
    write_looks(file.parent, [looks])
    saved = tmp_path / "saved.jsonl"
    report(replace(options, save=str(saved)))
    selection = select_runs(ReportOptions(archive=str(saved), output_dir=str(tmp_path)))
    assert read_archive(saved).alpha == selection.alpha("generated") == 0.01
    write_looks(file.parent, [replace(looks, name="generated"), replace(looks, alpha=0.005)])
    assert select_runs(options).alpha("generated") == 0.01
    assert select_runs(options).alpha("other") == 0.005
    searches = (
        Search("focal", "a", "1", {}, "", (0.5, 0.6)),
        Search("dice", "b", "2", {}, "", (0.5,)),
    )
    write_tuning(file.parent, Tuning(2, "f1", tuple(searches)))
    protocol = select_runs(options).protocol
    assert "2 trials per row" in protocol and protocol.endswith(" Of dice only 1 finished.")
    content = file.read_text("utf-8").replace("-m loss=", "-m experiment=conll2003_table loss=")
    file.write_text(content, encoding="utf-8")
    assert select_runs(options).title == f"conll2003_table (sweep {file.parent.name})"
    damaged = json.loads(content)
    damaged["runs"][0]["fingerprint"] = 5
    file.write_text(json.dumps(damaged), encoding="utf-8")
    (fault,) = faults_of(select_runs, options)
    assert fault.setting == str(file)
    file.write_text(content[:-9], encoding="utf-8")
    (fault,) = faults_of(select_runs, options)
    assert fault.setting == str(file)
    (fault,) = faults_of(select_runs, ReportOptions(output_dir=str(tmp_path / "empty")))
    assert (fault.setting, fault.must) == ("output_dir", "has no sweep")


SEARCH = Search(
    "focal", "tune-1", "1", {"train.lr": "interval(0.1,1)"}, "train.lr=0.5", (0.25, 0.5)
)


@pytest.mark.parametrize(
    ("tuning", "words"),
    [(None, ""), (UNTUNED, "Rows are untuned"), (Tuning(2, "f1", (SEARCH,)), "with 2 trials")],
)
def test_an_archive_says_how_its_rows_were_tuned_whatever_they_are_called(tuning, words, tmp_path):
    file = tmp_path / "runs.jsonl"
    runs = [unfinished("focal untuned")]
    write_archive(file, Archive(runs, "test", tuning))
    selection = select_runs(ReportOptions(archive=str(file), output_dir=str(tmp_path)))
    assert selection.tuning == tuning and len(selection.runs) == 1
    assert words in selection.protocol and bool(words) == bool(selection.protocol)
