"""The identity of a run: name, seed, and a fingerprint of everything that can change it."""

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nersweep.config.build import is_number
from nersweep.config.check import Parts
from nersweep.config.knobs import Knob, knobs
from nersweep.config.plugins import is_within, plugins
from nersweep.config.settings import FIXED, Settings, is_source, matters
from nersweep.data.corpus import read
from nersweep.machine import files
from nersweep.machine.device import choose_device, choose_precision
from nersweep.results.folder import run_folder
from nersweep.results.sets import data_settings
from nersweep.version import __version__

# Options that no name repeats.
DEFAULTS = {"weights": "none", "head": "token", "aux": "none", "augment": "none"}
PARTS = ("head", "loss", "weights", "aux", "augment")  # sections that a run is identified by


@dataclass(frozen=True)
class Identity:
    """The identity of a run. setting: for people, the name without the seed.

    dataset, encoder: the options of the groups data and model, for people too. data_checksum,
    data_settings: of the data, or of what they are one draw of.
    """

    setting: str
    seed: int
    fingerprint: str
    dataset: str
    encoder: str
    data_checksum: str
    data_settings: dict[str, str]

    @property
    def name(self) -> str:
        return f"{self.setting}-s{self.seed}"

    def folder(self, output_dir: Path) -> Path:
        return run_folder(output_dir, self.name, self.fingerprint)


def identify(settings: Settings, parts: Parts) -> Identity:
    """Return the identity of the run with these settings and parts. Reads its data."""
    choice, corpus = settings.choice, read(parts.data)
    return Identity(
        setting_name(settings.values),
        settings.seed,
        files.fingerprint(contents(settings, parts)),
        choice.data,
        choice.model,
        corpus.pool or corpus.checksum,
        data_settings(settings.values["data"]),
    )


def contents(settings: Settings, parts: Parts) -> dict[str, Any]:
    """Return everything that can change the result of a run.

    That excludes names, paths and the tracker, and of the device all but the precision that it
    gives. Code counts as its version, and as the source of losses, head and plug-ins.
    """
    config = settings.values
    values: dict[str, Any] = {name: config[name] for name in PARTS}
    values["model"] = {k: v for k, v in config["model"].items() if not is_source(f"model.{k}")}
    values["train"] = {k: v for k, v in config["train"].items() if matters(f"train.{k}")}
    precision = choose_precision(settings.train.precision, choose_device(settings.device))
    values["train"]["precision"] = str(precision)
    values["seed"] = settings.seed
    values["metric"] = settings.metric
    corpus = read(parts.data)
    values["data"] = [corpus.checksum, corpus.pool] if corpus.pool else corpus.checksum
    values["model_identity"] = parts.model.identity()
    values["version"] = __version__
    values["code"] = list(map(source, code(parts)))
    return values


def code(parts: Parts) -> list[type]:
    """Return the classes whose source enters the fingerprint: losses, head, and other plug-ins."""
    classes = [*parts.loss.losses(), parts.head.target]
    for part in (parts.model, parts.weights, parts.aux, parts.augment):
        if is_within(type(part).__module__, plugins()):
            classes.append(type(part))
    return classes


@cache
def source(part: type) -> str:
    """Return the checksum of the files of a class and of its bases in nersweep and plug-ins."""
    rooms = ("nersweep", *plugins())
    paths: dict[str, None] = {}
    for base in part.__mro__:
        if base is part or is_within(base.__module__, rooms):
            paths[inspect.getfile(base)] = None
    checksum = hashlib.sha256()
    for path in paths:
        checksum.update(Path(path).read_bytes())
    return checksum.hexdigest()


def setting_name(config: Mapping[str, Any]) -> str:
    """Return the loss, options other than the defaults, and numeric knobs by initials: focal-g3."""
    choice = config["choice"]
    parts = [choice["loss"]]
    for group, default in DEFAULTS.items():
        if choice[group] not in (default, choice["loss"]):
            parts.append(choice[group])
    active = {knob.name: knob for knob in knobs() if knob.option == choice.get(knob.group)}
    fed = {knob.feeds for knob in active.values()}
    for name in sorted(config.keys() - FIXED - fed - {"choice"}):
        if is_number(config[name]):
            parts.append(f"{initials(name, active.get(name))}{config[name]:g}")
    if config["train"]["sampler"] != "random":
        parts.append(config["train"]["sampler"])
    return "-".join(parts)


def initials(name: str, knob: Knob | None) -> str:
    """Return the initials of a setting's words, without those of its option: g for focal_gamma."""
    option = knob.option.split("_") if knob else []
    words = name.split("_")
    own = [word for word in words if word not in option]
    return "".join(word[0] for word in own or words)
