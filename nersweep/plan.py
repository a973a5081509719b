"""From a composed configuration to the objects of a run. The only place that instantiates.

Everything that can be checked without data is checked first, and all faults are told at once.
"""

import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

import nersweep
from nersweep import config as sections
from nersweep import store
from nersweep.config import TrainConfig, describe
from nersweep.data import Corpus, tag_counts
from nersweep.device import choose_device, choose_precision
from nersweep.encoder import Pretrained, Scratch
from nersweep.faults import Faults, knobs, not_read, reason, refers_to, shown
from nersweep.heads.token import TokenHead
from nersweep.labels import LabelSet

# The sections that name a class, and the room in which it must live. A configuration may come from a stranger, so
# nothing else is ever called.
ROOMS = {
    "data": "nersweep.data",
    "model": "nersweep.encoder",
    "head": "nersweep.heads",
    "loss": "nersweep.losses",
    "weights": "nersweep.weights",
}
# What tells the classes that can be chosen from others in the same room.
METHOD = {"data": "load", "model": "build", "head": "decode", "loss": "forward", "weights": "raw"}
FIXED = {"seed", "device", "output_dir", "rerun", "choice", *sections.SECTIONS, *ROOMS}

# What is known only once the data is read, given to the losses whose signature asks for it.
FACTS = {"weight", "counts", "labels"}


@dataclass(frozen=True)
class Plan:
    """A run, ready to start."""

    config: dict[str, Any]  # resolved
    name: str
    fingerprint: str
    corpus: Corpus
    labels: LabelSet
    counts: np.ndarray  # (labels,), words per label in the training split
    weights: np.ndarray  # (labels,), class weights; ones where there are none
    encoder: Pretrained | Scratch
    head: type[TokenHead]
    loss: nn.Module
    train: TrainConfig
    device: torch.device

    @property
    def folder(self) -> Path:
        return store.run_folder(Path(self.config["output_dir"]), self.name, self.fingerprint)


def make(config: DictConfig) -> Plan:
    """Checks a composed configuration, reads its data and builds what the run needs, but loads no model weights.

    Raises Faults (a ValueError), or ValueError for what is wrong in the data.
    """
    parts = check(config)
    resolved = OmegaConf.to_container(config, resolve=True)
    device = choose_device(resolved["device"])
    corpus = parts["data"].load()
    labels = LabelSet(type_ for s in corpus.splits().values() for x in s for type_ in entity_types(x.tags))
    if not labels.types:
        raise ValueError(f"data={corpus.name}: no entity in it; expected tags such as B-PER and I-PER")
    tags = tag_counts(corpus.train)
    counts = np.array([tags[name] for name in labels.names])
    weights = parts["weights"](counts) if parts["weights"] else np.ones(len(labels))
    facts = {"weight": torch.from_numpy(weights) if parts["weights"] else None, "counts": counts, "labels": labels}
    loss_class, arguments = parts["loss"]
    wanted = {name: fact for name, fact in facts.items() if name in signature(loss_class)}
    return Plan(
        config=resolved,
        name=run_name(resolved),
        fingerprint=fingerprint(resolved, corpus, parts["model"], device),
        corpus=corpus,
        labels=labels,
        counts=counts,
        weights=weights,
        encoder=parts["model"],
        head=parts["head"],
        loss=loss_class(**arguments, **wanted),
        train=TrainConfig(**resolved["train"]),
        device=device,
    )


def entity_types(tags: Sequence[str]) -> Iterator[str]:
    return (tag[2:] for tag in tags if tag != "O")


def fingerprint(config: Mapping[str, Any], corpus: Corpus, model: Pretrained | Scratch, device: torch.device) -> str:
    """Of everything that can change the result: not of names, paths, the device or the tracker; of the device only the
    precision that it is found fit for."""
    described = {key: value for key, value in config.items() if key in {"model", "head", "loss", "weights", "train"}}
    described["model"] = {k: v for k, v in config["model"].items() if k not in {"name", "revision", "package"}}
    described["train"] = config["train"] | {"precision": str(choose_precision(config["train"]["precision"], device))}
    return store.fingerprint(
        described
        | {
            "seed": config["seed"],
            "data": corpus.checksum(),
            "model_identity": model.identity(),
            "version": nersweep.__version__,
        }
    )


