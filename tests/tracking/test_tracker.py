"""A tracker from outside the package that cannot be used is a fault of tracking.kind."""

import sys

import pytest

from nersweep.faults import Unavailable, UserError
from nersweep.tracking import syncing, tracker


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def tracker(", "SyntaxError"),
        ("import a_module_that_is_nowhere", "a_module_that_is_nowhere"),
        ("def tracker(uri, output_dir): raise KeyError('for a reason')", "for a reason"),
        ("def tracker(): return 1", "TypeError"),
        (
            "def tracker(uri, output_dir): return object()",
            "no name, address, open, has, sync, view",
        ),
        ("def tracker(uri, output_dir): return None", "no name, address, open"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("tracker = 1", "a module with a function tracker"),
    ],
)
def test_a_module_that_gives_no_tracker_is_refused_with_the_reason(
    text, reason, tmp_path, monkeypatch
):
    name = "module_of_a_tracker"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError) as caught:
        tracker.make(name, None, tmp_path)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"tracking.kind={name}: ") and reason in line
    sys.modules.pop(name, None)


BROKEN = """
class Broken:
    name = address = "broken"
    def open(self): raise KeyError("open")
    def has(self, folder): raise KeyError("has")
    def sync(self, folder): raise SystemExit("sync")
    def view(self): raise KeyError("view")

def tracker(uri, output_dir): return Broken()
"""


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """A tracker from outside whose methods raise."""
    (tmp_path / "broken_tracker.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(syncing, "retry_at", {})
    yield tracker.make("broken_tracker", None, tmp_path)
    sys.modules.pop("broken_tracker")


def test_an_outside_tracker_that_raises_counts_as_one_that_is_away(broken, tmp_path):
    with pytest.raises(Unavailable, match=r"broken_tracker: open\(\) .* raised KeyError: 'open'"):
        broken.open()
    with pytest.raises(Unavailable, match=r"has\(\) of its tracker raised KeyError"):
        syncing.is_lost(broken, tmp_path)
    with pytest.raises(RuntimeError, match=r"sync\(\) of its tracker raised SystemExit: sync"):
        broken.sync(tmp_path)
    assert broken.view() == ""


def test_work_goes_on_while_an_outside_tracker_raises(broken, make_run, caplog):
    folder = make_run([0.5])
    syncing.open_at_start(broken, folder)  # which has a card: it has started before
    sync = syncing.Syncing(broken, folder, alone=False)
    sync.start()
    sync.update()
    assert not sync.finish()
    (line,) = [record.getMessage() for record in caplog.records]
    assert "raised SystemExit: sync" in line and "the run continues" in line


@pytest.mark.parametrize(
    "kind",
    ["", "mlfow", "state", "os", "../x", "a..b", "no.such", "nersweep.sync", "a b", "none.x"],
)
def test_what_is_no_tracker_is_refused(kind, assert_refused_as, tmp_path):
    assert_refused_as(lambda: tracker.make(kind, None, tmp_path), f"tracking.kind={kind}")
