"""Where studies are kept: a database that several processes open at once, and a lock that they share."""

import fcntl
import glob
import logging
import os
import shlex
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import optuna
import sqlalchemy
from optuna.storages import RDBStorage

from nersweep.faults import reason
from nersweep.machine import filesystems
from nersweep.tracking import public

ANSWER_SECONDS = 4
LOCK_SECONDS = 60  # that a process waits for another one's write to SQLite

BROKEN = (
    sqlalchemy.exc.SQLAlchemyError,
    optuna.exceptions.StorageInternalError,
)  # what a storage raises that fails

Lock = Callable[[str], AbstractContextManager[None]]


def url_of(storage: str | None, output_dir: Path) -> str:
    """The database's URL in full: of studies.db in `output_dir`, of a SQLite file, of PostgreSQL with psycopg.

    Raises ValueError for another, and for SQLite on a network file system."""
    url = storage or f"sqlite:///{(output_dir / 'studies.db').absolute()}"
    typed = f"study.storage={public(url)}"
    kind, _, rest = url.partition("://")
    if kind in ("postgres", "postgresql", "postgresql+psycopg") and rest:
        return f"postgresql+psycopg://{rest}"
    if kind != "sqlite" or not rest.strip("/") or ":memory:" in rest:
        raise ValueError(
            f"{typed}: expected sqlite:///FILE or postgresql://…, or nothing for studies.db in output_dir"
        )
    file = Path(rest.removeprefix("/")).absolute()
    if found := filesystems.network(file):
        raise ValueError(
            f"{typed}: {file.parent} is on a network file system ({found}), where SQLite loses data; type "
            "study.storage=sqlite:////FILE on a local disk, or postgresql://… for several machines"
        )
    return f"sqlite:///{file}"


def open_storage(url: str) -> tuple[RDBStorage, Lock]:
    """The storage, with its tables, and its lock: `with lock("name"):` is held by one process at a time, whatever
    becomes of it. Several processes may open an empty one at once.

    Raises ConnectionError for one that does not answer: one line."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.CRITICAL)
    os.environ.setdefault(
        "PGCLIENTENCODING", "UTF8"
    )  # else text is bytes in a database made without a language
    with answers(url):
        if url.startswith("sqlite"):
            return open_sqlite(url)
        engine = sqlalchemy.create_engine(
            url, connect_args={"connect_timeout": ANSWER_SECONDS}, pool_pre_ping=True
        )
        lock = advisory_lock(engine)
        with lock("tables"):
            return RDBStorage(url, engine_kwargs={"pool_pre_ping": True}), lock


def open_sqlite(url: str) -> tuple[RDBStorage, Lock]:
    file = Path(url.removeprefix("sqlite:///"))
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = file_lock(file)
    with lock("tables"):
        if not file.exists():  # made aside: one that was left half made would stay so
            for old in file.parent.glob(f"{glob.escape(file.name)}.new*"):
                old.unlink()
            RDBStorage(f"{url}.new").engine.dispose()
            Path(f"{file}.new").replace(file)
        return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": LOCK_SECONDS}}), lock


def file_lock(file: Path) -> Lock:
    @contextmanager
    def lock(name: str) -> Iterator[None]:
        with open(f"{file}.lock", "a") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield

    return lock


def advisory_lock(engine: sqlalchemy.Engine) -> Lock:
    """PostgreSQL's: it is let go when its connection ends."""

    @contextmanager
    def lock(name: str) -> Iterator[None]:
        with engine.connect() as held:
            key = zlib.crc32(f"nersweep:{name}".encode())
            held.execute(sqlalchemy.text("select pg_advisory_xact_lock(:key)"), {"key": key})
            yield
            held.rollback()

    return lock


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
    if url.startswith("sqlite") and not Path(url.removeprefix("sqlite:///")).exists():
        return None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    options = (
        {"timeout": LOCK_SECONDS}
        if url.startswith("sqlite")
        else {"connect_timeout": ANSWER_SECONDS}
    )
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
