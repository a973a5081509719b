"""The documented results are those of the archive beside them."""

from pathlib import Path

from nersweep.report.archive import read_archive
from nersweep.report.comparison import compare
from nersweep.report.formats import markdown
from nersweep.report.reference import read_reference
from nersweep.report.sources import data_name

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def test_the_documented_tables_are_those_of_the_archive():
    (file,) = RESULTS.glob("*.jsonl")
    archive = read_archive(file)
    reference = read_reference(data_name(archive.runs))
    comparison = compare(archive.runs, "cross_entropy", archive.split, reference)
    report = markdown(comparison, file.stem)
    assert (RESULTS / file.stem / "report.md").read_text("utf-8") == report
    document = (RESULTS.parent / "results.md").read_text("utf-8")
    document = unspaced(document.replace("\n> ", "\n"))  # the decision is a quotation
    for line in report.splitlines():
        if line.startswith(
            ("| ", "**", "- ", "How sure")
        ):  # tables and their legends, decision, conclusions
            assert unspaced(line) in document, line


def unspaced(text):
    return " ".join(text.split())
