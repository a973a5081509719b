"""Build the object that a section describes. The only place that instantiates."""

import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from typing import Any

from nersweep.config.flat import flat
from nersweep.config.plugins import is_within, plugins
from nersweep.config.schema import describe
from nersweep.faults import Fault, UserError, blame, reason

# The sections that name a class, and the module or package that must define it.
COMPONENTS = {
    "data": "nersweep.data",
    "model": "nersweep.model.encoders",
    "head": "nersweep.model.heads",
    "loss": "nersweep.losses",
    "weights": "nersweep.weights",
    "aux": "nersweep.model.auxiliary",
    "augment": "nersweep.data.augment",
}
# The argument that has such sections in it, of a compound loss and of a mix of data.
PARTS = {"loss": "terms", "data": "sets"}
# The method that only classes for this section have.
METHOD = {
    "data": "load",
    "model": "build",
    "head": "decode",
    "loss": "terms",
    "weights": "raw",
    "aux": "vocabularies",
    "augment": "generate",
}
# Losses and heads are built once the data is read, with the facts that their signature names.
WAITING = ("loss", "head")
FACTS = {"weight", "counts", "labels", "encoder"}
STAND_INS = {"counts": (1, 1, 1), "labels": ("O", "B-X", "I-X")}  # facts for a trial of a loss


@dataclass(frozen=True)
class Names:
    """The names under which the user sets the arguments of a section's class."""

    section: str  # loss, or loss.terms.dice
    raw: Mapping[str, Any]  # the section before interpolation
    alias: Mapping[str, str] = field(default_factory=dict)  # argument: its name in the section

    def of(self, argument: str) -> str:
        """Return the knob that feeds an argument (focal_gamma), else its place (loss.gamma).

        A mapping may be fed as a whole or entry by entry: weights.dice of a compound loss.
        """
        head, dot, rest = argument.partition(".")
        parts = (self.alias.get(head, head) + dot + rest).split(".")
        values = flat(self.raw)
        for end in range(len(parts), 0, -1):
            knob = re.fullmatch(r"\$\{(\w+)\}", str(values.get(".".join(parts[:end]))))
            if knob:
                return ".".join([knob[1], *parts[end:]])
        return ".".join([self.section, *parts])

    def rename(self, fault: Fault) -> Fault:
        """Return a fault that a class raised, under the user's name of the argument."""
        argument = fault.setting.partition(".")[0]
        is_argument = self.alias.get(argument, argument) in self.raw
        return replace(fault, setting=self.of(fault.setting)) if is_argument else fault

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Raise faults of the enclosed code under the user's names."""
        try:
            yield
        except UserError as error:
            raise UserError(*map(self.rename, error.faults)) from error


@dataclass(frozen=True)
class Recipe:
    """A loss or a head that waits for the data. A compound loss holds the recipes of its terms."""

    target: type
    arguments: dict[str, Any]
    names: Names

    def terms(self) -> dict[str, "Recipe"]:
        """Return the terms of a compound loss whose weight is not 0."""
        weights = self.arguments.get("weights") or {}
        terms = self.arguments.get("terms", {})
        return {name: term for name, term in terms.items() if weights.get(name, 1) != 0}

    def make(self, **facts: Any) -> Any:
        """Return the object. Raises UserError where arguments and facts do not fit."""
        arguments = dict(self.arguments)
        if "terms" in arguments:
            arguments["terms"] = {name: term.make(**facts) for name, term in self.terms().items()}
            weights = arguments.get("weights") or {}
            arguments["weights"] = {n: w for n, w in weights.items() if n in arguments["terms"]}
        for name in facts.keys() & signature(self.target).keys():
            arguments[name] = facts[name]
        with self.names.restored(), blame(self.names.section, self.target):
            return self.target(**arguments)

    def losses(self) -> list[type]:
        """Return the class of this loss, or of each of its terms."""
        losses = [loss for term in self.terms().values() for loss in term.losses()]
        return losses or [self.target]


