"""From a section of the configuration to the object that it describes. The only place that instantiates."""

import inspect
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hydra.utils import get_object

from nersweep.config.flat import flat
from nersweep.config.plugins import is_within, plugins
from nersweep.config.schema import describe
from nersweep.faults import Fault, Faults, UserError, reason, shown

# The sections that name a class, and the room in which it must live. A configuration may come from a stranger, so
# nothing else is ever called.
ROOMS = {
    "data": "nersweep.data",
    "model": "nersweep.model.encoders",
    "head": "nersweep.model.heads",
    "loss": "nersweep.losses",
    "weights": "nersweep.weights",
    "aux": "nersweep.model.auxiliary",
}
# What tells the classes that can be chosen from others in the same room.
METHOD = {
    "data": "load",
    "model": "build",
    "head": "decode",
    "loss": "terms",
    "weights": "raw",
    "aux": "vocabularies",
}

# Losses and heads wait for what is known only once the data is read, and are given what their signature asks for: class
# weights and training counts of the classes that the loss sees, and their names; the encoder and the labels of a head.
WAITING = ("loss", "head")
FACTS = {"weight", "counts", "labels", "encoder"}
STAND_INS = {
    "counts": (1, 1, 1),
    "labels": ("O", "B-X", "I-X"),
}  # for losses that are tried before the data is read


@dataclass(frozen=True)
class Recipe:
    """A loss or a head, to be made when the data is known. A compound loss holds the recipes of its terms."""

    section: str  # where its settings are: loss, or loss.terms.dice
    target: type
    arguments: dict[str, Any]
    raw: Mapping[str, Any]  # the section before its interpolations are resolved

    def terms(self) -> dict[str, "Recipe"]:
        """Those of a compound loss that have a weight."""
        weights = self.arguments.get("weights") or {}
        return {
            name: term
            for name, term in self.arguments.get("terms", {}).items()
            if weights.get(name, 1) != 0
        }

    def make(self, **facts: Any) -> Any:
        """Raises ValueError under the names that a user types, where arguments and facts do not fit."""
        arguments = dict(self.arguments)
        if "terms" in arguments:
            arguments["terms"] = {name: term.make(**facts) for name, term in self.terms().items()}
            weights = arguments.get("weights") or {}
            arguments["weights"] = {
                name: weight for name, weight in weights.items() if name in arguments["terms"]
            }
        wanted = {name: fact for name, fact in facts.items() if name in signature(self.target)}
        try:
            return self.target(**arguments, **wanted)
        except ValueError as error:
            raise ValueError(with_typed_name(self.section, str(error), self.raw)) from None

    def losses(self) -> list[type]:
        """The class of this loss, or of each of its terms."""
        return [loss for term in self.terms().values() for loss in term.losses()] or [self.target]


def build(section: str, raw: Mapping[str, Any], resolved: Mapping[str, Any]) -> Any:
    """The object that a section describes. Heads and losses are given as recipes: they wait for what the data tells.
    A section without _target_ is None. The terms of a compound loss are sections of their own: loss.terms.dice.

    Raises Faults under the names that a user types.
    """
    if "_target_" not in resolved:
        if resolved:
            raise ValueError(
                f"{section}: settings without _target_; choose an option, as in {section}=NAME"
            )
        return None
    target = locate(section, resolved["_target_"])
    arguments = {key: value for key, value in resolved.items() if key not in ("_target_", "terms")}
    if section == "loss" and "weight" in signature(target):
        arguments.pop("weight", None)  # focal_alpha: class weights, which come as a fact
    terms, faults = built_terms(section, raw, resolved)
    faults |= argument_faults(section, target, arguments | terms, raw)
    made = None
    if not any(key.startswith("terms") for key in faults):
        made = tried(
            section,
            target,
            {k: v for k, v in (arguments | terms).items() if k not in faults},
            raw,
            faults,
        )
    if faults:
        raise Faults(list(faults.values()))
    return Recipe(section, target, arguments | terms, raw) if section.startswith(WAITING) else made


def built_terms(
    section: str, raw: Mapping[str, Any], resolved: Mapping[str, Any]
) -> tuple[dict, dict[str, str]]:
    """The recipes of a compound loss's terms as an argument, and the faults in them; nothing for other sections."""
    if "terms" not in resolved:
        return {}, {}
    recipes, faults, terms = {}, {}, resolved["terms"]
    if not isinstance(terms, Mapping) or not all(
        isinstance(term, Mapping) for term in terms.values()
    ):
        return {}, {"terms": f"{section}.terms={shown(terms)}: expected losses by name"}
    for name, term in terms.items():
        try:
            recipes[name] = build(f"{section}.terms.{name}", raw["terms"][name], term)
        except ValueError as error:
            faults[f"terms.{name}"] = str(error)
    return {"terms": recipes}, faults


