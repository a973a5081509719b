"""The results in the documents are those of the runs archived beside them."""

from pathlib import Path

from nersweep.report import answer, tables
from nersweep.report.comparison import compare
from nersweep.report.records import read_archive

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def test_the_tables_of_the_documents_come_from_the_archived_runs():
    (archive,) = RESULTS.glob("*.jsonl")
    records = read_archive(archive)
    report = tables.markdown(
        compare(records, "cross_entropy", answer.reference_of(records)), archive.stem
    )
    assert (RESULTS / archive.stem / "report.md").read_text("utf-8") == report
    document = " ".join((RESULTS.parent / "results.md").read_text("utf-8").split())
    for line in report.splitlines():  # tables, what their columns mean, conclusions
        assert not line.startswith(("| ", "**", "- ")) or " ".join(line.split()) in document, line
