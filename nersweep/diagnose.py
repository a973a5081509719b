"""What a data set is like, and with which sweep to begin: `python -m nersweep.diagnose data=wnut17 data.path=DIR`."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from nersweep.command import main as main_module
from nersweep.command.line import Command
from nersweep.diagnosis.describe import describe


def job(config: DictConfig) -> None:
    from nersweep.config import check  # torch costs seconds, which --help need not pay

    describe(check.check(config, HydraConfig.get().runtime.choices))


def refuse(asked: Command, typed: str) -> list[str]:
    return [
        f"{typed}: one data set is looked at, and nothing is run; leave out -m, experiment, study and dry_run"
    ]


def main() -> None:
    main_module.main(job, refuse)


if __name__ == "__main__":
    main()
