"""TensorBoard: show a folder as an event file under output_dir/tensorboard/NAME-FINGERPRINT."""

import io
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nersweep.faults import Fault, UserError
from nersweep.machine.files import write_bytes
from nersweep.tracking import facts as facts_module
from nersweep.tracking.facts import FolderFacts

EVENTS = "events.out.tfevents.0.nersweep"  # TensorBoard reads what has tfevents in its name


def tracker(uri: str | None, output_dir: Path) -> "TensorBoardTracker":
    if uri:
        must = "is an address of MLflow; TensorBoard's files are in output_dir/tensorboard"
        raise UserError(Fault("tracking.uri", uri, must, "leave it empty"))
    return TensorBoardTracker(output_dir)


class TensorBoardTracker:
    """Event files: curves, final scores, and settings for the tab HParams."""

    name = address = "TensorBoard"

    def __init__(self, output_dir: Path) -> None:
        self.log_dir = output_dir.absolute() / "tensorboard"

    def open(self) -> None:
        try:
            import tensorboard  # noqa: F401
        except ImportError:
            must, remedy = "needs the package tensorboard", "pip install -e '.[tensorboard]'"
            raise UserError(Fault("tracking.kind", "tensorboard", must, remedy)) from None

    def view(self) -> str:
        return shlex.join([sys.executable, "-m", "tensorboard.main", "--logdir", str(self.log_dir)])

    def has(self, folder: Path) -> bool:
        return self.file_of(folder).exists()

    def file_of(self, folder: Path) -> Path:
        return self.log_dir / folder.name / EVENTS

    def sync(self, folder: Path) -> None:
        """Append the events that the file lacks.

        The same facts always give the same bytes, so the file says itself what it lacks, also after
        a process died while it wrote. A run that begins again has another beginning: its file is
        replaced.
        """
        self.open()
        facts = facts_module.read(folder)
        if not facts.curves and facts.ended is None:
            return
        content = encode(facts)
        file = self.file_of(folder)
        before = file.read_bytes() if file.exists() else b""
        if not before or not content.startswith(before):
            write_bytes(file, content)
        elif len(content) > len(before):
            with open(file, "ab") as events:
                events.write(content[len(before) :])


def encode(facts: FolderFacts) -> bytes:
    """Return the event file of a folder, whose events all bear the time of its start."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    began = facts.card.started
    writer.write(Event(wall_time=began, file_version="brain.Event:2").SerializeToString())
    for step, summary in summaries(facts):
        event = Event(wall_time=began, step=step, summary=summary)
        writer.write(event.SerializeToString(deterministic=True))
    return buffer.getvalue()


def summaries(facts: FolderFacts) -> Iterator[tuple[int, Any]]:
    """Give the summaries of a folder with their steps, what is known first at the beginning."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import summary_v2 as hparams

    settings: dict[str, Any] = {}
    for name, value in facts.card.params.items():
        settings[name] = value if isinstance(value, bool | int | float | str) else str(value)
    yield 0, hparams.hparams_pb(settings, facts.folder.name, facts.card.started)
    for step, values in [*facts.curves, *facts.scores, facts.test]:
        if not values:
            continue
        summary = Summary()
        for name, value in values.items():
            summary.value.add(tag=name, simple_value=value)
        yield step, summary