def run_name(config: Mapping[str, Any]) -> str:
    """The loss, its knobs by their initials, the weights and the seed: focal-g3-s1."""
    choice = config["choice"]
    parts = [choice["loss"]]
    for knob in sorted(config.keys() - FIXED):
        option = next((k.option for k in knobs() if k.name == knob and k.option == choice.get(k.group)), "")
        words = knob.split("_")
        own = [word for word in words if word not in option.split("_")]
        value = f"{config[knob]:g}" if is_number(config[knob]) else ""
        parts.append("".join(word[0] for word in own or words) + value)
    if choice["weights"] != "none":
        parts.insert(1, choice["weights"])
    return "-".join([*parts, f"s{config['seed']}"])


def check(config: DictConfig) -> dict[str, Any]:
    """The parts that need no data: data, model, weights (or None), head class, and the loss as (class, arguments).

    Raises Faults with a line for each thing that is wrong.
    """
    lines = [f"~{name}: cannot be left out; type {name}=VALUE" for name in sorted(FIXED - config.keys())]
    lines = lines or choice_faults(OmegaConf.to_container(config.choice) if OmegaConf.is_dict(config.choice) else {})
    if lines := lines or interpolation_faults(config):
        raise Faults(lines)
    raw = OmegaConf.to_container(config, resolve=False)
    resolved = OmegaConf.to_container(config, resolve=True)
    missing = sorted(OmegaConf.missing_keys(config))
    lines += [f"{key}=???: must be given, as in {example(key, resolved['choice'])}" for key in missing]
    lines += dead_knobs(raw, resolved)
    lines += sections.faults(resolved)
    lines += scalar_faults(resolved)
    parts: dict[str, Any] = {}
    for section in ROOMS:
        if any(key.startswith(f"{section}.") for key in missing):
            continue
        try:
            parts[section] = build(section, raw[section], resolved[section])
        except ValueError as error:
            lines += str(error).split("\n")
    if resolved["loss"].get("reduction") == "none":
        lines.append("loss.reduction=none: a run trains on one number; must be one of mean, token_mean, sum")
    if parts.get("weights") and "loss" in parts and "weight" not in signature(parts["loss"][0]):
        choice = resolved["choice"]
        lines.append(f"weights={choice['weights']}: loss={choice['loss']} takes no class weights; type weights=none")
    if lines:
        raise Faults(lines)
    return parts


def example(key: str, choice: Mapping[str, str]) -> str:
    section = key.partition(".")[0]
    return f"{section}={choice[section]} {key}=VALUE" if section in choice else f"{key}=VALUE"


def interpolation_faults(config: DictConfig) -> list[str]:
    """Settings that take their value from one that does not exist. What takes its value from them is not told."""
    lines: dict[str, str] = {}
    for key, value in sorted(flat(OmegaConf.to_container(config)).items(), key=lambda item: item[0].count(".")):
        try:
            OmegaConf.select(config, key)
        except OmegaConfBaseException as error:
            if not any(refers_to(value, other) for other in lines):
                lines[key] = f"{key}={value}: {reason(error)}"
    return list(lines.values())


def choice_faults(raw: Mapping[str, Any]) -> list[str]:
    """`choice` says which options were taken, and must not say anything else."""
    if raw == {group: f"${{hydra:runtime.choices.{group}}}" for group in ROOMS}:
        return []
    return ["choice: tells the options that were taken; type an option itself, as in loss=NAME"]


def scalar_faults(config: Mapping[str, Any]) -> list[str]:
    lines = []
    if not isinstance(config["seed"], int) or isinstance(config["seed"], bool) or not 0 <= config["seed"] < 2**32:
        lines.append(f"seed={shown(config['seed'])}: must be a whole number in [0, 2^32)")
    if not isinstance(config["rerun"], bool):
        lines.append(f"rerun={shown(config['rerun'])}: must be true or false")
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
    read_by = {key: value for key, value in raw.items() if key in ROOMS}
    for name in sorted(map(str, raw.keys() - FIXED)):
        if refers_to(read_by, name):
            continue
        beside = [knob.feeds for knob in knobs() if knob.name == name and knob.option == choice.get(knob.group)]
        if beside:  # loss=focal loss.gamma=5
            value = flat(resolved).get(beside[0])
            lines.append(f"{beside[0]}={shown(value)}: is set by {name}; type {name}={shown(value)}")
        else:
            there = ", ".join(sorted(key for key in raw if key != "choice" and key != name))
            typed = f"{name}={shown(raw[name])}"
            lines.append(not_read(typed, name, choice) or f"{typed}: no such setting; the top level has {there}")
    return lines


