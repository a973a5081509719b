"""Many runs: which there are, which are done already, what became of them; none is lost or made twice."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from nersweep import jobs, plan, store, tracking, worker
from nersweep.compose import Composer
from nersweep.faults import without_seed
from nersweep.progress import console, table

OVER = {"finished", "diverged"}  # what the same command does not run again
ELSEWHERE = {"SlurmLauncher", "RayLauncher"}  # launch runs on other machines
MOST_ROWS = 60  # of the table at the end


@dataclass(frozen=True)
class Member:
    """A run of the sweep, before it is made."""

    overrides: tuple[str, ...]
    name: str
    fingerprint: str
    folder: Path
    label: str = ""  # the name, and what else tells it from the others, for people to read

    def done(self) -> bool:
        return self.result().get("status") in OVER

    def result(self) -> dict[str, Any]:
        """As far as it got; empty where it was never begun."""
        return store.read_result(self.folder, self.fingerprint)


def launch(runs: Sequence[tuple[str, ...]], composer: Composer, command: str) -> tuple[Path, list[str]]:
    """Makes the runs that are not made yet, with the launcher that they name. Returns the folder of the sweep, and a
    line for each run that failed. command: as it was typed, for people to read."""
    with composer:
        config = composer(runs[0])
        members = list({member.fingerprint: member for member in planned(runs, composer)}.values())
        todo = [member for member in members if config.rerun or not member.done()]
        console.print(f"{len(members)} runs, {len(members) - len(todo)} of them made before")
        output_dir = Path(config.output_dir)
        store.writable(output_dir)
        uri = tracking.open_store(config.tracking.uri, output_dir)
        folder = output_dir / "sweeps" / store.fingerprint(sorted(m.fingerprint for m in members))[:8]
        with claimed(folder), begin(members, folder, uri, output_dir, config, command) as parent:
            overrides = anew(todo) if config.rerun else [member.overrides for member in todo]
            told = jobs.send(overrides, folder, parent.id, config.on_failure == "stop", composer)
            words = {member.fingerprint: "\n".join(lines) for member, lines in zip(todo, told, strict=True)}
            failures = conclude(members, words, folder)
            parent.metrics({"runs": len(members)}, step=0)
            failed = f"{len(failures)} of {len(members)} runs did not finish" if failures else ""
            parent.finish("failed" if failures else "finished", failed)
    if failures and not all(member.done() for member in members):
        console.print(f"\nto make those again that failed, and no other: {command}")
    return folder, failures


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """This process alone makes the sweep. Raises ValueError where another does."""
    with ExitStack() as held:
        try:
            held.enter_context(store.claimed(folder))
        except store.Claimed:
            other = (folder / store.LOCK).read_text("utf-8") or "another process"
            raise ValueError(f"this sweep is being run by {other}; wait for it, or end it") from None
        yield


def anew(members: Sequence[Member]) -> list[tuple[str, ...]]:
    """Forgets what was made of the runs, and returns their overrides, which then go on from where a run is ended."""
    for member in members:
        if member.folder.exists():
            worker.when_free(partial(forget, member), partial(Path, member.folder))
    return [(*member.overrides, "rerun=false") for member in members]


def forget(member: Member) -> None:
    with store.claimed(member.folder):
        (member.folder / store.CHECKPOINT).unlink(missing_ok=True)
        again = {"status": "to be made again", "name": member.name, "fingerprint": member.fingerprint}
        store.write_result(member.folder, again)


def faults(runs: Sequence[tuple[str, ...]], composer: Composer) -> list[str]:
    """What is wrong with many runs, where each of them is right."""
    lines = [line for line in [mixed(runs, composer)] if line]
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
        launcher = composer.whole(tuple(o for o in runs[0] if o.lstrip("+~").startswith("hydra"))).hydra.launcher
        engine = str(launcher._target_).rpartition(".")[2]
        if launcher.get("n_jobs") == 0:
            lines.append("hydra.launcher.n_jobs=0: must be a number of processes, or -1 for one per core")
        if engine in ELSEWHERE and composer(runs[0]).train.precision == "auto":
            lines.append(
                "train.precision=auto: is chosen by each machine, and the runs go to others; type train.precision=bf16 "
                "or fp32"
            )
    return lines


def makes_runs(name: str) -> bool:
    """Do several values of this setting make several runs, or workers of a study?"""
    section = re.split("[./]", name)[0]
    return section == "study" or (section != "hydra" and plan.matters(name))


def mixed(runs: Sequence[tuple[str, ...]], composer: Composer) -> str | None:
    """The fault of a command that asks for runs and for workers of a study."""
    first: dict[bool, tuple[str, ...]] = {}
    with composer:
        for overrides in {without_seed(run): run for run in runs}.values():
            first.setdefault(bool(composer(overrides).study.space), overrides)
    if len(first) == 1:
        return None
    runs_s, study_s = (" ".join(o for o in first[i] if o not in first[not i]) or "no study" for i in (False, True))
    return f"{runs_s} and {study_s}: a run and a study; type each in a command of its own"


def launch_workers(runs: Sequence[tuple[str, ...]], composer: Composer) -> list[str]:
    """Each of these is a worker of a study, which has a run of its own. Returns a line for each thing that failed."""
    with composer:
        config = composer(runs[0])
        output_dir = store.writable(Path(config.output_dir))
        folder = output_dir / "sweeps" / store.fingerprint(runs)[:8]
        with claimed(folder):
            told = jobs.send(runs, folder, "", config.on_failure == "stop", composer)
    return [f"worker {number}: {line}" for number, lines in enumerate(told) for line in lines]


def begin(
    members: Sequence[Member], folder: Path, uri: str, output_dir: Path, config: DictConfig, command: str
) -> tracking.Run:
    """The sweep's own run in the tracker, always the same for the same runs, and its list of runs on disk."""
    file = folder / "sweep.json"
    try:
        known = json.loads(file.read_text("utf-8"))["run_id"]
    except (OSError, ValueError, KeyError, TypeError):  # not there, or spoilt
        known = None
    settings = sorted({member.name.rpartition("-")[0] for member in members})
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
        {"name": m.name, "fingerprint": m.fingerprint, "overrides": [tracking.public(o) for o in m.overrides]}
        for m in members
    ]
    store.write_json(file, {"run_id": parent.id, "command": tracking.public(command), "runs": listed})
    return parent


