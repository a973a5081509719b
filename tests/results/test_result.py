"""Results come back as they were written, and a damaged one is never taken for another."""

import json
from dataclasses import field, make_dataclass
from math import isnan, nan
from pathlib import Path

import pytest
from examples import finished
from pydantic import TypeAdapter

from nersweep.evaluation.analysis import Analysis, SplitAnalysis
from nersweep.faults import UserError
from nersweep.report.records import Record, round_result
from nersweep.report.tables import percent
from nersweep.results import result as result_module
from nersweep.results.result import (
    FinishedResult,
    Result,
    Status,
    read_result,
    read_run,
    result_of,
    sealed,
    write_result,
)

ARCHIVE = Path(__file__).parents[2] / "docs" / "results" / "conll2003_table.jsonl"


@pytest.mark.parametrize(
    "result",
    [
        finished(),
        Result(status=Status.FAILED, name="x-s1", setting="x", seed=1, error="out of memory"),
        Result(status=Status.DIVERGED, name="x-s1"),
    ],
)
def test_a_result_comes_back_as_it_was_written(result, tmp_path):
    result.fingerprint = "a"
    write_result(tmp_path, result)
    assert read_result(tmp_path / "result.json") == read_run(tmp_path, "a") == result


def test_a_run_that_never_started_has_no_result(tmp_path, caplog):
    assert read_run(tmp_path, "a") is None and read_run(tmp_path / "none", "a") is None
    assert not caplog.records


FAILED = Result(status=Status.FAILED, name="x", fingerprint="a")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1, 2]",
        "\udcff",
        '{"status": "finished"}',
        json.dumps(FAILED.to_json()),  # without a checksum
        json.dumps(sealed(FAILED)).replace("failed", "killed"),
        json.dumps(sealed(Result(status=Status.FAILED, name="x", fingerprint="b"))),
        json.dumps(sealed(finished())).replace("0.5", "0.6"),
    ],
)
def test_a_result_of_another_run_is_reported_once(content, tmp_path, caplog):
    file = tmp_path / "result.json"
    file.write_bytes(content.encode(errors="surrogateescape"))
    assert read_run(tmp_path, "a") is None and read_run(tmp_path, "a") is None
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"{file}: ") and line.endswith("; the run starts over")


def test_a_result_that_the_system_cannot_read_is_not_overwritten(tmp_path):
    (tmp_path / "result.json").mkdir()
    with pytest.raises(UserError, match="nothing is run in its place"):
        read_run(tmp_path, "a")


def test_a_result_of_an_older_version_names_what_it_lacks(tmp_path):
    values = finished().to_json()
    del values["analysis"]
    file = tmp_path / "result.json"
    file.write_text(json.dumps(sealed_values(values)), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_result(file)
    (fault,) = caught.value.faults
    assert fault.setting == str(file) and "no analysis" in fault.must


def test_a_result_from_before_a_metric_was_added_is_readable(tmp_path, monkeypatch):
    write_result(tmp_path, finished())
    metric = ("long_entities", float, field(default=nan))
    split = make_dataclass("Split", [metric], bases=(SplitAnalysis,), frozen=True)
    whole = make_dataclass(
        "Whole", [("dev", split), ("test", split)], bases=(Analysis,), frozen=True
    )
    newer = make_dataclass("Newer", [("analysis", whole)], bases=(FinishedResult,), kw_only=True)
    monkeypatch.setattr(result_module, "FINISHED", TypeAdapter(newer))
    result = read_result(tmp_path / "result.json")
    assert isnan(result.analysis.dev.flat("dev")["dev/long_entities"])
    assert "long_entities" not in json.dumps(result.to_json(), allow_nan=False)
    record = Record(round_result(result), "test")
    assert percent(record.scores["long_entities"]) == "–" and record.scores["seen/f1"] == 0.5


def sealed_values(values):
    from nersweep.machine.files import fingerprint

    return values | {"checksum": fingerprint(values)}


def test_an_archive_of_an_older_version_is_readable():
    lines = ARCHIVE.read_text(encoding="utf-8").splitlines()
    for line in lines:
        values = json.loads(line)["result"]
        del values["run_id"]  # of the tracker
        result = result_of(values)
        assert isinstance(result, FinishedResult)
        assert f"{result.setting}-s{result.seed}" == result.name
        assert values.items() <= result.to_json().items()
