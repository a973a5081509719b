"""Training that resumes from a checkpoint ends with the numbers of undisturbed training."""

import random
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_loop import CONFIG, CPU, LABELS, NAMES

from nersweep.batches.windows import tokenise
from nersweep.config.schema import EngineConfig
from nersweep.losses import CRFLoss, CrossEntropyLoss, EmbeddingSmoothingLoss, GHMCLoss
from nersweep.machine import signals
from nersweep.model.encoders.scratch import Scratch
from nersweep.model.heads.crf import CRFHead
from nersweep.model.heads.span import SpanHead
from nersweep.model.heads.token import TokenHead
from nersweep.model.tagger import Tagger
from nersweep.training.checkpoint import Checkpoint
from nersweep.training.history import History
from nersweep.training.loop import fit, parameter_groups
from nersweep.training.observers import GradientNorms
from nersweep.training.optimiser import AdamW

STEPS = 9  # three epochs of three


class EveryStep(Checkpoint):
    """Keeps a copy of each checkpoint, under the number of steps done."""

    def save(self, tagger, optimiser, observers, history):
        super().save(tagger, optimiser, observers, history)
        shutil.copy(self.path, self.path.with_name(f"{len(history.steps)}"))


def train(
    path: Path | None,
    precision="fp32",
    loss=None,
    head=TokenHead,
    seed=1,
    fingerprint="a",
    grid=False,
    **settings,
):
    """Returns what is left, what was recorded, and the tagger's final state."""
    torch.manual_seed(seed)
    config = replace(CONFIG, precision=precision, **settings)
    scratch = Scratch(
        32, layers=1, heads=2, dropout=0.2, max_length=32, min_count=1, pieces="words"
    )
    encoder = scratch.build(head.outputs(LABELS), NAMES)
    splits = {
        n: tokenise(s, LABELS, encoder.tokenizer, encoder.max_length)
        for n, s in NAMES.splits().items()
    }
    encoder.use_rows(splits["train"].pieces)
    encoder.on(CPU, {"fp32": torch.float32, "bf16": torch.bfloat16}[precision])
    encoder.grid = grid
    tagger = Tagger(encoder, head(encoder, LABELS), loss() if loss else CrossEntropyLoss())
    records = []
    checkpoint = EveryStep(path, fingerprint, 0.0, time.perf_counter()) if path else None
    fitted = fit(
        tagger,
        splits["train"],
        splits["dev"],
        LABELS,
        config,
        seed,
        CPU,
        records.append,
        checkpoint,
    )
    return fitted, records, {name: x.clone() for name, x in tagger.state_dict().items()}


def numbers(fitted: History) -> tuple:
    return (
        fitted.steps,
        fitted.epochs,
        fitted.best_epoch,
        fitted.best,
        fitted.dev_predictions.labels.tolist(),
    )


CASES = {
    "float32": {},
    "bf16, own masks": {"precision": "bf16"},
    "moving averages in the loss": {"loss": GHMCLoss, "precision": "bf16"},
    "centroids in the loss": {"loss": lambda: EmbeddingSmoothingLoss(), "batch_size": 16},
    "transitions": {"loss": CRFLoss, "head": CRFHead},
    "spans": {"head": SpanHead},
    "cut steps": {"accumulation": 2},
    "the body on its own": {"grid": True, "engine": EngineConfig(graphs=False)},
    "early stop": {"patience": 1, "lr": 1e-9, "epochs": 3},
}


@pytest.mark.parametrize("case", CASES)
def test_from_any_step_on_the_end_is_the_same(case, tmp_path):
    whole, records, weights = train(None, **CASES[case])
    watched, _, _ = train(tmp_path / "checkpoint", **CASES[case])
    assert numbers(watched) == numbers(whole)
    steps = sorted(int(file.name) for file in tmp_path.iterdir() if file.name.isdigit())
    assert len(steps) > 4
    for step in steps:
        shutil.copy(tmp_path / str(step), tmp_path / "checkpoint")
        again, replayed, resumed = train(tmp_path / "checkpoint", **CASES[case])
        assert numbers(again) == numbers(whole), step
        assert replayed == records, step
        assert weights.keys() == resumed.keys()
        for name, x in weights.items():
            assert torch.equal(x, resumed[name]), (step, name)


def test_a_signal_ends_a_step_and_leaves_a_checkpoint(tmp_path, monkeypatch):
    def at_the_fourth(self):
        self.count = getattr(self, "count", 0) + 1
        if self.count == 4:
            signals.handle(signal.SIGTERM, None)
        return False

    monkeypatch.setattr(Checkpoint, "due", at_the_fourth)
    try:
        with pytest.raises(SystemExit, match="SIGTERM"):
            train(tmp_path / "checkpoint", epochs=3)
    finally:
        signals.pending.clear()
    monkeypatch.undo()
    whole, _, _ = train(None, epochs=3)
    again, _, _ = train(tmp_path / "checkpoint", epochs=3)
    assert (
        numbers(again) == numbers(whole)
        and 0 < min(int(f.name) for f in tmp_path.glob("[0-9]*")) < STEPS
    )


