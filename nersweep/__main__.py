"""The command line: `python -m nersweep loss=focal focal_gamma=3`."""

from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from nersweep.command.explain import Composed
from nersweep.command.line import Command
from nersweep.command.main import read, run, run_one, this_command
from nersweep.config.compose import Composer
from nersweep.faults import Fault, UserError, fault_lines
from nersweep.terminal import print_faults

if TYPE_CHECKING:
    from nersweep.config.check import Checked
    from nersweep.config.settings import Settings
    from nersweep.results.result import FinishedResult

# Imports inside functions: torch and transformers take seconds, and --help does not need them.


def nersweep() -> None:
    """Do what the command line asks."""
    command = read(run_faults, recommend)
    if command is None:
        return
    if command.is_more_than_a_run():
        print_faults(run_many(command, this_command()))
    else:
        run_one(command, execute)


def execute(checked: "Checked", overrides: Sequence[str]) -> tuple[Path, "FinishedResult"]:
    """Execute a single run; return its folder and its result."""
    from nersweep.run import execute, plan

    prepared = plan.make(checked)
    return prepared.folder, execute.execute(prepared, overrides)


def run_many(command: Command, text: str) -> Sequence[str]:
    """Run a preview, a sweep, a study, or workers of a study; return a line for each failure."""
    from nersweep.study import loop
    from nersweep.sweep import check, launch, preview

    runs, composer, settings = command.runs, command.composer, command.first().settings
    if faults := check.check(command):
        return list(map(str, faults))
    if settings.dry_run:
        preview.show(command)
    elif not settings.study.space:
        _, failures = run_sweep(command, text)
        return failures
    elif command.many:
        return launch.launch_workers(command)
    else:
        with composer:
            loop.work(composer(runs[0]), runs[0], composer)
    return []


def run_sweep(command: Command, text: str) -> tuple[Path | None, Sequence[str]]:
    """Run a sweep; return its folder and a line for each failure. No folder if no row was tuned."""
    from nersweep.sweep import launch, tuning

    settings = command.first().settings
    if settings.report:
        import_module("nersweep.report.report")  # if it lacks a package, fail before the runs
    command, tuned, failures = tuning.tune(command)
    if not command.runs:
        return None, failures
    folder, of_runs = launch.launch(command, text, tuned)
    failures += of_runs
    return folder, failures + (report(folder, settings) if settings.report else [])


def report(folder: Path, settings: "Settings") -> list[str]:
    """Write the report of a sweep; return its faults."""
    from nersweep.report import report as report_module
    from nersweep.report.sources import ReportOptions

    options = ReportOptions(
        sweep=str(folder),
        output_dir=str(settings.output_dir),
        tracking_uri=settings.tracking.uri,
        resolution=str(settings.resolution),
    )
    try:
        report_module.report(options)
    except Exception as error:  # whatever it is, the failed runs are listed too
        return fault_lines(error)
    return []


def run_faults(composed: Composed, overrides: Sequence[str], composer: Composer) -> Iterable[Fault]:
    """Return the faults of the tracker and of the study of a configuration, if it has one."""
    from nersweep.study import check
    from nersweep.tracking import tracker

    faults: list[Fault] = []
    config = composed.config
    try:
        tracker.make(config.tracking.kind, config.tracking.uri, Path(str(config.output_dir)))
    except UserError as error:
        faults += error.faults
    return faults + check.study_faults(composed, overrides, composer)


def recommend(checked: "Checked") -> list[tuple[str, ...]]:
    """Return the settings that the diagnosis of the data recommends."""
    from nersweep.diagnosis.recommendation import recommend_settings

    return recommend_settings(checked)


def main() -> None:
    run(nersweep)


if __name__ == "__main__":
    main()
