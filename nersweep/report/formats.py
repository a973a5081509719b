"""Write a comparison to the terminal, as Markdown, as LaTeX and as CSV."""

import csv
import io
import math
from collections.abc import Sequence

from tabulate import tabulate

from nersweep.report.comparison import Comparison
from nersweep.report.conclusions import Decision
from nersweep.report.notes import note_unfinished
from nersweep.report.sets import Synopsis, table_of
from nersweep.report.tables import Table, column_groups, make_tables, part
from nersweep.terminal import console, print_table

LATEX_WIDTH = 60  # characters that fit between the margins of A4
LATEX_SIGNS = {
    "–": "--",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "ε": r"$\varepsilon$",
    "τ": r"$\tau$",
    "γ": r"$\gamma$",
    "β": r"$\beta$",
    "…": r"\dots{}",
    "|": r"\textbar{}",
    "[": "{[}",
}
ROW_COLUMNS = [
    "setting",
    "seeds",
    "unfinished",
    "f1_of_seeds",
    "sd",
    "low",
    "high",
    "claimed_f1",
    "f1_with_tau",
    "tau",
    "step_ratio",
]
CONTRAST_COLUMNS = ["difference", "low", "high", "p", "verdict", "more_seeds", "limit"]
STANDING_COLUMNS = ["best", "regret", "candidate"]


def print_comparison(comparison: Comparison) -> None:
    """Print the decision, the conclusions, the main table and the notes.

    A wide table continues below itself. The other tables are in the files.
    """
    for line in [*comparison.decision.lines, "", *comparison.conclusions]:
        console.print(line)
    console.print()
    print_wide(make_tables(comparison)[0])
    for line in [*note_unfinished(comparison.rows), *comparison.notes]:
        console.print(line)


def markdown(comparison: Comparison, title: str) -> str:
    """Return the decision, the conclusions, the notes, and the tables with their legends."""
    blocks = [f"# {escape(title)}"]
    blocks.append(markdown_decision(comparison.decision))
    blocks.append(markdown_conclusions(comparison.conclusions))
    notes = [*comparison.notes, *note_unfinished(comparison.rows)]
    blocks.append("\n>\n".join(f"> {escape(line)}" for line in notes))
    for table in make_tables(comparison):
        blocks += markdown_section(table)
    return "\n\n".join(filter(None, blocks)) + "\n"


def print_wide(table: Table) -> None:
    """Print a table; a wide one continues below itself."""
    title = table.title
    for columns in column_groups(table, console.width):
        print_table(title, *part(table, columns))
        console.print()
        title = ""


def print_synopsis(synopsis: Synopsis) -> None:
    """Print what the sets show together, then the comparison of each."""
    for line in synopsis.conclusions:
        console.print(line)
    console.print()
    print_wide(table_of(synopsis))
    for line in synopsis.notes:
        console.print(line)
    for section in synopsis.sections:
        console.print(f"\n{section.name}\n{'=' * len(section.name)}")
        print_comparison(section.comparison)


def markdown_synopsis(synopsis: Synopsis, title: str) -> str:
    """Return what the sets show together, and the decision of each, which links to its folder."""
    blocks = [f"# {escape(title)}", markdown_conclusions(synopsis.conclusions)]
    blocks.append("\n>\n".join(f"> {escape(line)}" for line in synopsis.notes))
    blocks += markdown_section(table_of(synopsis))
    for section in synopsis.sections:
        blocks.append(f"## [{escape(section.name)}]({section.folder}/report.md)")
        blocks.append(markdown_decision(section.comparison.decision))
    return "\n\n".join(filter(None, blocks)) + "\n"


def markdown_conclusions(lines: Sequence[str]) -> str:
    return "\n".join(f"- {escape(line)}" for line in lines)


def markdown_section(table: Table) -> list[str]:
    """Return a table with its title and its legend."""
    legend = [f"**{escape(name)}**: {escape(about)}" for name, about in table.legend]
    text = "; ".join(legend) + "." if legend else ""
    return [f"## {escape(table.title)}", markdown_table(table), text]


