"""The difference between a configuration and the default one, by the names of overrides."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from nersweep.config.build import COMPONENTS
from nersweep.config.compose import Composer
from nersweep.config.flat import plain
from nersweep.config.overrides import assignments


def changes(config: DictConfig, choice: Mapping[str, str], composer: Composer) -> dict[str, Any]:
    """Return what differs from the default configuration, whether set by a command or by a file.

    Options come first, then the settings that differ with these options, by their dotted names.
    A + marks a setting that the default configuration lacks. choice: the option of each group.
    """
    options: dict[str, Any] = {}
    for group in ("loss", *COMPONENTS):  # the loss first, because it may bring other options along
        if composer.choice(assignments(options))[group] != choice[group]:
            options[group] = choice[group]
    default = plain(composer(assignments(options)))
    own = plain(config)
    for section in ("study", "sweep", "seeds", "tune"):  # which do not describe the run
        own.pop(section)
    return options | differences(own, default)


def differences(
    new: Mapping[str, Any], old: Mapping[str, Any], section: str = ""
) -> dict[str, Any]:
    """Return the settings of `new` that `old` lacks or has with another value."""
    values: dict[str, Any] = {}
    for key, value in new.items():
        name = f"{section}{key}"
        if key not in old:
            values[f"+{name}"] = value
        elif isinstance(value, Mapping) and isinstance(old[key], Mapping):
            values |= differences(value, old[key], f"{name}.")
        elif value != old[key]:
            values[name] = value
    return values
