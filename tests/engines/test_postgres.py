"""PostgreSQL as the tracking store: a server of the test's own, on a free port of this machine."""

import os
import pwd
import shlex
import shutil
import socket
import subprocess
import tempfile
from multiprocessing import get_context
from pathlib import Path

import pytest

from nersweep import tracking

pytestmark = pytest.mark.engine
pytest.importorskip("psycopg", reason="the extra postgres is not installed")

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
PROCESSES, STORES = 4, int(os.environ.get("NERSWEEP_STORES", "3"))


@pytest.fixture(scope="module")
def server():
    """The address of a server, up to the database's name. PostgreSQL refuses root, whose tests run it as postgres."""
    found = shutil.which("initdb")
    binaries = BINARIES[-1] if BINARIES else Path(found).parent if found else None
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    user, folder = [], Path(tempfile.mkdtemp(prefix="nersweep-postgres-"))
    if os.getuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--reset-env"]
    port = free_port()
    options = f"-p {port} -k {shlex.quote(str(folder))} -c listen_addresses=127.0.0.1 -c fsync=off"

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
def database(server):
    """database(name): the address of a new, empty database."""
    import psycopg

    def create(name: str) -> str:
        with psycopg.connect(f"{server}postgres", autocommit=True) as connection:
            connection.execute(f"create database {name}")
        return server + name

    return create


def open_all(stores, output_dir, barrier, answers):
    """Opens each store at the same time as the other processes; says what it raised."""
    for store in stores:
        barrier.wait(120)
        try:
            uri = tracking.open_store(store, Path(output_dir))
            run = tracking.Run.start(
                uri, Path(output_dir), experiment="all", name=f"run-{os.getpid()}", params={"seed": 1}, tags={}
            )
            run.metrics({"dev/f1": 0.5}, step=1)
            run.finish()
            answers.put((store, run.error))
        except Exception as error:
            answers.put((store, f"{type(error).__name__}: {error}"))


@pytest.mark.parametrize("hosts", ["one", "several"])
def test_processes_that_open_an_empty_store_at_once_all_write_to_it(database, tmp_path, hosts):
    from mlflow import MlflowClient

    stores = [database(f"{hosts}_{i}") for i in range(STORES)]
    context = get_context("spawn")
    barrier, answers = context.Barrier(PROCESSES), context.Queue()
    folders = [tmp_path / (f"host-{i}" if hosts == "several" else "outputs") for i in range(PROCESSES)]
    processes = [context.Process(target=open_all, args=(stores, str(f), barrier, answers)) for f in folders]
    for process in processes:
        process.start()
    told = [answers.get(timeout=240) for _ in range(PROCESSES * STORES)]
    for process in processes:
        process.join(30)
    assert [error for _, error in told if error] == []
    for store in stores:
        client = MlflowClient(tracking.open_store(store, tmp_path))
        (experiment,) = client.search_experiments(filter_string="name = 'all'")
        runs = client.search_runs([experiment.experiment_id])
        assert [run.info.status for run in runs] == ["FINISHED"] * PROCESSES


def test_a_server_that_is_not_there_is_told_in_a_line(tmp_path):
    address = f"postgresql://test@127.0.0.1:{free_port()}/mlflow"
    with pytest.raises(ConnectionError, match=r"^tracking\.uri=postgresql.*this store cannot be used") as caught:
        tracking.open_store(address, tmp_path)
    assert "\n" not in str(caught.value)
