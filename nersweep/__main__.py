"""The command line: `python -m nersweep loss=focal focal_gamma=3`."""

from importlib import import_module
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from nersweep.command import main as main_module
from nersweep.command.line import Command
from nersweep.config.schema import TrackingConfig


def one_run(config: DictConfig) -> None:
    # torch and transformers cost seconds, which --help need not pay
    from nersweep.config import check
    from nersweep.run import execute, plan

    hydra = HydraConfig.get()
    checked = check.check(config, hydra.runtime.choices)
    execute.execute(plan.make(checked), hydra.overrides.task)


def many_runs(command: Command, typed: str) -> list[str]:
    """A preview, a sweep, a study, or workers of a study; returns a line for each run that failed."""
    from nersweep.study import loop
    from nersweep.sweep import check, launch, preview

    runs, composer = command.runs, command.composer
    config = composer(runs[0])
    if faults := check.check(command):
        return list(map(str, faults))
    if config.dry_run:
        preview.show(command)
    elif not config.study.space:
        if config.report:
            import_module(
                "nersweep.report.answer"
            )  # what is not installed for it is told before hours of training
        folder, failures = launch.launch(command, typed)
        return failures + (report_of(folder, config) if config.report else [])
    elif command.many:
        return launch.launch_workers(command)
    else:
        with composer:
            loop.work(config, runs[0], composer)
    return []


def report_of(folder: Path, config: DictConfig) -> list[str]:
    """Makes the report of a sweep; returns what stands against it."""
    from nersweep.report import answer

    uri, experiment = config.tracking.uri, config.tracking.experiment
    asked = answer.ReportConfig(
        sweep=str(folder),
        output_dir=config.output_dir,
        tracking=TrackingConfig(uri=uri, experiment=experiment),
    )
    try:
        answer.report(asked)
    except ValueError as error:
        return str(error).split("\n")
    return []


def main() -> None:
    main_module.main(one_run, many_runs)


if __name__ == "__main__":
    main()
