"""Faults in what a user typed, each in one line: the setting, the value, what is allowed, the remedy."""

import re
from collections.abc import Callable, Sequence
from importlib.resources import files

from hydra import errors
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

CONF = "nersweep.conf"


class Faults(ValueError):
    """One or more faults, a line each."""

    def __init__(self, lines: Sequence[str]):
        super().__init__("\n".join(lines))


def one_line(error: BaseException) -> str:
    """The message of an error, or its type where it has none, without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


def knob_owners() -> dict[str, list[str]]:
    """knob -> the options that own it, as in {"focal_gamma": ["loss=focal"]}: the top-level keys of every option that
    is written for the global package."""
    owners: dict[str, list[str]] = {}
    for group in sorted(folder.name for folder in files(CONF).iterdir() if folder.is_dir()):
        for file in sorted((files(CONF) / group).iterdir(), key=lambda file: file.name):
            if file.name.endswith(".yaml") and "# @package _global_" in (text := file.read_text(encoding="utf-8")):
                knobs = set(OmegaConf.create(text)) - {"defaults", group, "train"}
                for knob in sorted(knobs):
                    owners.setdefault(knob, []).append(f"{group}={file.name.removesuffix('.yaml')}")
    return owners


def composition_faults(
    error: Exception, overrides: Sequence[str], compose: Callable[[list[str]], DictConfig]
) -> list[str]:
    """Lines for an error of Hydra's while it composed these overrides; `compose` composes others.

    Hydra stops at the first fault: the override it names is left out and the rest composed again, until all are known.
    """
    lines, left = [], list(overrides)
    while True:
        culprit = next((o for o in left if is_named(o, error)), None)
        if culprit is not None:
            left.remove(culprit)
        lines.append(composition_line(error, culprit, left, compose))
        if culprit is None:
            return lines
        try:
            compose(left)
            return lines
        except (errors.HydraException, OmegaConfBaseException) as next_error:
            error = next_error


def is_named(override: str, error: Exception) -> bool:
    """Is this the override that the error is about?"""
    key, _, value = override.lstrip("+~").partition("=")
    key = key.partition("@")[0]
    message = str(error)
    return any(
        mark in message
        for mark in (f"'{key}'.", f"'{key}' ", f"override {override}", f"'{key}/{value}'", f"'{override}'")
    ) or bool(re.search(rf"full_key: {re.escape(key)}$", message, re.M))


def composition_line(
    error: Exception, override: str | None, left: list[str], compose: Callable[[list[str]], DictConfig]
) -> str:
    message = str(error)
    if override is None:
        return one_line(error)
    key, _, value = override.lstrip("+~").partition("=")
    if isinstance(error, errors.MissingConfigException):
        options = re.findall(r"^\t(.+)$", message, re.M)
        return f"{override}: no such option; {key} takes {', '.join(options) or 'none'}"
    if isinstance(error, errors.OverrideParseException):
        return f"{override}: is not an override; write key=value, with quotes around special characters"
    if wrong := re.search(r"Value '.*' of type '.*' could not be converted to (\w+)", message):
        kinds = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}
        return f"{key}={value}: expected {kinds.get(wrong[1], wrong[1])}"
    if owned_by := knob_owners().get(key):
        return f"{override}: nothing reads it here; it belongs to {' and '.join(owned_by)}"
    return f"{override}: no such setting; {available(key, left, compose)}"


def available(key: str, left: list[str], compose: Callable[[list[str]], DictConfig]) -> str:
    """The settings beside a key that does not exist."""
    parent, _, _ = key.rpartition(".")
    try:
        config = compose(left)
        node = OmegaConf.select(config, parent) if parent else config
    except Exception:  # another override is at fault as well and will be told by its own line
        return "see python -m nersweep --help"
    if not isinstance(node, DictConfig):
        return f"there is no section {parent}; there are {', '.join(map(str, config))}"
    names = [str(name) for name in node if not str(name).startswith("_")]
    return f"{parent or 'the top level'} has {', '.join(names)}"
