"""Diagnose a data set: `python -m nersweep.diagnose data=wnut17 data.path=DIR`."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from nersweep.command import main as main_module
from nersweep.command.line import Command


def job(config: DictConfig) -> None:
    """Print the diagnosis of the configuration's data."""
    from nersweep.config import check  # torch costs seconds, which --help saves
    from nersweep.diagnosis.describe import describe

    describe(check.check(config, HydraConfig.get().runtime.choices))


def refuse(command: Command, line: str) -> list[str]:
    """Refuse a command line of several runs."""
    return [
        f"{line}: diagnoses one data set and runs nothing; "
        "leave out -m, experiment, study and dry_run"
    ]


def main() -> None:
    """Run the command line."""
    main_module.main(job, refuse)


if __name__ == "__main__":
    main()
