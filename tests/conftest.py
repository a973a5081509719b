"""What several tests need."""

import atexit
import gc
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from nersweep import terminal
from nersweep.command.main import OBJECTS
from nersweep.faults import Fault, UserError
from nersweep.machine import signals
from nersweep.tracking.stores import ui_command

gc.set_threshold(OBJECTS)  # before the tests import torch, as programs do
atexit.register(gc.freeze)


@pytest.fixture(autouse=True)
def unsignalled():
    """Forget the signals of other tests, and let Ctrl-C count even in a shell's background job."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signals.pending.clear()


@pytest.fixture(autouse=True)
def unprinted():
    """Forget the faults that other tests have printed: a process prints each once."""
    terminal.faults.clear()


@pytest.fixture(scope="session")
def faults_of():
    """faults_of(call): the faults of the UserError that the call raises."""

    def faults(call: Callable[[], object]) -> tuple[Fault, ...]:
        with pytest.raises(UserError) as error:
            call()
        return error.value.faults

    return faults


@pytest.fixture(scope="session")
def assert_refused_as(faults_of):
    """assert_refused_as(call, "gamma=-1.0"): the call raises one fault, which begins like this."""

    def check(call: Callable[[], object], subject: str) -> None:
        (fault,) = faults_of(call)
        assert f"{fault.setting}={fault.value}".startswith(subject) and fault.must

    return check


@pytest.fixture(scope="session")
def exit_code():
    """exit_code(main, *arguments): that of a program which is called with these arguments."""

    def call(main: Callable[[], object], *arguments: object) -> int | str | None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["nersweep", *map(str, arguments)])
            try:
                main()
            except SystemExit as end:
                return end.code
        return 0

    return call


@pytest.fixture(scope="session")
def local_data():
    """local_data(name): its folder in $NERSWEEP_DATA or ../shared/data; skips without it."""

    def find(name: str) -> Path:
        folder = (
            Path(os.environ.get("NERSWEEP_DATA", Path(__file__).parents[2] / "shared" / "data"))
            / name
        )
        if not folder.is_dir():
            pytest.skip(
                f"no local copy of {name}: set NERSWEEP_DATA to a folder that holds {name}/"
            )
        return folder

    return find


@pytest.fixture(scope="session")
def serve(tmp_path_factory):
    """serve(uri, port): the process of a store's UI, once it answers."""
    servers, folder = [], tmp_path_factory.mktemp("server")  # where it puts artifacts

    def start(uri: str, port: int) -> subprocess.Popen:
        command = [*shlex.split(ui_command(uri)), "--port", str(port)]
        environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
        apart = {"cwd": folder, "env": environment, "start_new_session": True}
        servers.append(subprocess.Popen(command, stderr=subprocess.DEVNULL, **apart))
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                return servers[-1]
            except OSError:
                time.sleep(0.2)
        raise AssertionError("no server after a minute")

    yield start
    for server in servers:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window."""
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="no selenium: pip install selenium"
    )
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("no chromium with its driver: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.add_argument("--headless=new")
    options.add_argument("--disable-dev-shm-usage")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # which Chromium refuses to root
    driver = webdriver.Chrome(options, webdriver.ChromeService(programs[1]))
    yield driver
    driver.quit()


@pytest.fixture
def requests(browser):
    """requests(): the addresses requested since the last call, without those inside the page."""

    def addresses() -> list[str]:
        notes = [
            json.loads(entry["message"])["message"] for entry in browser.get_log("performance")
        ]
        urls = [
            note["params"]["request"]["url"]
            for note in notes
            if note["method"] == "Network.requestWillBeSent"
        ]
        return [address for address in urls if not address.startswith(("data:", "blob:"))]

    return addresses
