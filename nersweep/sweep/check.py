"""Check a command that asks for several runs, each of which is right by itself."""

import re

from nersweep.command.line import Command
from nersweep.config.overrides import is_hydra, setting_of, value_of, without_seed
from nersweep.config.settings import matters
from nersweep.faults import Fault
from nersweep.study.check import precision_faults
from nersweep.sweep import launchers


def check(command: Command) -> list[Fault]:
    """Return the faults of a command for several runs or several workers of a study."""
    faults = [*study_faults(command), *value_faults(command)]
    with command.composer as composer:
        own = list(filter(is_hydra, command.runs[0]))
        launcher = composer.whole(tuple(own)).hydra.launcher
        if launcher.get("n_jobs") == 0:
            must = "must be a number of processes, or -1 for one per core"
            faults.append(Fault("hydra.launcher.n_jobs", 0, must))
        if launchers.runs_elsewhere(launcher):
            for overrides in dict.fromkeys(map(without_seed, command.runs)):
                for fault in precision_faults(composer(overrides), "the runs go to others"):
                    if fault not in faults:
                        faults.append(fault)
    return faults


def study_faults(command: Command) -> list[Fault]:
    """Return the fault of a command that asks for runs as well as for workers of a study."""
    run: tuple[str, ...] | None = None
    study: tuple[str, ...] | None = None
    for overrides, checked in command.checked.items():
        if checked.settings.study.space:
            study = study or overrides
        elif run is None:
            run = overrides
    if run is None or study is None:
        return []
    own_of_run = " ".join(override for override in run if override not in study)
    own_of_study = " ".join(override for override in study if override not in run)
    subject = f"{own_of_run or 'no study'} and {own_of_study}"
    must = "this command asks for runs and for a study"
    return [Fault(subject, must=must, remedy="use one command for each")]


def value_faults(command: Command) -> list[Fault]:
    """Return a fault for each setting with several values that does not make several runs."""
    values: dict[str, set[str]] = {}
    for overrides in command.runs:
        for override in overrides:
            name, value = setting_of(override), value_of(override)
            values.setdefault(name, set()).add(value)
    faults = []
    for name, several in values.items():
        if len(several) > 1 and not makes_runs(name):
            must = "does not change the run, so it cannot be swept"
            faults.append(Fault(name, ",".join(sorted(several)), must, "give one value"))
    return faults


def makes_runs(name: str) -> bool:
    """Return whether several values of a setting make several runs, or workers of a study."""
    section = re.split("[./]", name)[0]
    return section == "study" or (section != "hydra" and matters(name))
