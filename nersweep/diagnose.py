"""What a data set is like, and with which sweep to begin: `python -m nersweep.diagnose data=wnut17 data.path=DIR`."""

from typing import TYPE_CHECKING

from nersweep.command import main as main_module
from nersweep.command.line import Command

if TYPE_CHECKING:  # torch and transformers cost seconds, which --help need not pay
    pass
from nersweep.diagnosis.describe import describe


def refuse(asked: Command, typed: str) -> list[str]:
    return [
        f"{typed}: one data set is looked at, and nothing is run; leave out -m, experiment, study and dry_run"
    ]


def main() -> None:
    main_module.main(describe, refuse)


if __name__ == "__main__":
    main()
