"""The training loop."""

from collections.abc import Callable

import numpy as np
import torch

from nersweep.batches.batch import Tokenised
from nersweep.config.schema import TrainConfig
from nersweep.evaluation.metric import F1, EntityMetric
from nersweep.evaluation.metrics import score
from nersweep.evaluation.stats import cross_entropy
from nersweep.labels import LabelSet
from nersweep.machine import signals
from nersweep.model.tagger import Tagger, predict, weighted_sum
from nersweep.training.checkpoint import Checkpoint
from nersweep.training.engine import engine_for
from nersweep.training.gradients import histogram
from nersweep.training.history import EpochRecord, Gradients, History, StepRecord
from nersweep.training.observers import (
    Backward,
    Clock,
    Diverged,
    GradientNorms,
    LossReader,
    Padding,
)
from nersweep.training.optimiser import AdamW, ParameterGroup, load_trained
from nersweep.training.progress import TrainingProgress
from nersweep.training.sampling import (
    absent_shares,
    epoch_batches,
    importance_of,
    micro_batches,
)
from nersweep.training.schedule import rate_factor


def fit(
    tagger: Tagger,
    train: Tokenised,
    dev: Tokenised,
    labels: LabelSet,
    config: TrainConfig,
    seed: int,
    device: torch.device,
    record: Callable[[StepRecord | EpochRecord], None],
    checkpoint: Checkpoint | None = None,
    metric: EntityMetric = F1,
) -> History:
    """Train for config.epochs, score dev after each, and leave the best weights in the tagger.

    metric: of two epochs, the one with the higher value on dev is better.
    record: receives each step, some steps late, and each epoch; when training resumes from a
    checkpoint, those from before it too.

    Raises Diverged when the loss is no longer finite. A signal ends the process after a step, with
    a checkpoint.
    """
    packed, splits = tagger.encoder.packed, tagger.splits
    per_epoch = -(-len(train) // config.batch_size)
    steps = config.epochs * per_epoch
    importance = importance_of(
        config.sampler, train.labels, train.sentence_words, labels, config.repeat_threshold
    )
    truth = tagger.head.targets(dev.gold(range(len(dev))), labels)
    gold = torch.stack(truth, 1).numpy()  # (words of dev, pointers)
    engine = engine_for(tagger.encoder, config.engine)
    groups = parameter_groups(tagger, config)
    optimiser = AdamW(groups, config.engine.chunked_adamw, engine.flats)
    norms, padding, history = GradientNorms(tagger.head, device), Padding(), History()
    if checkpoint:
        history = checkpoint.restore(tagger, optimiser, (norms, padding))
        replay(history, per_epoch, record)
    losses, clock = LossReader(history, record), Clock(history)
    observers = (norms, padding, losses)
    done = len(history.steps)
    with TrainingProgress(steps, history) as progress, signals.deferral(), engine:
        if done:
            progress.epoch(f"resuming after step {done} of {steps}")
        for epoch in range(done // per_epoch + 1, config.epochs + 1):
            if config.patience is not None and epoch - 1 - history.best_epoch >= config.patience:
                progress.epoch(f"stopped: no better dev {metric.label} in {config.patience} epochs")
                break
            tagger.train()
            clock.start()
            order = epoch_batches(len(train), config.batch_size, seed, epoch, importance)
            for sentences in order[done % per_epoch :]:
                parts = micro_batches(train, sentences, config.accumulation, packed, splits, device)
                for batch in parts:
                    features = engine.features(batch.inputs)
                    emissions = tagger.head(features)
                    emissions.retain_grad()
                    terms = tagger.terms(emissions, features, batch.gold, batch.step)
                    loss = weighted_sum(terms)
                    loss.backward()
                    engine.backward()
                    for observer in observers:
                        observer.see_backward(Backward(done, batch, emissions, terms, loss))
                factor = rate_factor(done, steps, config.warmup)
                norm = optimiser.step(factor, config.max_grad_norm)
                for observer in observers:
                    observer.see_step(config.lr * factor, norm)
                done += 1
                progress.step()
                if done % per_epoch and (signals.pending or (checkpoint and checkpoint.due())):
                    losses.read()
                    clock.stop_training()
                    if checkpoint:
                        checkpoint.save(tagger, optimiser, (norms, padding), history)
                    signals.end()
                    clock.start()
            losses.read()
            seconds = clock.stop_training()
            predictions = predict(tagger, dev, device)
            if np.isnan(predictions.probabilities).any():
                raise Diverged(
                    f"the model's scores of dev are no numbers after step {done}; "
                    "a lower train.lr or train.max_grad_norm may help"
                )
            scores = score(
                dev.labels, predictions.labels, dev.lengths(), labels, predictions.spans, dev.spans
            )
            clock.stop_evaluation()
            this_epoch = EpochRecord(
                epoch=epoch,
                loss=float(np.mean([step.loss for step in history.steps[-per_epoch:]])),
                dev=scores,
                absent=absent_shares(order, train, labels),
                padding=padding.read(),
                gradients=Gradients(
                    train=norms.histogram.read(),
                    dev=histogram(predictions.probabilities, truth),
                ),
                cross_entropy=cross_entropy(predictions.probabilities, gold),
            )
            history.epochs.append(this_epoch)
            record(this_epoch)
            value = metric.of(scores)
            if history.best is None or value > metric.of(history.best.dev):
                history.best_epoch, history.dev_predictions = epoch, predictions
                history.weights = optimiser.weights_of(tagger)
            progress.epoch(
                f"epoch {epoch}/{config.epochs}  loss {this_epoch.loss:.4f}  "
                f"dev {metric.label} {value:.4f}  ({seconds:.1f} s)"
            )
            if checkpoint and (epoch < config.epochs or signals.pending):
                checkpoint.save(tagger, optimiser, (norms, padding), history)
            signals.end()
    load_trained(tagger, history.weights)
    return history


def parameter_groups(tagger: Tagger, config: TrainConfig) -> list[ParameterGroup]:
    """Return the parameters that are not frozen, by learning rate and weight decay.

    Matrices decay; biases and the scales of layer norms do not. What is no part of the encoder
    learns with head_lr.
    """
    encoder = set(tagger.encoder.parameters())
    groups = []
    for inside in (True, False):
        for matrix in (True, False):
            chosen = []
            for parameter in filter(lambda parameter: parameter.requires_grad, tagger.parameters()):
                if (parameter in encoder, parameter.dim() > 1) == (inside, matrix):
                    chosen.append(parameter)
            lr = config.lr if inside else config.head_lr or config.lr
            decay = config.weight_decay if matrix else 0.0
            groups.append(ParameterGroup(params=chosen, lr=lr, weight_decay=decay))
    return groups


def replay(
    history: History, per_epoch: int, record: Callable[[StepRecord | EpochRecord], None]
) -> None:
    """Record the steps and epochs of a history again, in their order."""
    for step in history.steps:
        record(step)
        if step.step % per_epoch == 0:
            record(history.epochs[step.step // per_epoch - 1])
