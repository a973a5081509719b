"""Write a report: tables, figures and a page in one folder, with a copy in the tracker."""

from dataclasses import replace
from datetime import date
from pathlib import Path

from nersweep.faults import Fault, UserError
from nersweep.machine import files
from nersweep.report import formats
from nersweep.report.archive import Archive, write_archive
from nersweep.report.comparison import Comparison, common_metric, compare
from nersweep.report.difference import print_difference
from nersweep.report.disagreements import find_disagreements
from nersweep.report.figures.files import write_differences, write_figures
from nersweep.report.page import Part, page
from nersweep.report.records import Record
from nersweep.report.reference import read_reference
from nersweep.report.sets import Synopsis, summarise, table_of
from nersweep.report.sources import ReportOptions, RunSelection, data_name, find_run, select_runs
from nersweep.report.suspects import find_suspects
from nersweep.results.card import read_card, write_card
from nersweep.results.sets import group_runs
from nersweep.terminal import console
from nersweep.tracking.reading import Store
from nersweep.tracking.stores import open_store

SUSPECTS = 50  # at most, in the page


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
    comparisons, missing = compare_sets(selection, options.baseline, resolution, options.metric)
    if options.save:
        files.writable(Path(options.save).parent, "save", Path(options.save))
    if options.folder:
        folder = files.writable(Path(options.folder), "folder")
    else:
        folder = files.writable(selection.folder)
    if len(comparisons) + len(missing) == 1:
        (comparison,) = comparisons.values()
        formats.print_comparison(comparison)
        write_report(comparison, selection, folder)
        note = formats.markdown_decision(comparison.decision)
    else:
        synopsis = summarise(comparisons, missing)
        formats.print_synopsis(synopsis)
        write_sections(synopsis, selection, folder)
        note = formats.markdown_conclusions(synopsis.conclusions)
    if options.save:
        level = min(selection.levels.values(), default=None)
        archive = Archive(selection.runs, selection.split, selection.tuning, level)
        write_archive(Path(options.save), archive)
        console.print(f"runs: {options.save}")
    if selection.parent_id:
        attach_report(options, selection, folder, note)
    console.print(f"report: {folder / 'report.html'}")


def compare_sets(
    selection: RunSelection, baseline: str, resolution: float, metric: str | None = None
) -> tuple[dict[str, Comparison], list[str]]:
    """Compare the runs of each set. Returns the comparisons by name, and the sets without one.

    Raises UserError if no run of any set has finished.
    """
    comparisons: dict[str, Comparison] = {}
    missing: list[str] = []
    metric = metric or common_metric(selection.runs)
    for name, runs in group_runs(selection.runs).items():
        if not any(isinstance(run, Record) for run in runs):
            missing.append(name)
            continue
        comparison = compare(
            runs,
            baseline,
            selection.split,
            read_reference(data_name(runs)),
            selection.study_size,
            resolution,
            selection.alpha(name),
            metric,
        )
        decision = replace(comparison.decision, protocol=selection.protocol)
        notes = (*comparison.notes, *selection.notes)
        comparisons[name] = replace(
            comparison, decision=decision, tuning=selection.tuning, notes=notes
        )
    if not comparisons:
        compare(selection.runs, baseline, selection.split)  # raises
    return comparisons, missing


def write_report(comparison: Comparison, selection: RunSelection, folder: Path) -> None:
    """Write report.md, report.csv, report.tex, the figures and report.html."""
    part = write_part(comparison, selection.title, folder)
    html = page([part], selection.title, selection.command, date.today())
    files.write_text(folder / "report.html", html)


def write_part(comparison: Comparison, title: str, folder: Path, name: str = "") -> Part:
    """Write the tables and figures of a comparison; return its part of the page."""
    files.write_text(folder / "report.md", formats.markdown(comparison, title))
    files.write_text(folder / "report.csv", formats.comma_separated(comparison))
    files.write_text(folder / "report.tex", formats.latex(comparison))
    pictures = write_figures(comparison, folder)
    suspects = find_suspects(comparison.records, SUSPECTS)
    return Part(comparison, find_disagreements(comparison), pictures, name, suspects)


def write_sections(synopsis: Synopsis, selection: RunSelection, folder: Path) -> None:
    """Write what the sets show together, a folder for each of them, and a page of all."""
    files.write_text(folder / "report.md", formats.markdown_synopsis(synopsis, selection.title))
    files.write_text(folder / "report.csv", formats.comma_separated_synopsis(synopsis))
    files.write_text(folder / "report.tex", formats.latex_tables([table_of(synopsis)]))
    pictures = write_differences(synopsis, folder)
    parts: list[Part] = []
    for section in synopsis.sections:
        place = files.writable(folder / section.folder)
        title = f"{selection.title}: {section.name}"
        parts.append(write_part(section.comparison, title, place, section.name))
    day = date.today()
    html = page(parts, selection.title, selection.command, day, synopsis, pictures)
    files.write_text(folder / "report.html", html)


def attach_report(options: ReportOptions, selection: RunSelection, folder: Path, note: str) -> None:
    """Copy the report to the tracker's run of the sweep or study; print if that fails.

    note: what the run's note says before the command.
    """
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
