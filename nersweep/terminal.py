"""Print to the terminal."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nersweep.faults import COMMANDS


class PlainConsole(Console):
    """A console for which text is text, even if a terminal would take it for a command."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(text.translate(COMMANDS), **options)


# A notebook says that it is a terminal, but shows each new state of a bar below the last one: it
# gets plain lines, as a file does, and no block of HTML for each of them.
console = PlainConsole(
    highlight=False,
    soft_wrap=True,
    markup=False,
    emoji=False,
    force_jupyter=False,
    force_terminal=False if "ipykernel" in sys.modules else None,
)
faults: list[str] = []  # the lines of faults that this process has printed


@contextmanager
def notes_on_stderr() -> Iterator[None]:
    """Print what the console prints to standard error, because standard output is the result."""
    console.stderr = True
    try:
        yield
    finally:
        console.stderr = False


def print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: the first column aligned left, the others right."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column, name in enumerate(header):
        table.add_column(name, justify="right" if column else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def print_faults(lines: Iterable[str]) -> None:
    """Print lines to standard error, each at most once in the life of this process."""
    for line in lines:
        if line not in faults:
            faults.append(line)
            print(f"nersweep: {line}", file=sys.stderr, flush=True)
