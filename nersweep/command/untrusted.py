"""Refuse what a configuration folder from a stranger must not set."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from nersweep.command.explain import Composed
from nersweep.command.files import ALLOWED, File, files_of
from nersweep.config.compose import Composer
from nersweep.config.flat import flat, plain
from nersweep.config.overrides import setting_of
from nersweep.faults import Fault

# Where data is sent to; tracking.kind may name a module.
PLACES = ("output_dir", "tracking.kind", "tracking.uri", "study.storage", "study.export")
# Hydra's own classes. Not all of hydra.: hydra.utils.get_object would import anything.
HYDRA_ROOMS = ("hydra._internal.core_plugins.", "hydra.experimental.callbacks.", "hydra_plugins.")
BY_FILE = "set by a file of --config-dir"
ONLY_SETTINGS = "a file of --config-dir takes values only from other settings"
REMEDY = "set it on the command line"


def faults(
    composed: Composed, overrides: Sequence[str], explicit: set[str], composer: Composer
) -> list[Fault]:
    """Return the faults of a composed run that sets what it must not.

    overrides: of the run. explicit: the names on the command line, without what a preset sweeps.
    """
    for override in map(composer.parsed, overrides):
        if override.key_or_group in explicit and isinstance(override.value(), Mapping):
            explicit = explicit | flat({override.key_or_group: override.value()}).keys()
    config, section = composed.config, composed.hydra
    faults = foreign_classes(config, section)
    if composer.folder:
        files = files_of(composed.options, composer)
        faults += [fault for file in files if file.is_strange and (fault := file.fault())]
        names = hydra_settings(files)
        names |= hydra_choices(section, set(map(setting_of, overrides)) & explicit, composer)
        must = f"{BY_FILE}, which may set only {' and '.join(ALLOWED)} there"
        for name in sorted(names):
            faults.append(Fault(name, must=must, remedy=REMEDY))
        faults += foreign_values(config, section, explicit, composer)
    return faults


def foreign_classes(config: DictConfig, section: DictConfig) -> list[Fault]:
    """Return a fault for each _target_ that is misplaced or, in Hydra's section, not Hydra's.

    `check` looks at those of our sections.
    """
    faults = []
    for key, value in targets(plain(config)):
        if not re.fullmatch(r"(\w+|loss(\.terms\.\w+)+|data\.sets\.\w+)\._target_", key):
            must = "a class can be named only as SECTION._target_, in loss.terms or in data.sets"
            faults.append(Fault(key, value, must))
    for key, value in targets(plain(section), "hydra."):
        if not str(value).startswith(HYDRA_ROOMS):
            faults.append(Fault(key, value, "must be a class of Hydra's"))
    return faults


def targets(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the name and the value of each _target_, also in lists."""
    items = config.items() if isinstance(config, Mapping) else enumerate(config)
    for key, value in items:
        if key == "_target_":
            yield f"{prefix}{key}", value
        elif isinstance(value, Mapping | list):
            yield from targets(value, f"{prefix}{key}.")


def hydra_settings(files: Sequence[File]) -> set[str]:
    """Return what files set in Hydra's own section: hydra.job, hydra.launcher.

    Logging calls what it is configured to, a launcher passes lines to a shell, and the environment
    reaches every process.
    """
    names = set()
    for file in files:
        if file.by_hydra and not file.is_strange:
            continue
        for key in flat(file.placed()):
            allowed = any(f"{key}.".startswith(f"{name}.") for name in ALLOWED)
            if f"{key}.".startswith("hydra.") and not allowed:
                names.add(".".join(key.split(".")[:2]))
    return names


def hydra_choices(section: DictConfig, explicit: set[str], composer: Composer) -> set[str]:
    """Return the groups of Hydra's whose option the defaults list of a file chose."""
    usual = composer.whole(()).hydra.runtime.choices
    names = set()
    for group, option in section.runtime.choices.items():
        if group.startswith("hydra/") and group not in explicit and option != usual.get(group):
            names.add(group.replace("/", "."))
    return names


def foreign_values(
    config: DictConfig, section: DictConfig, explicit: set[str], composer: Composer
) -> list[Fault]:
    """Return a fault for each address or resolver (${oc.env:TOKEN}) that only a file has set.

    What a preset sweeps counts too: it is resolved before a run has it.
    """
    usual = flat(plain(composer(())))
    values = flat(plain(config))
    values |= flat({"hydra.sweeper.params": plain(section.sweeper).get("params")})
    faults = []
    for key, value in values.items():
        if key in explicit or not value:
            continue
        if key in PLACES and value != usual[key]:
            faults.append(Fault(key, value, BY_FILE, REMEDY))
        if is_resolved(str(value)):
            faults.append(Fault(key, value, ONLY_SETTINGS, REMEDY))
    return faults


def is_resolved(text: str) -> bool:
    """Return whether a text takes a value from anything but other settings and Hydra's choices."""
    rest, before = re.sub(r"\$\{hydra:runtime\.choices\.\w+\}", "", text), ""
    while rest != before:  # ${${device}.env:HOME}, from the inside
        rest, before = re.sub(r"\$\{[^${}:]*\}", "", rest), rest
    return "${" in rest


def defaults_faults(folder: str | None) -> list[Fault]:
    """Return the faults of defaults lists that take an option from more than other options.

    Hydra resolves them before anything else can be looked at: so of all files of the folder.
    """
    faults = []
    for file in sorted(Path(folder).rglob("*.yaml")) if folder else ():
        try:
            content: Any = OmegaConf.to_container(OmegaConf.load(file))
        except (YAMLError, OmegaConfBaseException, OSError, ValueError):
            continue  # Hydra reports a file that it cannot read, if it is used
        if isinstance(content, Mapping) and is_resolved(str(content.get("defaults"))):
            faults.append(Fault(str(file), must=f"defaults: {ONLY_SETTINGS}"))
    return faults
