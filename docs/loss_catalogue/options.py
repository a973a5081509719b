"""An option of conf/loss as its YAML describes it: knobs, defaults, ranges, and the loss itself."""

import inspect
import math
import typing
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from nersweep.config.build import STAND_INS, Recipe, build, fits, locate
from nersweep.config.flat import flat
from nersweep.config.schema import describe
from nersweep.faults import UserError, shown

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
SMALL = {"O": 16, "B-X": 3, "I-X": 1}  # the batch in which the p_y of one word varies
STEP = {"O": 540, "B-X": 50, "I-X": 10}  # an optimiser step


class Option:
    """loss=NAME as its YAML describes it, with the class weights and the head that it sets."""

    def __init__(self, name: str, conf: Traversable):
        self.name = name
        own = section(conf, "loss", name)
        self.groups: dict[str, str] = {}  # that the option overrides
        for item in own.pop("defaults", []):
            if OmegaConf.is_dict(item):
                for key, value in item.items():
                    self.groups[key.removeprefix("override /")] = value
        others = [section(conf, group, value) for group, value in self.groups.items()]
        self.config = OmegaConf.merge(*others, own)
        self.knobs = []
        for key, value in raw(own).items():
            if key != "loss" and "${" not in str(value):
                self.knobs.append(key)

    def recipe(self, *settings: str) -> Recipe:
        """Return the loss, unbuilt, with settings such as "focal_gamma=3".

        Raises UserError for settings out of range.
        """
        return self.part("loss", self.changed(*settings))

    def changed(self, *settings: str) -> DictConfig:
        return OmegaConf.merge(self.config, OmegaConf.from_dotlist(list(settings)))

    def part(self, name: str, config: DictConfig) -> Any:
        return build(name, raw(config)[name], OmegaConf.to_container(config, resolve=True)[name])

    def loss(
        self, *settings: str, counts: Mapping[str, int] = SMALL, weight: Tensor | None = None
    ) -> Any:
        recipe = self.recipe(*settings)
        loss = recipe.make(counts=list(counts.values()), labels=tuple(counts), weight=weight)
        return loss.eval()  # so that GHM-C and moving centroids keep their state

    def weights(self, counts: Mapping[str, int], *settings: str) -> np.ndarray:
        """Return the weights (C,) of the scheme that the option sets."""
        scheme = self.part("weights", self.changed(*settings))
        return scheme(np.array([*counts.values()]), tuple(counts))

    def default(self, knob: str) -> str:
        value = self.groups.get(knob, OmegaConf.select(self.config, knob))
        value = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        return shown(value).replace("'", "")

    def range(self, knob: str, conf: Traversable) -> str:
        """Return what a knob accepts: the class's requirement, its type, or a group's options."""
        if knob in self.groups:
            return ", ".join(options(conf, knob))
        section, argument, item = self.place(knob)
        if argument == "weight":  # class weights
            return "–"
        target = locate(section, OmegaConf.select(self.config, section)._target_)
        hint = typing.get_type_hints(target.__init__)[argument]
        for value in (math.nan, -1, "?"):
            if item or fits(value, hint):
                allowed = self.requirement(knob, value)
                if allowed:
                    return f"a whole number {allowed}" if hint is int else allowed
        return describe(hint)

    def requirement(self, knob: str, value: object) -> str:
        """Return what a class says when it refuses this value of a knob; "" if it accepts it."""
        changed = OmegaConf.create(raw(self.config))
        OmegaConf.update(changed, knob, value, merge=False)
        section, _, _ = self.place(knob)
        settings = OmegaConf.to_container(OmegaConf.select(changed, section), resolve=True)
        target = locate(section, settings.pop("_target_"))
        settings.pop("weight", None)
        if "terms" in settings:
            settings["terms"] = dict(self.loss().parts)
        for name, parameter in inspect.signature(target).parameters.items():
            if name in STAND_INS and parameter.default is parameter.empty:
                settings[name] = STAND_INS[name]
        try:
            target(**settings)
        except UserError as error:
            return error.faults[0].must.removeprefix("must be ")
        return ""

    def place(self, knob: str) -> tuple[str, str, str]:
        """Return the section, the argument and its item that a knob feeds.

        focal_gamma feeds ("loss", "gamma", ""), boundary_weight ("loss", "weights", "boundary").
        """
        values = flat(raw(self.config))
        while "." not in knob:
            knob = next(key for key, value in values.items() if value == f"${{{knob}}}")
        parts = knob.split(".")
        end = len(parts) - 1
        while f"{'.'.join(parts[:end])}._target_" not in values:
            end -= 1
        return ".".join(parts[:end]), parts[end], ".".join(parts[end + 1 :])


def options(conf: Traversable, group: str) -> list[str]:
    names = [file.name for file in (conf / group).iterdir() if file.name.endswith(".yaml")]
    return sorted(name.removesuffix(".yaml") for name in names)


def section(conf: Traversable, group: str, name: str) -> DictConfig:
    """Return an option's file as a part of the whole configuration."""
    text = (conf / group / f"{name}.yaml").read_text(encoding="utf-8")
    config = OmegaConf.create(text)
    return config if "# @package _global_" in text else OmegaConf.create({group: config})


def raw(config: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(config, resolve=False)
