"""The files that a command composes, and values in them that cannot be merged."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any

from hydra._internal.defaults_list import create_defaults_list
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from nersweep.config.compose import COMPOSITION, MAIN, Composer
from nersweep.config.flat import flat, plain
from nersweep.config.knobs import beside
from nersweep.config.schema import describe, type_of
from nersweep.config.settings import FIXED
from nersweep.faults import Fault, reason

# What a file may set in Hydra's own section, and what is allowed there.
ALLOWED = {
    "hydra.mode": "must be RUN or MULTIRUN",
    "hydra.sweeper.params": "must be a section of NAME: VALUES",
}
GLOBAL = "# @package _global_"
NO_SETTINGS = "must hold settings, as in NAME: VALUE"  # of a file with a number or a list


@dataclass(frozen=True)
class File:
    """A file that Hydra merges, whichever defaults list includes it.

    name: experiment/mine.yaml. package: the section that it is merged into; empty for all of the
    configuration. values: a mapping; a list where the file holds one. is_strange: of --config-dir.
    by_hydra: included by Hydra's own files.
    """

    name: str
    package: str
    values: Any
    is_strange: bool
    by_hydra: bool

    def placed(self) -> dict[str, Any]:
        """Return the values at the place where Hydra merges them."""
        return {self.package: self.values} if self.package else self.values

    def fault(self) -> Fault | None:
        """Return the fault of a file that is merged where nothing reads it, or holds a list."""
        if not isinstance(self.values, Mapping):
            return Fault(self.name, must=NO_SETTINGS)
        package = self.package
        is_read = not package or package.split(".")[0] in (*FIXED, "hydra")
        if is_read and not (package in FIXED and package in self.values):
            return None
        must = f"its settings would belong to {package}"
        return Fault(self.name, must=must, remedy=f"begin the file with the line {GLOBAL}")


def files_of(options: Sequence[str], composer: Composer) -> list[File]:
    """Return the files that Hydra merges for some options. Raises as Hydra does."""
    loader: Any = GlobalHydra.instance().config_loader()
    parsed, repository = loader._parse_overrides_and_create_caching_repo(
        MAIN, [*composer.more, *options]
    )
    defaults = create_defaults_list(
        repository, MAIN, parsed, prepend_hydra=True, skip_missing=False
    )
    loaded = {
        default.config_path: repository.load_config(default.config_path)
        for default in defaults.defaults
    }
    strange = {path for path, file in loaded.items() if file.path.startswith("file://")}
    files = []
    for default in defaults.defaults:
        path = default.config_path
        by_hydra = (default.parent or "").startswith(("hydra/", "<root>"))
        by_hydra = by_hydra and default.parent not in strange
        values = plain(loaded[path].config)
        package = default.package or ""
        files.append(File(f"{path}.yaml", package, values, path in strange, by_hydra))
    return files


def file_faults(
    options: Sequence[str], config: DictConfig, choices: Mapping[str, Any], composer: Composer
) -> list[Fault]:
    """Return the faults of the folder's files that do not merge into a configuration."""
    faults = []
    try:
        files = files_of(options, composer)
    except COMPOSITION:  # a file that is missing, or no YAML
        return []
    for file in files:
        if not file.is_strange:
            continue
        if fault := file.fault():
            faults.append(fault)
        else:
            faults += merge_faults(file.placed(), config, choices, file.name)
    return faults


def merge_faults(
    values: Mapping[str, Any], config: DictConfig, choices: Mapping[str, Any], file: str = ""
) -> list[Fault]:
    """Return a fault for each value that a configuration cannot take: its name, or its type.

    choices: the option of each group. file: where the values are from, if not the command line.
    """
    whole = copy.deepcopy(config)
    OmegaConf.set_readonly(whole, False)
    OmegaConf.set_struct(whole, False)  # typed sections stay closed
    faults = []
    for key, value in flat(values).items():
        name = str(key)  # YAML reads 3: x as a number
        is_section = isinstance(OmegaConf.select(config, name), DictConfig)
        if is_section and not isinstance(value, Mapping):
            faults.append(Fault(name, value, expected(name) or "must be a section", file=file))
            continue
        try:
            OmegaConf.update(whole, name, value)
        except (ConfigKeyError, ConfigAttributeError):
            remedy = beside(config, name, choices)
            faults.append(Fault(name, value, "no such setting", remedy, file))
        except OmegaConfBaseException as error:
            faults.append(Fault(name, value, expected(name) or reason(error), file=file))
    return faults


def expected(key: str) -> str:
    """Return what a setting of a fixed section or of Hydra's takes; empty for others."""
    hint = type_of(key)
    if is_dataclass(hint):
        return f"must be a section; set {key}.NAME"
    return f"expected {describe(hint)}" if hint else ALLOWED.get(key, "")