def build(section: str, raw: Mapping[str, Any], resolved: Mapping[str, Any]) -> Any:
    """Return the object that a section describes; a Recipe for head and loss, None if empty.

    The terms of a compound loss are sections of their own, loss.terms.dice, and so are the sets of
    a mix of data, data.sets.news. Raises UserError with all faults, under the user's names.
    """
    if "_target_" not in resolved:
        if resolved:
            remedy = f"choose an option, as in {section}=NAME"
            raise UserError(Fault(section, must="settings without _target_", remedy=remedy))
        return None
    target, names = locate(section, resolved["_target_"]), Names(section, raw)
    arguments = {key: value for key, value in resolved.items() if key != "_target_"}
    if section == "loss" and "weight" in signature(target):
        arguments.pop("weight", None)  # focal_alpha: class weights, which are a fact
    corrections = arguments.pop("corrections", None) if section.startswith("data") else None
    faults: dict[str, Fault] = {}  # by argument
    parts = PARTS.get(section.partition(".")[0], "")
    has_parts = parts == "terms" or is_within(target.__module__, (COMPONENTS["data"],))
    if parts in resolved and has_parts:
        arguments[parts] = build_parts(section, parts, raw, resolved[parts], faults)
    faults |= argument_faults(section, target, arguments, names)
    instance = None
    if not parts or not any(argument.startswith(parts) for argument in faults):
        fitting = {key: value for key, value in arguments.items() if key not in faults}
        instance = attempt(Recipe(target, fitting, names), faults)
    if corrections is not None:
        instance = with_corrections(instance, corrections, names, faults)
    if faults:
        raise UserError(*faults.values())
    return Recipe(target, arguments, names) if section.startswith(WAITING) else instance


def with_corrections(data: Any, file: Any, names: Names, faults: dict[str, Fault]) -> Any:
    """Return a data set, if it could be built, with the corrections of a file."""
    if not isinstance(file, str):
        faults["corrections"] = Fault("data.corrections", file, "expected a file")
        return None
    target = locate("data", "nersweep.data.corrections.Corrected")
    return attempt(Recipe(target, {"data": data, "corrections": file}, names), faults)


def build_parts(
    section: str, key: str, raw: Mapping[str, Any], parts: Any, faults: dict[str, Fault]
) -> dict[str, Any]:
    """Return the terms of a compound loss, or the sets of a mix of data, by name.

    key: their place in the section, terms or sets. Adds their faults to `faults`.
    """
    built: dict[str, Any] = {}
    group = section.partition(".")[0]
    kind, remedy = "loss", ""
    if group == "data":
        kind, remedy = "data set", f"add each: +data@{section}.{key}.NAME=OPTION"
    if not isinstance(parts, Mapping) or not parts:
        faults[key] = Fault(f"{section}.{key}", parts, f"expected a {kind} by name", remedy)
        return built
    for name, part in parts.items():
        place = f"{section}.{key}.{name}"
        if not isinstance(part, Mapping) or "_target_" not in part:
            must = f"expected a {kind}, as in conf/{group}"
            faults[f"{key}.{name}"] = Fault(place, part, must, remedy)
            continue
        try:
            built[name] = build(place, raw[key][name], part)
        except UserError as error:
            for fault in error.faults:
                faults[f"{key}.{name}.{fault.setting}"] = fault
    return built


