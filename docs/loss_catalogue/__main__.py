"""`PYTHONPATH=docs python -m loss_catalogue [FOLDER]`: write FOLDER/losses.md and its pictures."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from loss_catalogue.document import write
from loss_catalogue.entries import ENTRIES
from nersweep.faults import fault_lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m loss_catalogue", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs"), help="default: docs")
    folder = parser.parse_args(arguments).folder
    try:
        write(folder)
    except Exception as error:
        for line in fault_lines(error):
            print(f"nersweep: {line}", file=sys.stderr)
        return 1
    pictures = folder / "img" / "losses"
    print(f"wrote {folder / 'losses.md'} and {len(ENTRIES) + 1} pictures in {pictures}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
