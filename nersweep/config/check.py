"""Check a composed configuration: all faults at once; nothing is read or written."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nersweep.config import schema
from nersweep.config.build import COMPONENTS, Names, Recipe, build, is_number, signature
from nersweep.config.compose import Composer
from nersweep.config.flat import flat, plain
from nersweep.config.knobs import foreign_knob, knob_of, refers_to
from nersweep.config.settings import FIXED, Choice, Settings
from nersweep.faults import Fault, UserError, reason, shown
from nersweep.machine import gpus
from nersweep.machine.device import choose_device, choose_precision
from nersweep.weights import ClassWeights, Manual

# What a loss may need of a head, in words.
NEEDS = {
    "crf": "scores of transitions between labels",
    "lengths": "labels in the order of a sentence",
}


@dataclass(frozen=True)
class Parts:
    """What a configuration describes, as far as it can be built without data.

    Head and loss are recipes; weights, aux and augment are None without them. weight_names: the
    user's names of the arguments of the weights.
    """

    data: Any
    model: Any
    head: Recipe
    loss: Recipe
    weights: ClassWeights | None
    aux: Any
    augment: Any
    weight_names: Names


@dataclass(frozen=True)
class Checked:
    """A configuration without faults. raw: with its interpolations."""

    raw: dict[str, Any]
    settings: Settings
    parts: Parts


def check_overrides(composer: Composer, overrides: Sequence[str]) -> Checked:
    """Compose overrides and check the result. Raises as Hydra and as `check`."""
    return check(composer(overrides), composer.choice(overrides))


def check(config: DictConfig, choice: Mapping[str, Any]) -> Checked:
    """Check a composed configuration. choice: the option of each group.

    Raises UserError with a fault for each thing that is wrong.
    """
    faults = []
    for name in sorted(FIXED - config.keys()):
        remedy = f"set {name}=VALUE"
        faults.append(Fault(f"~{name}", must="cannot be left out", remedy=remedy))
    for group in COMPONENTS:
        if group in config and choice.get(group) is None:
            faults.append(Fault(group, must=f"takes one option, as in {group}=NAME"))
        elif group in config and not isinstance(config[group], DictConfig):
            remedy = f"choose an option, as in {group}=NAME"
            faults.append(Fault(group, config[group], "must be a section", remedy))
    if faults:
        raise UserError(*faults)
    raw, choice = plain(config), {group: choice[group] for group in COMPONENTS}
    missing = sorted(key for key, value in flat(raw).items() if value == "???")
    for key in missing:
        faults.append(Fault(key, "???", f"must be given, as in {example(key, choice)}"))
    if any("." not in key for key in missing):  # a knob, from which other settings take their value
        raise UserError(*faults)
    try:
        resolved = plain(config, resolve=True)
    except OmegaConfBaseException:
        raise UserError(*faults, *interpolation_faults(config, raw)) from None
    faults += dead_knobs(raw, resolved, choice)
    faults += schema.faults(resolved)
    faults += scalar_faults(resolved)
    if resolved["data"].get("resample") is True:
        resolved["data"]["split_seed"] = resolved["seed"]
    parts: dict[str, Any] = {}
    for section in COMPONENTS:
        if any(key.startswith(f"{section}.") for key in missing):
            continue
        try:
            parts[section] = build(section, raw[section], resolved[section])
        except UserError as error:
            faults += error.faults
    if resolved["loss"].get("reduction") == "none" and "loss" in parts:
        must = "training needs a single loss value; must be one of mean, token_mean, sum"
        faults.append(Fault("loss.reduction", "none", must))
    names = Names("weights", raw["weights"])
    if resolved["loss"].get("weight") is not None:
        names = Names("loss", raw["loss"], {"values": "weight"})
        faults += alpha_faults(parts, names, resolved["loss"]["weight"], choice)
    faults += fit_faults(parts, resolved, choice)
    if not faults:
        faults += model_faults(resolved)
    if faults:
        first: dict[str, Fault] = {}  # of each setting
        for fault in faults:
            source = under_its_source(fault, raw)
            first.setdefault(source.setting, source)
        raise UserError(*first.values())
    settings = Settings.of(resolved, Choice(**choice))
    return Checked(raw, settings, Parts(**parts, weight_names=names))


def under_its_source(fault: Fault, raw: Mapping[str, Any]) -> Fault:
    """Return the fault of a knob that takes its value from another under that one's name.

    effective_beta becomes class_balance_beta.
    """
    source = re.fullmatch(r"\$\{(\w+)\}", str(raw.get(fault.setting)))
    return replace(fault, setting=source[1]) if source else fault


def alpha_faults(
    parts: dict[str, Any], names: Names, weight: Any, choice: Mapping[str, str]
) -> list[Fault]:
    """Put class weights that come with the loss (focal_alpha) in the place of weights=."""
    setting = names.of("values")
    if parts.get("weights"):
        must = f"sets class weights too, which weights={choice['weights']} already does"
        return [Fault(setting, weight, must, "set weights=none")]
    if "loss" in parts and "weight" not in signature(parts["loss"].target):
        return []  # a fault of the loss
    if not isinstance(weight, list | dict):
        return [Fault(setting, weight, "expected a list, or a mapping label: weight")]
    try:
        parts["weights"] = Manual(values=weight)
    except UserError as error:
        return [names.rename(fault) for fault in error.faults]
    return []


def fit_faults(
    parts: Mapping[str, Any], resolved: Mapping[str, Any], choice: Mapping[str, str]
) -> list[Fault]:
    """Return the faults of parts that are right by themselves and do not fit each other."""
    if "loss" not in parts or "head" not in parts:
        return []
    head, losses, faults = parts["head"].target, parts["loss"].losses(), []
    needs = {need for loss in losses for need in loss.needs}
    lacking = [text for need, text in NEEDS.items() if need in needs - head.gives]
    both = f"loss={choice['loss']} head={choice['head']}"
    if lacking:
        must = f"the loss needs {' and '.join(lacking)}"
        remedy = f"set head={'crf' if 'crf' in needs else 'token'}"
        faults.append(Fault(both, must=must, remedy=remedy))
    elif head.asks - needs:
        must = "nothing trains the transitions of this head"
        remedy = "set loss=crf, or head=token head.decode=viterbi"
        faults.append(Fault(both, must=must, remedy=remedy))
    if parts.get("weights") and not any("weight" in signature(loss) for loss in losses):
        must = f"loss={choice['loss']} takes no class weights"
        faults.append(Fault("weights", choice["weights"], must, "set weights=none"))
    train = resolved["train"]
    if isinstance(train, Mapping) and train["accumulation"] > max(train["batch_size"], 1):
        must = f"must be ≤ train.batch_size={train['batch_size']}: a micro-batch has a sentence"
        faults.append(Fault("train.accumulation", train["accumulation"], must))
    head_lr = train["head_lr"] if isinstance(train, Mapping) else None
    if head_lr is not None and not (head.asks or parts.get("aux")):
        without = f"head={choice['head']} aux=none adds no parameter to the encoder's"
        must = f"nothing reads it, because {without}"
        faults.append(Fault("train.head_lr", head_lr, must, "set train.lr"))
    return faults + sampler_faults(train)


def sampler_faults(train: Any) -> list[Fault]:
    """Return the fault of a threshold that no sampler reads."""
    if not isinstance(train, Mapping) or train["repeat_threshold"] is None:
        return []
    if train["sampler"] == "repeat_factor":
        return []
    must = f"nothing reads it with train.sampler={train['sampler']}"
    remedy = "set train.sampler=repeat_factor"
    return [Fault("train.repeat_threshold", train["repeat_threshold"], must, remedy)]


def model_faults(resolved: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of a model's settings that do not fit how and where it is trained."""
    model, train = resolved["model"], resolved["train"]
    faults, load = [], model.get("load")
    device = choose_device(resolved["device"])
    if load in ("8bit", "4bit") and device.type != "cuda":
        must = f"needs CUDA, as bitsandbytes' kernels do, and the device is {device}"
        faults.append(Fault("model.load", load, must, "set model.load=bf16"))
    elif load is not None and choose_precision(train["precision"], device) != torch.bfloat16:
        must = "must be null where training is in fp32"
        faults.append(Fault("model.load", load, must, "set train.precision=bf16"))
    if model.get("attention") is not None and not train["engine"]["packing"]:
        must = "needs packed windows"
        remedy = "set train.engine.packing=true"
        faults.append(Fault("model.attention", model["attention"], must, remedy))
    return faults