def conclude(members: Sequence[Member], words: dict[str, str], folder: Path) -> list[str]:
    """Shows what became of the runs; a line for each that failed."""
    rows, failures = [], []
    for member in members:
        result = member.result()
        status = result.get("status", "not begun")
        if status == "finished" and not words.get(member.fingerprint):  # else it is of an earlier time
            scores = [f"{result[split]['f1']:.4f}" for split in ("dev", "test")]
            rows.append([member.label, status, *scores, f"{result['seconds']['total']:.0f}"])
            continue
        reason = words.get(member.fingerprint) or result.get("error") or silence(words.get(member.fingerprint))
        rows.append([member.label, status if status != "running" else "killed", "", "", ""])
        failures.append(f"{member.label}: {' '.join(reason.splitlines())}")
    shown = rows if len(rows) <= MOST_ROWS else [row for row in rows if row[1] != "finished"][:MOST_ROWS]
    table(f"\n{len(rows) - len(failures)} of {len(rows)} runs finished", ["", "", "dev F1", "test F1", "s"], shown)
    console.print(f"sweep: {folder / 'sweep.json'}")
    return failures


def silence(word: str | None) -> str:
    """What it means that a run without a result has told no fault."""
    ended = "it was made, but with other code or data than when the sweep was started; type the command again"
    return "its process ended without a word" if word is None else ended


def planned(runs: Sequence[tuple[str, ...]], composer: Composer) -> list[Member]:
    """The runs with their names and fingerprints."""
    members = list(identified(runs, composer))
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
            found[member.fingerprint] = " ".join([name, *(o for o in member.overrides if o not in shared)])
    return found


def identified(runs: Sequence[tuple[str, ...]], composer: Composer) -> Iterator[Member]:
    """Those that differ in their seed alone are composed once, unless some setting takes its value from it."""
    known: dict[tuple[tuple[str, ...], bool], tuple[dict[str, Any], dict[str, Any]]] = {}
    for overrides in map(tuple, runs):
        setting = without_seed(overrides)
        seeds = [int(o.partition("=")[2]) for o in overrides if o not in setting]
        if (setting, bool(seeds)) not in known:
            config = composer(overrides)
            raw, resolved, parts = plan.check(config)
            if "seed}" not in str(raw) and not any(o.lstrip("+").startswith("seed=") for o in setting):
                known[setting, bool(seeds)] = resolved, parts
        else:
            resolved, parts = known[setting, bool(seeds)]
            resolved = resolved | {"seed": seeds[-1]} if seeds else resolved
        name, fingerprint = plan.identify(resolved, parts)
        folder = store.run_folder(Path(resolved["output_dir"]), name, fingerprint)
        yield Member(overrides, name, fingerprint, folder)
