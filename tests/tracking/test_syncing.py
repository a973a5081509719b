"""A tracker that fails ends no training, is asked rarely, and has everything in the end."""

import sys

import pytest

from nersweep.faults import Fault, Unavailable, UserError
from nersweep.tracking import facts, state, syncing, tracker

KILLED = {"status": "killed"}

# All that it takes to add a tracker: one file.
LINES = """
from nersweep.tracking.facts import read


def tracker(uri, output_dir):
    return LinesTracker(output_dir)


class LinesTracker:
    name = address = "lines"

    def __init__(self, output_dir):
        self.file = output_dir / "lines.txt"

    def open(self):
        pass

    def has(self, folder):
        return True

    def sync(self, folder):
        facts = read(folder)
        name = facts.card.name
        lines = [f"{name} {step} {values['train/loss']}" for step, values in facts.curves]
        self.file.write_text("\\n".join(lines))

    def view(self):
        return str(self.file)
"""


class Recorder:
    """A tracker that counts its syncs, and fails while it is away."""

    name = address = "recorder"

    def __init__(self):
        self.syncs, self.error = [], None

    def open(self):
        pass

    def has(self, folder):
        return True

    def sync(self, folder):
        if self.error:
            raise self.error
        self.syncs.append(len(facts.read(folder).curves))

    def view(self):
        return ""


AWAY = Unavailable(Fault("tracking.uri", "x", "does not answer"))


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.setattr(syncing, "retry_at", {})
    return Recorder()


def test_a_tracker_may_be_away_when_work_starts_again(recorder, make_run, tmp_path, monkeypatch):
    def fail():
        raise AWAY

    monkeypatch.setattr(recorder, "open", fail)
    with pytest.raises(Unavailable):
        syncing.open_at_start(recorder, tmp_path / "sweeps" / "1a2b3c4d")
    syncing.open_at_start(recorder, make_run())


def test_a_tracker_is_one_file(make_run, tmp_path, monkeypatch):
    (tmp_path / "lines_tracker.py").write_text(LINES)
    monkeypatch.syspath_prepend(tmp_path)
    folder = make_run([0.5, 0.25])
    lines_tracker = tracker.make("lines_tracker", None, folder.parents[1])
    syncing.sync(lines_tracker, folder)
    assert (folder.parents[1] / "lines.txt").read_text() == "focal-s1 1 0.5\nfocal-s1 2 0.25"
    sys.modules.pop("lines_tracker")


def test_a_complete_folder_needs_no_request(make_run, recorder):
    folder = make_run([0.5])
    for _ in range(2):  # while it runs, each time
        syncing.sync(recorder, folder)
    make_run([0.5, 0.4], KILLED)
    for _ in range(3):
        syncing.sync(recorder, folder)
    assert recorder.syncs == [1, 1, 2] and syncing.is_complete(recorder, folder)
    make_run([0.5, 0.4, 0.3], {"status": "killed", "error": "again"})
    assert not syncing.is_complete(recorder, folder)
    syncing.sync(recorder, folder)
    assert recorder.syncs == [1, 1, 2, 3]


def test_without_a_tracker_everything_is_complete(make_run, tmp_path):
    folder = make_run([0.5], KILLED)
    assert syncing.is_complete(tracker.make("none", None, tmp_path), folder)
    assert syncing.sync_all(tracker.make("none", None, tmp_path), [folder])
    assert not (folder / state.TRACKED).exists()


def test_a_tracker_that_fails_rests_and_is_warned_of_once(make_run, recorder, caplog, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(syncing.time, "monotonic", lambda: now[0])
    sync = syncing.Syncing(recorder, make_run([0.5]))
    recorder.error = AWAY
    sync.start()
    recorder.error = None
    sync.update()
    assert recorder.syncs == []
    now[0] += syncing.RETRY_SECONDS + 1
    sync.update()
    assert recorder.syncs == [1] and caplog.text.count("does not answer") == 1


@pytest.mark.parametrize("error", [AWAY, OSError("503"), RuntimeError("a bug")])
def test_no_error_of_a_tracker_ends_the_work(make_run, recorder, error, monkeypatch):
    monkeypatch.setattr(syncing.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(syncing, "LAST_SECONDS", 0)
    sync = syncing.Syncing(recorder, make_run([0.5]))
    recorder.error = error
    sync.start()
    sync.update()
    assert not sync.finish()


def test_a_refusal_of_the_tracker_at_the_start_is_a_user_error(make_run, recorder):
    recorder.error = UserError(Fault("tracking.experiment", "x", "deleted"))
    with pytest.raises(UserError):
        syncing.Syncing(recorder, make_run([0.5])).start()


def test_the_last_attempt_is_repeated_for_a_run_that_is_alone(make_run, recorder, monkeypatch):
    def come_back(seconds):
        recorder.error = None

    monkeypatch.setattr(syncing.time, "sleep", come_back)
    recorder.error = AWAY
    assert syncing.Syncing(recorder, make_run([0.5], KILLED)).finish()


def test_a_member_of_a_sweep_leaves_a_resting_tracker_to_the_sweep(make_run, recorder):
    recorder.error = AWAY
    folder = make_run([0.5], KILLED)
    member = syncing.Syncing(recorder, folder, alone=False)
    member.start()
    recorder.error = None
    assert not member.finish() and recorder.syncs == []
    assert syncing.sync_all(recorder, [folder]) and recorder.syncs == [1]


def test_after_a_failure_the_other_folders_are_left(make_run, recorder):
    folders = [make_run([0.5], KILLED, name=name) for name in ("a", "b")]
    recorder.error = AWAY
    assert not syncing.sync_all(recorder, folders) and recorder.syncs == []


def test_a_folder_that_is_refused_keeps_no_other_from_the_tracker(make_run, recorder, caplog):
    folders = [make_run([0.5], KILLED, name=name) for name in ("a", "b", "c")]
    whole = recorder.sync

    def sync(folder):
        if not folder.name.startswith("c"):
            raise UserError(Fault("tracking.experiment", "x", "deleted"))
        whole(folder)

    recorder.sync = sync
    assert not syncing.sync_all(recorder, folders) and recorder.syncs == [1]
    assert caplog.text.count("tracking.experiment=x") == 1


def test_an_internal_error_with_a_folder_keeps_no_other_from_the_tracker(
    make_run, recorder, caplog
):
    folders = [make_run([0.5], KILLED, name=name) for name in ("a", "b")]
    whole = recorder.sync

    def sync(folder):
        if folder == folders[0]:
            raise KeyError("x")
        whole(folder)

    recorder.sync = sync
    assert not syncing.sync_all(recorder, folders) and recorder.syncs == [1]
    assert f"{folders[0]}: internal error: KeyError" in caplog.text


def test_what_is_refused_at_the_start_is_not_tried_again_at_the_end(make_run, recorder):
    sync = syncing.Syncing(recorder, make_run([0.5], KILLED))
    recorder.error = UserError(Fault("tracking.experiment", "x", "deleted"))
    with pytest.raises(UserError):
        sync.start()
    recorder.error = None
    assert not sync.finish() and recorder.syncs == []


def test_another_process_that_syncs_delays_no_training(make_run, recorder):
    folder = make_run([0.5])
    with state.locked(folder):
        syncing.Syncing(recorder, folder).update()  # returns while the other process has the lock
    assert recorder.syncs == []
