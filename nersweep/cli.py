"""A command line of overrides: checked whole, then given to Hydra; faults in one line each, exit codes, signals."""

import os
import signal
import sys
from collections.abc import Callable
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
stops: list[signal.Signals] = []  # the signals that asked this process to end


def tell(lines: list[str]) -> None:
    for line in lines:
        if line not in told:
            told.append(line)
            print(f"nersweep: {line}", file=sys.stderr, flush=True)


def main(job: Callable[[DictConfig], object]) -> None:
    """Does the job with each configuration that the command line describes. Exit code 0, or 1 where anything failed,
    with one line per fault on standard error; 130 after Ctrl-C and 143 after SIGTERM."""
    sections.register()
    told.clear()
    stops.clear()
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # as it is for a job in the background
            signal.signal(number, stop)
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
            hydra_main(version_base="1.3", config_path=f"pkg://{CONF}", config_name="config")(job)()
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        if isinstance(error, SystemExit) and not stops:  # after --help
            raise
        if not stops:
            hydra_s = isinstance(error, errors.HydraException | OmegaConfBaseException)
            tell(fault_lines(ValueError(reason(error)) if hydra_s else error))
    if stops:  # whatever error it has led to
        tell(["interrupted" if stops[0] == signal.SIGINT else f"stopped by {stops[0].name}"])
        sys.exit(128 + stops[0])
    sys.exit(1 if told else 0)


def stop(number: int, frame: FrameType | None) -> NoReturn:
    """Ends the run, which is marked killed on the way out."""
    stops.append(signal.Signals(number))
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(f"stopped by {stops[-1].name}")


def wrong_usage(message: str) -> NoReturn:
    raise ValueError(f"{message}; see python -m nersweep --help")
