"""The text of one Hydra override."""

import re
from collections.abc import Mapping, Sequence

from nersweep.faults import shown

RESERVED = {"true", "false", "null", "nan", "inf"}  # words that Hydra reads as no text


def without_seed(overrides: Sequence[str]) -> tuple[str, ...]:
    """Those that two runs share which repeat one setting."""
    return tuple(
        override for override in overrides if not re.fullmatch(r"seed=(0|[1-9]\d{0,8})", override)
    )


def as_hydra_takes_it(argument: str) -> str:
    """study.space.focal_gamma=interval(0,5), which Hydra would take for a sweep of its own and for a setting that is
    not there, as ++study.space.focal_gamma='interval(0,5)'. Other arguments as they are."""
    found = re.fullmatch(r"\+{0,2}(study\.space\.[^=]+)=(.*)", argument, re.S)
    if not found or re.match(r"""['"\[]""", found[2]):
        return f"++{argument.lstrip('+')}" if found else argument
    return f"++{found[1]}='" + found[2].replace("'", "\\'") + "'"


def for_people(override: str) -> str:
    """Return an override as the user wrote it: undo what as_hydra_takes_it did."""
    bare = override.removeprefix("++")
    unquoted = bare
    if match := re.fullmatch(r"([^=]*)='(.*)'", bare, re.S):
        unquoted = f"{match[1]}=" + match[2].replace("\\'", "'")
    for argument in (unquoted, bare):
        if as_hydra_takes_it(argument) == override:
            return argument
    return override


def setting_of(override: str) -> str:
    """Return the name that an override sets: train.lr for +train.lr=3."""
    return override.lstrip("+").partition("=")[0]


def assignment(name: str, value: object) -> str:
    """Return the override that sets a value."""
    return f"{name}={literal(value)}"


def literal(value: object) -> str:
    """Return a value as Hydra's grammar reads it back: text in quotes where it needs them."""
    if isinstance(value, Mapping):
        items = [f"{literal(key)}: {literal(item)}" for key, item in value.items()]
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(literal, value)) + "]"
    if not isinstance(value, str):
        return shown(value)
    if re.fullmatch(r"[A-Za-z_][\w./-]*", value) and value.lower() not in RESERVED:
        return value
    escaped = re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), value)
    return f"'{escaped}'"
