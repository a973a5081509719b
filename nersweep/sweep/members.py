"""The runs of a sweep and their state."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from nersweep.command.line import Command
from nersweep.config.check import Checked, check_overrides
from nersweep.config.overrides import value_of, without_seed
from nersweep.faults import Fault, UserError
from nersweep.results.result import Result, Status, read_run
from nersweep.results.sets import Place
from nersweep.run.identity import Identity, identify
from nersweep.run.plan import learn, loss_of, metric_for

# An interpolation that is surely independent of the seed: the plain name of another setting.
REFERENCE = re.compile(r"\$\{(?!\.*seed\})[\w.]+\}")


@dataclass(frozen=True)
class Member:
    """A run of a sweep. row: the name that the command gives its setting, for people, if any.

    distinction: how it differs from namesakes, in overrides after a space.
    """

    overrides: tuple[str, ...]
    identity: Identity
    folder: Path
    row: str = ""
    distinction: str = ""

    @property
    def label(self) -> str:
        """Name the run for people, unlike any other of its sweep."""
        return self.title + self.distinction

    @property
    def title(self) -> str:
        """Name the run for people, as others of its sweep may be named."""
        return f"{self.row}-s{self.identity.seed}" if self.row else self.name

    @property
    def setting(self) -> str:
        """Name the setting for people, unlike any other of the sweep."""
        return (self.row or self.identity.setting) + self.distinction

    @property
    def place(self) -> Place:
        own = self.identity
        return Place(own.dataset, own.encoder, own.data_checksum, own.data_settings)

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def fingerprint(self) -> str:
        return self.identity.fingerprint

    def result(self) -> Result:
        """Return the result in the run's folder."""
        result = read_run(self.folder, self.fingerprint)
        return result or self.result_without_scores(Status.NOT_STARTED)

    def result_without_scores(self, status: Status) -> Result:
        return Result(status=status, **asdict(self.identity), name=self.name)


def members_of(command: Command) -> list[Member]:
    """Return the runs of a command, in its order; a run that it names twice appears twice.

    Raises UserError for settings that do not fit the data, such as a weight too few.
    """
    faults: list[Fault] = []
    for overrides in dict.fromkeys(map(without_seed, command.runs)):
        for fault in data_faults(command.checked[overrides]):
            if fault not in faults:
                faults.append(fault)
    if faults:
        raise UserError(*faults)
    return labelled([member_of(command, overrides) for overrides in command.runs])


def data_faults(checked: Checked) -> list[Fault]:
    """Return what is wrong in the data of a run, or does not fit them."""
    parts = checked.parts
    try:
        facts = learn(parts, checked.settings.seed)
        metric_for(checked.settings, facts.corpus)
        loss_of(parts, facts)
        if parts.aux:
            parts.aux.vocabularies(facts.corpus)
    except UserError as error:
        return list(error.faults)
    return []


def distinct(members: Sequence[Member]) -> list[Member]:
    """Return each run once."""
    return list({member.fingerprint: member for member in members}.values())


def member_of(command: Command, overrides: tuple[str, ...]) -> Member:
    """Return the run of some overrides.

    The command has checked runs that differ in their seed once. That holds for each of them,
    unless another setting may take its value from the seed.
    """
    shared = without_seed(overrides)
    checked = command.checked[shared]
    settings = checked.settings
    seed_elsewhere = any(re.match(r"\+*seed=", override) for override in shared)
    seed_elsewhere |= settings.values["data"].get("resample") is True
    if seed_elsewhere or "${" in REFERENCE.sub("", str(checked.raw)):
        checked = check_overrides(command.composer, overrides)
        settings = checked.settings
    else:
        for override in overrides:
            if override not in shared:
                seed = int(value_of(override))
                settings = replace(settings, seed=seed, values=settings.values | {"seed": seed})
    identity = identify(settings, checked.parts)
    entry = command.entries.get(shared)
    row = entry.name if entry else ""
    return Member(overrides, identity, identity.folder(settings.output_dir), row)


def labelled(members: Sequence[Member]) -> list[Member]:
    """Return runs with their distinctions: the overrides that those of one name do not share."""
    namesakes: dict[str, list[Member]] = {}
    for member in distinct(members):
        namesakes.setdefault(member.title, []).append(member)
    distinctions = {}
    for group in namesakes.values():
        shared = set(group[0].overrides)
        for member in group:
            shared &= set(member.overrides)
        for member in group:
            own = [f" {override}" for override in member.overrides if override not in shared]
            distinctions[member.fingerprint] = "".join(own)
    return [replace(member, distinction=distinctions[member.fingerprint]) for member in members]
