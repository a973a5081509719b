"""The train loop."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from nersweep.batching import Tokenised, epoch_batches
from nersweep.config import TrainConfig
from nersweep.device import choose_precision
from nersweep.encoder import Encoder
from nersweep.labels import LabelSet
from nersweep.metrics import score
from nersweep.progress import TrainingProgress

READ_EVERY = 50  # steps between two looks at the loss: each look waits for the device


class Diverged(RuntimeError):
    """The loss stopped being a number."""


class Tagger(nn.Module):
    """Encoder, head and loss: everything that has parameters."""

    def __init__(self, encoder: Encoder, head: nn.Module, loss: nn.Module):
        super().__init__()
        self.encoder, self.head, self.loss = encoder, head, loss


@dataclass
class Fitted:
    """What training leaves: the tagger holds the weights of the best epoch."""

    best_epoch: int = 0
    dev: dict[str, Any] = field(default_factory=dict)  # scores of the best epoch
    dev_predictions: np.ndarray | None = None  # label ids (words,)
    epochs: list[dict[str, Any]] = field(default_factory=list)  # of each: epoch, loss, dev scores
    steps: list[dict[str, float]] = field(default_factory=list)  # of each: step, loss, lr, grad_norm
    train_seconds: float = 0.0
    eval_seconds: float = 0.0


def fit(
    tagger: Tagger,
    train: Tokenised,
    dev: Tokenised,
    labels: LabelSet,
    config: TrainConfig,
    seed: int,
    device: torch.device,
    record: Callable[[dict[str, Any]], None],
) -> Fitted:
    """Trains for config.epochs, scores dev after each, and leaves the weights of the best epoch in the tagger.

    `record` is told of each step (step, loss, lr, grad_norm), some steps late, and of each epoch (epoch, loss, dev).

    Raises Diverged where the loss is no longer finite.
    """
    encoder, head, criterion = tagger.encoder, tagger.head, tagger.loss
    dtype = choose_precision(config.precision, device)
    optimiser = torch.optim.AdamW(parameter_groups(tagger, config.weight_decay), lr=config.lr, fused=True)
    steps = config.epochs * -(-len(train) // config.batch_size)
    rising = round(config.warmup * steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda done: (done + 1) / (rising + 1) if done < rising else (steps - done) / (steps - rising)
    )
    fitted, best_state, unread = Fitted(), {}, []
    with TrainingProgress(steps) as progress:
        for epoch in range(1, config.epochs + 1):
            tagger.train()
            started = time.perf_counter()
            for sentences in epoch_batches(len(train), config.batch_size, seed, epoch):
                targets = torch.from_numpy(train.targets_of(sentences)).to(device)
                loss = torch.zeros((), device=device)
                for part in train.groups(sentences, -(-len(sentences) // config.accumulation)):
                    batch = train.batch(part).to(device)
                    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                        features = encoder.features(batch)  # (W, hidden)
                    emissions = head(features.float())  # (W, C)
                    part_loss = criterion(emissions, batch.targets, targets)
                    part_loss.backward()
                    loss += part_loss.detach()
                norm = nn.utils.clip_grad_norm_(tagger.parameters(), config.max_grad_norm)
                unread.append((schedule.get_last_lr()[0], loss, norm))
                optimiser.step()
                optimiser.zero_grad()
                schedule.step()
                progress.step()
                if len(unread) == READ_EVERY:
                    read_losses(unread, fitted.steps, record)
                    progress.show_loss(fitted.steps[-1]["loss"])
            read_losses(unread, fitted.steps, record)
            trained = time.perf_counter()
            predictions = predict(tagger, dev, device, dtype)
            scores = score(dev.targets, predictions, dev.lengths(), labels)
            scored = time.perf_counter()
            in_epoch = fitted.steps[-(steps // config.epochs) :]
            this_epoch = {"epoch": epoch, "loss": float(np.mean([step["loss"] for step in in_epoch])), "dev": scores}
            fitted.epochs.append(this_epoch)
            record(this_epoch)
            if epoch == 1 or scores["f1"] > fitted.dev["f1"]:
                fitted.best_epoch, fitted.dev, fitted.dev_predictions = epoch, scores, predictions
                best_state = {name: value.clone() for name, value in tagger.state_dict().items()}
            fitted.train_seconds += trained - started
            fitted.eval_seconds += scored - trained
            progress.epoch(
                f"epoch {epoch}/{config.epochs}  loss {this_epoch['loss']:.4f}  dev F1 {scores['f1']:.4f}"
                f"  ({trained - started:.1f} s)"
            )
            if config.patience is not None and epoch - fitted.best_epoch >= config.patience:
                progress.epoch(f"stopped: no better dev F1 in {config.patience} epochs")
                break
    tagger.load_state_dict(best_state)
    return fitted


def parameter_groups(tagger: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases and the scales of layer norms do not."""
    matrices = [p for p in tagger.parameters() if p.dim() > 1]
    vectors = [p for p in tagger.parameters() if p.dim() <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def read_losses(unread: list[tuple], done: list[dict[str, float]], record: Callable[[dict], None]) -> None:
    """Moves the losses and gradient norms of the last steps from the device to `done`, and records them."""
    if not unread:
        return
    values = torch.stack([torch.stack([loss, norm]) for _, loss, norm in unread]).tolist()
    for (lr, _, _), (loss, norm) in zip(unread, values, strict=True):
        if not (np.isfinite(loss) and np.isfinite(norm)):
            last = f"{done[-1]['loss']:.4g}" if done else "none"
            raise Diverged(
                f"the loss is {loss:.4g} and its gradient's norm {norm:.4g} at step {len(done) + 1} with learning rate "
                f"{lr:.3g}; last good loss: {last}; "
                "a lower train.lr or train.max_grad_norm may help"
            )
        done.append({"step": len(done) + 1, "loss": loss, "lr": lr, "grad_norm": norm})
        record(done[-1])
    unread.clear()


@torch.inference_mode()
def predict(tagger: Tagger, split: Tokenised, device: torch.device, dtype: torch.dtype) -> np.ndarray:
    """Label ids of all words of a split, (words,), in the order of its sentences."""
    tagger.eval()
    predictions = np.zeros(len(split.targets), dtype=np.int64)
    for sentences in split.groups(range(len(split)), size=64):
        batch = split.batch(sentences).to(device)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            features = tagger.encoder.features(batch)
        labels = tagger.head.decode(tagger.head(features.float()), batch.lengths)
        predictions[split.words_of(sentences)] = labels.cpu().numpy()
    return predictions