def tried(
    section: str, target: type, left: dict[str, Any], raw: Mapping[str, Any], faults: dict[str, str]
) -> Any:
    """An object made of these arguments. Its faults are added to `faults`: a class tells its first one, and without the
    argument at fault, so with its default, it tells the next. Heads are not tried, and losses with stand-ins for the
    facts that they cannot do without; None for what waits for the data."""
    if section == "head":
        return None
    if "terms" in left:
        terms: dict[str, Recipe] = left["terms"]
        left["terms"] = {
            name: tried(t.section, t.target, {**t.arguments}, t.raw, {})
            for name, t in terms.items()
        }
        if None in left["terms"].values():
            return None
    known = signature(target)
    facts = {
        name: f
        for name, f in STAND_INS.items()
        if name in known and known[name].default is known[name].empty
    }
    while can_be_called(target, left | facts):
        try:
            return target(**left, **facts)
        except ValueError as error:
            name = str(error).partition("=")[0]
            if name not in (
                FACTS if section.startswith(WAITING) else ()
            ):  # those can be told only of the data
                faults[name] = "\n".join(
                    with_typed_name(section, line, raw) for line in str(error).split("\n")
                )
            if left.pop(name, None) is None:
                return None
    return None


def can_be_called(target: type, arguments: Mapping[str, Any]) -> bool:
    known = signature(target)
    needed = {name for name, parameter in known.items() if parameter.default is parameter.empty}
    return needed <= arguments.keys() <= known.keys()


def locate(section: str, path: object) -> type:
    """Return the class that a _target_ names.

    It must be defined in the section's own room or in a plug-in: a configuration may come from a
    stranger, so nothing else is imported. Raises UserError.
    """
    group = section.partition(".")[0]
    rooms = (ROOMS[group], *plugins())
    allowed = f"must be a class of {' or '.join(rooms)}"
    refusal = UserError(Fault(f"{section}._target_", path, allowed))
    if not (re.fullmatch(r"\w+(\.[A-Za-z]\w*)+", str(path)) and is_within(str(path), rooms)):
        raise refusal
    try:
        target: object = get_object(str(path))
    except Exception as error:
        if is_within(str(path), rooms[:1]):
            raise refusal from None
        cannot = f"cannot be imported ({reason(error)})"
        raise UserError(Fault(f"{section}._target_", path, cannot)) from None
    if not inspect.isclass(target) or not is_within(target.__module__, rooms):
        raise refusal
    if inspect.isabstract(target) or not hasattr(target, METHOD[group]):
        raise refusal
    return target


@cache
def signature(target: type) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(target).parameters)


def typed_name(section: str, argument: str, raw: Mapping[str, Any]) -> str:
    """How a user types an argument: by the knob that feeds it, else by its place."""
    values, parts = flat(raw), argument.split(".")
    for end in range(
        len(parts), 0, -1
    ):  # weights.dice of a compound loss may be fed as a whole, or weight by weight
        fed_by = re.fullmatch(r"\$\{(\w+)\}", str(values.get(".".join(parts[:end]))))
        if fed_by:
            return ".".join([fed_by[1], *parts[end:]])
    return f"{section}.{argument}"


def with_typed_name(section: str, line: str, raw: Mapping[str, Any]) -> str:
    """A fault that names an argument of a class, under the name that a user types."""
    name, sign, rest = line.partition("=")
    return (
        f"{typed_name(section, name, raw)}{sign}{rest}"
        if sign and name.partition(".")[0] in raw
        else line
    )


def argument_faults(
    section: str, target: type, arguments: Mapping[str, Any], raw: Mapping[str, Any]
) -> dict[str, str]:
    """argument -> what is wrong with its name or its type."""
    known, hints = signature(target), typing.get_type_hints(target.__init__)
    waits = FACTS if section.startswith(WAITING) else set()
    settings = {key: parameter for key, parameter in known.items() if key not in waits}
    faults = {}
    for name, value in arguments.items():
        if name not in settings:
            options = ", ".join(
                typed_name(section, key, raw).removeprefix(f"{section}.") for key in settings
            )
            faults[name] = (
                f"{section}.{name}={shown(value)}: no such setting; {section} has {options or 'no settings'}"
            )
        elif name in hints and not fits(value, hints[name]):
            faults[name] = (
                f"{typed_name(section, name, raw)}={shown(value)}: expected {describe(hints[name])}"
            )
    needed = (key for key, parameter in settings.items() if parameter.default is parameter.empty)
    return faults | {
        key: f"{section}.{key}: must be given" for key in needed if key not in arguments
    }


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
