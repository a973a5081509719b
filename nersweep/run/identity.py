"""The name and the fingerprint of a run."""

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nersweep
from nersweep.config.build import (
    is_number,
)
from nersweep.config.check import Parts
from nersweep.config.knobs import knobs
from nersweep.config.plugins import is_within, plugins
from nersweep.config.settings import FIXED, Settings, is_source, matters
from nersweep.data.corpus import read
from nersweep.machine import files as files_module
from nersweep.machine.device import choose_device, choose_precision
from nersweep.results.folder import run_folder


@dataclass(frozen=True)
class Identity:
    """What tells a run from others. setting: for people, the name without the seed."""

    setting: str
    seed: int
    fingerprint: str

    @property
    def name(self) -> str:
        return f"{self.setting}-s{self.seed}"

    def folder(self, output_dir: Path) -> Path:
        return run_folder(output_dir, self.name, self.fingerprint)


def identify(settings: Settings, parts: Parts) -> Identity:
    """The identity of a run, from its settings and its parts as `check` gives them. The
    fingerprint is of everything that can change the result: not of names, paths, the device or the tracker; of the
    device only the precision that it is found fit for; of the code the version, and the files of its losses and its
    head, in which one writes formulas of one's own."""
    config, device = settings.values, choose_device(settings.device)
    described = {
        key: value
        for key, value in config.items()
        if key in {"model", "head", "loss", "weights", "aux", "train"}
    }
    described["model"] = {k: v for k, v in config["model"].items() if not is_source(f"model.{k}")}
    described["train"] = {k: v for k, v in config["train"].items() if matters(f"train.{k}")}
    described["train"]["precision"] = str(choose_precision(config["train"]["precision"], device))
    fingerprint = files_module.fingerprint(
        described
        | {
            "seed": settings.seed,
            "data": read(parts.data).checksum,
            "model_identity": parts.model.identity(),
            "version": nersweep.__version__,
            "code": [source(part) for part in code(parts)],
        }
    )
    return Identity(setting_name(config), settings.seed, fingerprint)


def code(parts: Parts) -> list[type]:
    """Return the classes whose source enters the fingerprint: losses, head, and other plug-ins."""
    others = [type(part) for part in (parts.model, parts.weights, parts.aux)]
    own = [part for part in others if is_within(part.__module__, plugins())]
    return [*parts.loss.losses(), parts.head.target, *own]


@cache
def source(part: type) -> str:
    """The checksum of the files of a class and of those of nersweep's that it is made from."""
    rooms = ("nersweep", *plugins())
    made = (one for one in part.__mro__ if one is part or is_within(one.__module__, rooms))
    files = dict.fromkeys(map(inspect.getfile, made))
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()


def setting_name(config: Mapping[str, Any]) -> str:
    """The loss; weights, head and aux where they are not the usual ones; knobs that are numbers, by their initials:
    focal-g3."""
    choice = config["choice"]
    parts = [choice["loss"]]
    fed = {k.feeds for k in knobs() if k.option == choice.get(k.group)}
    for knob in sorted(config.keys() - FIXED - fed - {"choice"}):
        if not is_number(config[knob]):
            continue
        option = next(
            (k.option for k in knobs() if k.name == knob and k.option == choice.get(k.group)), ""
        )
        words = knob.split("_")
        own = [word for word in words if word not in option.split("_")]
        parts.append("".join(word[0] for word in own or words) + f"{config[knob]:g}")
    usual = {"weights": "none", "head": "token", "aux": "none"}
    parts[1:1] = [
        choice[group]
        for group, option in usual.items()
        if choice[group] not in (option, choice["loss"])
    ]
    sampler = config["train"]["sampler"]
    return "-".join([*parts, *[sampler] * (sampler != "random")])
