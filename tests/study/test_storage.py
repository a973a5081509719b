"""The storage of studies: its URL, its faults, and the command of Optuna's dashboard."""

import shlex
from pathlib import Path

import optuna
import pytest

from nersweep.faults import Unavailable, UserError
from nersweep.machine import databases
from nersweep.study import storage


def test_a_storage_has_a_full_url(tmp_path):
    assert storage.url_of(None, tmp_path) == f"sqlite:///{tmp_path}/studies.db"
    url = storage.url_of("postgresql://me:pw@host/x", tmp_path)
    assert url == "postgresql+psycopg://me:pw@host/x"
    for wrong in ("mysql://host/x", "sqlite://", "studies.db"):
        with pytest.raises(UserError) as error:
            storage.url_of(wrong, tmp_path)
        (fault,) = error.value.faults
        assert (fault.setting, fault.value) == ("study.storage", wrong)


def test_sqlite_on_a_network_file_system_is_refused(monkeypatch):
    monkeypatch.setattr(databases, "file_system", lambda path: "nfs4")
    with pytest.raises(UserError) as error:
        storage.url_of(None, Path("/net/me"))
    (fault,) = error.value.faults
    assert fault.setting == "study.storage" and "/net/me is on a network file system" in fault.must


def test_an_unusable_storage_is_one_fault_without_password(tmp_path):
    broken = tmp_path / "studies.db"
    broken.write_bytes(b"no database " * 100)
    url = f"sqlite:///{broken}"
    with pytest.raises(Unavailable) as error:
        storage.open_storage(url)
    (fault,) = error.value.faults
    assert (fault.setting, fault.value) == ("study.storage", url)
    assert "file is not a database" in fault.must
    with pytest.raises(Unavailable) as error:
        storage.open_storage("postgresql+psycopg://me:secret@127.0.0.1:9/x")
    assert "secret" not in str(error.value) and "\n" not in str(error.value)


def test_a_half_created_database_of_a_killed_process_is_replaced(tmp_path):
    (tmp_path / "studies.db.new").write_bytes(b"half")
    url = f"sqlite:///{tmp_path}/studies.db"
    storage.open_storage(url)
    assert optuna.get_all_study_names(url) == []


def test_the_dashboard_command_runs_as_printed_and_shows_no_password(tmp_path, monkeypatch):
    monkeypatch.setattr(storage.sys, "executable", str(tmp_path / "python"))
    url = f"sqlite:///{tmp_path}/my studies.db"
    command = storage.dashboard_command(url)
    remark = "  (after pip install -e '.[studies]' in a checkout)"
    assert command == f"optuna-dashboard '{url}' --host 127.0.0.1{remark}"
    program = tmp_path / "optuna-dashboard"
    program.touch()
    arguments = shlex.split(storage.dashboard_command(url))
    assert arguments == [str(program), url, "--host", "127.0.0.1"]
    command = storage.dashboard_command("postgresql+psycopg://me:secret@host/x")
    assert "secret" not in command and "me:***@host/x" in command
    assert command.endswith("(with the password for ***)")
