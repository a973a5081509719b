"""MLflow's store: its address, its tables, and its errors in one line."""

import logging
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nersweep.faults import Fault, Unavailable, UserError
from nersweep.machine import databases, files
from nersweep.machine.databases import ANSWER_SECONDS, public
from nersweep.machine.host import host_folder

ENVIRONMENT = {  # unless the user has set them
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # by default 7, which takes minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "PGCLIENTENCODING": "UTF8",  # else text is bytes in a database made without a language
}


def store_uri(uri: str | None, output_dir: Path) -> str:
    """Return the store's URI: SQLite in `output_dir` if none is set. Touches nothing.

    Raises UserError for a URI of no store that MLflow knows.
    """
    if uri and not is_server(uri):
        full_uri(uri)
    return uri or f"sqlite:///{(output_dir / 'mlflow.db').absolute()}"


def is_server(uri: str) -> bool:
    """Return whether a URI is the address of an MLflow server."""
    return re.match("https?://.", uri) is not None


def full_uri(uri: str) -> str:
    """Return the full URI of a database. Raises UserError for any other URI."""
    expected = "sqlite:///FILE, postgresql://…, mysql://…, http://… or https://…"
    expected += ", or nothing for outputs/mlflow.db"
    kinds, server = ("sqlite", "postgresql", "mysql"), "the address of a server"
    return databases.full_url(uri, "tracking.uri", kinds, expected, server)


def open_store(uri: str | None, output_dir: Path) -> str:
    """Return the full URI of a store that can be used; make its tables if it has none.

    uri: empty for SQLite in `output_dir/mlflow.db`; else sqlite:///FILE, postgresql://…, mysql://…,
    or the address of an MLflow server. Several processes may open an empty store at once: a lock
    lets one of them make the tables. Raises UserError for any other URI, and Unavailable, within
    10 s, for a store that cannot be used.
    """
    uri = store_uri(uri, output_dir)
    if is_server(uri):
        with requests(uri):
            _ask_server(uri)
        return uri
    uri = full_uri(uri)
    with requests(uri):
        _make_tables(uri)
    return uri


def ui_command(uri: str) -> str:
    """Return the command that opens the UI of a store on 127.0.0.1; for a server, its address.

    uri: from open_store. Passwords are shown as ***. Without job execution MLflow starts one
    process, not nine, and without lifespan Ctrl-C prints no traceback.
    """
    if uri.startswith("http"):
        return public(uri)
    store = shlex.quote(public(uri))
    ui = f"{shlex.quote(sys.executable)} -m mlflow ui --host 127.0.0.1 --workers 1"
    options = f"--uvicorn-opts '--lifespan off' --backend-store-uri {store}"
    return f"env MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false {ui} {options}"


def _ask_server(uri: str) -> None:
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request, verify_rest_response

    path, query = "/api/2.0/mlflow/experiments/search", {"max_results": 1}
    server = get_default_host_creds(uri)
    answer = http_request(server, path, "GET", params=query, max_retries=0, timeout=ANSWER_SECONDS)
    verify_rest_response(answer, path)


def _make_tables(uri: str) -> None:
    """Make the tables of a store that has none, one process at a time."""
    import sqlalchemy
    from mlflow import MlflowClient
    from mlflow.store.tracking import sqlalchemy_store  # noqa: F401  a second, before the lock

    file = databases.sqlite_file(uri)
    with databases.lock_of(uri)("tables"):
        if file is not None:
            # MLflow cannot always use a half-made file (killed at 1 of 10 moments)
            databases.make_aside(file, _make_sqlite_tables)
            # MLflow would try ten times, for 100 s, where this fails
            with sqlalchemy.create_engine(
                uri, poolclass=sqlalchemy.NullPool
            ).connect() as connection:
                connection.execute(sqlalchemy.text("pragma schema_version"))
        MlflowClient(uri).search_experiments(max_results=1)


def _make_sqlite_tables(address: str) -> None:
    """Make the tables of a SQLite store, without an experiment.

    MLflow's migrations take 2 s, so this host keeps a copy of what they make, one for each version
    of MLflow.
    """
    from mlflow import db
    from mlflow.version import VERSION

    file, name = databases.sqlite_file(address), f"mlflow-{VERSION}.db"
    assert file is not None
    try:
        shutil.copyfile(host_folder() / name, file)
    except (UserError, OSError):
        db.commands.main(["upgrade", address], standalone_mode=False)
        with suppress(UserError, OSError):
            files.write_bytes(host_folder() / name, file.read_bytes())


@contextmanager
def requests(uri: str) -> Iterator[None]:
    """Silence MLflow, and raise Unavailable, in one line, for what a request to it raises."""
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    for name in ("mlflow", "alembic", "urllib3.connectionpool"):  # they log what they raise
        logging.getLogger(name).setLevel(logging.CRITICAL)
    outer = sys.exception()
    try:
        yield
    except UserError:
        raise
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        must, remedy = "this store cannot be used", "check it"
        if uri.startswith("http"):
            must, remedy = "no MLflow server answers there", "start it"
        must += f" ({cause(error, outer)})"
        remedy += ", or leave tracking.uri empty for outputs/mlflow.db"
        raise Unavailable(Fault("tracking.uri", public(uri), must, remedy)) from error


def cause(error: BaseException, outer: BaseException | None) -> str:
    """Return the first line of the innermost cause, up to the error that was handled before."""
    while (inner := error.__cause__ or error.__context__) and inner is not outer:
        error = inner
    lines = str(error).strip().splitlines()
    return cut(public(lines[0]), 300) if lines else type(error).__name__


def cut(value: Any, longest: int) -> str:
    """Return a value as text, truncated to `longest` characters with a note."""
    text = str(value)
    if len(text) <= longest:
        return text
    return f"{text[: longest - 40]}… (cut, {len(text)} characters)"
