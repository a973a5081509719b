"""The command line: `python -m nersweep loss=focal focal_gamma=3`."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from nersweep import cli, signals
from nersweep.faults import fault_lines


def one_run(config: DictConfig) -> float:
    """Runs a composed configuration; returns the best dev F1, or NaN where the run failed: a sweep then goes on."""
    from nersweep import run  # torch and transformers cost seconds, which --help need not pay

    try:
        return run.execute(config, HydraConfig.get().overrides.task)["dev"]["f1"]
    except Exception as error:
        if signals.asked:
            raise
        cli.tell(fault_lines(error))
        return float("nan")


def main() -> None:
    cli.main(one_run)


if __name__ == "__main__":
    main()
