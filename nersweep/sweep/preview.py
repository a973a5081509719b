"""Print what a command would do and cost, without doing it: dry_run=true."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path

from nersweep.command.line import Command
from nersweep.config.check import check_overrides
from nersweep.config.compose import Composer
from nersweep.machine.databases import public
from nersweep.results.folder import CHECKPOINT
from nersweep.results.result import Status
from nersweep.study import plan as study_plan
from nersweep.study import queue
from nersweep.sweep import launchers, seeds, tuning
from nersweep.sweep.costs import Costs, duration
from nersweep.sweep.launch import MOST_ROWS
from nersweep.sweep.members import Member, members_of
from nersweep.terminal import console, print_table


def show(command: Command) -> None:
    """Print what each run or study would do, and the time and disk space it would take."""
    with command.composer as composer:
        plan = tuning.make(command, composer)
        if composer(command.runs[0]).study.space:
            show_studies(command, composer)
        elif plan and plan.unfinished():
            show_tuning(plan, composer)
        else:
            show_runs(plan.tuned() if plan else command, composer)


def show_tuning(plan: tuning.Plan, composer: Composer) -> None:
    """Print the studies of rows and, as their outcome is open, how many runs can follow."""
    launcher = composer.compose(plan.command.runs[0]).hydra.launcher
    workers = max(1, len(plan.workers(launcher)) // len(plan.unfinished()))
    count, most = len(plan.studies), plan.command.first().settings.seeds.max
    for study in plan.studies:
        console.print(
            f"{study.row.setting}: {', '.join(d.name for d in study.plan.space.dimensions)}"
        )
        show_study(study.overrides, workers, launchers.runs_elsewhere(launcher), composer)
    runs = (count + 1) * max(len(plan.seeds), most or 0)
    console.print(
        f"{count} rows × {plan.trials} trials, then the best setting of each and the baseline as "
        f"it is: {runs} runs{' at most' if most else ''}; nothing was done"
    )


def show_runs(command: Command, composer: Composer) -> None:
    config = composer.compose(command.runs[0])
    launcher = config.hydra.launcher
    costs = Costs(Path(config.output_dir), launchers.runs_elsewhere(launcher))
    plans = seeds.make(command, composer)
    members: list[Member] = []
    expected, left = 0, 0
    for plan in plans:
        progress = plan.look({})
        members += plan.members(progress.runs)
        expected += plan.expected_runs(progress)
        left += progress.runs_at_most
    members = members or members_of(command)
    fingerprints, sources = set(), set()
    rows, todo, seconds, size = [], 0, 0.0, 0
    for member in members:
        state = state_of(member, config.rerun)
        if member.fingerprint in fingerprints:
            state = "same as above"
        fingerprints.add(member.fingerprint)
        rows.append([member.label, state, ""])
        if state in ("to do", "resumes"):
            cost = costs.cost(check_overrides(composer, member.overrides))
            rows[-1][2] = f"{cost.seconds:.0f}"
            sources.add(cost.source)
            todo, seconds, size = todo + 1, seconds + cost.seconds, size + cost.size
    title = f"{len(rows)} run{'s' * (len(rows) > 1)}, {todo} to do"
    print_table(title, ["", "", "about s"], rows[:MOST_ROWS])
    if len(rows) > MOST_ROWS:
        console.print(f"… and {len(rows) - MOST_ROWS} more")
    together = launchers.concurrency(launcher, max(1, todo))
    if plans and todo:
        done = len(rows) - todo
        most = done + left
        scale = (expected - done) / todo
        most_seconds = seconds * (most - done) / todo
        console.print(
            f"then further seeds until resolution={plans[0].resolution:g} is answered: "
            f"about {expected} runs expected, at most {most}, which take {duration(most_seconds)}"
        )
        seconds, size = seconds * scale, round(size * scale)
    show_total("about", seconds, together, size, sources)


def show_studies(command: Command, composer: Composer) -> None:
    """Print each study of a command, whose runs are workers of studies, most often of one."""
    launcher = composer.compose(command.runs[0]).hydra.launcher
    workers: Counter[tuple[str, ...]] = Counter()
    for overrides in command.runs:
        workers[tuple(o for o in overrides if not o.startswith("study.worker="))] += 1
    for overrides, count in workers.items():
        together = launchers.concurrency(launcher, count) or count
        show_study(overrides, together, launchers.runs_elsewhere(launcher), composer)


def show_study(
    overrides: tuple[str, ...], workers: int, elsewhere: bool, composer: Composer
) -> None:
    """Print a study. Its cost assumes the dearest trial of the space each time, none pruned."""
    config = composer(overrides)
    study = study_plan.make(config, overrides, composer)
    trials = study_plan.trials(study)
    total = queue.trial_count(queue.grid(study.space, config), config)
    done = sum(trial.state in queue.FINISHED for trial in trials)
    failed = sum(trial.state == queue.FAILED for trial in trials)
    left, seeds = max(0, total - done), len(study.seeds)
    console.print(
        f"study {study.name} in {public(study.url)}{'' if trials else ' (not started)'}\n"
        f"{done} of {total} trials done{f', {failed} failed' if failed else ''}, {left} left: "
        f"each {seeds} seed{'s' * (seeds > 1)} × {study.example.train.epochs} epochs"
    )
    if not left:
        return show_total("at most", 0, 0, 0, [])
    costs = Costs(Path(config.output_dir), elsewhere)
    probes = []
    for example in study.space.probes():
        trial = [*study.space.fixed, *example, f"seed={study.seeds[0]}"]
        probes.append(costs.cost(check_overrides(composer, trial)))
    dearest, runs = max(probes), left * seeds
    together = min(left, workers)
    show_total("at most", runs * dearest.seconds, together, runs * dearest.size, [dearest.source])


def show_total(
    about: str, seconds: float, together: int | None, size: int, sources: Collection[str]
) -> None:
    """Print the work and disk of all runs, of which so many are made together."""
    line = f"{about} {duration(seconds)} of work"
    if together and together > 1:
        line += f", {duration(seconds / together)} with {together} at once"
    line += f", {size / 1e6:,.0f} MB on disk"
    if sources:
        line += f" (from {' and '.join(sorted(sources))})"
    console.print(f"{line}; nothing was done")


def state_of(member: Member, rerun: bool) -> str:
    """Return what a command would do with a run."""
    status = member.result().status
    if rerun or status == Status.NOT_STARTED:
        return "to do"
    if status.over:
        return "done" if status == Status.FINISHED else status
    return "resumes" if (member.folder / CHECKPOINT).exists() else "to do"
