"""Diagnose a data set: `python -m nersweep.diagnose data=wnut17 data.path=DIR`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nersweep.__main__ import run_faults
from nersweep.command.main import read, run, run_one, this_command
from nersweep.faults import Fault, UserError

if TYPE_CHECKING:
    from nersweep.config.check import Checked


def diagnose() -> None:
    """Print the diagnosis of the data that the command line names."""
    command = read(run_faults)
    if command is None:
        return
    if command.is_more_than_a_run():
        must = "diagnoses one data set and runs nothing"
        remedy = "leave out -m, experiment, study and dry_run"
        raise UserError(Fault(this_command(), must=must, remedy=remedy))
    run_one(command, describe)


def describe(checked: "Checked", overrides: Sequence[str]) -> None:
    from nersweep.diagnosis import describe  # torch takes seconds, which --help saves

    describe.describe(checked)


def main() -> None:
    run(diagnose)


if __name__ == "__main__":
    main()