def build(section: str, raw: Mapping[str, Any], resolved: Mapping[str, Any]) -> Any:
    """The object that a section describes. Heads are given as their class, and losses as (class, arguments): they wait
    for what the data tells. A section without _target_ is None.

    Raises Faults under the names that a user types.
    """
    if "_target_" not in resolved:
        if resolved:
            raise ValueError(f"{section}: settings without _target_; choose an option, as in {section}=NAME")
        return None
    target = locate(section, resolved["_target_"])
    arguments = {key: value for key, value in resolved.items() if key != "_target_"}
    faults = argument_faults(section, target, arguments, raw)
    if section == "head" and not faults:
        return target
    # A class tells its first fault. Without the argument at fault, and so with its default, it tells the next.
    left = {name: value for name, value in arguments.items() if name not in faults}
    while section != "head" and can_be_called(target, left):
        try:
            made = target(**left)
            break
        except ValueError as error:
            name = str(error).partition("=")[0]
            faults[name] = "\n".join(with_typed_name(section, line, raw) for line in str(error).split("\n"))
            if left.pop(name, None) is None:
                break
    if faults:
        raise Faults(list(faults.values()))
    return (target, arguments) if section == "loss" else made


def can_be_called(target: type, arguments: Mapping[str, Any]) -> bool:
    try:
        inspect.signature(target).bind(**arguments)
    except TypeError:
        return False
    return True


def locate(section: str, path: str) -> type:
    """The class named by a _target_. Raises ValueError unless it is defined in the section's own room."""
    room = ROOMS[section]
    refused = ValueError(f"{section}._target_={path}: must be a class of {room}")
    if not re.fullmatch(rf"{re.escape(room)}(\.[A-Za-z]\w*)+", str(path)):
        raise refused
    try:
        found = get_object(path)
    except Exception:
        raise refused from None
    if not inspect.isclass(found) or not (found.__module__ + ".").startswith(room + "."):
        raise refused
    if inspect.isabstract(found) or not hasattr(found, METHOD[section]):
        raise refused
    return found


def signature(target: type) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(target).parameters)


def typed_name(section: str, argument: str, raw: Mapping[str, Any]) -> str:
    """How a user types an argument: by the knob that feeds it, else by its place."""
    fed_by = re.fullmatch(r"\$\{(\w+)\}", str(raw.get(argument)))
    return fed_by[1] if fed_by else f"{section}.{argument}"


def with_typed_name(section: str, line: str, raw: Mapping[str, Any]) -> str:
    """A fault that names an argument of a class, under the name that a user types."""
    name, sign, rest = line.partition("=")
    return f"{typed_name(section, name, raw)}{sign}{rest}" if sign and name in raw else line


def argument_faults(section: str, target: type, arguments: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, str]:
    """argument -> what is wrong with its name or its type."""
    known, hints = signature(target), typing.get_type_hints(target if section == "head" else target.__init__)
    settings = {key: parameter for key, parameter in known.items() if key not in FACTS and section != "head"}
    faults = {}
    for name, value in arguments.items():
        if name not in settings:
            options = ", ".join(typed_name(section, key, raw).removeprefix(f"{section}.") for key in settings)
            faults[name] = f"{section}.{name}={shown(value)}: no such setting; {section} has {options or 'no settings'}"
        elif name in hints and not fits(value, hints[name]):
            faults[name] = f"{typed_name(section, name, raw)}={shown(value)}: expected {describe(hints[name])}"
    needed = (key for key, parameter in settings.items() if parameter.default is parameter.empty)
    return faults | {key: f"{section}.{key}: must be given" for key in needed if key not in arguments}


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def fits(value: Any, hint: Any) -> bool:
    """Does a value of a configuration have the type that a signature asks for?"""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(fits(value, option) for option in inner)
    if origin is typing.Literal:
        return value in inner
    if origin is not None and issubclass(origin, Mapping):
        return isinstance(value, dict)
    if origin is not None and issubclass(origin, Sequence):
        return isinstance(value, list) and all(fits(item, inner[0]) for item in value)
    if hint is float:
        return is_number(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings under dotted names."""
    out: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            out |= {f"{key}.{name}": inner for name, inner in flat(value).items()}
        else:
            out[key] = value
    return out
