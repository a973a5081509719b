"""`python -m nersweep.suspects`: list the entities whose gold label finished runs doubt most."""

from dataclasses import dataclass
from pathlib import Path

from nersweep.command.keywords import keyword, run_program
from nersweep.faults import Fault, UserError
from nersweep.machine import files
from nersweep.report.records import Record
from nersweep.report.review import comma_separated, review_page
from nersweep.report.sources import ReportOptions, select_runs
from nersweep.report.suspects import find_suspects
from nersweep.results.probabilities import file_of
from nersweep.terminal import console


@dataclass(frozen=True)
class SuspectOptions:
    """The arguments of `python -m nersweep.suspects`."""

    sweep: str | None = keyword("a sweep, by name or folder (the last one)")
    experiment: str | None = keyword("all runs of an experiment of the tracker")
    filter: str | None = keyword("""a filter of MLflow, as in filter='tags.loss = "focal"'""")
    split: str = keyword("dev or test (test)", "test")
    limit: str = keyword("the most suspects to list (500)", "500")
    output_dir: str = keyword("where the runs are (outputs)", "outputs")
    folder: str | None = keyword("where the files go (beside the report of the runs)")
    tracking_uri: str | None = keyword(
        "the tracking store, as in training (mlflow.db in output_dir)",
        name="tracking.uri",
        nullable=True,
    )

    @property
    def most(self) -> int:
        """The limit. Raises UserError unless it is a whole number of at least 1."""
        try:
            limit = int(self.limit)
        except ValueError:
            limit = 0
        if limit < 1:
            raise UserError(Fault("limit", self.limit, "must be a whole number ≥ 1"))
        return limit


def suspects(options: SuspectOptions) -> None:
    """Write suspects.csv and suspects.html.

    Raises UserError for wrong options, damaged runs, and runs that have kept no probabilities.
    """
    most = options.most
    selection = select_runs(
        ReportOptions(
            sweep=options.sweep,
            experiment=options.experiment,
            filter=options.filter,
            split=options.split,
            output_dir=options.output_dir,
            tracking_uri=options.tracking_uri,
        )
    )
    records = [run for run in selection.runs if isinstance(run, Record)]
    if not records:
        remedy = "repeat the sweep's command to resume them"
        raise UserError(Fault("no run has finished", remedy=remedy))
    if not any(map(has_probabilities, records)):
        must = "the runs have kept no probabilities, as an older version made them"
        raise UserError(Fault(selection.title, must=must, remedy="run them with rerun=true"))
    listed = find_suspects(records, most)
    folder = files.writable(Path(options.folder or selection.folder), "folder")
    types = sorted({type_ for record in records for type_ in record.types})
    title = f"Suspects of {selection.title}"
    html = review_page(listed, types, selection.split, title)
    files.write_text(folder / "suspects.html", html)
    files.write_text(folder / "suspects.csv", comma_separated(listed))
    console.print(f"{len(listed):,} suspects of {len(records):,} runs, on {selection.split}")
    console.print(f"table: {folder / 'suspects.csv'}")
    console.print(f"to review: {folder / 'suspects.html'}")


def has_probabilities(record: Record) -> bool:
    return record.folder is not None and file_of(record.folder, record.split).exists()


def main() -> None:
    """Run the command line."""
    run_program(SuspectOptions, "python -m nersweep.suspects", suspects)


if __name__ == "__main__":
    main()
