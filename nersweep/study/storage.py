"""Where studies are stored: a database that several processes open at once, and its lock."""

import logging
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy
from optuna.storages import RDBStorage

from nersweep.faults import Fault, Unavailable, reason
from nersweep.machine import databases
from nersweep.machine.databases import ANSWER_SECONDS, Lock, public

LOCK_SECONDS = 60  # how long a process waits for another one's write to SQLite

# The errors of a storage that does not work.
BROKEN = (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError)


def url_of(storage: str | None, output_dir: Path) -> str:
    """Return the database's URL in full; by default that of studies.db in `output_dir`.

    Raises UserError for a database other than SQLite and PostgreSQL, and for SQLite on a network
    file system.
    """
    url = storage or f"sqlite:///{(output_dir / 'studies.db').absolute()}"
    expected = "sqlite:///FILE or postgresql://…, or nothing for studies.db in output_dir"
    shared = "postgresql://… for several machines"
    return databases.full_url(url, "study.storage", ("sqlite", "postgresql"), expected, shared)


def open_storage(url: str) -> tuple[RDBStorage, Lock]:
    """Return the storage, with its tables, and its lock: one process at a time holds it.

    Several processes may open an empty storage at once. Raises Unavailable for one that does not
    answer.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.CRITICAL)
    file, lock = databases.sqlite_file(url), databases.lock_of(url)
    with availability(url), lock("tables"):
        if file is None:
            return RDBStorage(url, engine_kwargs={"pool_pre_ping": True}), lock
        databases.make_aside(file, lambda aside: RDBStorage(aside).engine.dispose())
        return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": LOCK_SECONDS}}), lock


def existing_storage(url: str) -> RDBStorage | None:
    """Return the storage to read from, or None if it has no tables; create nothing.

    Raises Unavailable for one that does not answer.
    """
    file = databases.sqlite_file(url)
    if file is not None and not file.exists():
        return None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    options = {"timeout": LOCK_SECONDS} if file else {"connect_timeout": ANSWER_SECONDS}
    with availability(url):
        engine = sqlalchemy.create_engine(url, connect_args=options)
        if not sqlalchemy.inspect(engine).has_table("studies"):
            return None
        return RDBStorage(url, engine_kwargs={"connect_args": options}, skip_table_creation=True)


@contextmanager
def availability(url: str) -> Iterator[None]:
    """Turn the errors of a database into Unavailable."""
    try:
        yield
    except ImportError as error:
        remedy = "run pip install -e '.[postgres]' in a checkout"
        fault = Fault("study.storage", public(url), f"needs {error.name}", remedy)
        raise Unavailable(fault) from error
    except (*BROKEN, OSError) as error:
        raise unavailable(url, error) from error


def unavailable(url: str, error: Exception) -> Unavailable:
    """Return the error of a storage that does not work."""
    must = f"cannot be used ({public(reason(error))})"
    remedy = "start it or check it, or leave study.storage empty for studies.db in output_dir"
    return Unavailable(Fault("study.storage", public(url), must, remedy))


def dashboard_command(url: str) -> str:
    """Return the command that opens Optuna's dashboard on the storage, without a password."""
    program = Path(sys.executable).parent / "optuna-dashboard"
    remarks = []
    if not program.exists():
        remarks.append("after pip install -e '.[studies]' in a checkout")
    if public(url) != url:
        remarks.append("with the password for ***")
    name = shlex.quote(str(program)) if program.exists() else "optuna-dashboard"
    remark = f"  ({', '.join(remarks)})" if remarks else ""
    return f"{name} {shlex.quote(public(url))} --host 127.0.0.1{remark}"