def test_a_second_signal_does_not_wait():
    done = []
    with pytest.raises(KeyboardInterrupt), signals.deferral():
        signals.handle(signal.SIGINT, None)
        done.append("after the first")
        signals.handle(signal.SIGINT, None)
        done.append("after the second")
    assert done == ["after the first"]


def test_a_signal_that_nobody_looked_at_ends_the_process_after_all():
    with pytest.raises(SystemExit), signals.deferral():
        signals.handle(signal.SIGTERM, None)


def fresh():
    """Return a tagger, its optimiser and an observer in their first state."""
    torch.manual_seed(5)
    scratch = Scratch(
        32, layers=1, heads=2, dropout=0.2, max_length=32, min_count=1, pieces="words"
    )
    encoder = scratch.build(TokenHead.outputs(LABELS), NAMES)
    encoder.use_rows(tokenise(NAMES.train, LABELS, encoder.tokenizer, encoder.max_length).pieces)
    encoder.on(CPU, torch.bfloat16)
    tagger = Tagger(encoder, TokenHead(encoder, LABELS), GHMCLoss())
    return tagger, AdamW(parameter_groups(tagger, CONFIG)), [GradientNorms(tagger.head, CPU)]


def everything(tagger, optimiser, observers):
    """Return all that training depends on, as bytes."""
    state = {
        **optimiser.state(),
        **tagger.state_dict(),
        **observers[0].state(),
        "masks": tagger.encoder.masks.state(),
        "cpu": torch.get_rng_state(),
    }
    return {name: x.reshape(-1).view(torch.uint8).numpy().tobytes() for name, x in state.items()}


def restored(path):
    """What is left in a file with these bytes, and the state it leads to."""
    state = fresh()
    fitted = Checkpoint(path, "a", None, time.perf_counter()).restore(*state)
    predictions = fitted.dev_predictions._asdict() if fitted.dev_predictions else {}
    arrays = {name: x.numpy().tobytes() for name, x in fitted.weights.items()}
    arrays |= {name: x.tobytes() for name, x in predictions.items() if x is not None}
    contents = {
        name: x for name, x in vars(fitted).items() if name not in ("weights", "dev_predictions")
    }
    return everything(*state), arrays, contents


def damaged(whole: bytes):
    """Yield damaged files: a byte changed, bytes missing, no bytes, the bytes of something else."""
    draw = random.Random(1)
    header = 8 + int.from_bytes(whole[:8], "little")
    places = [
        *range(8),
        *draw.sample(range(8, header), 120),
        *draw.sample(range(header, len(whole)), 60),
    ]
    for place in places:
        bit = 1 << draw.randrange(8)
        yield f"byte {place}", whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :]
    for length in (
        0,
        1,
        8,
        100,
        header,
        *draw.sample(range(header, len(whole)), 10),
        len(whole) - 1,
    ):
        yield f"{length} bytes", whole[:length]
    yield "another file", b"x" * 1000
    yield "two of them", whole + whole


def test_a_damaged_checkpoint_is_refused_in_a_line_or_restored_exactly(tmp_path, caplog):
    path = tmp_path / "checkpoint"
    train(path, precision="bf16", loss=GHMCLoss, epochs=1)
    untouched, as_saved, whole = restored(tmp_path / "none"), restored(path), path.read_bytes()
    assert untouched != as_saved and not caplog.records
    refused = 0
    for what, content in damaged(whole):
        path.write_bytes(content)
        caplog.clear()
        result = restored(path)
        lines = [record.getMessage() for record in caplog.records]
        if lines:
            (line,) = lines
            assert line.startswith(f"{path}: cannot be read (") and "\n" not in line, what
        assert result == (untouched if lines else as_saved), what
        refused += bool(lines)
    assert refused > 150


def test_a_checkpoint_that_cannot_be_read_is_none(tmp_path):
    train(tmp_path / "checkpoint")
    (tmp_path / "checkpoint").write_bytes((tmp_path / "checkpoint").read_bytes()[:-100])
    assert numbers(train(tmp_path / "checkpoint")[0]) == numbers(train(None)[0])


def test_a_checkpoint_of_another_run_is_none(tmp_path, caplog):
    train(tmp_path / "checkpoint", seed=2, fingerprint="b")
    assert numbers(train(tmp_path / "checkpoint", seed=1, fingerprint="a")[0]) == numbers(
        train(None, seed=1)[0]
    )
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'checkpoint'}: cannot be read (it is of another run); the run starts over"
    ]


def test_the_seconds_of_all_processes_are_added_and_none_twice(tmp_path):
    def process(worked):
        """A checkpoint in a process that has worked on the run for so long."""
        return Checkpoint(tmp_path / "checkpoint", "a", None, time.perf_counter() - worked)

    state = fresh()
    first = process(100)
    first.restore(*state)
    first.save(*state, History())
    first.restore(*state)  # after it ran out of memory
    assert 100 <= first.seconds() < 110
    second = process(1000)
    second.restore(*state)
    second.restore(*state)
    assert 1100 <= second.seconds() < 1120
    second.save(*state, History())
    third = process(10)
    assert 10 <= third.seconds() < 20
    third.restore(*state)
    assert 1110 <= third.seconds() < 1140
