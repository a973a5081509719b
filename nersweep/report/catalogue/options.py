"""An option of conf/loss as its YAML has it: knobs, defaults, ranges, and the loss itself."""

import math
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from nersweep.config.build import Recipe, build
from nersweep.faults import shown

# Words per label in the training split of CoNLL-2003, the label set of the README's first real run.
CONLL = {
    "O": 169578,
    "B-LOC": 7140,
    "I-LOC": 1157,
    "B-MISC": 3438,
    "I-MISC": 1155,
    "B-ORG": 6321,
    "I-ORG": 3704,
    "B-PER": 6600,
    "I-PER": 4528,
}
SMALL = {
    "O": 16,
    "B-X": 3,
    "I-X": 1,
}  # the batch in which one word's p_y varies; the others have p_y = .8
STEP = {"O": 540, "B-X": 50, "I-X": 10}  # an optimiser step


class Option:
    """loss=NAME as its YAML has it, with the class weights and the head that it asks for."""

    def __init__(self, name: str, conf: Traversable):
        self.name = name
        own = section(conf, "loss", name)
        overrides = [item for item in own.pop("defaults", []) if OmegaConf.is_dict(item)]
        self.groups = {
            key.removeprefix("override /"): value
            for item in overrides
            for key, value in item.items()
        }
        self.config = OmegaConf.merge(
            *(section(conf, *chosen) for chosen in self.groups.items()), own
        )
        self.knobs = [
            key for key, value in raw(own).items() if key != "loss" and "${" not in str(value)
        ]

    def recipe(self, *settings: str) -> Recipe:
        """Of the loss, with settings as typed: "focal_gamma=3". Raises ValueError for those that are out of range."""
        return self.part(
            "loss", OmegaConf.merge(self.config, OmegaConf.from_dotlist(list(settings)))
        )

    def part(self, name: str, config: DictConfig) -> Any:
        return build(name, raw(config)[name], OmegaConf.to_container(config, resolve=True)[name])

    def loss(
        self, *settings: str, counts: Mapping[str, int] = SMALL, weight: Tensor | None = None
    ) -> Any:
        made = self.recipe(*settings).make(
            counts=list(counts.values()), labels=tuple(counts), weight=weight
        )
        return made.eval()  # GHM-C and moving centroids keep what they have seen as it is

    def weights(self, counts: Mapping[str, int], *settings: str) -> np.ndarray:
        """(C,), by the scheme that the option chooses."""
        config = OmegaConf.merge(self.config, OmegaConf.from_dotlist(list(settings)))
        return self.part("weights", config)(np.array([*counts.values()]), tuple(counts))

    def default(self, knob: str) -> str:
        value = self.groups.get(knob, OmegaConf.select(self.config, knob))
        value = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        return shown(value).replace("'", "")

    def range(self, knob: str, conf: Traversable) -> str:
        """What the class says when it refuses another value; of a group, its options."""
        if knob in self.groups:
            return ", ".join(options(conf, knob))
        if isinstance(OmegaConf.select(self.config, knob), bool):
            return "true or false"
        lines = [self.fault(knob, value) for value in (math.nan, -1, "?")]
        allowed = next(
            (line.partition(": must be ")[2] for line in lines if ": must be " in line), ""
        )
        kind = lines[-1].partition(": expected ")[2]
        return (f"{kind} {allowed}" if kind == "a whole number" else allowed) or kind or "–"

    def fault(self, knob: str, value: object) -> str:
        changed = OmegaConf.create(raw(self.config))
        OmegaConf.update(changed, knob, value, merge=False)
        for name in ("weights", "loss") if "weights" in self.groups else ("loss",):
            try:
                self.part(name, changed)
            except ValueError as error:
                return str(error)
        return ""


def options(conf: Traversable, group: str) -> list[str]:
    return sorted(
        file.name.removesuffix(".yaml")
        for file in (conf / group).iterdir()
        if file.name.endswith(".yaml")
    )


def section(conf: Traversable, group: str, name: str) -> DictConfig:
    """An option's file as it stands in the whole configuration."""
    text = (conf / group / f"{name}.yaml").read_text(encoding="utf-8")
    config = OmegaConf.create(text)
    return config if "# @package _global_" in text else OmegaConf.create({group: config})


def raw(config: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(config, resolve=False)
