"""Diagnose a data set: `python -m nersweep.diagnose data=wnut17 data.path=DIR`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nersweep.__main__ import run_faults
from nersweep.command.line import Command
from nersweep.command.main import Program, run

if TYPE_CHECKING:
    from nersweep.config.check import Checked


def diagnose(checked: "Checked", overrides: Sequence[str]) -> None:
    """Print the diagnosis of the configuration's data."""
    from nersweep.diagnosis.describe import describe  # torch takes seconds, which --help saves

    describe(checked)


def refuse(command: Command, text: str) -> list[str]:
    """Refuse a command line of several runs."""
    must = "diagnoses one data set and runs nothing"
    return [f"{text}: {must}; leave out -m, experiment, study and dry_run"]


def main() -> None:
    """Run the command line."""
    run(Program(diagnose, refuse, run_faults))


if __name__ == "__main__":
    main()
