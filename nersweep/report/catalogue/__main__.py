"""`python -m nersweep.report.catalogue [FOLDER]`: the command."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nersweep.faults import fault_lines
from nersweep.report.catalogue.document import write
from nersweep.report.catalogue.entries import ENTRIES


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m nersweep.report.catalogue", description="Writes the catalogue."
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path("docs"), help="docs where not given"
    )
    folder = parser.parse_args(arguments).folder
    try:
        write(folder)
    except Exception as error:
        print(*(f"nersweep: {line}" for line in fault_lines(error)), sep="\n", file=sys.stderr)
        return 1
    print(
        f"wrote {folder / 'losses.md'} and {len(ENTRIES) + 1} pictures in {folder / 'img' / 'losses'}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
