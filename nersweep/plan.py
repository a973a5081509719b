"""From a composed configuration to a run that is ready to start.

Everything that can be checked without data is checked first, and all faults are told at once.
"""

import hashlib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import nersweep
from nersweep import config as sections
from nersweep import gpus, store
from nersweep.batching import Gold
from nersweep.build import ROOMS, Recipe, build, is_number, signature, typed_name, with_typed_name
from nersweep.config import TrainConfig
from nersweep.data import Corpus, read
from nersweep.device import choose_device, choose_precision
from nersweep.encoder import Pretrained, Scratch
from nersweep.faults import Faults, flat, knobs, not_read, reason, refers_to, shown
from nersweep.labels import LabelSet
from nersweep.losses.base import Loss
from nersweep.multitask import Multitask, Vocabularies
from nersweep.weights import Manual

# No part of what a run is: where, when and for whom it is made, and what that may take.
ELSEWHERE = {
    *(
        "output_dir",
        "device",
        "gpus_per_run",
        "rerun",
        "on_failure",
        "dry_run",
        "report",
        "choice",
        "tracking",
        "study",
    ),
    *("train.checkpoint_minutes", "train.auto_batch"),
}
# A part of it by what they lead to: sentences, weights.
SOURCES = {"data", "model.name", "model.revision", "model.package"}

# The top level without knobs.
FIXED = {"seed", *(name for name in ELSEWHERE if "." not in name), *sections.SECTIONS, *ROOMS}

# What a loss may need of a head, in words.
NEEDS = {"crf": "scores of transitions between labels", "lengths": "labels in the order of a sentence"}


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
        return store.run_folder(self.output_dir, self.name, self.fingerprint)


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
    return store.run_folder(Path(resolved["output_dir"]), name, fingerprint), fingerprint


def learn(parts: Mapping[str, Any]) -> Facts:
    """Reads the data and counts the classes that the loss sees. Raises ValueError for what is wrong in the data, and
    for class weights that do not fit it."""
    corpus = read(parts["data"])
    labels = LabelSet(type_ for s in corpus.splits().values() for x in s for type_ in entity_types(x.tags))
    if not labels.types:
        raise ValueError(f"data={corpus.name}: no entity in it; expected tags such as B-PER and I-PER")
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


def matters(name: str) -> bool:
    """Is this setting, focal_gamma or train.lr, a part of what a run is?"""
    return not {name, name.partition(".")[0]} & ELSEWHERE


def is_source(name: str) -> bool:
    """Is it a part by what it leads to?"""
    return bool({name, name.partition(".")[0]} & SOURCES)


def entity_types(tags: Sequence[str]) -> Iterator[str]:
    return (tag[2:] for tag in tags if tag != "O")


def identify(resolved: Mapping[str, Any], parts: Mapping[str, Any]) -> tuple[str, str]:
    """Name and fingerprint of a run, from its resolved configuration and its parts as `check` gives them. The
    fingerprint is of everything that can change the result: not of names, paths, the device or the tracker; of the
    device only the precision that it is found fit for; of the code the version, and the files of its losses and its
    head, in which one writes formulas of one's own."""
    config, device = resolved, choose_device(resolved["device"])
    described = {
        key: value for key, value in config.items() if key in {"model", "head", "loss", "weights", "aux", "train"}
    }
    described["model"] = {k: v for k, v in config["model"].items() if not is_source(f"model.{k}")}
    described["train"] = {k: v for k, v in config["train"].items() if matters(f"train.{k}")}
    described["train"]["precision"] = str(choose_precision(config["train"]["precision"], device))
    fingerprint = store.fingerprint(
        described
        | {
            "seed": config["seed"],
            "data": read(parts["data"]).checksum,
            "model_identity": parts["model"].identity(),
            "version": nersweep.__version__,
            "code": [source(part) for part in (*parts["loss"].losses(), parts["head"].target)],
        }
    )
    return run_name(resolved), fingerprint


@cache
def source(part: type) -> str:
    """The checksum of the files of a class and of those of nersweep's that it is made from."""
    made = (one for one in part.__mro__ if one is part or one.__module__.startswith("nersweep."))
    files = dict.fromkeys(map(inspect.getfile, made))
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()


