"""The train loop."""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nersweep.batches.batch import Tokenised
from nersweep.config.schema import TrainConfig
from nersweep.evaluation.metrics import score
from nersweep.labels import LabelSet
from nersweep.machine import signals
from nersweep.model.tagger import Tagger, predict
from nersweep.training import gradients
from nersweep.training.checkpoint import Checkpoint
from nersweep.training.history import Fitted
from nersweep.training.optimiser import AdamW
from nersweep.training.progress import TrainingProgress
from nersweep.training.sampling import absent_shares, entity_importance, epoch_batches

PADDED_PARTS = 2  # a padded step is cut by length into twice as many micro-batches: long sentences pad short ones


READ_EVERY = 50  # steps between two looks at the loss: each look waits for the device


class Diverged(RuntimeError):
    """The loss stopped being a number."""


def fit(
    tagger: Tagger,
    train: Tokenised,
    dev: Tokenised,
    labels: LabelSet,
    config: TrainConfig,
    seed: int,
    device: torch.device,
    record: Callable[[dict[str, Any]], None],
    checkpoint: Checkpoint | None = None,
) -> Fitted:
    """Trains for config.epochs, scores dev after each, and leaves the weights of the best epoch in the tagger.

    `record` is told of each step (step, loss, lr, grad_norm, and the terms of the loss where it has several), some
    steps late, and of each epoch (epoch, loss, dev, absent: for each type the share of steps without it, padding, and
    gradients: histograms of some steps of training and of dev). It is told again of what was done before the checkpoint
    from which training goes on.

    Raises Diverged where the loss is no longer finite. A signal to end is obeyed after a step, with a checkpoint.
    """
    encoder = tagger.encoder
    optimiser = AdamW(parameter_groups(tagger, config))
    per_epoch = -(-len(train) // config.batch_size)
    steps = config.epochs * per_epoch
    rising = round(config.warmup * steps)
    parts = config.accumulation if encoder.packed else config.accumulation * PADDED_PARTS
    importance = entity_importance(train, labels) if config.sampler == "entity_balanced" else None
    truth = dev.gold(range(len(dev)))
    fitted = checkpoint.restore(tagger, optimiser, encoder.masks) if checkpoint else Fitted()
    replay(fitted, per_epoch, record)
    unread, done = [], len(fitted.steps)
    with TrainingProgress(steps, done) as progress, signals.held():
        if done:
            progress.epoch(f"going on after step {done} of {steps}")
        for epoch in range(done // per_epoch + 1, config.epochs + 1):
            if config.patience is not None and epoch - 1 - fitted.best_epoch >= config.patience:
                progress.epoch(f"stopped: no better dev F1 in {config.patience} epochs")
                break
            tagger.train()
            started, cpu_started = time.perf_counter(), time.process_time()
            batches = epoch_batches(len(train), config.batch_size, seed, epoch, importance)
            for sentences in batches[done % per_epoch :]:
                step = train.gold(sentences).to(device)
                groups = train.groups(sentences, -(-len(sentences) // parts), encoder.packed)
                values: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=device))
                for together in (
                    [[group] for group in groups] if tagger.criteria[0].splits else [groups]
                ):
                    inputs = [train.batch(group, encoder.packed).to(device) for group in together]
                    gold = train.gold([i for group in together for i in group]).to(device)
                    features = torch.cat(
                        [encoder.features(batch) for batch in inputs]
                    ).float()  # (W, hidden)
                    emissions = tagger.head(features)  # (W, outputs)
                    emissions.retain_grad()
                    terms = tagger.terms(emissions, features, gold, step)
                    loss = sum(weight * value for weight, value in terms.values())
                    loss.backward()
                    if done % gradients.EVERY == 0:
                        tagger.observe(emissions, gold, len(step.labels))
                    for name, value in {
                        "loss": loss,
                        **{name: value for name, (_, value) in terms.items()},
                    }.items():
                        values[name] += value.detach()
                    fitted.pieces += sum(batch.pieces for batch in inputs)
                    fitted.slots += sum(batch.input_ids.numel() for batch in inputs)
                factor = (
                    (done + 1) / (rising + 1)
                    if done < rising
                    else (steps - done) / (steps - rising)
                )
                unread.append(
                    (config.lr * factor, optimiser.step(factor, config.max_grad_norm), values)
                )
                done += 1
                progress.step()
                pause = done % per_epoch and (signals.asked or (checkpoint and checkpoint.due()))
                if len(unread) == READ_EVERY or pause:
                    read_losses(unread, fitted.steps, record)
                    progress.show_loss(fitted.steps[-1]["loss"])
                if pause:
                    fitted.train_seconds += time.perf_counter() - started
                    fitted.cpu_seconds += time.process_time() - cpu_started
                    if checkpoint:
                        checkpoint.save(tagger, optimiser, encoder.masks, fitted)
                    signals.end()
                    started, cpu_started = time.perf_counter(), time.process_time()
            read_losses(unread, fitted.steps, record)
            trained = time.perf_counter()
            fitted.cpu_seconds += time.process_time() - cpu_started
            predictions = predict(tagger, dev, device)
            scores = score(dev.labels, predictions.labels, dev.lengths(), labels, predictions.spans)
            scored = time.perf_counter()
            this_epoch = {
                "epoch": epoch,
                "loss": float(np.mean([step["loss"] for step in fitted.steps[-per_epoch:]])),
                "dev": scores,
                "absent": absent_shares(batches, train, labels),
                "padding": 1 - fitted.pieces / fitted.slots,
                "gradients": {
                    "train": tagger.norms.read(),
                    "dev": gradients.histogram(
                        predictions.probabilities, tagger.head.targets(truth, labels)
                    ),
                },
            }
            fitted.pieces = fitted.slots = 0
            fitted.epochs.append(this_epoch)
            record(this_epoch)
            if epoch == 1 or scores["f1"] > fitted.dev["f1"]:
                fitted.best_epoch, fitted.dev, fitted.dev_predictions = epoch, scores, predictions
                fitted.weights = optimiser.weights_of(tagger)
            fitted.train_seconds += trained - started
            fitted.eval_seconds += scored - trained
            progress.epoch(
                f"epoch {epoch}/{config.epochs}  loss {this_epoch['loss']:.4f}  dev F1 {scores['f1']:.4f}"
                f"  ({trained - started:.1f} s)"
            )
            if checkpoint and (epoch < config.epochs or signals.asked):
                checkpoint.save(tagger, optimiser, encoder.masks, fitted)
            signals.end()
    tagger.load_state_dict(fitted.weights)
    return fitted


def parameter_groups(tagger: Tagger, config: TrainConfig) -> list[dict[str, Any]]:
    """Matrices decay; biases and the scales of layer norms do not. What is no part of the encoder has head_lr."""
    encoder = set(tagger.encoder.parameters())
    return [
        {
            "params": [
                p for p in tagger.parameters() if (p in encoder, p.dim() > 1) == (inside, matrix)
            ],
            "lr": config.lr if inside else config.head_lr or config.lr,
            "weight_decay": config.weight_decay if matrix else 0.0,
        }
        for inside in (True, False)
        for matrix in (True, False)
    ]


def replay(fitted: Fitted, per_epoch: int, record: Callable[[dict], None]) -> None:
    for step in fitted.steps:
        record(step)
        if step["step"] % per_epoch == 0:
            record(fitted.epochs[step["step"] // per_epoch - 1])


def read_losses(
    unread: list[tuple], done: list[dict[str, Any]], record: Callable[[dict], None]
) -> None:
    """Moves the losses and gradient norms of the last steps from the device to `done`, and records them."""
    if not unread:
        return
    names = list(unread[0][2])  # loss, then its terms
    read = torch.stack(
        [torch.stack([norm, *(values[n] for n in names)]) for _, norm, values in unread]
    ).tolist()
    for (lr, _, _), (norm, loss, *terms) in zip(unread, read, strict=True):
        if not (np.isfinite(loss) and np.isfinite(norm)):
            last = f"{done[-1]['loss']:.4g}" if done else "none"
            raise Diverged(
                f"the loss is {loss:.4g} and its gradient's norm {norm:.4g} at step {len(done) + 1} with learning rate "
                f"{lr:.3g}; last good loss: {last}; "
                "a lower train.lr or train.max_grad_norm may help"
            )
        several = {"terms": dict(zip(names[1:], terms, strict=True))} if len(terms) > 1 else {}
        done.append({"step": len(done) + 1, "loss": loss, "lr": lr, "grad_norm": norm} | several)
        record(done[-1])
    unread.clear()
