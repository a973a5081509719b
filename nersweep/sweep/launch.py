"""Make many runs with one of Hydra's launchers, each exactly once."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from nersweep.command.line import Command
from nersweep.config.compose import Composer
from nersweep.config.overrides import setting_of
from nersweep.faults import Fault, UserError
from nersweep.machine import files
from nersweep.machine.databases import public
from nersweep.results import folder as folder_module
from nersweep.results.card import Card, write_card
from nersweep.results.looks import LOOKS, Looks, write_looks
from nersweep.results.result import FinishedResult, Result, Status, write_result
from nersweep.results.tuning import TUNING, Tuning, write_tuning
from nersweep.sweep import jobs, seeds
from nersweep.sweep.members import Member, distinct, members_of
from nersweep.sweep.seeds import Plan
from nersweep.terminal import console, print_table
from nersweep.tracking import syncing
from nersweep.tracking import tracker as trackers
from nersweep.tracking.tracker import Tracker

MOST_ROWS = 60  # of a printed table
ASKING = ("seeds.max", "sweep.settings", "tune.trials")  # settings that make one run several


def launch(command: Command, text: str, tuning: Tuning | None = None) -> tuple[Path, list[str]]:
    """Make the runs of a command, except those that are over.

    text: the command, for people. tuning: what selected its settings. Returns the folder of the
    sweep, and a line for each run that failed.
    """
    with command.composer as composer:
        config = composer(command.runs[0])
        launcher = composer.compose(command.runs[0]).hydra.launcher
        plans = seeds.make(command, composer)
        members = [member for plan in plans for member in plan.runs.values()]
        members = members or distinct(members_of(command))
        announce(members, plans, config.rerun)
        output_dir = Path(config.output_dir)
        files.writable(output_dir)
        tracker = trackers.of(config.tracking, output_dir)
        folder = sweep_folder(output_dir, identity_of(members, plans))
        syncing.open_at_start(tracker, folder)
        with claim(folder), card_of(members, plans, folder, tracker, config, text) as card:
            if tuning:
                write_tuning(folder, tuning)
                card.files.append(TUNING)
            if config.rerun:
                for member in members:
                    forget(member)
            faults: dict[str, list[str]] = {}
            while True:
                if plans:
                    members = take_look(plans, faults, folder, launcher)
                card.numbers = {"runs": len(members)}
                write_list(members, folder, text)
                todo = unfinished(members, faults)
                if not todo or (config.on_failure == "stop" and any(faults.values())):
                    break
                faults |= send(todo, folder, config, composer)
            results = [member.result() for member in members]
            failures = conclude(members, results, faults, folder)
            card.status = "failed" if failures else "finished"
            if failures:
                card.error = f"{len(failures)} of {len(members)} runs did not finish"
        is_synced = sync_members(tracker, folder, members)
    if not is_synced:
        console.print(f"\nto sync {tracker.name}: {text}, or python -m nersweep.sync")
    if failures and not all(result.status.over for result in results):
        console.print(f"\nto retry the runs that failed, and no other: {text}")
    return folder, failures


def identity_of(members: Sequence[Member], plans: Sequence[Plan]) -> object:
    """Return what makes it this sweep, as JSON values."""
    if not plans:
        return sorted(member.fingerprint for member in members)
    return plans[0].identity if len(plans) == 1 else [plan.identity for plan in plans]


def announce(members: Sequence[Member], plans: Sequence[Plan], rerun: bool) -> None:
    """Print how many runs a sweep has, and how many of them are over."""
    done = f"{sum(member.result().status.over for member in members)} already done"
    count = f"at most {len(members)} runs" if plans else f"{len(members)} runs"
    console.print(f"{count}, {'all to be run again' if rerun else done}")


def take_look(
    plans: Sequence[Plan],
    faults: Mapping[str, Sequence[str]],
    folder: Path,
    launcher: DictConfig,
) -> list[Member]:
    """Look where a sweep stands, print and write it, and return the runs asked for until now."""
    progresses = [plan.look(faults) for plan in plans]
    seeds.show(plans, progresses, launcher)
    members: list[Member] = []
    looks: list[Looks] = []
    for plan, progress in zip(plans, progresses, strict=True):
        members += plan.members(progress.runs)
        looks.append(plan.looks(progress))
    write_looks(folder, looks)
    return members


def unfinished(members: Sequence[Member], faults: Collection[str]) -> list[Member]:
    """Return the runs that are not over and were not launched. faults: by fingerprint."""
    todo = []
    for member in members:
        if member.fingerprint not in faults and not member.result().status.over:
            todo.append(member)
    return todo


def send(
    members: Sequence[Member], folder: Path, config: DictConfig, composer: Composer
) -> dict[str, list[str]]:
    """Launch runs and wait for them; return the faults of each, by fingerprint.

    With rerun=true the jobs set it to false: a run that is killed would start over instead of
    resuming. They set to null what asks for other runs: the command of one run repeats no other.
    """
    own = ["rerun=false"] if config.rerun else []
    asking = [name for name in ASKING if OmegaConf.select(config, name) is not None]
    own += [f"{name}=null" for name in asking]
    if config.report:
        asking.append("report")
        own.append("report=false")
    overrides = []
    for member in members:
        kept = [each for each in member.overrides if setting_of(each) not in asking]
        overrides.append((*kept, *own))
    lines = jobs.send(overrides, folder, str(folder), config.on_failure == "stop", composer)
    faults = {}
    for member, faults_of_run in zip(members, lines, strict=True):
        faults[member.fingerprint] = faults_of_run
    return faults


def launch_workers(command: Command) -> list[str]:
    """Start workers of a study, one for each run of a command; return a line for each fault."""
    with command.composer as composer:
        config = composer(command.runs[0])
        folder = sweep_folder(files.writable(Path(config.output_dir)), command.runs)
        with claim(folder):
            faults = jobs.send(command.runs, folder, "", config.on_failure == "stop", composer)
    lines = []
    for number, own in enumerate(faults):
        for line in own:
            lines.append(f"worker {number}: {line}")
    return lines


def sweep_folder(output_dir: Path, identity: object) -> Path:
    """Return the folder of a sweep: the same runs always have the same one."""
    return output_dir / "sweeps" / files.fingerprint(identity)[:8]


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Claim a sweep for this process. Raises UserError if another process makes it."""
    with ExitStack() as stack:
        try:
            stack.enter_context(folder_module.claim(folder))
        except folder_module.Claimed as error:
            must = f"{error.holder} is running this sweep"
            raise UserError(Fault("", must=must, remedy="wait for it, or end it")) from None
        yield


