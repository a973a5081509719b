"""Configurations of many command lines that differ in few settings: composed once, then copied and set."""

import copy
import pickle
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

from hydra import initialize_config_module
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from nersweep.config.build import ROOMS
from nersweep.config.knobs import CONF

MAIN = "config"  # conf/config.yaml


class Composer:
    """Hydra takes 50 ms to compose a configuration, and a copy of it takes 1 ms. So options, which decide what settings
    there are, go through Hydra once, and values are set in copies of that, as Hydra sets them.

    folder: of further files (--config-dir). Inside a `with`, Hydra stays ready.
    """

    def __init__(self, folder: str | None = None):
        self.folder = folder
        self.grammar = OverridesParser.create()
        self.more = [f"hydra.searchpath=['file://{Path(folder).absolute()}']"] if folder else []
        self.parsed = cache(self.parse)
        self.whole = cache(self.compose)
        self.own = cache(self.without_hydra)
        self.without_files = cache(self.from_package)
        self.options = cache(self.offered)  # Hydra copies its defaults at each look, for 10 ms
        self.told: tuple[Any, Any] = (
            None,
            None,
        )  # what HydraConfig holds, and of which configuration: 5 ms to set

    def __enter__(self) -> "Composer":
        self.ready = initialize_config_module(CONF, version_base="1.3")
        self.ready.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self.ready.__exit__(*raised)

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration of a run, without Hydra's section; see `choice` for its options. Raises what
        Hydra raises for overrides that do not compose."""
        with nullcontext() if GlobalHydra.instance().is_initialized() else self:
            options, values = self.split(overrides)
            config = pickle.loads(self.own(options))
            self.tell_hydra(self.whole(options))
            ConfigLoaderImpl._apply_overrides_to_config(values, config)
        return config

    def choice(self, overrides: Sequence[str]) -> dict[str, Any]:
        """Return the option of each group of ours. Raises as a call does."""
        with nullcontext() if GlobalHydra.instance().is_initialized() else self:
            options, _ = self.split(overrides)
            choices = self.whole(options).hydra.runtime.choices
            return {group: choices.get(group) for group in ROOMS}

    def split(self, overrides: Sequence[str]) -> tuple[tuple[str, ...], list[Override]]:
        """Those for Hydra, and the values that are set after them. What comes before an addition or a deletion that it
        may be part of stays before it; what refers to Hydra's own section, as ${hydra:job.override_dirname} does, needs
        all of them there."""
        if any("${hydra:" in override for override in overrides):
            return tuple(overrides), []
        options: list[str] = []
        values: list[Override] = []
        for override in map(self.parsed, overrides):
            if self.is_value(override):
                values.append(override)
                continue
            if override.is_add() or override.is_delete():
                before = max(
                    (i for i, value in enumerate(values, 1) if overlap(value, override)), default=0
                )
                options += [value.input_line for value in values[:before]]
                del values[:before]
            options.append(override.input_line)
        return tuple(options), values

    def parse(self, override: str) -> Override:
        parsed = self.grammar.parse_override(override)
        parsed.config_loader = self  # whom a glob asks
        return parsed

    def get_group_options(self, group: str, **_: object) -> list[str]:
        """What a glob chooses from. The name is that of Hydra's loader, which does not look into further files."""
        return self.options(group)

    def is_value(self, override: Override) -> bool:
        """Does it give a setting that is there one value, and nothing else?"""
        plain = not (
            override.is_add()
            or override.is_delete()
            or override.is_sweep_override()
            or override.package
        )
        return (
            plain and not override.is_hydra_override() and not self.options(override.key_or_group)
        )

    def tell_hydra(self, whole: DictConfig) -> None:
        """Gives it its own section, as interpolations and plan.check read it, unless it has that already."""
        if HydraConfig.instance().cfg is not self.told[0] or whole is not self.told[1]:
            HydraConfig.instance().set_config(whole)
            self.told = HydraConfig.instance().cfg, whole

    def offered(self, group: str) -> list[str]:
        """What a group offers; nothing for a setting."""
        return GlobalHydra.instance().config_loader().get_group_options(group, overrides=self.more)

    def compose(self, overrides: tuple[str, ...], mode: RunMode = RunMode.RUN) -> DictConfig:
        """As Hydra does it, with its own section."""
        hydra = GlobalHydra.instance().hydra
        return hydra.compose_config(MAIN, [*self.more, *overrides], mode, from_shell=False)

    def from_package(self, overrides: tuple[str, ...]) -> DictConfig:
        """As `compose`, without the further files."""
        hydra = GlobalHydra.instance().hydra
        return hydra.compose_config(MAIN, list(overrides), RunMode.RUN, from_shell=False)

    def without_hydra(self, overrides: tuple[str, ...]) -> bytes:
        """Pickled, as a copy from there takes .4 ms, and copy.deepcopy 1.3 ms."""
        whole = self.whole(overrides)
        self.tell_hydra(whole)
        config = copy.deepcopy(whole)
        with open_dict(config):
            del config["hydra"]
        return pickle.dumps(config)


def overlap(one: Override, other: Override) -> bool:
    """Are they the same setting, or one a part of the other?"""
    a, b = (f"{override.key_or_group}." for override in (one, other))
    return a.startswith(b) or b.startswith(a)
