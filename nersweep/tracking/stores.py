"""The tracking store: where it is, whether it can be used, its tables; what is wrong with it in one line."""

import fcntl
import glob
import logging
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nersweep.machine import filesystems

ANSWER_SECONDS = 4  # for a server to accept a connection, and again to answer

# A lock that processes on several hosts see; it goes with the transaction, or with the connection.
DATABASE_LOCKS = {
    "postgresql": "select pg_advisory_xact_lock(hashtext('nersweep'))",
    "mysql": "select get_lock('nersweep', 60)",
}

ENVIRONMENT = {  # set where the user has not
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # by default 7, which takes minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "PGCLIENTENCODING": "UTF8",  # else text is bytes in a database of PostgreSQL that was made without a language
}


def store_uri(uri: str | None, output_dir: Path) -> str:
    """The tracking URI, or where that is empty, the SQLite store of `output_dir`. Touches nothing."""
    return uri or f"sqlite:///{(output_dir / 'mlflow.db').absolute()}"


def open_store(uri: str | None, output_dir: Path) -> str:
    """Checks that the tracking store can be used, makes its tables if it has none, and returns its full URI.

    uri: empty for SQLite in `output_dir/mlflow.db`; else sqlite:///FILE, postgresql://…, mysql://…, or the address of
    an MLflow server. Several processes may open an empty store at once: a file lock lets one of them make the tables.
    Raises ValueError for any other URI, ConnectionError for a store that cannot be used: one line, within 10 s.
    """
    uri = store_uri(uri, output_dir)
    kind = re.split(r"[:+]", uri, maxsplit=1)[0]
    if kind not in ("sqlite", "postgresql", "mysql", "http", "https") or "://" not in uri:
        expected = "sqlite:///FILE, postgresql://…, mysql://…, http://… or https://…"
        raise ValueError(
            f"tracking.uri={public(uri)}: expected {expected}, or nothing for outputs/mlflow.db"
        )
    with one_line(uri):
        if kind in ("http", "https"):
            _ask_server(uri)
            return uri
        return _make_tables(uri, output_dir)


def ui_command(uri: str) -> str:
    """The command that opens the UI of a store (a URI from open_store) on 127.0.0.1; for a server, its address.

    Passwords are shown as ***. Without job execution MLflow starts one process, not nine, and without lifespan Ctrl-C
    prints no traceback.
    """
    if uri.startswith("http"):
        return public(uri)
    store = shlex.quote(public(uri))
    ui = f"{shlex.quote(sys.executable)} -m mlflow ui --host 127.0.0.1 --workers 1 --uvicorn-opts '--lifespan off'"
    return f"env MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false {ui} --backend-store-uri {store}"


def _ask_server(uri: str) -> None:
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request, verify_rest_response

    path, query = "/api/2.0/mlflow/experiments/search", {"max_results": 1}
    server = get_default_host_creds(uri)
    answer = http_request(server, path, "GET", params=query, max_retries=0, timeout=ANSWER_SECONDS)
    verify_rest_response(answer, path)


def _make_tables(uri: str, output_dir: Path) -> str:
    import sqlalchemy
    from mlflow import MlflowClient
    from mlflow.store.tracking import sqlalchemy_store  # noqa: F401  a second of imports, before the lock

    url = sqlalchemy.make_url(uri)
    if url.drivername == "postgresql" and find_spec("psycopg"):
        url = url.set(drivername="postgresql+psycopg")  # SQLAlchemy 2.0 would look for psycopg2
    lock, options = output_dir / "mlflow.lock", {"connect_timeout": ANSWER_SECONDS}
    if url.get_backend_name() == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise ValueError(
                f"tracking.uri={uri}: expected a file, as in sqlite:////home/me/mlflow.db"
            )
        file = Path(url.database).absolute()
        if found := filesystems.network(file):
            raise ValueError(
                f"tracking.uri={uri}: {file.parent} is on a network file system ({found}), where SQLite loses data; "
                "type tracking.uri=sqlite:////FILE on a local disk, or the address of a server"
            )
        url = url.set(database=str(file))
        lock, options = Path(f"{file}.lock"), {}
    lock.parent.mkdir(parents=True, exist_ok=True)
    uri = url.render_as_string(hide_password=False)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if url.get_backend_name() == "sqlite" and not file.exists():
            # made aside: MLflow cannot always go on with a file that was left half made (killed at 1 of 10 moments)
            for old in file.parent.glob(f"{glob.escape(file.name)}.new*"):
                old.unlink()
            MlflowClient(f"sqlite:///{file}.new").search_experiments(max_results=1)
            Path(f"{file}.new").replace(file)
        engine = sqlalchemy.create_engine(url, connect_args=options)
        with (
            engine.connect() as connection
        ):  # MLflow would try ten times, for 100 s, where this fails
            if take := DATABASE_LOCKS.get(url.get_backend_name()):
                connection.execute(sqlalchemy.text(take))
            MlflowClient(uri).search_experiments(max_results=1)
        engine.dispose()
    return uri


@contextmanager
def one_line(uri: str) -> Iterator[None]:
    """Readies MLflow for silence, and turns what the store raises into a ConnectionError of one line."""
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    for name in (
        "mlflow",
        "alembic",
        "urllib3.connectionpool",
    ):  # what fails is raised as well, and told here
        logging.getLogger(name).setLevel(logging.CRITICAL)
    outer = sys.exception()
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        what = (
            "no MLflow server answers there"
            if uri.startswith("http")
            else "this store cannot be used"
        )
        remedy = "start it" if uri.startswith("http") else "check it"
        line = f"tracking.uri={public(uri)}: {what} ({cause(error, outer)})"
        raise ConnectionError(
            f"{line}; {remedy}, or leave tracking.uri empty for outputs/mlflow.db"
        ) from error


def cause(error: BaseException, outer: BaseException | None) -> str:
    """The first line of the innermost cause, short of what was already being handled."""
    while (inner := error.__cause__ or error.__context__) and inner is not outer:
        error = inner
    lines = str(error).strip().splitlines()
    return cut(public(lines[0]), 300) if lines else type(error).__name__


def public(uri: str) -> str:
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", uri)


def cut(value: Any, longest: int) -> str:
    text = str(value)
    return (
        text if len(text) <= longest else f"{text[: longest - 40]}… (cut, {len(text)} characters)"
    )
