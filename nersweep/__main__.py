"""The command line: `python -m nersweep loss=focal focal_gamma=3`."""

from collections.abc import Sequence

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from nersweep import cli
from nersweep.compose import Composer


def one_run(config: DictConfig) -> float:
    """Runs a composed configuration; returns the best dev F1."""
    from nersweep import run  # torch and transformers cost seconds, which --help need not pay

    return run.execute(config, HydraConfig.get().overrides.task)["dev"]["f1"]


def many_runs(runs: Sequence[tuple[str, ...]], composer: Composer, command: str) -> list[str]:
    """dry_run=true only shows them."""
    from nersweep import preview, sweep

    if composer(runs[0]).dry_run:
        preview.show(runs, composer)
        return []
    return sweep.launch(runs, composer, command)


def main() -> None:
    cli.main(one_run, many_runs)


if __name__ == "__main__":
    main()
