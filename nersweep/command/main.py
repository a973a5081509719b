"""Run a command line: check it whole, then do what it asks. Faults, exit codes, signals."""

import atexit
import copy
import gc
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TypeVar

from hydra import main as hydra_main
from hydra._internal.callbacks import Callbacks
from hydra._internal.utils import get_args_parser
from hydra.core import utils as hydra_utils
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nersweep import terminal
from nersweep.command import line
from nersweep.command.line import Command, Recommend, RunCheck
from nersweep.config import schema
from nersweep.config.compose import MAIN, Composer
from nersweep.config.knobs import CONF
from nersweep.config.overrides import is_hydra
from nersweep.data.corpus import corpora
from nersweep.faults import TRACEBACK, Fault, UserError, fault_lines, reason
from nersweep.machine import signals
from nersweep.machine.host import refuse_windows

if TYPE_CHECKING:
    from nersweep.config.check import Checked  # torch takes seconds, and --help does not need it

T = TypeVar("T")
OBJECTS = 100_000  # between two collections during imports, which take 2 s longer at Python's 700


def run(program: Callable[[], object]) -> NoReturn:
    """Run a program, which reads its command line, and end the process.

    Exit code 0, or 1 if anything failed, with one line per fault on standard error; 130 after
    Ctrl-C and 143 after SIGTERM.
    """
    atexit.register(gc.freeze)  # else Python looks at all objects again at its end, for 2 s
    schema.register()
    terminal.faults.clear()
    signals.listen()
    corpora.clear()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises, and its error becomes one line here
    try:
        refuse_windows()
        with hydra_faults():
            program()
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        if isinstance(error, SystemExit) and not signals.pending:  # after --help
            raise
        if not signals.pending:
            terminal.print_faults(fault_lines(error))
    if signals.pending:  # whatever error it has led to
        first = signals.pending[0]
        cause = "interrupted" if first == signal.SIGINT else f"stopped by {first.name}"
        terminal.print_faults([f"{cause}; the same command resumes: {this_command()}"])
        sys.exit(128 + first)
    sys.exit(1 if terminal.faults else 0)


@contextmanager
def hydra_faults() -> Iterator[None]:
    """Raise UserError for what Hydra raises."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(Fault("", must=reason(error))) from error


def read(run_check: RunCheck, recommend: Recommend | None = None) -> Command | None:
    """Read the command line; print its faults.

    Returns None if nothing is left to do: after faults, and after what Hydra answers itself.
    """
    parser = get_args_parser()
    parser.error = refuse_usage  # type: ignore[method-assign]
    arguments = parser.parse_args()
    if "hydra.verbose=true" in arguments.overrides:
        os.environ[TRACEBACK] = "1"
    line.refuse(arguments)
    if not arguments.shell_completion:
        with rare_collections():
            command = line.read(arguments, run_check, recommend)  # imports torch and transformers
        terminal.print_faults(map(str, command.faults))
        if not line.asks_hydra(arguments):
            return None if command.faults else command
    if not terminal.faults:
        ask_hydra()
    return None


def ask_hydra() -> None:
    """Let Hydra answer: --help, --hydra-help, --cfg, --info, --shell-completion."""
    hydra_main(version_base="1.3", config_path=f"pkg://{CONF}", config_name=MAIN)(
        lambda config: None
    )()


@contextmanager
def rare_collections() -> Iterator[None]:
    """Collect garbage rarely while the body imports torch."""
    threshold = gc.get_threshold()
    gc.set_threshold(OBJECTS)
    try:
        yield
    finally:
        gc.set_threshold(*threshold)


def run_one(command: Command, action: Callable[["Checked", Sequence[str]], T]) -> T:
    """Return what an action makes of the first run and its overrides, as a job of Hydra's.

    With Hydra's logging, callbacks and environment (env_set). Raises what the action raises.
    """
    outcomes: list[T] = []
    errors: list[Exception] = []

    def job(config: DictConfig) -> None:
        try:
            outcomes.append(action(command.first(), config_overrides))
        except Exception as error:  # Hydra would print it
            errors.append(error)
            raise

    with command.composer as composer:
        config = job_config(command.runs[0], composer)
        config_overrides = list(config.hydra.overrides.task)
        hydra_utils.configure_log(config.hydra.hydra_logging, config.hydra.verbose)
        callbacks = Callbacks(config)
        callbacks.on_run_start(config=config, config_name=MAIN)
        context = HydraContext(GlobalHydra.instance().config_loader(), callbacks)
        returned = hydra_utils.run_job(job, config, "hydra.run.dir", None, context)
        callbacks.on_run_end(config=config, config_name=MAIN, job_return=returned)
    if errors:
        raise errors[0]
    return outcomes[0]


def job_config(overrides: Sequence[str], composer: Composer) -> DictConfig:
    """Return the configuration of a single run with Hydra's section, as Hydra runs a job."""
    options, values = composer.split(overrides)
    config = copy.deepcopy(composer.whole(options))
    composer.set(values, config)
    OmegaConf.set_readonly(config.hydra, False)
    config.hydra.overrides.task = [o for o in overrides if not is_hydra(o)]
    config.hydra.mode = RunMode.RUN
    return config


def this_command() -> str:
    """Return the command without rerun=true, with which it would start over instead of resuming."""
    spec = sys.modules["__main__"].__spec__
    module = spec.name.removesuffix(".__main__") if spec else "nersweep"
    arguments = [a for a in sys.argv[1:] if not re.match(r"\+{0,2}rerun=", a)]
    return shlex.join(["python", "-m", module, *arguments])


def refuse_usage(message: str) -> NoReturn:
    """Raise what argparse would print."""
    raise UserError(Fault("", must=message, remedy="see python -m nersweep --help"))
