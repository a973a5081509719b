"""A tracker from outside the package that cannot be used is a fault of tracking.kind."""

import sys

import pytest

from nersweep.faults import UserError
from nersweep.tracking import tracker


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


@pytest.mark.parametrize(
    "kind", ["", "nersweep.sync", "nersweep.faults", "no_such", "a b", "none.x"]
)
def test_what_is_no_tracker_is_refused(kind, assert_refused_as, tmp_path):
    assert_refused_as(lambda: tracker.make(kind, None, tmp_path), f"tracking.kind={kind}")
