"""Refuse what a configuration folder from a stranger must not set."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from nersweep.config.compose import Composer
from nersweep.config.flat import flat

if TYPE_CHECKING:
    pass  # torch costs seconds, which the help need not pay
from nersweep.command.composition import COMPOSITION

# What a file of --config-dir may set in Hydra's own section, and what Hydra writes there itself.
OF_A_FILE = ("mode", "sweeper.params")


PLACES = (
    "output_dir",
    "tracking.kind",  # a module is imported
    "tracking.uri",
    "study.storage",
    "study.export",
)  # where something is sent to or written


BY_HYDRA = ("runtime", "overrides", "searchpath", "job.override_dirname")


# Where Hydra's own classes are. Not all of hydra.: hydra.utils.get_object would import anything.
HYDRA_ROOMS = ("hydra._internal.core_plugins.", "hydra.experimental.callbacks.", "hydra_plugins.")


def foreign_targets(config: DictConfig) -> list[str]:
    """A line for each _target_ at a place that names no class. Those of our sections are for plan.check."""
    return [
        f"{key}={value}: a class can be named only as SECTION._target_, or in loss.terms"
        for key, value in targets(OmegaConf.to_container(config))
        if not re.fullmatch(r"\w+\._target_|loss(\.terms\.\w+)+\._target_", key)
    ]


def foreign_hydra(section: DictConfig) -> list[str]:
    """A line for each _target_ in Hydra's own section that is none of Hydra's: it would import and call it, as its
    callbacks for example."""
    return [
        f"hydra.{key}={value}: must be a class of Hydra's"
        for key, value in targets(OmegaConf.to_container(section))
        if not str(value).startswith(HYDRA_ROOMS)
    ]


def of_a_file(section: DictConfig, overrides: Sequence[str], composer: Composer) -> list[str]:
    """A line where a file of --config-dir sets more in Hydra's own section than a sweep. Logging calls what it is told
    to, a launcher gives lines to a shell, the environment reaches every process: all of that must be typed."""
    if not composer.folder:
        return []
    typed = tuple(o for o in overrides if composer.parsed(o).is_hydra_override())
    try:
        mine, theirs = settled(composer.without_files(typed).hydra), settled(section)
    except COMPOSITION:  # what was typed is an option of the folder
        return [
            f"{' '.join(typed)}: must be an option of Hydra's or of its plugins, and no file of --config-dir"
        ]
    told = OmegaConf.to_container(section.overrides)
    foreign = (
        {"overrides"} if {*told["hydra"], *told["task"]} - {*overrides, *composer.more} else set()
    )
    foreign |= {key.partition(".")[0] for key, _ in mine.items() ^ theirs.items()}
    names = ", ".join(f"hydra.{name}" for name in sorted(foreign))
    allowed = " and ".join(f"hydra.{name}" for name in OF_A_FILE)
    return (
        [f"{names}: set by a file of --config-dir, which may set only {allowed} there; type it"]
        if foreign
        else []
    )


def addresses(config: DictConfig, typed: set[str], composer: Composer) -> list[str]:
    """A line for what a file of --config-dir sets that is not a stranger's to say: where something is sent to or
    written, and what calls a resolver, as ${oc.env:TOKEN} does. typed: the names on the command line, to which what a
    preset sweeps does not belong."""
    if not composer.folder:
        return []
    values = flat(OmegaConf.to_container(config))
    theirs = {key: str(value) for key, value in values.items() if value and key not in typed}
    usual = composer.without_files(())
    lines = [
        f"{key}={theirs[key]}: set by a file of --config-dir; type it"
        for key in PLACES
        if key in theirs and theirs[key] != str(OmegaConf.select(usual, key))
    ]
    for key, value in theirs.items():
        rest = re.sub(r"\$\{hydra:runtime\.choices\.\w+\}", "", value)
        if "${" in rest and ":" in rest:
            lines.append(
                f"{key}={value}: a file of --config-dir takes values from other settings alone; type it"
            )
    return lines


def settled(section: DictConfig) -> dict[str, str]:
    """Hydra's own section, without what a file may set and what Hydra itself writes."""
    apart = tuple(f"{name}." for name in OF_A_FILE + BY_HYDRA)
    leaves = flat(OmegaConf.to_container(section))
    return {key: repr(value) for key, value in leaves.items() if not f"{key}.".startswith(apart)}


def targets(
    config: Mapping[str, Any] | Sequence[Any], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    for key, value in config.items() if isinstance(config, Mapping) else enumerate(config):
        if key == "_target_":
            yield f"{prefix}{key}", value
        elif isinstance(value, Mapping | list):
            yield from targets(value, f"{prefix}{key}.")
