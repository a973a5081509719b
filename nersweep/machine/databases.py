"""Databases that several processes open at once: SQLite files and servers."""

import glob
import os
import re
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil

from nersweep.faults import Fault, UserError
from nersweep.machine import locks

ANSWER_SECONDS = 4  # for a server to accept a connection, and again to answer
SQLITE = "sqlite:///"

# File systems whose locks do not reach all the machines that see them.
NETWORK = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "afpfs", "ceph", "lustre", "gpfs",
    "beegfs", "orangefs", "pvfs2", "glusterfs", "webdav", "fuse.glusterfs", "fuse.sshfs",
    "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.ceph",
}  # fmt: skip

# Statements that take a lock, which the server releases with the connection.
SERVER_LOCKS = {
    "postgresql": "select pg_advisory_xact_lock(:key)",
    "mysql": "select get_lock(:key, 60)",
}

Lock = Callable[[str], AbstractContextManager[None]]


def full_url(
    url: str, setting: str, kinds: Collection[str], expected: str, shared: str = "a server"
) -> str:
    """Return a database's URL in full: a SQLite file's absolute path, PostgreSQL with its driver.

    setting: what the URL was set with; kinds: the databases allowed, of sqlite, postgresql, mysql;
    expected: their URLs in words; shared: what to use instead of SQLite on a network file system.
    Raises UserError for another URL, and for SQLite on a network file system.
    """
    scheme, _, rest = url.partition("://")
    kind = kind_of(url)
    place, mark, query = rest.removeprefix("/").partition("?")
    usable = place.strip("/") if kind == "sqlite" else rest
    if kind not in kinds or not usable or place == ":memory:":
        raise UserError(Fault(setting, public(url), f"expected {expected}"))
    if kind == "postgresql" and "+" not in scheme:
        return f"{postgresql_driver()}://{rest}"
    if kind != "sqlite":
        return url
    file = Path(place).absolute()
    if network := network_file_system(file):
        must = f"{file.parent} is on a network file system ({network}), where SQLite loses data"
        remedy = f"set {setting}=sqlite:////FILE on a local disk, or use {shared}"
        raise UserError(Fault(setting, url, must, remedy))
    return f"{SQLITE}{file}{mark}{query}"


def kind_of(url: str) -> str:
    """Return the kind of database that a URL names: postgresql for postgresql+psycopg://…."""
    kind = re.split(r"[:+]", url, maxsplit=1)[0]
    return "postgresql" if kind == "postgres" else kind


def postgresql_driver() -> str:
    """Return the scheme of the installed driver; SQLAlchemy itself would look for psycopg2 only."""
    other = find_spec("psycopg2") and not find_spec("psycopg")
    return "postgresql" if other else "postgresql+psycopg"


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite database, given its full URL; None for another database."""
    if not url.startswith(SQLITE):
        return None
    return Path(url.removeprefix(SQLITE).partition("?")[0])


def make_aside(file: Path, make: Callable[[str], object]) -> None:
    """Make a SQLite database, unless it exists, beside its place; move it there once it is whole.

    make: is given the URL of an empty database and makes its tables. The caller holds a lock. What
    a killed process left behind is made again: half a database would stay half a database.
    """
    if file.exists():
        return
    for leftover in file.parent.glob(f"{glob.escape(file.name)}.new*"):
        leftover.unlink()
    aside = Path(f"{file}.new")
    make(f"{SQLITE}{aside}")
    aside.replace(file)


def lock_of(url: str) -> Lock:
    """Return the lock of a database, given its full URL: `with lock("tables"):`.

    One process at a time holds it, on whatever host, and it ends with the process. SQLite has one
    lock for all names. SQLAlchemy's errors for a server that does not answer go through.
    """
    file = sqlite_file(url)
    if file is not None:
        lock_file = Path(f"{file}.lock")
        return lambda name: locks.hold(lock_file)
    return lambda name: server_lock(url, f"nersweep:{name}")


@contextmanager
def server_lock(url: str, name: str) -> Iterator[None]:
    """Hold a lock of this name on a database server, in a connection of its own."""
    import sqlalchemy

    # else text is bytes in a database of PostgreSQL that was made without a language
    os.environ.setdefault("PGCLIENTENCODING", "UTF8")
    options = {"connect_timeout": ANSWER_SECONDS}
    engine = sqlalchemy.create_engine(url, connect_args=options, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        statement = sqlalchemy.text(SERVER_LOCKS[kind_of(url)])
        connection.execute(statement, {"key": zlib.crc32(name.encode())})
        yield


def network_file_system(path: Path) -> str | None:
    """Return the type of the network file system that a path is on; None on a local one."""
    kind = file_system(path)
    return kind if kind in NETWORK else None


def file_system(path: Path) -> str:
    """Return the type of the file system that a path is on, or would be; empty if unknown."""
    kind, longest = "", -1
    for partition in psutil.disk_partitions(all=True):
        mount = partition.mountpoint
        if path.resolve().is_relative_to(mount) and len(mount) >= longest:
            kind, longest = partition.fstype, len(mount)
    return kind


def public(text: str) -> str:
    """Return a text with the passwords in its URLs as ***."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", text)
