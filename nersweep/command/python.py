"""Calls from Python: read keyword arguments as a command line, and leave the program as it was."""

import os
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobRuntime
from hydra.version import VersionBase
from omegaconf import OmegaConf

from nersweep import terminal
from nersweep.command import line
from nersweep.command.line import Command, Recommend, RunCheck
from nersweep.command.main import hydra_faults, rare_collections
from nersweep.config import schema
from nersweep.config.build import COMPONENTS
from nersweep.config.overrides import assignment, literal
from nersweep.config.schema import SECTIONS
from nersweep.data.corpus import corpora
from nersweep.faults import Fault, UserError
from nersweep.machine import signals
from nersweep.machine.host import refuse_windows

THREADS = "OMP_NUM_THREADS"  # which a sweep sets for its workers


@contextmanager
def session() -> Iterator[None]:
    """Run commands in the body; Hydra, signals and the environment are as before afterwards.

    Raises UserError for what Hydra raises. Ctrl-C raises KeyboardInterrupt when the checkpoint is
    written, and at once the second time.
    """
    refuse_windows()
    hydra, name = GlobalHydra.instance(), JobRuntime.instance().get("name")
    singletons = (hydra, HydraConfig.instance(), VersionBase.instance())
    states = [dict(vars(singleton)) for singleton in singletons]
    stored, sections = ConfigStore.instance().repo, f"{schema.SECTIONS_NAME}.yaml"
    before, threads = stored.get(sections), os.environ.get(THREADS)
    hydra.clear()
    schema.register()
    terminal.faults.clear()
    corpora.clear()  # the files may have changed since the last call
    try:
        with signals.listening(), hydra_faults():
            yield
    finally:
        for singleton, state in zip(singletons, states, strict=True):
            vars(singleton).update(state)
        GlobalHydra.set_instance(hydra)
        JobRuntime.instance().set("name", name)
        restore(stored, sections, before)
        restore(os.environ, THREADS, threads)


def restore(values: MutableMapping[str, Any], name: str, value: Any) -> None:
    """Give a name its value again; None if it had none."""
    values.pop(name, None)
    if value is not None:
        values[name] = value


def read(
    overrides: Sequence[str],
    config_dir: str | None,
    multirun: bool,
    run_check: RunCheck,
    recommend: Recommend,
) -> Command:
    """Read overrides as a command line, within a session. Raises UserError with all faults."""
    arguments = get_args_parser().parse_args([])
    arguments.overrides = list(overrides)
    arguments.config_dir, arguments.multirun = config_dir, multirun
    line.refuse(arguments)
    with rare_collections():
        command = line.read(arguments, run_check, recommend)
    if command.faults:
        faults: dict[str, Fault] = {}  # each line once, as on the command line
        for fault in command.faults:
            faults.setdefault(str(fault), fault)
        raise UserError(*faults.values())
    return command


def overrides_of(
    texts: Sequence[str], settings: Mapping[str, Any], swept: bool = False
) -> list[str]:
    """Return the overrides that overrides and settings by name stand for.

    A mapping as the value of a section sets what it names: train={"epochs": 1} is train.epochs=1.
    swept: a list, a range or an array is the values of a sweep; a list inside of it is one value.
    Raises UserError for a value of another kind than a configuration holds.
    """
    overrides: list[str] = []
    for text in texts:
        if not isinstance(text, str):
            must, remedy = "an override is text", 'write it as "name=value", or give name=value'
            raise UserError(Fault("", must=f"{text!r}: {must}", remedy=remedy))
        overrides.append(text)
    for name, value in leaves(settings):
        if not isinstance(value, list) or not swept or name == "sweep.settings":
            overrides.append(assignment(name, value))
        elif value:
            overrides.append(f"{name}={','.join(map(literal, value))}")
        else:
            raise UserError(Fault(name, value, "sweeps no value", "give at least one"))
    return overrides


def leaves(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the name and the plain value of each setting; those of a section by their own names."""
    for name, given in settings.items():
        if not name or "=" in name:
            must = "is no name of a setting"
            raise UserError(Fault(repr(name), must=must, remedy="give name=value"))
        value = plain(given, name)
        if isinstance(value, dict) and name in SECTIONS.keys() | COMPONENTS.keys() | {"hydra"}:
            for inner, part in value.items():
                yield f"{name}.{inner}", part
        else:
            yield name, value


def plain(value: Any, name: str) -> Any:
    """Return a value of text, numbers, truth values, None, lists and dicts alone.

    Raises UserError if it holds anything else. name: of its setting.
    """
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value)
    elif hasattr(value, "tolist"):  # numpy, torch, pandas
        value = value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {key: plain(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        items = [plain(item, name) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    must = f"cannot be a {type(value).__name__}"
    remedy = "give text, a number, True, False, None, a list or a dict"
    raise UserError(Fault(name, value, must, remedy))
