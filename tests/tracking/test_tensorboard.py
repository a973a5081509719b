"""Folders shown as event files of TensorBoard."""

import sys

import pytest

from nersweep.faults import UserError
from nersweep.results.card import remove_card
from nersweep.tracking import syncing, tracker
from nersweep.tracking.tensorboard import EVENTS

pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")


@pytest.fixture
def sync():
    """sync(folder): the event file of a folder, after a sync."""

    def do(folder):
        output_dir = folder.parents[1]
        syncing.sync(tracker.make("tensorboard", None, output_dir), folder)
        return output_dir / "tensorboard" / folder.name / EVENTS

    return do


def scalars(file, name):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(file.parent))
    events.Reload()
    return [(event.step, pytest.approx(event.value)) for event in events.Scalars(name)]


def test_curves_and_scores_read_back(copy, sync):
    file = sync(copy)
    assert [step for step, _ in scalars(file, "dev/f1")] == [1, 2]
    assert len(scalars(file, "test/f1")) == 1 and len(scalars(file, "train/B-PER/weight")) == 1


def test_a_second_sync_adds_nothing_and_a_later_one_only_what_is_new(make_run, sync):
    folder = make_run([3, 2])
    first = sync(folder).read_bytes()
    assert sync(folder).read_bytes() == first
    make_run([3, 2, 1], {"status": "killed"})
    file = sync(folder)
    assert file.read_bytes().startswith(first)
    assert scalars(file, "train/loss") == [(1, 3), (2, 2), (3, 1)]


def test_an_event_that_was_cut_off_is_completed(make_run, sync):
    folder = make_run([3, 2])
    file = sync(folder)
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    assert sync(folder).read_bytes() == whole


def test_a_run_that_starts_over_replaces_its_events(make_run, sync):
    folder = make_run([3, 2])
    sync(folder)
    remove_card(folder)
    make_run([5])
    assert scalars(sync(folder), "train/loss") == [(1, 5)]


def test_an_address_or_a_missing_package_is_refused_in_a_line(tmp_path, monkeypatch):
    with pytest.raises(UserError) as refused:
        tracker.make("tensorboard", "http://127.0.0.1:5000", tmp_path)
    assert refused.value.faults[0].setting == "tracking.uri"
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UserError) as refused:
        tracker.make("tensorboard", None, tmp_path).open()
    assert refused.value.faults[0].setting == "tracking.kind"
