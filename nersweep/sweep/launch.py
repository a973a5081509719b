"""Many runs: which there are, which are done already, what became of them; none is lost or made twice."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from nersweep import tracking
from nersweep.command.line import Command
from nersweep.config import check
from nersweep.config import settings as settings_module
from nersweep.config.overrides import without_seed
from nersweep.machine import files
from nersweep.results import folder as folder_module
from nersweep.results.result import FinishedResult, Result, Status, read_run, write_result
from nersweep.run import identity, plan, publish
from nersweep.study.check import precision_faults
from nersweep.sweep import jobs, launchers
from nersweep.terminal import console, print_table

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
        uri = tracking.open_store(config.tracking.uri, output_dir)
        folder = (
            output_dir / "sweeps" / files.fingerprint(sorted(m.fingerprint for m in members))[:8]
        )
        with claimed(folder), begin(members, folder, uri, output_dir, config, typed) as parent:
            overrides = anew(todo) if config.rerun else [member.overrides for member in todo]
            told = jobs.send(overrides, folder, parent.id, config.on_failure == "stop", composer)
            words = {
                member.fingerprint: "\n".join(lines)
                for member, lines in zip(todo, told, strict=True)
            }
            results |= {member.fingerprint: member.result() for member in todo}
            untold = [
                member.overrides for member in members if results[member.fingerprint].untracked
            ]
            failures = conclude(members, results, words, folder)
            if untold:
                console.print(
                    f"telling MLflow of {len(untold)} runs that have ended while it was away"
                )
            heard = publish.catch_up(
                ((plan.make(check.check_overrides(composer, o)), o) for o in untold), parent.id
            )
            parent.metrics({"runs": len(members)}, step=0)
            failed = f"{len(failures)} of {len(members)} runs did not finish" if failures else ""
            parent.finish("failed" if failures else "finished", failed)
    if not (heard and parent.ended):
        console.print(f"\nto tell MLflow of what it has missed: {typed}")
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


def begin(
    members: Sequence[Member],
    folder: Path,
    uri: str,
    output_dir: Path,
    config: DictConfig,
    command: str,
) -> tracking.Run:
    """The sweep's own run in the tracker, always the same for the same runs, and its list of runs on disk."""
    file = folder / "sweep.json"
    try:
        known = json.loads(file.read_text("utf-8"))["run_id"]
    except (OSError, ValueError, KeyError, TypeError):  # not there, or spoilt
        known = None
    settings = sorted({member.identity.setting for member in members})
    parent = tracking.Run.start(
        uri,
        output_dir,
        run_id=known,
        experiment=config.tracking.experiment,
        name=f"sweep-{folder.name}",
        params={"runs": len(members)},
        tags={"kind": "sweep", "folder": folder.absolute(), "settings": ", ".join(settings)},
        note=f"`{tracking.public(command)}`",
    )
    listed = [
        {
            "name": m.name,
            **asdict(m.identity),
            "overrides": [tracking.public(o) for o in m.overrides],
        }
        for m in members
    ]
    files.write_json(
        file, {"run_id": parent.id, "command": tracking.public(command), "runs": listed}
    )
    return parent


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
