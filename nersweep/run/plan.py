"""Turn a checked configuration into a run that is ready to start."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nersweep.batches.batch import Gold, pointers
from nersweep.config.build import Recipe
from nersweep.config.check import Checked, Parts
from nersweep.config.schema import TrainConfig
from nersweep.config.settings import Settings
from nersweep.data.corpus import Corpus, Sentence, entity_rows, read, types_of
from nersweep.evaluation.metric import EntityMetric, metric_of
from nersweep.faults import Fault, UserError
from nersweep.labels import LabelSet
from nersweep.losses.base import Loss
from nersweep.machine.databases import public
from nersweep.machine.device import choose_device, choose_precision
from nersweep.model.auxiliary import Multitask, Vocabularies
from nersweep.model.encoders.pretrained import Pretrained
from nersweep.model.encoders.scratch import Scratch
from nersweep.model.heads.base import Head
from nersweep.run.identity import Identity, identify


@dataclass(frozen=True)
class Facts:
    """The data, and what a loss knows of it: its classes, and their counts and weights.

    counts (classes,): in the training split. weights (classes,): ones if there are none.
    augmented: sentences that stand beside those of the training split, and count with them.
    """

    corpus: Corpus
    labels: LabelSet
    classes: tuple[str, ...]
    counts: np.ndarray
    weights: np.ndarray
    augmented: Sequence[Sentence] = ()


@dataclass(frozen=True)
class Plan:
    """A run that is ready to start. vocabularies: of the columns of auxiliary tasks.

    config: the configuration of the run, without the study that it may belong to and without the
    tracker's password. began: time.perf_counter() when planning began.
    """

    settings: Settings
    train: TrainConfig
    config: dict[str, Any]
    identity: Identity
    name: str
    fingerprint: str
    output_dir: Path
    folder: Path
    facts: Facts
    encoder: Pretrained | Scratch
    head: Recipe
    loss: Loss
    aux: Multitask | None
    metric: EntityMetric
    vocabularies: Vocabularies
    device: torch.device
    began: float

    @property
    def precision(self) -> torch.dtype:
        """The number format of training on the device."""
        return choose_precision(self.train.precision, self.device)


def loss_of(parts: Parts, facts: Facts) -> Loss:
    """Build the loss for the data. Raises UserError for settings that do not fit its classes."""
    weight = torch.from_numpy(facts.weights) if parts.weights else None
    loss: Loss = parts.loss.make(weight=weight, counts=facts.counts, labels=facts.classes)
    return loss


def metric_for(settings: Settings, corpus: Corpus) -> EntityMetric:
    """Return the metric of a run. Raises UserError if the development split lacks its type."""
    return metric_of(settings.metric, sorted(types_of(corpus.dev)))


def make(checked: Checked) -> Plan:
    """Read the data of a configuration and build what the run needs, but load no model weights.

    Raises UserError for faults in the data.
    """
    began, settings, parts = time.perf_counter(), checked.settings, checked.parts
    facts = learn(parts, settings.seed)
    identity = identify(settings, parts)
    return Plan(
        settings=settings,
        train=settings.train,
        config=public_config(settings.values),
        identity=identity,
        name=identity.name,
        fingerprint=identity.fingerprint,
        output_dir=settings.output_dir,
        folder=identity.folder(settings.output_dir),
        facts=facts,
        encoder=parts.model,
        head=parts.head,
        loss=loss_of(parts, facts),
        aux=parts.aux,
        metric=metric_for(settings, facts.corpus),
        vocabularies=parts.aux.vocabularies(facts.corpus) if parts.aux else {},
        device=choose_device(settings.device),
        began=began,
    )


def public_config(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a configuration without its study and the tracker's password."""
    tracking = dict(values["tracking"])
    if tracking["uri"]:
        tracking["uri"] = public(tracking["uri"])
    config = {name: value for name, value in values.items() if name != "study"}
    return config | {"tracking": tracking}


def learn(parts: Parts, seed: int) -> Facts:
    """Read the data, augment it, and count the classes of the loss.

    seed: of the run. Raises UserError for faults in the data, and for class weights that do not
    fit it.
    """
    corpus = read(parts.data)
    labels = corpus.labels
    if not labels.types:
        remedy = "expected tags such as B-PER and I-PER"
        raise UserError(Fault("data", corpus.name, "no entity in it", remedy))
    head: type[Head] = parts.head.target
    augmented: Sequence[Sentence] = ()
    if parts.augment:
        augmented = parts.augment.generate(corpus.train, seed)
    classes = head.classes(labels)
    counts = class_counts(corpus, head, augmented)
    weights = np.ones(len(classes))
    if parts.weights:
        with parts.weight_names.restored():
            weights = parts.weights(counts, classes)
    return Facts(corpus, labels, classes, counts, weights, augmented)


def class_counts(
    corpus: Corpus, head: type[Head], augmented: Sequence[Sentence] = ()
) -> np.ndarray:
    """Count the words of the training split, with those added to it, by the classes of a head."""
    ids = [corpus.label_ids]
    for sentence in augmented:
        ids.append(np.array(corpus.labels.encode(sentence.tags), dtype=np.int64))
    sentences = [*corpus.train, *augmented]
    lengths = [len(sentence.tags) for sentence in sentences]
    spans = entity_rows(sentences, corpus.labels)
    ends = None if spans is None else torch.from_numpy(pointers(spans, sum(lengths)))
    gold = Gold(torch.from_numpy(np.concatenate(ids)), torch.tensor(lengths), pointers=ends)
    targets = head.targets(gold, corpus.labels)[0].numpy()
    return np.bincount(targets, minlength=len(head.classes(corpus.labels)))
