"""Rows of a sweep that are no product: sweep.settings, each entry the overrides of one row."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from omegaconf import OmegaConf

from nersweep.command.explain import Composed
from nersweep.config.compose import COMPOSITION, Composer
from nersweep.config.overrides import assignments, fault, setting_of
from nersweep.config.settings import matters
from nersweep.faults import Fault

SETTINGS = "sweep.settings"
RECOMMENDED = "recommended"  # the entries that the diagnosis of the data chooses
FORM = 'must be a list, as in [loss=cross_entropy, "loss=focal focal_gamma=3"]'


@dataclass(frozen=True)
class Entry:
    """An entry of sweep.settings. name: of its row, for people; empty if the row names itself."""

    overrides: tuple[str, ...]
    place: str
    name: str = ""

    @property
    def names(self) -> set[str]:
        """The names of its settings."""
        return set(map(setting_of, self.overrides))

    def mark(self, fault: Fault) -> Fault:
        """Return a fault of a run of this entry that names the entry."""
        return fault if fault.setting == self.place else replace(fault, file=self.place)


def value_of(composed: Composed) -> Any:
    """Return sweep.settings of a run, as it was given; None without it."""
    value = OmegaConf.select(composed.config, SETTINGS)
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def read_entries(given: Any, composer: Composer) -> tuple[list[Entry], list[Fault]]:
    """Return the entries of a list, and the faults of those that are none."""
    if not isinstance(given, list) or not given:
        return [], [Fault(SETTINGS, given, f"{FORM}, or {RECOMMENDED}")]
    entries: list[Entry] = []
    faults: list[Fault] = []
    for number, item in enumerate(given, 1):
        place, name = f"entry {number} of {SETTINGS}", ""
        texts: Sequence[str] = ()
        if isinstance(item, str):
            texts = re.split(r"\s+(?=[~+]*[\w./]+=)", item.strip())
        elif isinstance(item, Mapping):
            name = item.get("name", "")
            texts = assignments({key: item[key] for key in item if key != "name"})
        entry = Entry(tuple(filter(None, texts)), place, name)
        own = entry_faults(entry, composer)
        if not own and name in [other.name for other in entries if name]:
            own = [Fault("name", name, "names another entry too")]
        faults += map(entry.mark, own)
        entries.append(entry)
    return entries, faults


def entry_faults(entry: Entry, composer: Composer) -> list[Fault]:
    """Return what is wrong with an entry by itself."""
    faults: list[Fault] = []
    if not isinstance(entry.name, str) or not entry.name.isprintable() or len(entry.name) > 60:
        faults.append(Fault("name", entry.name, "must be text of one line, 60 characters at most"))
    if not entry.overrides:
        faults.append(Fault(entry.place, must="sets nothing", remedy="set loss=NAME in it"))
    for text in entry.overrides:
        try:
            override = composer.parsed(text)
        except COMPOSITION:
            faults.append(fault(text, "cannot be read", "write name=value"))
            continue
        name = override.key_or_group
        if override.is_sweep_override():
            faults.append(fault(text, "an entry is one row", "give one value"))
        elif override.is_hydra_override() or name == "seed" or not matters(name):
            must = "belongs to the whole sweep, not to a row"
            faults.append(fault(text, must, "set it beside sweep.settings"))
        elif name.endswith("._target_"):
            remedy = f"set {setting_of(text).split('.')[0]}=NAME"
            faults.append(fault(text, "a class comes with its option", remedy))
    return faults


def clashes(entry: Entry, overrides: Sequence[str]) -> list[Fault]:
    """Return a fault for each setting that the command gives beside an entry that it gives too."""
    faults: list[Fault] = []
    for override in overrides:
        if setting_of(override) in entry.names:
            must = f"{entry.place} sets it too"
            faults.append(fault(override, must, "leave one of them out"))
    return faults


def marked(runs: Sequence[tuple[Entry | None, Sequence[Fault]]]) -> list[Fault]:
    """Return the faults of all runs, each with its entry unless those of all entries have it."""
    entries = {entry for entry, _ in runs}
    faults: list[Fault] = []
    for entry, own in runs:
        for each in own:
            is_common = {other for other, others in runs if each in others} == entries
            is_own = entry and setting_of(each.setting.split(" ")[0]) in entry.names
            line = entry.mark(each) if entry and (is_own or not is_common) else each
            if line not in faults:
                faults.append(line)
    return faults