def example(key: str, choice: Mapping[str, str]) -> str:
    """Return overrides that give a missing setting a value."""
    section, knob = key.partition(".")[0], knob_of(key, choice)
    if section in choice:
        return f"{section}={choice[section]} {key}=VALUE"
    return f"{knob.group}={knob.option} {key}=VALUE" if knob else f"{key}=VALUE"


def interpolation_faults(config: DictConfig, raw: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of settings that take their value from one that does not exist.

    Settings that take their value from such a one in turn have no fault of their own.
    """
    faults: dict[str, Fault] = {}
    for key, value in sorted(flat(raw).items(), key=lambda item: item[0].count(".")):
        try:
            OmegaConf.select(config, key)
        except OmegaConfBaseException as error:
            if not any(refers_to(value, other) for other in faults):
                faults[key] = Fault(key, value, reason(error))
    return list(faults.values())


def scalar_faults(values: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of the settings at the top level that belong to no section."""
    faults = []

    def require(holds: bool, name: str, must: str, remedy: str = "") -> None:
        if not holds:
            faults.append(Fault(name, values[name], must, remedy))

    seed = values["seed"]
    is_seed = isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 2**32
    require(is_seed, "seed", "must be a whole number in [0, 2^32)")
    is_text = isinstance(values["metric"], str)
    require(is_text, "metric", "must be the name of a metric", "set metric=f1")
    for name in ("rerun", "dry_run", "report"):
        require(isinstance(values[name], bool), name, "must be true or false")
    resolution = values["resolution"]
    in_points = is_number(resolution) and 0 < resolution <= 100
    require(in_points, "resolution", "must be > 0 and ≤ 100", "it is a difference in points")
    share, device = values["gpus_per_run"], values["device"]
    if share is not None and not is_number(share):
        require(False, "gpus_per_run", "expected a number or null")
    elif fault := gpus.fault(share):
        faults.append(fault)
    elif share is not None and device not in ("auto", "cuda"):
        must = f"device={device} leaves no GPU to choose"
        faults.append(Fault("gpus_per_run", f"{share:g}", must, "set device=auto"))
    one_of = "must be one of continue, stop"
    require(values["on_failure"] in ("continue", "stop"), "on_failure", one_of)
    folder = values["output_dir"]
    require(isinstance(folder, str) and bool(folder), "output_dir", "expected a folder")
    try:
        choose_device(str(device))
    except UserError as error:
        faults += error.faults
    return faults


def section_of(raw: Any, key: str) -> Any:
    """Return the section that a setting is in, if it is one."""
    for name in key.split(".")[:-1]:
        raw = raw.get(name) if isinstance(raw, Mapping) else raw
    return raw


def dead_knobs(
    raw: Mapping[str, Any], resolved: Mapping[str, Any], choice: Mapping[str, str]
) -> list[Fault]:
    """Return the faults of top-level settings to which no other setting refers."""
    names = sorted(map(str, raw.keys() - FIXED))
    alive = {key: value for key, value in raw.items() if key in COMPONENTS}
    while more := {n: raw[n] for n in names if n not in alive and refers_to(alive, n)}:
        alive |= more
    faults = []
    for name in names:
        if name in alive or any(refers_to(raw[name], other) for other in names):
            continue  # of the latter, the other one is at fault
        knob, value = knob_of(name, choice), raw[name]
        if knob and not isinstance(section_of(raw, knob.feeds), Mapping):
            continue  # loss.terms=3 is at fault
        if knob and not refers_to(flat(raw).get(knob.feeds), name):  # loss=focal loss.gamma=5
            fed = flat(resolved).get(knob.feeds)
            remedy = f"set {name}={shown(fed)}"
            faults.append(Fault(knob.feeds, fed, f"is set by {name}", remedy))
        elif knob:  # loss=class_balanced weights=inverse: feeds effective_beta, which nothing reads
            faults.append(Fault(name, value, foreign_knob(knob.feeds, choice) or ""))
        elif foreign := foreign_knob(name, choice):
            faults.append(Fault(name, value, foreign))
        else:
            top = ", ".join(sorted(key for key in raw if key != name))
            faults.append(Fault(name, value, "no such setting", f"the top level has {top}"))
    return faults
