"""The command line: `python -m nersweep loss=focal focal_gamma=3`."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from nersweep import cli
from nersweep.command import Command


def one_run(config: DictConfig) -> None:
    from nersweep import run  # torch and transformers cost seconds, which --help need not pay

    run.execute(config, HydraConfig.get().overrides.task)


def many_runs(command: Command, typed: str) -> list[str]:
    """A preview, a sweep, a study, or workers of a study; returns a line for each run that failed."""
    from nersweep import preview, sweep
    from nersweep.study import loop

    runs, composer = command.runs, command.composer
    config = composer(runs[0])
    if fault := sweep.mixed(runs, composer):
        return [fault]
    if config.dry_run:
        preview.show(runs, composer)
    elif not config.study.space:
        return sweep.launch(runs, composer, typed)
    elif command.many:
        return sweep.launch_workers(runs, composer)
    else:
        with composer:
            loop.work(config, runs[0], composer)
    return []


def main() -> None:
    cli.main(one_run, many_runs)


if __name__ == "__main__":
    main()
