"""A training that goes on from a checkpoint ends with the numbers of one that was never disturbed."""

import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_train import CONFIG, CPU, LABELS, NAMES

from nersweep import signals
from nersweep.batching import tokenise
from nersweep.checkpoint import Checkpoint
from nersweep.encoder import Scratch
from nersweep.fitted import Fitted
from nersweep.heads.crf import CRFHead
from nersweep.heads.span import SpanHead
from nersweep.heads.token import TokenHead
from nersweep.losses import CRFLoss, CrossEntropyLoss, EmbeddingSmoothingLoss, GHMCLoss
from nersweep.train import Tagger, fit

STEPS = 9  # three epochs of three


class EveryStep(Checkpoint):
    """Keeps a copy of each checkpoint, under the number of steps done."""

    def save(self, model, optimiser, masks, fitted):
        super().save(model, optimiser, masks, fitted)
        shutil.copy(self.path, self.path.with_name(f"{len(fitted.steps)}"))


def train(path: Path | None, precision="fp32", loss=None, head=TokenHead, seed=1, fingerprint="a", **settings):
    """Returns what is left, what was recorded, and the tagger's final state."""
    torch.manual_seed(seed)
    config = replace(CONFIG, precision=precision, **settings)
    scratch = Scratch(32, layers=1, heads=2, dropout=0.2, max_length=32, min_count=1, pieces="words")
    encoder = scratch.build(head.outputs(LABELS), NAMES)
    splits = {n: tokenise(s, LABELS, encoder.tokenizer, encoder.max_length) for n, s in NAMES.splits().items()}
    encoder.use_rows(splits["train"].pieces)
    encoder.on(CPU, {"fp32": torch.float32, "bf16": torch.bfloat16}[precision])
    tagger = Tagger(encoder, head(encoder, LABELS), loss() if loss else CrossEntropyLoss())
    records = []
    checkpoint = EveryStep(path, fingerprint, 0.0) if path else None
    fitted = fit(tagger, splits["train"], splits["dev"], LABELS, config, seed, CPU, records.append, checkpoint)
    return fitted, records, {name: x.clone() for name, x in tagger.state_dict().items()}


def numbers(fitted: Fitted) -> tuple:
    return fitted.steps, fitted.epochs, fitted.best_epoch, fitted.dev, fitted.dev_predictions.labels.tolist()


CASES = {
    "float32": {},
    "bf16, own masks": {"precision": "bf16"},
    "moving averages in the loss": {"loss": GHMCLoss, "precision": "bf16"},
    "centroids in the loss": {"loss": lambda: EmbeddingSmoothingLoss(), "batch_size": 16},
    "transitions": {"loss": CRFLoss, "head": CRFHead},
    "spans": {"head": SpanHead},
    "cut steps": {"accumulation": 2},
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
        again, told, resumed = train(tmp_path / "checkpoint", **CASES[case])
        assert numbers(again) == numbers(whole), step
        assert told == records, step
        assert weights.keys() == resumed.keys()
        for name, x in weights.items():
            assert torch.equal(x, resumed[name]), (step, name)


def test_a_signal_ends_a_step_and_leaves_a_checkpoint(tmp_path, monkeypatch):
    def at_the_fourth(self):
        self.count = getattr(self, "count", 0) + 1
        if self.count == 4:
            signals.ask(signal.SIGTERM, None)
        return False

    monkeypatch.setattr(Checkpoint, "due", at_the_fourth)
    try:
        with pytest.raises(SystemExit, match="SIGTERM"):
            train(tmp_path / "checkpoint", epochs=3)
    finally:
        signals.asked.clear()
    monkeypatch.undo()
    whole, _, _ = train(None, epochs=3)
    again, _, _ = train(tmp_path / "checkpoint", epochs=3)
    assert numbers(again) == numbers(whole) and 0 < min(int(f.name) for f in tmp_path.glob("[0-9]*")) < STEPS


def test_a_second_signal_does_not_wait():
    done = []
    with pytest.raises(KeyboardInterrupt), signals.held():
        signals.ask(signal.SIGINT, None)
        done.append("after the first")
        signals.ask(signal.SIGINT, None)
        done.append("after the second")
    assert done == ["after the first"]


def test_a_signal_that_nobody_looked_at_ends_the_process_after_all():
    with pytest.raises(SystemExit), signals.held():
        signals.ask(signal.SIGTERM, None)


@pytest.mark.parametrize("spoil", [lambda f: f.write_bytes(f.read_bytes()[:-100]), lambda f: f.write_bytes(b"x" * 100)])
def test_a_checkpoint_that_cannot_be_read_is_none(spoil, tmp_path):
    train(tmp_path / "checkpoint")
    spoil(tmp_path / "checkpoint")
    assert numbers(train(tmp_path / "checkpoint")[0]) == numbers(train(None)[0])


def test_a_checkpoint_of_another_run_is_none(tmp_path):
    train(tmp_path / "checkpoint", seed=2, fingerprint="b")
    assert numbers(train(tmp_path / "checkpoint", seed=1, fingerprint="a")[0]) == numbers(train(None, seed=1)[0])
