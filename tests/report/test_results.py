"""The results in the documents are those of the runs that are kept beside them."""

from pathlib import Path

from nersweep.report import answer, tables
from nersweep.report.comparison import compare
from nersweep.report.records import read_archive

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def test_the_tables_of_the_documents_are_made_of_the_runs_that_are_kept():
    (archive,) = RESULTS.glob("*.jsonl")
    records = read_archive(archive)
    made = tables.markdown(
        compare(records, "cross_entropy", answer.reference_of(records)), archive.stem
    )
    assert (RESULTS / archive.stem / "report.md").read_text("utf-8") == made
    told = " ".join((RESULTS.parent / "results.md").read_text("utf-8").split())
    for line in made.splitlines():  # tables, what their columns mean, conclusions
        assert not line.startswith(("| ", "**", "- ")) or " ".join(line.split()) in told, line