def markdown_decision(decision: Decision) -> str:
    """Return the decision as paragraphs."""
    command = decision.command.replace("`", " ")
    blocks = [f"**{escape(decision.provisional)}**"] if decision.provisional else []
    blocks += [escape(decision.protocol)] if decision.protocol else []
    blocks.append(f"**{escape(decision.choice)}:** `{command}`")
    return "\n\n".join([*blocks, escape(decision.certainty), escape(decision.model)])


def markdown_table(table: Table) -> str:
    rows: list[list[str]] = []
    for row in [table.header, *table.rows]:
        rows.append([escape(cell) for cell in row])
    return grid(rows[0], rows[1:], "pipe")


def grid(header: Sequence[str], rows: Sequence[Sequence[str]], form: str) -> str:
    """Return a table in one of tabulate's formats, the first column left, the others right."""
    sides = ["left"] + ["right"] * (len(header) - 1)
    return tabulate(rows, header, form, disable_numparse=True, colalign=sides)


def escape(text: str) -> str:
    """Escape text for Markdown: no HTML, no column, no emphasis, no formula."""
    for sign in "\\`*_|[]#~$":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def latex(comparison: Comparison) -> str:
    """Return all tables of a comparison."""
    return latex_tables(make_tables(comparison))


def latex_tables(tables: Sequence[Table]) -> str:
    """Return a booktabs tabular for each table; several if a table is wider than a page."""
    blocks = ["% needs \\usepackage{booktabs}\n"]
    signs = str.maketrans(LATEX_SIGNS)
    for table in tables:
        blocks.append(f"% {' '.join(table.title.split())}")
        for columns in column_groups(table, LATEX_WIDTH):
            text = grid(*part(table, columns), "latex_booktabs")
            blocks.append(text.translate(signs) + "\n")
    return "\n".join(blocks)


def comma_separated(comparison: Comparison) -> str:
    """Return all numbers unrounded: a line for each row, with its means and its contrast.

    Scores and their intervals are fractions of 1; differences, limits and regrets are points.
    """
    scores = list(comparison.first.scores)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    contrast = [f"difference_{name}" if name in ROW_COLUMNS else name for name in CONTRAST_COLUMNS]
    own = [name.replace("f1_of", f"{comparison.metric.name}_of") for name in ROW_COLUMNS]
    writer.writerow([*own, *contrast, *STANDING_COLUMNS, *scores])
    for row in comparison.rows:
        of_seeds = " ".join(f"{value:.6g}" for value in row.values())
        values: list[object] = [row.setting, " ".join(map(str, row.seeds)), len(row.unfinished)]
        values += [of_seeds, row.sd, *row.interval]
        values.append("" if row.claim.f1 is None else row.claim.f1 / 100)
        if row.records:
            f1_with_tau, tau = row.mean("threshold/f1"), row.mean("threshold/tau")
            values += [f1_with_tau, tau, comparison.time_ratio(row)]
        else:
            values += [""] * 3
        for name in CONTRAST_COLUMNS:
            values.append(getattr(row.contrast, name, getattr(row.outlook, name, "")))
        for name in STANDING_COLUMNS:
            values.append(getattr(row.standing, name, ""))
        values += [row.mean(score) for score in scores]
        writer.writerow("" if is_nan(value) else value for value in values)
    return file.getvalue()


def comma_separated_synopsis(synopsis: Synopsis) -> str:
    """Return the difference of each setting on each set, in points: a line for both."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = ["difference", "low", "high", "p", "verdict"]
    bounds = ["better_on", "p_better", "worse_on", "p_worse"]
    writer.writerow(["setting", "set", *names, *bounds])
    for across in synopsis.settings:
        better, worse = across.better, across.worse
        for section, contrast in zip(synopsis.sections, across.contrasts, strict=True):
            values: list[object] = [getattr(contrast, name, "") for name in names]
            values += [better.sets, better.p, worse.sets, worse.p]
            row = ["" if is_nan(value) else value for value in values]
            writer.writerow([across.setting, section.name, *row])
    return file.getvalue()


def is_nan(value: object) -> bool:
    """True for what an empty cell stands for: NaN, and an interval without ends."""
    return isinstance(value, float) and not math.isfinite(value)
