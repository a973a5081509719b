"""Compose many configurations that differ in few settings: once by Hydra, then copied and set."""

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
from hydra.errors import ConfigCompositionException, HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from nersweep.config.build import COMPONENTS
from nersweep.config.knobs import CONF
from nersweep.config.overrides import text_of

MAIN = "config"  # conf/config.yaml
# What Hydra raises while it composes.
COMPOSITION = (HydraException, OmegaConfBaseException, YAMLError, ValueError, OSError)


class Composer:
    """Composes configurations as Hydra does, quickly.

    Hydra takes 50 ms for one, a copy takes 1 ms. So options, which decide which settings exist, go
    through Hydra once, and values are set in copies, as Hydra sets them. Inside a `with`, Hydra
    stays ready. folder: further files (--config-dir).
    """

    def __init__(self, folder: str | None = None):
        self.folder = folder
        self.grammar = OverridesParser.create()
        self.more = [f"hydra.searchpath=['file://{Path(folder).absolute()}']"] if folder else []
        self.parsed = cache(self.parse)
        self.whole = cache(self.compose)
        self.own = cache(self.without_hydra)
        self.options = cache(self.group_options)
        self.repository = cache(self.open_repository)
        # What HydraConfig holds, and the configuration it is from: setting it takes 5 ms.
        self.current: tuple[Any, Any] = (None, None)

    def __enter__(self) -> "Composer":
        self.ready = initialize_config_module(CONF, version_base="1.3")
        self.ready.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.ready.__exit__(*error)

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        """Return a run's configuration without Hydra's section. Raises as Hydra does."""
        with nullcontext() if GlobalHydra.instance().is_initialized() else self:
            options, values = self.split(overrides)
            config = pickle.loads(self.own(options))
            self.set_hydra_config(self.whole(options))
            self.set(values, config)
        return config

    def set(self, values: Sequence[Override], config: DictConfig) -> None:
        """Set values in a configuration. Raises as Hydra does."""
        ConfigLoaderImpl._apply_overrides_to_config(list(values), config)

    def choice(self, overrides: Sequence[str]) -> dict[str, Any]:
        """Return the chosen option of each group of ours. Raises as a call does."""
        with nullcontext() if GlobalHydra.instance().is_initialized() else self:
            options, _ = self.split(overrides)
            choices = self.whole(options).hydra.runtime.choices
            return {group: choices.get(group) for group in COMPONENTS}

    def split(self, overrides: Sequence[str]) -> tuple[tuple[str, ...], list[Override]]:
        """Return the overrides that Hydra composes, and the others, which are set after them.

        An interpolation of Hydra's section, such as ${hydra:job.override_dirname}, needs them all.
        """
        if any("${hydra:" in override for override in overrides):
            return tuple(overrides), []
        options: list[str] = []
        values: list[Override] = []
        for override in map(self.parsed, overrides):
            for_hydra = override.is_hydra_override() or override.is_sweep_override()
            is_group = self.options(override.key_or_group)
            if for_hydra or (is_group and not isinstance(override.value(), dict)):
                options.append(text_of(override))
            else:
                values.append(override)
        return tuple(options), values

    def parse(self, override: str) -> Override:
        parsed = self.grammar.parse_override(override)
        parsed.config_loader = self  # type: ignore[assignment]  # a glob asks it for options
        return parsed

    def get_group_options(self, group: str, **_: object) -> list[str]:
        """Return what a glob chooses from. Named as Hydra's loader, which ignores the folder."""
        return self.options(group)

    def set_hydra_config(self, whole: DictConfig) -> None:
        """Give Hydra its own section, which interpolations read, unless it has it already."""
        if HydraConfig.instance().cfg is not self.current[0] or whole is not self.current[1]:
            HydraConfig.instance().set_config(whole)
            self.current = HydraConfig.instance().cfg, whole

    def group_options(self, group: str) -> list[str]:
        """Return the options of a group; none for a setting."""
        options: list[str] = self.repository().get_group_options(group)
        return options

    def open_repository(self) -> Any:
        """Return the files that Hydra composes. Its own loader opens them each time, for 10 ms."""
        loader: Any = GlobalHydra.instance().config_loader()
        return loader._parse_overrides_and_create_caching_repo(None, self.more)[1]

    def compose(self, overrides: tuple[str, ...], mode: RunMode = RunMode.RUN) -> DictConfig:
        """Return the configuration with Hydra's section. Raises as Hydra does."""
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        try:
            whole = hydra.compose_config(MAIN, [*self.more, *overrides], mode, from_shell=False)
        except AttributeError:  # a file with `hydra: null`
            raise ConfigCompositionException("hydra must be a section") from None
        for name in ("launcher", "sweeper"):
            if not isinstance(whole.hydra[name], DictConfig):
                raise ConfigCompositionException(f"hydra.{name} must be a section")
        return whole

    def without_hydra(self, overrides: tuple[str, ...]) -> bytes:
        """Return a configuration pickled: loading takes .4 ms, copy.deepcopy 1.3 ms."""
        whole = self.whole(overrides)
        self.set_hydra_config(whole)
        config = copy.deepcopy(whole)
        with open_dict(config):
            del config["hydra"]
        return pickle.dumps(config)
