"""The command line: `python -m nersweep loss=focal focal_gamma=3`."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from hydra import errors
from hydra import main as hydra_main
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from nersweep import command
from nersweep import config as sections
from nersweep.faults import CONF, TRACEBACK, fault_lines, reason

told: list[str] = []  # the faults of this process, each told once


def tell(lines: list[str]) -> None:
    for line in lines:
        if line not in told:
            told.append(line)
            print(f"nersweep: {line}", file=sys.stderr, flush=True)


def one_run(config: DictConfig) -> float:
    """Runs a composed configuration; returns the best dev F1, or NaN where the run failed: a sweep then goes on."""
    from nersweep import run  # torch and transformers cost seconds, which --help need not pay

    try:
        return run.execute(config)["dev"]["f1"]
    except Exception as error:
        tell(fault_lines(error))
        return float("nan")


def main() -> None:
    """Exit code 0, or 1 where anything failed, with one line per fault on standard error; 130 after Ctrl-C and 143
    after SIGTERM."""
    sections.register()
    told.clear()
    signal.signal(signal.SIGTERM, terminate)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises, and main says it in one line
    parser = get_args_parser()
    parser.error = wrong_usage
    try:
        typed = parser.parse_args()
        if "hydra.verbose=true" in typed.overrides:
            os.environ[TRACEBACK] = "1"
        if not (typed.shell_completion or typed.hydra_help or typed.config_path):
            tell(command.faults(typed))
        if not told:
            hydra_main(version_base="1.3", config_path=f"pkg://{CONF}", config_name="config")(one_run)()
    except KeyboardInterrupt as stop:
        tell([f"stopped by {stop}" if stop.args else "interrupted"])
        sys.exit(143 if stop.args else 130)
    except (errors.HydraException, OmegaConfBaseException) as error:
        tell(fault_lines(ValueError(reason(error))))
    except (OSError, ValueError) as error:
        tell(fault_lines(error))
    sys.exit(1 if told else 0)


def terminate(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM ends a run as Ctrl-C does: the run is marked killed first."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def wrong_usage(message: str) -> NoReturn:
    raise ValueError(f"{message}; see python -m nersweep --help")


if __name__ == "__main__":
    main()
