"""URLs in full, locks, network file systems, databases made aside."""

import sqlite3
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from nersweep.faults import UserError
from nersweep.machine import databases, locks

KINDS = ("sqlite", "postgresql", "mysql")
Partition = namedtuple("Partition", "mountpoint fstype")


def full(url):
    return databases.full_url(url, "tracking.uri", KINDS, "a database")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////data/x.db", "sqlite:////data/x.db"),
        ("sqlite:////data/x.db?timeout=9", "sqlite:////data/x.db?timeout=9"),
        ("postgresql://me:pw@host/x", "postgresql+psycopg://me:pw@host/x"),
        ("postgres://host/x", "postgresql+psycopg://host/x"),
        ("postgresql+psycopg2://host/x", "postgresql+psycopg2://host/x"),
        ("mysql://host/x", "mysql://host/x"),
    ],
)
def test_a_url_is_completed(url, expected):
    assert full(url) == expected


def test_a_relative_file_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = full("sqlite:///my studies.db")
    assert url == f"sqlite:///{tmp_path}/my studies.db"
    assert databases.sqlite_file(url) == tmp_path / "my studies.db"


@pytest.mark.parametrize(
    "url", ["", "x.db", "sqlite:", "sqlite://", "sqlite:///", "sqlite:///:memory:", "ftp://me:pw@x"]
)
def test_other_urls_are_refused_without_their_password(url):
    with pytest.raises(UserError) as error:
        full(url)
    (fault,) = error.value.faults
    assert (fault.setting, fault.must) == ("tracking.uri", "expected a database")
    assert fault.value == url.replace(":pw", ":***")


def test_sqlite_on_a_network_file_system_is_refused(monkeypatch):
    mounts = [("/", "ext4"), ("/net", "nfs4"), ("/net/my disk", "xfs"), ("/data", "cifs")]
    mounts.append(("/data", "ext4"))  # mounted later, over the other
    partitions = []
    for mount in mounts:
        partitions.append(Partition(*mount))
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: partitions)
    assert databases.file_system(Path("/net/my disk/x")) == "xfs"
    assert databases.network_file_system(Path("/netx")) is None
    assert databases.network_file_system(Path("/data/x")) is None
    with pytest.raises(UserError) as error:
        full("sqlite:////net/me/x.db")
    (fault,) = error.value.faults
    assert fault.setting == "tracking.uri" and "/net/me is on a network file system" in fault.must


def test_this_folder_s_file_system_is_known(tmp_path):
    assert databases.file_system(tmp_path / "not" / "there")


def test_the_lock_of_a_sqlite_file_is_beside_it(tmp_path):
    lock = databases.lock_of(f"sqlite:///{tmp_path}/x.db")
    with lock("tables"):
        assert locks.is_held(tmp_path / "x.db.lock")
    assert not locks.is_held(tmp_path / "x.db.lock")


def test_a_database_is_created_completely_or_not_at_all(tmp_path):
    file = tmp_path / "x.db"
    urls = []

    def make(url):
        urls.append(url)
        sqlite3.connect(url.removeprefix("sqlite:///")).execute("create table t (i)").close()
        assert not file.exists()
        if len(urls) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        databases.make_aside(file, make)
    assert not file.exists()
    for _ in range(2):  # the second call finds it
        databases.make_aside(file, make)
    assert len(urls) == 2 and [path.name for path in tmp_path.iterdir()] == ["x.db"]
