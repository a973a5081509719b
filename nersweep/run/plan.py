"""From a composed configuration to a run that is ready to start.

Everything that can be checked without data is checked first, and all faults are told at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from nersweep.batches.batch import Gold
from nersweep.config.build import Recipe, with_typed_name
from nersweep.config.check import check
from nersweep.config.schema import TrainConfig
from nersweep.data.corpus import Corpus, read
from nersweep.labels import LabelSet
from nersweep.losses.base import Loss
from nersweep.machine.device import choose_device
from nersweep.model.auxiliary import Multitask, Vocabularies
from nersweep.model.encoder import Pretrained, Scratch
from nersweep.results import folder as folder_module
from nersweep.run.identity import identify


@dataclass(frozen=True)
class Facts:
    """What the data tells a loss."""

    corpus: Corpus
    labels: LabelSet
    classes: tuple[str, ...]  # that the loss tells apart
    counts: np.ndarray  # (classes,), in the training split
    weights: np.ndarray  # (classes,); ones where there are none


@dataclass(frozen=True)
class Plan:
    """A run, ready to start."""

    config: dict[str, Any]  # resolved
    name: str
    fingerprint: str
    facts: Facts
    encoder: Pretrained | Scratch
    head: Recipe
    loss: Loss
    aux: Multitask | None
    vocabularies: Vocabularies  # of the columns of the auxiliary tasks
    train: TrainConfig
    device: torch.device

    @property
    def output_dir(self) -> Path:
        return Path(self.config["output_dir"])

    @property
    def folder(self) -> Path:
        return folder_module.run_folder(self.output_dir, self.name, self.fingerprint)


def make(config: DictConfig) -> Plan:
    """Checks a composed configuration, reads its data and builds what the run needs, but loads no model weights.

    Raises Faults (a ValueError), or ValueError for what is wrong in the data.
    """
    _, resolved, parts = check(config)
    del resolved["study"]  # of which this may be a run, and that changes nothing in it
    facts = learn(parts)
    name, fingerprint = identify(resolved, parts)
    weight = torch.from_numpy(facts.weights) if parts["weights"] else None
    return Plan(
        config=resolved,
        name=name,
        fingerprint=fingerprint,
        facts=facts,
        encoder=parts["model"],
        head=parts["head"],
        loss=parts["loss"].make(weight=weight, counts=facts.counts, labels=facts.classes),
        aux=parts["aux"],
        vocabularies=parts["aux"].vocabularies(facts.corpus) if parts["aux"] else {},
        train=TrainConfig(**resolved["train"]),
        device=choose_device(resolved["device"]),
    )


def place(config: DictConfig) -> tuple[Path, str]:
    """The folder and the fingerprint of the run that a configuration describes. Raises as `make`, but for class weights
    that do not fit the data."""
    _, resolved, parts = check(config)
    name, fingerprint = identify(resolved, parts)
    return folder_module.run_folder(Path(resolved["output_dir"]), name, fingerprint), fingerprint


def learn(parts: Mapping[str, Any]) -> Facts:
    """Reads the data and counts the classes that the loss sees. Raises ValueError for what is wrong in the data, and
    for class weights that do not fit it."""
    corpus = read(parts["data"])
    labels = LabelSet(
        type_ for s in corpus.splits().values() for x in s for type_ in entity_types(x.tags)
    )
    if not labels.types:
        raise ValueError(
            f"data={corpus.name}: no entity in it; expected tags such as B-PER and I-PER"
        )
    head = parts["head"].target
    ids = [torch.tensor(labels.encode(sentence.tags)) for sentence in corpus.train]
    gold = Gold(torch.cat(ids), torch.tensor([len(x) for x in ids]))
    classes = head.classes(labels)
    counts = np.bincount(head.targets(gold, labels)[0].numpy(), minlength=len(classes))
    try:
        weights = parts["weights"](counts, classes) if parts["weights"] else np.ones(len(classes))
    except ValueError as error:
        raise ValueError(with_typed_name("weights", str(error), parts["weights_raw"])) from None
    return Facts(corpus, labels, classes, counts, weights)


def entity_types(tags: Sequence[str]) -> Iterator[str]:
    return (tag[2:] for tag in tags if tag != "O")
