"""A command line of overrides: checked whole, then given to Hydra; faults in one line each, exit codes, signals."""

import os
import re
import shlex
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from hydra import errors
from hydra import main as hydra_main
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from nersweep import terminal
from nersweep.command import line as line_module
from nersweep.config import schema as sections
from nersweep.config.knobs import CONF
from nersweep.data.corpus import corpora
from nersweep.faults import TRACEBACK, fault_lines, reason
from nersweep.machine import signals


def main(
    job: Callable[[DictConfig], object],
    many: Callable[[line_module.Command, str], list[str]] | None = None,
) -> None:
    """Does the job with the configuration that a command line describes. `many` is for what is more than a run: sweeps,
    studies, previews of them. It takes the command, and as it was typed, and returns faults.

    Exit code 0, or 1 where anything failed, with one line per fault on standard error; 130 after Ctrl-C and 143 after
    SIGTERM."""
    sections.register()
    terminal.faults.clear()
    signals.listen()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises, and main says it in one line
    parser = get_args_parser()
    parser.error = wrong_usage
    corpora.clear()
    more = False
    try:
        typed = parser.parse_args()
        if "hydra.verbose=true" in typed.overrides:
            os.environ[TRACEBACK] = "1"
        line_module.refuse(typed)
        if not typed.shell_completion:
            line = line_module.read(typed)
            terminal.print_faults(line.faults)
            asked = typed.cfg or typed.info or typed.help or typed.hydra_help  # of Hydra itself
            more = many and not (asked or terminal.faults) and line.is_more_than_a_run()
        if more:
            terminal.print_faults(many(line, this_command()))
        elif not terminal.faults:
            hydra_main(version_base="1.3", config_path=f"pkg://{CONF}", config_name="config")(
                guarded(job)
            )()
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        if isinstance(error, SystemExit) and not signals.asked:  # after --help
            raise
        if not signals.asked:
            hydra_s = isinstance(error, errors.HydraException | OmegaConfBaseException)
            terminal.print_faults(fault_lines(ValueError(reason(error)) if hydra_s else error))
    if signals.asked:  # whatever error it has led to
        first = signals.asked[0]
        what = "interrupted" if first == signal.SIGINT else f"stopped by {first.name}"
        terminal.print_faults([f"{what}; the same command goes on from there: {this_command()}"])
        sys.exit(128 + first)
    sys.exit(1 if terminal.faults else 0)


def guarded(job: Callable[[DictConfig], object]) -> Callable[[DictConfig], None]:
    """Tells what goes wrong in a job, as Hydra would not in one line."""

    def do(config: DictConfig) -> None:
        try:
            job(config)
        except Exception as error:
            if signals.asked:
                raise
            terminal.print_faults(fault_lines(error))

    return do


def this_command() -> str:
    """As it was typed, but for rerun=true, with which it would begin again instead of going on."""
    spec = sys.modules["__main__"].__spec__
    module = spec.name.removesuffix(".__main__") if spec else "nersweep"
    typed = [argument for argument in sys.argv[1:] if not re.match(r"\+{0,2}rerun=", argument)]
    return shlex.join(["python", "-m", module, *typed])


def wrong_usage(message: str) -> NoReturn:
    raise ValueError(f"{message}; see python -m nersweep --help")