def attempt(recipe: Recipe, faults: dict[str, Fault]) -> Any:
    """Return an object made of a recipe; None for what waits for the data. Add faults to `faults`.

    A class may raise its first fault only. Without the argument at fault, so with its default, it
    raises the next. Heads are not tried; losses are, with stand-ins for the facts they need.
    """
    section, target, arguments = recipe.names.section, recipe.target, dict(recipe.arguments)
    if section == "head":
        return None
    if "terms" in arguments:
        terms = {name: attempt(term, {}) for name, term in arguments["terms"].items()}
        if None in terms.values():
            return None
        arguments["terms"] = terms
    parameters = signature(target)
    required = {name for name, p in parameters.items() if p.default is p.empty}
    facts = {name: fact for name, fact in STAND_INS.items() if name in required}
    waits = FACTS if section.startswith(WAITING) else set()  # faults of facts need the data
    while required <= (arguments | facts).keys() <= parameters.keys():
        try:
            with blame(section, target):
                return target(**arguments, **facts)
        except UserError as error:
            count = len(arguments)
            for fault in error.faults:
                if fault.setting not in waits:
                    faults.setdefault(fault.setting, recipe.names.rename(fault))
                arguments.pop(fault.setting, None)
            if len(arguments) == count:
                return None
    return None


def locate(section: str, path: object) -> type:
    """Return the class that a _target_ names.

    It must be defined in the section's own room or in a plug-in: a configuration may come from a
    stranger, so nothing else is imported. Raises UserError.
    """
    group = section.partition(".")[0]
    rooms = (COMPONENTS[group], *plugins())
    allowed = f"must be a class of {' or '.join(rooms)}"
    refusal = UserError(Fault(f"{section}._target_", path, allowed))
    if not (re.fullmatch(r"\w+(\.[A-Za-z]\w*)+", str(path)) and is_within(str(path), rooms)):
        raise refusal
    module, _, name = str(path).rpartition(".")
    try:  # Hydra's get_object would log the error as well
        target: object = getattr(import_module(module), name)
    except Exception as error:
        if is_within(str(path), rooms[:1]):
            raise refusal from None
        cannot = f"cannot be imported ({reason(error)})"
        raise UserError(Fault(f"{section}._target_", path, cannot)) from None
    if not inspect.isclass(target) or not is_within(target.__module__, rooms):
        raise refusal
    if inspect.isabstract(target) or not hasattr(target, METHOD[group]):
        raise refusal
    if group == "loss":
        from nersweep.losses.base import Loss  # torch takes seconds, and --help does not need it

        if not issubclass(target, Loss):
            must = "must derive from nersweep.losses.Loss"
            raise UserError(Fault(f"{section}._target_", path, must))
    return target


@cache
def signature(target: type) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(target).parameters)


def argument_faults(
    section: str, target: type, arguments: Mapping[str, Any], names: Names
) -> dict[str, Fault]:
    """Return the faults in the names and types of arguments, by argument."""
    hints = typing.get_type_hints(target.__init__)  # type: ignore[misc]
    waits = FACTS if section.startswith(WAITING) else set()
    settings = {key: p for key, p in signature(target).items() if key not in waits}
    faults: dict[str, Fault] = {}
    for name, value in arguments.items():
        if name not in settings:
            others = ", ".join(names.of(key).removeprefix(f"{section}.") for key in settings)
            remedy = f"{section} has {others or 'no settings'}"
            faults[name] = Fault(f"{section}.{name}", value, "no such setting", remedy)
        elif name in hints and not fits(value, hints[name]):
            faults[name] = Fault(names.of(name), value, f"expected {describe(hints[name])}")
    for name, parameter in settings.items():
        if parameter.default is parameter.empty and name not in arguments:
            faults[name] = Fault(f"{section}.{name}", must="must be given")
    return faults


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def fits(value: Any, hint: Any) -> bool:
    """Return whether a value of a configuration has the type that a signature asks for."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(fits(value, option) for option in inner)
    if origin is typing.Literal:
        return value in inner
    if origin is not None and issubclass(origin, Mapping):
        return isinstance(value, dict)
    if origin is not None and issubclass(origin, Sequence):
        return isinstance(value, list) and all(fits(item, inner[0]) for item in value)
    if hint is Any or hint is object:
        return True
    if hint is float:
        return is_number(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)
