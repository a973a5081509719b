"""What several tests need."""

import os
import signal
from pathlib import Path

import pytest

from nersweep import signals


@pytest.fixture(autouse=True)
def unsignalled():
    """No test is ended by another's signal, and Ctrl-C counts, which a shell's background job ignores."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signals.asked.clear()


@pytest.fixture(scope="session")
def local_data():
    """local_data(name): the folder of a real data set, under $NERSWEEP_DATA or ../shared/data; skips without it."""

    def find(name: str) -> Path:
        folder = Path(os.environ.get("NERSWEEP_DATA", Path(__file__).parents[2] / "shared" / "data")) / name
        if not folder.is_dir():
            pytest.skip(f"no local copy of {name}: set NERSWEEP_DATA to a folder that holds {name}/")
        return folder

    return find
