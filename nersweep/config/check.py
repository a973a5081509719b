"""Check a composed configuration: all faults at once, nothing is read or written."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nersweep.config import schema as sections
from nersweep.config.build import ROOMS, Recipe, build, signature, typed_name, with_typed_name
from nersweep.config.compose import Composer
from nersweep.config.flat import flat
from nersweep.config.knobs import knobs, not_read, refers_to
from nersweep.config.settings import FIXED, Choice, Settings
from nersweep.faults import Faults, reason, shown
from nersweep.machine import gpus
from nersweep.machine.device import choose_device
from nersweep.weights import ClassWeights, Manual

# What a loss may need of a head, in words.
NEEDS = {
    "crf": "scores of transitions between labels",
    "lengths": "labels in the order of a sentence",
}


@dataclass(frozen=True)
class Parts:
    """What a configuration describes, as far as it can be built without data. The head and the loss
    are recipes; weights, aux: None without them."""

    data: Any
    model: Any
    head: Recipe
    loss: Recipe
    weights: ClassWeights | None
    aux: Any
    weights_section: Mapping[str, Any] = field(default_factory=dict)  # before interpolation


@dataclass(frozen=True)
class Checked:
    """A configuration without faults: raw, with its interpolations; its settings; its parts."""

    raw: dict[str, Any]
    settings: Settings
    parts: Parts


def check_overrides(composer: Composer, overrides: Sequence[str]) -> Checked:
    """Compose overrides and check the result. Raises as Hydra and as `check`."""
    return check(composer(overrides), composer.choice(overrides))


def check(config: DictConfig, choice: Mapping[str, Any]) -> Checked:
    """Check a composed configuration. choice: the option of each group, as Hydra has chosen it.

    Raises Faults with a line for each thing that is wrong."""
    lines = [
        f"~{name}: cannot be left out; type {name}=VALUE" for name in sorted(FIXED - config.keys())
    ]
    raw = OmegaConf.to_container(config)
    choice = {group: choice.get(group) for group in ROOMS}
    lines = lines or [
        f"{group}: takes one option, as in {group}=NAME" for group, o in choice.items() if o is None
    ]
    if lines:
        raise Faults(lines)
    missing = sorted(key for key, value in flat(raw).items() if value == "???")
    if missing:
        lines = [f"{key}=???: must be given, as in {example(key, choice)}" for key in missing]
    if any("." not in key for key in missing):  # a knob, which other settings take their value from
        raise Faults(lines)
    try:
        resolved = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException:
        raise Faults(lines + interpolation_faults(config, raw)) from None
    resolved["choice"] = choice
    lines += dead_knobs(raw, resolved)
    lines += sections.faults(resolved)
    lines += scalar_faults(resolved)
    parts: dict[str, Any] = {"weights_section": raw["weights"]}
    for section in ROOMS:
        if any(key.startswith(f"{section}.") for key in missing):
            continue
        try:
            parts[section] = build(section, raw[section], resolved[section])
        except ValueError as error:
            lines += str(error).split("\n")
    if resolved["loss"].get("reduction") == "none" and "loss" in parts:
        lines.append(
            "loss.reduction=none: a run trains on one number; must be one of mean, token_mean, sum"
        )
    lines += alpha_faults(parts, raw, resolved)
    lines += fit_faults(parts, resolved)
    if lines:
        raise Faults([under_its_source(line, raw) for line in lines])
    return Checked(raw, Settings.of(resolved, Choice(**choice)), Parts(**parts))


def under_its_source(line: str, raw: Mapping[str, Any]) -> str:
    """A fault of a knob that takes its value from another is the other's: effective_beta, from class_balance_beta."""
    name, sign, rest = line.partition("=")
    source = re.fullmatch(r"\$\{(\w+)\}", str(raw.get(name)))
    return f"{source[1]}{sign}{rest}" if source else line


def alpha_faults(
    parts: dict[str, Any], raw: Mapping[str, Any], resolved: Mapping[str, Any]
) -> list[str]:
    """Class weights given with the loss (focal_alpha) are weights by hand, in the place of those of weights=."""
    given = resolved["loss"].get("weight")
    if given is None:
        return []
    loss = {"values": raw["loss"]["weight"]}
    typed = f"{typed_name('loss', 'weight', raw['loss'])}={shown(given)}"
    if parts.get("weights"):
        return [
            f"{typed}: weighs the classes as weights={resolved['choice']['weights']} does; type weights=none"
        ]
    if "loss" in parts and "weight" not in signature(parts["loss"].target):
        return []  # told already
    if not isinstance(given, list | dict):
        return [f"{typed}: expected a list, or a mapping label: weight"]
    try:
        parts["weights"], parts["weights_section"] = Manual(values=given), loss
    except ValueError as error:
        return [
            with_typed_name("loss", str(error), loss).replace("loss.values=", "loss.weight=", 1)
        ]
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
        lines.append(
            f"weights={choice['weights']}: loss={choice['loss']} takes no class weights; type weights=none"
        )
    head_lr = resolved["train"]["head_lr"] if isinstance(resolved["train"], Mapping) else None
    if head_lr is not None and not (head.asks or parts.get("aux")):
        lines.append(
            f"train.head_lr={head_lr}: nothing reads it, because head={choice['head']} aux=none "
            "adds no parameter to the encoder's; type train.lr"
        )
    return lines


def example(key: str, choice: Mapping[str, str]) -> str:
    owner = next(
        (
            f"{k.group}={k.option} "
            for k in knobs()
            if k.name == key and k.option == choice.get(k.group)
        ),
        "",
    )
    section = key.partition(".")[0]
    return (
        f"{section}={choice[section]} {key}=VALUE" if section in choice else f"{owner}{key}=VALUE"
    )


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


def scalar_faults(config: Mapping[str, Any]) -> list[str]:
    lines = []
    if (
        not isinstance(config["seed"], int)
        or isinstance(config["seed"], bool)
        or not 0 <= config["seed"] < 2**32
    ):
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
        lines.append(
            f"gpus_per_run={share:g}: device={config['device']} leaves no GPU to choose; type device=auto"
        )
    if config["on_failure"] not in ("continue", "stop"):
        lines.append(f"on_failure={shown(config['on_failure'])}: must be one of continue, stop")
    if not isinstance(config["output_dir"], str) or not config["output_dir"]:
        lines.append(f"output_dir={shown(config['output_dir'])}: expected a folder")
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
    while more := {
        name: raw[name] for name in names if name not in alive and refers_to(alive, name)
    }:
        alive |= more
    values = flat(resolved)
    for name in names:
        if name in alive or any(
            refers_to(raw[name], other) for other in names
        ):  # the other one is told
            continue
        feeds = next(
            (k.feeds for k in knobs() if k.name == name and k.option == choice.get(k.group)), None
        )
        if feeds and not refers_to(flat(raw).get(feeds), name):  # loss=focal loss.gamma=5
            value = shown(values.get(feeds))
            lines.append(f"{feeds}={value}: is set by {name}; type {name}={value}")
        elif (
            feeds
        ):  # loss=class_balanced weights=inverse: feeds effective_beta, which nothing reads
            lines.append(not_read(f"{name}={shown(raw[name])}", feeds, choice))
        else:
            there = ", ".join(sorted(key for key in raw if key != "choice" and key != name))
            typed = f"{name}={shown(raw[name])}"
            lines.append(
                not_read(typed, name, choice)
                or f"{typed}: no such setting; the top level has {there}"
            )
    return lines
