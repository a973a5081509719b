"""Fixtures for a PostgreSQL server on a free port: pytest_plugins = ["postgres"]."""

import os
import pwd
import shlex
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from uuid import uuid4

import pytest

BINARIES = sorted(
    Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name)
)
CONNECTIONS = 400  # at once: each of four processes keeps its own to each of 40 databases


@pytest.fixture(scope="session")
def server():
    """The address of a server, up to the database's name. Root runs it as the user postgres."""
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    result = shutil.which("initdb")
    binaries = BINARIES[-1] if BINARIES else Path(result).parent if result else None
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    user, folder = [], Path(tempfile.mkdtemp(prefix="nersweep-postgres-"))
    if os.getuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--reset-env"]
    port, socket_folder = free_port(), shlex.quote(str(folder))
    options = (
        f"-p {port} -k {socket_folder} -c listen_addresses=127.0.0.1 -c fsync=off -N {CONNECTIONS}"
    )

    def run(program: str, *arguments: str | Path) -> None:
        command = [*user, binaries / program, "-D", folder / "data", *arguments]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=60)

    run("initdb", "-A", "trust", "-U", "test", "--no-sync", "-E", "UTF8", "--locale=C")
    run("pg_ctl", "-w", "-l", folder / "log", "-o", options, "start")
    yield f"postgresql://test@127.0.0.1:{port}/"
    run("pg_ctl", "-w", "-m", "immediate", "stop")
    shutil.rmtree(folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def new_database(server):
    """new_database(): the address of a new, empty database."""
    import psycopg

    def create() -> str:
        name = f"test_{uuid4().hex}"
        with psycopg.connect(f"{server}postgres", autocommit=True) as connection:
            connection.execute(f"create database {name}")
        return server + name

    return create
