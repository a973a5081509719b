"""Print to the terminal."""

import sys

from rich.console import Console
from rich.table import Table

console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def table(title: str, header: list[str], rows: list[list[str]]) -> None:
    """Prints a table: the first column to the left, the others to the right."""
    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for i, name in enumerate(header):
        drawn.add_column(name, justify="right" if i else "left")
    for row in rows:
        drawn.add_row(*row)
    console.print(drawn)


told: list[str] = []  # the faults of this process, each told once


def tell(lines: list[str]) -> None:
    for line in lines:
        if line not in told:
            told.append(line)
            print(f"nersweep: {line}", file=sys.stderr, flush=True)