def run_name(config: Mapping[str, Any]) -> str:
    """The loss; weights, head and aux where they are not the usual ones; knobs that are numbers, by their initials; the
    seed: focal-g3-s1."""
    choice = config["choice"]
    parts = [choice["loss"]]
    fed = {k.feeds for k in knobs() if k.option == choice.get(k.group)}
    for knob in sorted(config.keys() - FIXED - fed):
        if not is_number(config[knob]):
            continue
        option = next((k.option for k in knobs() if k.name == knob and k.option == choice.get(k.group)), "")
        words = knob.split("_")
        own = [word for word in words if word not in option.split("_")]
        parts.append("".join(word[0] for word in own or words) + f"{config[knob]:g}")
    usual = {"weights": "none", "head": "token", "aux": "none"}
    parts[1:1] = [choice[group] for group, option in usual.items() if choice[group] not in (option, choice["loss"])]
    sampler = config["train"]["sampler"]
    return "-".join([*parts, *[sampler] * (sampler != "random"), f"s{config['seed']}"])


class Checked(NamedTuple):
    """A configuration without fault: with its interpolations and without, and its parts that need no data, by their
    section: data, model, weights and aux as objects (or None), head and loss as recipes."""

    raw: dict[str, Any]
    resolved: dict[str, Any]
    parts: dict[str, Any]


def check(config: DictConfig) -> Checked:
    """Raises Faults with a line for each thing that is wrong."""
    lines = [f"~{name}: cannot be left out; type {name}=VALUE" for name in sorted(FIXED - config.keys())]
    raw = OmegaConf.to_container(config)
    lines = lines or choice_faults(raw["choice"] if isinstance(raw["choice"], Mapping) else {})
    if lines:
        raise Faults(lines)
    missing = sorted(key for key, value in flat(raw).items() if value == "???")
    if missing:
        choice = OmegaConf.to_container(config.choice, resolve=True)
        lines = [f"{key}=???: must be given, as in {example(key, choice)}" for key in missing]
    if any("." not in key for key in missing):  # a knob, which other settings take their value from
        raise Faults(lines)
    try:
        resolved = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException:
        raise Faults(lines + interpolation_faults(config, raw)) from None
    lines += dead_knobs(raw, resolved)
    lines += sections.faults(resolved)
    lines += scalar_faults(resolved)
    parts: dict[str, Any] = {"weights_raw": raw["weights"]}
    for section in ROOMS:
        if any(key.startswith(f"{section}.") for key in missing):
            continue
        try:
            parts[section] = build(section, raw[section], resolved[section])
        except ValueError as error:
            lines += str(error).split("\n")
    if resolved["loss"].get("reduction") == "none" and "loss" in parts:
        lines.append("loss.reduction=none: a run trains on one number; must be one of mean, token_mean, sum")
    lines += alpha_faults(parts, raw, resolved)
    lines += fit_faults(parts, resolved)
    if lines:
        raise Faults([under_its_source(line, raw) for line in lines])
    return Checked(raw, resolved, parts)


def under_its_source(line: str, raw: Mapping[str, Any]) -> str:
    """A fault of a knob that takes its value from another is the other's: effective_beta, from class_balance_beta."""
    name, sign, rest = line.partition("=")
    source = re.fullmatch(r"\$\{(\w+)\}", str(raw.get(name)))
    return f"{source[1]}{sign}{rest}" if source else line


def alpha_faults(parts: dict[str, Any], raw: Mapping[str, Any], resolved: Mapping[str, Any]) -> list[str]:
    """Class weights given with the loss (focal_alpha) are weights by hand, in the place of those of weights=."""
    given = resolved["loss"].get("weight")
    if given is None:
        return []
    loss = {"values": raw["loss"]["weight"]}
    typed = f"{typed_name('loss', 'weight', raw['loss'])}={shown(given)}"
    if parts.get("weights"):
        return [f"{typed}: weighs the classes as weights={resolved['choice']['weights']} does; type weights=none"]
    if "loss" in parts and "weight" not in signature(parts["loss"].target):
        return []  # told already
    if not isinstance(given, list | dict):
        return [f"{typed}: expected a list, or a mapping label: weight"]
    try:
        parts["weights"], parts["weights_raw"] = Manual(values=given), loss
    except ValueError as error:
        return [with_typed_name("loss", str(error), loss).replace("loss.values=", "loss.weight=", 1)]
    return []


def fit_faults(parts: Mapping[str, Any], resolved: Mapping[str, Any]) -> list[str]:
    """Parts that are right by themselves and do not fit each other."""
    choice, lines = resolved["choice"], []
    if "loss" not in parts or "head" not in parts:
        return []
    head, losses = parts["head"].target, parts["loss"].losses()
    needs = {name for loss in losses for name in loss.needs}
    lacking = [what for name, what in NEEDS.items() if name in needs - head.gives]
    typed = f"loss={choice['loss']} head={choice['head']}"
    if lacking:
        lines.append(
            f"{typed}: the loss needs {' and '.join(lacking)}; type head={'crf' if 'crf' in needs else 'token'}"
        )
    elif head.asks - needs:
        lines.append(
            f"{typed}: nothing trains the transitions of this head; type loss=crf, or head=token head.decode=viterbi"
        )
    if parts.get("weights") and not any("weight" in signature(loss) for loss in losses):
        lines.append(f"weights={choice['weights']}: loss={choice['loss']} takes no class weights; type weights=none")
    head_lr = resolved["train"]["head_lr"] if isinstance(resolved["train"], Mapping) else None
    if head_lr is not None and not (head.asks or parts.get("aux")):
        lines.append(
            f"train.head_lr={head_lr}: nothing reads it, because head={choice['head']} aux=none "
            "adds no parameter to the encoder's; type train.lr"
        )
    return lines


