"""Many runs: which there are, which are done already, what became of them; none is lost or made twice."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from nersweep.command.line import Command
from nersweep.config import check
from nersweep.config import settings as settings_module
from nersweep.config.overrides import without_seed
from nersweep.machine import files
from nersweep.machine.databases import public
from nersweep.results import folder as folder_module
from nersweep.results.card import Card, remove_card, write_card
from nersweep.results.result import FinishedResult, Result, Status, read_run, write_result
from nersweep.run import identity
from nersweep.study.check import precision_faults
from nersweep.sweep import jobs, launchers
from nersweep.terminal import console, print_table
from nersweep.tracking import syncing
from nersweep.tracking import tracker as trackers
from nersweep.tracking.tracker import Tracker

MOST_ROWS = 60  # of the table at the end


@dataclass(frozen=True)
class Member:
    """A run of the sweep, before it is made."""

    overrides: tuple[str, ...]
    identity: identity.Identity
    folder: Path
    label: str = ""  # the name, and what else tells it from the others, for people to read

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def fingerprint(self) -> str:
        return self.identity.fingerprint

    def result(self) -> Result:
        """As far as it got."""
        result = read_run(self.folder, self.fingerprint)
        return result or Result(status=Status.NOT_BEGUN, **asdict(self.identity), name=self.name)


def launch(command: Command, typed: str) -> tuple[Path, list[str]]:
    """Makes the runs that are not made yet, with the launcher that they name. Returns the folder of the sweep, and a
    line for each run that failed. typed: the command, for people to read."""
    with command.composer as composer:
        config = composer(command.runs[0])
        members = list({member.fingerprint: member for member in planned(command)}.values())
        results = {member.fingerprint: member.result() for member in members}
        todo = [m for m in members if config.rerun or not results[m.fingerprint].status.over]
        known = (
            "all to be made again"
            if config.rerun
            else f"{len(members) - len(todo)} of them made before"
        )
        console.print(f"{len(members)} runs, {known}")
        output_dir = Path(config.output_dir)
        files.writable(output_dir)
        tracker = trackers.of(config.tracking, output_dir)
        tracker.open()
        folder = (
            output_dir / "sweeps" / files.fingerprint(sorted(m.fingerprint for m in members))[:8]
        )
        with claimed(folder), tracked(members, folder, tracker, config, typed) as card:
            overrides = anew(todo) if config.rerun else [member.overrides for member in todo]
            told = jobs.send(overrides, folder, str(folder), config.on_failure == "stop", composer)
            words = {
                member.fingerprint: "\n".join(lines)
                for member, lines in zip(todo, told, strict=True)
            }
            results |= {member.fingerprint: member.result() for member in todo}
            failures = conclude(members, results, words, folder)
            card.status = "failed" if failures else "finished"
            if failures:
                card.error = f"{len(failures)} of {len(members)} runs did not finish"
        is_synced = sync_members(tracker, folder, members)
    if not is_synced:
        console.print(f"\nto sync {tracker.name}: {typed}, or python -m nersweep.sync")
    if failures and any(not result.status.over for result in results.values()):
        console.print(f"\nto make those again that failed, and no other: {typed}")
    return folder, failures


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """This process alone makes the sweep. Raises ValueError where another does."""
    with ExitStack() as held:
        try:
            held.enter_context(folder_module.claimed(folder))
        except folder_module.Claimed:
            other = (folder / folder_module.LOCK).read_text("utf-8") or "another process"
            raise ValueError(
                f"this sweep is being run by {other}; wait for it, or end it"
            ) from None
        yield


def anew(members: Sequence[Member]) -> list[tuple[str, ...]]:
    """Forgets what was made of the runs, and returns their overrides, which then go on from where a run is ended."""
    for member in members:
        if member.folder.exists():
            folder_module.when_free(partial(forget, member), partial(Path, member.folder))
    return [(*member.overrides, "rerun=false") for member in members]


def forget(member: Member) -> None:
    with folder_module.claimed(member.folder):
        (member.folder / folder_module.CHECKPOINT).unlink(missing_ok=True)
        remove_card(member.folder)
        again = Result(status=Status.RESTART, **asdict(member.identity), name=member.name)
        write_result(member.folder, again)


def faults(command: Command) -> list[str]:
    """What is wrong with many runs, where each of them is right."""
    runs, composer = command.runs, command.composer
    lines = [line for line in [mixed(command)] if line]
    values: dict[str, set[str]] = {}
    for override in (o for run in runs for o in run):
        name, _, value = override.lstrip("+~").partition("=")
        values.setdefault(name, set()).add(value)
    lines += [
        f"{name}={','.join(sorted(found))}: makes no other run, and is not swept; type one value"
        for name, found in values.items()
        if len(found) > 1 and not makes_runs(name)
    ]
    with composer:
        launcher = composer.whole(
            tuple(o for o in runs[0] if o.lstrip("+~").startswith("hydra"))
        ).hydra.launcher
        if launcher.get("n_jobs") == 0:
            lines.append(
                "hydra.launcher.n_jobs=0: must be a number of processes, or -1 for one per core"
            )
        if launchers.runs_elsewhere(launcher):
            configs = map(composer, {without_seed(run): run for run in runs}.values())
            lines += dict.fromkeys(
                str(fault)
                for config in configs
                for fault in precision_faults(config, "the runs go to others")
            )
    return lines


def makes_runs(name: str) -> bool:
    """Do several values of this setting make several runs, or workers of a study?"""
    section = re.split("[./]", name)[0]
    return section == "study" or (section != "hydra" and settings_module.matters(name))


def mixed(command: Command) -> str | None:
    """The fault of a command that asks for runs and for workers of a study."""
    first: dict[bool, tuple[str, ...]] = {}
    for setting, checked in command.checked.items():
        first.setdefault(bool(checked.settings.study.space), setting)
    if len(first) == 1:
        return None
    runs_s, study_s = (
        " ".join(o for o in first[i] if o not in first[not i]) or "no study" for i in (False, True)
    )
    return f"{runs_s} and {study_s}: a run and a study; type each in a command of its own"


def launch_workers(command: Command) -> list[str]:
    """Each of these is a worker of a study, which has a run of its own. Returns a line for each thing that failed."""
    runs = command.runs
    with command.composer as composer:
        config = composer(runs[0])
        output_dir = files.writable(Path(config.output_dir))
        folder = output_dir / "sweeps" / files.fingerprint(runs)[:8]
        with claimed(folder):
            told = jobs.send(runs, folder, "", config.on_failure == "stop", composer)
    return [f"worker {number}: {line}" for number, lines in enumerate(told) for line in lines]


@contextmanager
def tracked(
    members: Sequence[Member], folder: Path, tracker: Tracker, config: DictConfig, command: str
) -> Iterator[Card]:
    """List the runs of the sweep on disk, and show trackers where it stands.

    The caller sets on the card how the sweep has ended.
    """
    write_list(members, folder, command)
    settings = sorted({member.identity.setting for member in members})
    card = Card(
        kind="sweep",
        name=f"sweep-{folder.name}",
        experiment=config.tracking.experiment,
        params={"runs": len(members)},
        tags={"kind": "sweep", "settings": ", ".join(settings)},
        note=f"`{public(command)}`",
        numbers={"runs": len(members)},
    )
    write_card(folder, card)
    sync = syncing.Syncing(tracker, folder)
    sync.start()
    try:
        yield card
    except BaseException as error:
        card.status = "failed" if isinstance(error, Exception) else "killed"
        write_card(folder, card)
        sync.finish()
        raise
    write_card(folder, card)


def write_list(members: Sequence[Member], folder: Path, command: str) -> None:
    """Write sweep.json, from which a report knows the runs."""
    runs = []
    for member in members:
        overrides = [public(override) for override in member.overrides]
        runs.append({"name": member.name, **asdict(member.identity), "overrides": overrides})
    files.write_json(folder / "sweep.json", {"command": public(command), "runs": runs})


def sync_members(tracker: Tracker, folder: Path, members: Sequence[Member]) -> bool:
    """Sync the runs and the sweep itself. Return True if the tracker has everything."""
    folders = []
    for member in members:
        if not syncing.is_complete(tracker, member.folder):
            folders.append(member.folder)
    if folders:
        console.print(f"syncing {len(folders)} runs with {tracker.name}")
    return syncing.sync_all(tracker, [*folders, folder])


def conclude(
    members: Sequence[Member],
    results: Mapping[str, Result],
    words: Mapping[str, str],
    folder: Path,
) -> list[str]:
    """Shows what became of the runs; a line for each that failed."""
    rows, failures = [], []
    for member in members:
        result = results[member.fingerprint]
        status = result.status
        if isinstance(result, FinishedResult) and not words.get(
            member.fingerprint
        ):  # else it is of an earlier time
            scores = [f"{result.dev.f1:.4f}", f"{result.test.f1:.4f}"]
            rows.append([member.label, status, *scores, f"{result.seconds.total:.0f}"])
            continue
        reason = (
            words.get(member.fingerprint) or result.error or silence(words.get(member.fingerprint))
        )
        rows.append(
            [member.label, status if status != Status.RUNNING else Status.KILLED, "", "", ""]
        )
        failures.append(f"{member.label}: {' '.join(reason.splitlines())}")
    shown = (
        rows
        if len(rows) <= MOST_ROWS
        else [row for row in rows if row[1] != "finished"][:MOST_ROWS]
    )
    print_table(
        f"\n{len(rows) - len(failures)} of {len(rows)} runs finished",
        ["", "", "dev F1", "test F1", "s"],
        shown,
    )
    console.print(f"sweep: {folder / 'sweep.json'}")
    return failures


def silence(word: str | None) -> str:
    """What it means that a run without a result has told no fault."""
    ended = "it was made, but with other code or data than when the sweep was started; type the command again"
    return "its process ended without a word" if word is None else ended


def planned(command: Command) -> list[Member]:
    """The runs with their names and fingerprints."""
    members = list(identified(command))
    found = labels(members)
    return [replace(member, label=found[member.fingerprint]) for member in members]


def labels(members: Sequence[Member]) -> dict[str, str]:
    """By fingerprints: the name, and of several runs of one name the overrides that they do not share."""
    by_name: dict[str, dict[str, Member]] = {}
    for member in members:
        by_name.setdefault(member.name, {}).setdefault(member.fingerprint, member)
    found = {}
    for name, alike in by_name.items():
        shared = set.intersection(*(set(member.overrides) for member in alike.values()))
        for member in alike.values():
            found[member.fingerprint] = " ".join(
                [name, *(o for o in member.overrides if o not in shared)]
            )
    return found


def identified(command: Command) -> Iterator[Member]:
    """Those that differ in their seed alone were checked once, which will do unless another setting takes its value
    from it."""
    for overrides in command.runs:
        setting = without_seed(overrides)
        seeds = [int(o.partition("=")[2]) for o in overrides if o not in setting]
        checked = command.checked[setting]
        settings = checked.settings
        if "seed}" in str(checked.raw) or any(o.lstrip("+").startswith("seed=") for o in setting):
            checked = check.check_overrides(command.composer, overrides)
            settings = checked.settings
        elif seeds:
            settings = replace(settings, values=settings.values | {"seed": seeds[-1]})
        own = identity.identify(settings, checked.parts)
        yield Member(overrides, own, own.folder(settings.output_dir))
