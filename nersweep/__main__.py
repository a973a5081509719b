"""The command line: `python -m nersweep loss=focal focal_gamma=3`."""

import os
import sys

from hydra import compose, errors, initialize_config_module
from hydra import main as hydra_main
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from nersweep import config as sections
from nersweep.faults import CONF, composition_faults, one_line

TRACEBACK = "NERSWEEP_TRACEBACK"

failures: list[str] = []  # one-line reasons, of the runs of this process that did not finish


def one_run(config: DictConfig) -> float:
    """Runs a composed configuration; returns the best dev F1, or NaN where the run failed."""
    from nersweep import run  # torch and transformers cost seconds, which --help need not pay

    try:
        return run.execute(config)["dev"]["f1"]
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        failures.extend(fault_lines(error))
        return float("nan")


def fault_lines(error: Exception) -> list[str]:
    """Faults of the user's, of files and of servers speak for themselves; anything else is ours, and says so."""
    if isinstance(error, ValueError):
        return str(error).split("\n")
    if isinstance(error, OSError | RuntimeError):
        return [one_line(error)]
    return [f"internal error: {type(error).__name__}: {one_line(error)}; {TRACEBACK}=1 shows where"]


def main() -> None:
    """Exit code 0, or 1 where anything failed, with one line per fault on standard error; 130 after Ctrl-C."""
    sections.register()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra raises, and main says it in one line
    failures.clear()
    try:
        hydra_main(version_base="1.3", config_path=f"pkg://{CONF}", config_name="config")(one_run)()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except (errors.HydraException, OmegaConfBaseException) as error:
        if os.environ.get(TRACEBACK):
            raise
        overrides = [argument for argument in sys.argv[1:] if "=" in argument and not argument.startswith("-")]
        failures.extend(composition_faults(error, overrides, recompose))
    except OSError as error:
        failures.append(one_line(error))
    for line in failures:
        print(f"nersweep: {line}", file=sys.stderr)
    sys.exit(1 if failures else 0)


def recompose(overrides: list[str]) -> DictConfig:
    with initialize_config_module(CONF, version_base="1.3"):
        return compose("config", overrides)


if __name__ == "__main__":
    main()