def example(key: str, choice: Mapping[str, str]) -> str:
    owner = next((f"{k.group}={k.option} " for k in knobs() if k.name == key and k.option == choice.get(k.group)), "")
    section = key.partition(".")[0]
    return f"{section}={choice[section]} {key}=VALUE" if section in choice else f"{owner}{key}=VALUE"


def interpolation_faults(config: DictConfig, raw: Mapping[str, Any]) -> list[str]:
    """Settings that take their value from one that does not exist. What takes its value from them is not told."""
    lines: dict[str, str] = {}
    for key, value in sorted(flat(raw).items(), key=lambda item: item[0].count(".")):
        try:
            OmegaConf.select(config, key)
        except OmegaConfBaseException as error:
            if not any(refers_to(value, other) for other in lines):
                lines[key] = f"{key}={value}: {reason(error)}"
    return list(lines.values())


def choice_faults(raw: Mapping[str, Any]) -> list[str]:
    """`choice` says which options were taken, and must not say anything else."""
    taken = HydraConfig.get().runtime.choices
    if raw in ({group: f"${{hydra:runtime.choices.{group}}}" for group in ROOMS}, {g: taken.get(g) for g in ROOMS}):
        return []
    return ["choice: tells the options that were taken; type an option itself, as in loss=NAME"]


def scalar_faults(config: Mapping[str, Any]) -> list[str]:
    lines = []
    if not isinstance(config["seed"], int) or isinstance(config["seed"], bool) or not 0 <= config["seed"] < 2**32:
        lines.append(f"seed={shown(config['seed'])}: must be a whole number in [0, 2^32)")
    for name in ("rerun", "dry_run", "report"):
        if not isinstance(config[name], bool):
            lines.append(f"{name}={shown(config[name])}: must be true or false")
    share = config["gpus_per_run"]
    if share is not None and (isinstance(share, bool) or not isinstance(share, int | float)):
        lines.append(f"gpus_per_run={shown(share)}: expected a number or null")
    elif fault := gpus.fault(share):
        lines.append(fault)
    elif share is not None and config["device"] not in ("auto", "cuda"):
        lines.append(f"gpus_per_run={share:g}: device={config['device']} leaves no GPU to choose; type device=auto")
    if config["on_failure"] not in ("continue", "stop"):
        lines.append(f"on_failure={shown(config['on_failure'])}: must be one of continue, stop")
    if not isinstance(config["output_dir"], str) or not config["output_dir"]:
        lines.append(f"output_dir={shown(config['output_dir'])}: expected a folder")
    lines += [f"{group}: takes one option, as in {group}=NAME" for group, o in config["choice"].items() if o is None]
    try:
        choose_device(str(config["device"]))
    except ValueError as error:
        lines.append(str(error))
    return lines


def dead_knobs(raw: Mapping[str, Any], resolved: Mapping[str, Any]) -> list[str]:
    """Top-level settings that no other setting refers to: they would be logged and change nothing."""
    choice, lines = resolved["choice"], []
    names = sorted(map(str, raw.keys() - FIXED))
    alive = {key: value for key, value in raw.items() if key in ROOMS}
    while more := {name: raw[name] for name in names if name not in alive and refers_to(alive, name)}:
        alive |= more
    values = flat(resolved)
    for name in names:
        if name in alive or any(refers_to(raw[name], other) for other in names):  # the other one is told
            continue
        feeds = next((k.feeds for k in knobs() if k.name == name and k.option == choice.get(k.group)), None)
        if feeds and not refers_to(flat(raw).get(feeds), name):  # loss=focal loss.gamma=5
            value = shown(values.get(feeds))
            lines.append(f"{feeds}={value}: is set by {name}; type {name}={value}")
        elif feeds:  # loss=class_balanced weights=inverse: feeds effective_beta, which nothing reads
            lines.append(not_read(f"{name}={shown(raw[name])}", feeds, choice))
        else:
            there = ", ".join(sorted(key for key in raw if key != "choice" and key != name))
            typed = f"{name}={shown(raw[name])}"
            lines.append(not_read(typed, name, choice) or f"{typed}: no such setting; the top level has {there}")
    return lines
