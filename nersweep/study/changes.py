"""The difference between a configuration and the default one, as overrides."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from nersweep.config.build import COMPONENTS
from nersweep.config.compose import Composer
from nersweep.config.flat import plain
from nersweep.config.overrides import assignment


@dataclass(frozen=True)
class Change:
    """A setting that differs. exists: the default configuration has this setting too."""

    name: str
    value: Any
    exists: bool


@dataclass(frozen=True)
class Changes:
    """All differences: options by their group, then the settings that differ with these options."""

    options: Mapping[str, str]
    settings: list[Change]

    def values(self) -> dict[str, Any]:
        """Return the options and values by the name that a user sets."""
        values: dict[str, Any] = dict(self.options)
        for change in self.settings:
            values[change.name] = change.value
        return values

    def overrides(self, without: Collection[str]) -> list[str]:
        """Return overrides that give the configuration, except for the settings in `without`."""
        overrides = []
        for group, option in self.options.items():
            if group not in without:
                overrides.append(f"{group}={option}")
        for change in self.settings:
            if change.name not in without:
                prefix = "" if change.exists else "+"
                overrides.append(prefix + assignment(change.name, change.value))
        return overrides


def changes(config: DictConfig, choice: Mapping[str, str], composer: Composer) -> Changes:
    """Compare a configuration with the default one, whether set by a command or by a file.

    choice: the option of each group.
    """
    options: dict[str, str] = {}
    for group in ("loss", *COMPONENTS):  # the loss first, because it may bring other options along
        if composer.choice(option_overrides(options))[group] != choice[group]:
            options[group] = choice[group]
    default = plain(composer(option_overrides(options)))
    own = plain(config)
    own.pop("study")  # which does not describe the run
    return Changes(options, list(differences(own, default)))


def option_overrides(options: Mapping[str, str]) -> list[str]:
    return [f"{group}={option}" for group, option in options.items()]


def differences(
    new: Mapping[str, Any], old: Mapping[str, Any], prefix: str = ""
) -> Iterator[Change]:
    """Yield the settings of `new` that `old` lacks or has with another value."""
    for key, value in new.items():
        name = f"{prefix}{key}"
        if key not in old:
            yield Change(name, value, exists=False)
        elif isinstance(value, Mapping) and isinstance(old[key], Mapping):
            yield from differences(value, old[key], f"{name}.")
        elif value != old[key]:
            yield Change(name, value, exists=True)
