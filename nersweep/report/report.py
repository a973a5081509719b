"""Write a report: tables, figures and a page in one folder, with a copy in the tracker."""

from datetime import date
from pathlib import Path

from nersweep.faults import Fault, UserError
from nersweep.machine import files
from nersweep.report import formats
from nersweep.report.archive import write_archive
from nersweep.report.comparison import Comparison, compare
from nersweep.report.conclusions import Decision
from nersweep.report.difference import print_difference
from nersweep.report.disagreements import find_disagreements
from nersweep.report.figures.files import write_figures
from nersweep.report.page import page
from nersweep.report.reference import read_reference
from nersweep.report.sources import ReportOptions, RunSelection, data_name, find_run, select_runs
from nersweep.results.card import read_card, write_card
from nersweep.terminal import console
from nersweep.tracking.reading import Store
from nersweep.tracking.stores import open_store


def report(options: ReportOptions) -> None:
    """Report what the options select: several runs, or the difference between two.

    Raises UserError for wrong options, and for runs that are damaged or cannot be compared.
    """
    if options.compare:
        names = options.compare.split(",")
        if len(names) != 2 or not all(names):
            reason = "expected two runs, as in compare=RUN_A,RUN_B"
            raise UserError(Fault("compare", options.compare, reason))
        print_difference(find_run(names[0], options), find_run(names[1], options))
        return
    resolution = options.points
    selection = select_runs(options)
    comparison = compare(
        selection.runs,
        options.baseline,
        selection.split,
        read_reference(data_name(selection.runs)),
        selection.study_size,
        resolution,
        selection.alpha,
    )
    if options.save:
        files.writable(Path(options.save).parent, "save", Path(options.save))
    if options.folder:
        folder = files.writable(Path(options.folder), "folder")
    else:
        folder = files.writable(selection.folder)
    formats.print_comparison(comparison)
    write_report(comparison, selection, folder)
    if options.save:
        write_archive(Path(options.save), selection.runs, selection.split)
        console.print(f"runs: {options.save}")
    if selection.parent_id:
        attach_report(options, selection, folder, comparison.decision)
    console.print(f"report: {folder / 'report.html'}")


def write_report(comparison: Comparison, selection: RunSelection, folder: Path) -> None:
    """Write report.md, report.csv, report.tex, the figures and report.html."""
    files.write_text(folder / "report.md", formats.markdown(comparison, selection.title))
    files.write_text(folder / "report.csv", formats.comma_separated(comparison))
    files.write_text(folder / "report.tex", formats.latex(comparison))
    pictures = write_figures(comparison, folder)
    html = page(
        comparison,
        find_disagreements(comparison),
        pictures,
        selection.title,
        selection.command,
        date.today(),
    )
    files.write_text(folder / "report.html", html)


def attach_report(
    options: ReportOptions, selection: RunSelection, folder: Path, decision: Decision
) -> None:
    """Copy the report to the tracker's run of the sweep or study; print if that fails.

    The decision becomes the run's note, before the command.
    """
    note = formats.markdown_decision(decision)
    place = selection.folder.parent
    card = read_card(place)
    if card:
        command = card.note.split("\n\n")[-1]
        card.note = f"{note}\n\n{command}"
        note = card.note
        write_card(place, card)
    try:
        store = Store(open_store(options.tracking_uri, selection.output_dir))
        store.attach(selection.parent_id or "", folder, "report", note)
    except UserError as error:
        console.print(f"the report is not in MLflow: {error}")
