"""Where studies are kept: a database that several processes open at once, and a lock that they share."""

import logging
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy
from optuna.storages import RDBStorage

from nersweep.faults import reason
from nersweep.machine import databases
from nersweep.machine.databases import ANSWER_SECONDS, Lock, public

LOCK_SECONDS = 60  # that a process waits for another one's write to SQLite

BROKEN = (
    sqlalchemy.exc.SQLAlchemyError,
    optuna.exceptions.StorageInternalError,
)  # what a storage raises that fails


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

    Several processes may open an empty storage at once. Raises ConnectionError for one that does
    not answer: one line.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.CRITICAL)
    file, lock = databases.sqlite_file(url), databases.lock_of(url)
    with answers(url), lock("tables"):
        if file is None:
            return RDBStorage(url, engine_kwargs={"pool_pre_ping": True}), lock
        databases.make_aside(file, lambda aside: RDBStorage(aside).engine.dispose())
        return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": LOCK_SECONDS}}), lock


@contextmanager
def answers(url: str) -> Iterator[None]:
    """Turns what the database raises into a ConnectionError of one line."""
    try:
        yield
    except ImportError as error:
        install = "pip install -e '.[postgres]' in a checkout"
        raise ConnectionError(
            f"study.storage={public(url)}: needs {error.name}; type {install}"
        ) from error
    except (*BROKEN, OSError) as error:
        raise unusable(url, error) from error


def unusable(url: str, error: Exception) -> ConnectionError:
    return ConnectionError(
        f"study.storage={public(url)}: cannot be used ({public(reason(error))}); start it or check it, or leave "
        "study.storage empty for studies.db in output_dir"
    )


def begun(url: str) -> RDBStorage | None:
    """The storage, to be read; None where there are no tables yet, and none are made. Raises as `open_storage`."""
    file = databases.sqlite_file(url)
    if file is not None and not file.exists():
        return None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    options = {"timeout": LOCK_SECONDS} if file else {"connect_timeout": ANSWER_SECONDS}
    with answers(url):
        if not sqlalchemy.inspect(sqlalchemy.create_engine(url, connect_args=options)).has_table(
            "studies"
        ):
            return None
        return RDBStorage(url, engine_kwargs={"connect_args": options}, skip_table_creation=True)


def dashboard_command(url: str) -> str:
    """What opens Optuna's dashboard on the study; a password is left out."""
    program = Path(sys.executable).parent / "optuna-dashboard"
    name = shlex.quote(str(program)) if program.exists() else "optuna-dashboard"
    remarks = [] if program.exists() else ["after pip install -e '.[studies]' in a checkout"]
    remarks += [] if public(url) == url else ["with the password for ***"]
    told = f"  ({', '.join(remarks)})" if remarks else ""
    return f"{name} {shlex.quote(public(url))} --host 127.0.0.1{told}"