def forget(member: Member) -> None:
    """Mark a run as to be run again from its start; wait until it is free."""

    def mark() -> None:
        with folder_module.claim(member.folder):
            folder_module.forget(member.folder)
            write_result(member.folder, member.result_without_scores(Status.RESTART))

    if member.folder.exists():
        folder_module.retry_while_claimed(mark)


@contextmanager
def card_of(
    members: Sequence[Member],
    plans: Sequence[Plan],
    folder: Path,
    tracker: Tracker,
    config: DictConfig,
    command: str,
) -> Iterator[Card]:
    """Write the card of a sweep and sync its tracker, before and after.

    members: all that it may make. The caller sets on the card how the sweep has ended.
    """
    params: dict[str, object] = {"runs": len(members)}
    if plans:
        seeds_max, resolution = len(plans[0].seeds), plans[0].resolution
        params = {"runs_at_most": len(members), "seeds.max": seeds_max, "resolution": resolution}
    settings = sorted({member.identity.setting for member in members})
    card = Card(
        kind="sweep",
        name=f"sweep-{folder.name}",
        experiment=config.tracking.experiment,
        params=params,
        tags={"kind": "sweep", "settings": ", ".join(settings)},
        note=f"`{public(command)}`",
        files=[LOOKS] if plans else [],
    )
    write_card(folder, card)
    sync = syncing.Syncing(tracker, folder)
    try:
        sync.start()
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
        values = {"name": member.name, **asdict(member.identity), "overrides": overrides}
        runs.append(values | ({"row": member.row} if member.row else {}))
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
    results: Sequence[Result],
    faults: Mapping[str, Sequence[str]],
    folder: Path,
) -> list[str]:
    """Print how the runs have ended; return a line for each that failed.

    faults: those of each run that was launched, by fingerprint. A result of such a run that has
    faults is of an earlier time.
    """
    rows, others, failures = [], [], []
    labels: set[str] = set()
    for member, result in zip(members, results, strict=True):
        own = faults.get(member.fingerprint)
        if isinstance(result, FinishedResult) and not own:
            labels.add(result.metric.label)
            values = result.value("dev"), result.value("test")
            scores = [f"{value:.4f}" for value in values]
            rows.append([member.label, result.status, *scores, f"{result.seconds.total:.0f}"])
            continue
        status = Status.KILLED if result.status == Status.RUNNING else result.status
        rows.append([member.label, status, "", "", ""])
        others.append(rows[-1])
        reason = " ".join(own or [result.error or explain_silence(own)])
        failures.append(f"{member.label}: {' '.join(reason.splitlines())}")
    title = f"\n{len(rows) - len(failures)} of {len(rows)} runs finished"
    label = "/".join(sorted(labels))
    header = ["", "", f"dev {label}", f"test {label}", "s"]
    print_table(title, header, rows if len(rows) <= MOST_ROWS else others[:MOST_ROWS])
    console.print(f"sweep: {folder / 'sweep.json'}")
    return failures


def explain_silence(faults: Sequence[str] | None) -> str:
    """Explain a run that left neither a result nor an error."""
    if faults is None:
        return "its process ended without an error"
    return (
        "it ran, but with other code or data than when the sweep started; "
        "run the same command again"
    )
