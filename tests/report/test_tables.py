"""The tables have the same numbers in every format, and no name in them does harm."""

import csv
import html
import io
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from finished import finished_result, unfinished

from nersweep.evaluation.inference import Verdict
from nersweep.report import formats, tables
from nersweep.report.comparison import Comparison
from nersweep.report.notes import note_shared, note_tau, note_unfinished, write_notes
from nersweep.report.records import Record
from nersweep.report.reference import Claim, Reference
from nersweep.report.rows import Row
from nersweep.results.result import DataFacts, result_of
from nersweep.terminal import console

HARM = r"a|b_c$d&e%f#g<h>[i]*j*~k^l{m}\n`o` ±"


@pytest.fixture
def hostile(comparison) -> Comparison:
    """A row with signs of every format in its name, and a row without a finished run."""
    first, *others = comparison.rows
    rows = [
        replace(first, setting=HARM),
        *others,
        Row("ghm", (), (unfinished("ghm", 1, "failed", "x|y"),)),
    ]
    return replace(comparison, rows=tuple(rows), conclusions=(f"{HARM} is better.",))


LATEX_ESCAPES = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\^{}": "^",
    r"\ensuremath{<}": "<",
    r"\ensuremath{>}": ">",
    **{f"\\{sign}": sign for sign in "&%$#_{}"},
}


def markdown_tables(text):
    """The tables of a document: rows of cells as they are screen."""
    tables, inside = [], False
    for line in text.splitlines():
        if line.startswith("| "):
            if not inside:
                tables.append([])
            cells = re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |"))
            plain = [re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", cell.strip()) for cell in cells]
            tables[-1].append([html.unescape(cell) for cell in plain])
        inside = line.startswith("|")
    return tables


def latex_tables(text):
    """The tables of a document, with signs for their commands, and the parts of a table joined."""
    signs = LATEX_ESCAPES | {command: sign for sign, command in formats.LATEX_SIGNS.items()}
    pattern = re.compile("|".join(map(re.escape, sorted(signs, key=len, reverse=True))))
    tables = []
    for table in re.split("^% .*\n", text, flags=re.MULTILINE)[2:]:
        rows = []
        for body in re.findall(r"\\toprule\n(.*?)\\bottomrule", table, re.DOTALL):
            lines = [line for line in body.splitlines() if line.endswith(r"\\")]
            rows = rows or [[] for _ in lines]
            for row, line in zip(rows, lines, strict=True):
                cells = line.removesuffix(r"\\").split(" & ")
                plain = [pattern.sub(lambda m: signs[m[0]], cell.strip()) for cell in cells]
                assert not row or row[0] == plain[0]
                row += plain[1:] if row else plain
        tables.append(rows)
    return tables


def test_markdown_and_latex_hold_the_tables_with_any_names(hostile):
    expected = [[table.header, *table.rows] for table in tables.make_tables(hostile)]
    assert expected[0][1][0] == HARM
    assert markdown_tables(formats.markdown(hostile, HARM)) == expected
    assert latex_tables(formats.latex(hostile)) == expected


def test_markdown_holds_no_html_that_a_name_brought(hostile):
    text = formats.markdown(hostile, "<b>")
    assert not re.search(r"<(?!br>)", text) and r"is better." in text


def test_latex_is_accepted(hostile, tmp_path):
    text = formats.latex(hostile)
    bare = re.sub(r"\\\^{}|\\[\\{}$&%#_]|(?<!\\)%.*", "", text)
    bare = re.sub(r"\$[^$]*\$|\\ensuremath{.}", "", bare)
    assert bare.count("{") == bare.count("}") and not re.search(r"[$_#^~|<>±×]", bare)
    for body in re.findall(r"\\begin{tabular}{(\w+)}(.*?)\\end", text, re.DOTALL):
        rows = [line for line in body[1].splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(body[0]) - 1}
    if shutil.which("pdflatex"):
        whole = document(r"\documentclass{article}", text)
        (tmp_path / "t.tex").write_text(whole, encoding="utf-8")
        subprocess.run(
            ["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, capture_output=True
        )


def document(first, text):
    return rf"{first}\usepackage{{booktabs}}\begin{{document}}{text}\end{{document}}"


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex")
def test_latex_fits_on_a_page(comparison, tmp_path):
    types = {f"government{i}": 7 for i in range(18)}
    claim = Claim(types=dict.fromkeys(types, 81.54))
    wide = finished_result(types=types, data=DataFacts("", {"train": 10}, types))
    rows = []
    for row in comparison.rows:
        records = tuple(replace(record, result=wide) for record in row.records)
        rows.append(replace(row, records=records, claim=claim))
    text = formats.latex(replace(comparison, rows=tuple(rows)))
    assert text.startswith("% needs \\usepackage{booktabs}\n")
    page = document(r"\documentclass[a4paper]{article}", text)
    (tmp_path / "t.tex").write_text(page, encoding="utf-8")
    ran = subprocess.run(
        ["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, capture_output=True
    )
    assert text.count("\\begin{tabular}") > 8 and b"Overfull" not in ran.stdout


def test_csv_holds_the_numbers_unrounded(hostile):
    rows = list(csv.DictReader(io.StringIO(formats.comma_separated(hostile))))
    assert [values["setting"] for values in rows] == [row.setting for row in hostile.rows]
    *rows, last = rows
    assert (last["setting"], last["seeds"], last["unfinished"], last["f1"]) == ("ghm", "", "1", "")
    for values, row in zip(rows, hostile.finished, strict=True):
        assert values["f1_of_seeds"].split() == [f"{x:.6g}" for x in row.values()]
        for score in ("f1", "types/LOC/f1", "errors/missed", "calibration_error/all"):
            assert float(values[score]) == row.mean(score)
        interval = float(values["low"]), float(values["high"])
        assert interval == row.interval and float(values["sd"]) == row.sd
        assert values["seeds"] == "1 2"
        contrast, standing = row.contrast, row.standing
        for column, name in {
            "difference": "difference",
            "p": "p",
            "difference_high": "high",
        }.items():
            assert values[column] == (str(getattr(contrast, name)) if contrast else "")
        assert values["verdict"] == (contrast.verdict if contrast else "")
        assert float(values["best"]) == standing.best


def test_unfinished_runs_are_shown_on_the_terminal_and_in_markdown(hostile):
    first, second, *others = hostile.rows
    partly = replace(
        hostile, rows=(first, replace(second, unfinished=(unfinished(status="killed"),)), *others)
    )
    assert [row[1] for row in tables.make_tables(partly)[0].rows] == [
        "2",
        "2 of 3",
        "2",
        "2",
        "0 of 1",
    ]
    with console.capture() as capture:
        formats.print_comparison(hostile)
    screen = capture.get()
    for text in (screen, formats.markdown(hostile, "t")):
        assert re.search(r"ghm: seed 1 failed \(x\\?\|y\)", text) and re.search(
            r"ghm[ |]+0 of 1[ |]+–", text
        )
    assert HARM in screen and "[i]" in screen


def test_runs_that_did_not_finish_have_a_line_for_each_row(comparison):
    runs = [unfinished("ghm", 3, "failed", "x")]
    runs += [unfinished("ghm", seed, "not started") for seed in (10, 9)]
    lines = note_unfinished([*comparison.rows, Row("ghm", (), tuple(runs))])
    assert lines == ["ghm: seed 3 failed (x); seeds 9, 10 not started"]


def test_a_small_bound_does_not_look_like_none(comparison):
    base = next(row for row in comparison.rows if row.setting == comparison.baseline)
    row = next(row for row in comparison.rows if row.contrast)
    for (low, high), text in {
        (-1.11, -0.004): "[−1.11, −0.004]",
        (-0.00041, 1.0): "[−0.0004, +1.00]",
        (0.0, 1e-15): "[0.00, 0.00]",
    }.items():
        contrast = replace(row.contrast, low=low, high=high)
        of = replace(comparison, rows=(base, replace(row, contrast=contrast)))
        assert text in tables.make_tables(of)[0].rows[-1]


def test_the_main_table_says_the_verdict_of_each_row(comparison):
    rows = []
    for row, verdict in zip(comparison.rows, Verdict, strict=False):
        contrast = row.contrast and replace(row.contrast, verdict=verdict)
        rows.append(replace(row, contrast=contrast))
    untrained = replace(comparison.first, counts=np.zeros((1, 3), dtype=int))
    rows.append(Row("untrained", (untrained,)))
    table = tables.make_tables(replace(comparison, rows=tuple(rows), resolution=0.3))[0]
    expected = []
    for row in rows:
        if row.setting == comparison.baseline:
            expected.append("baseline")
        elif row.contrast:
            more = "by more than 0.3"
            expected.append(row.contrast.verdict.replace("by more than the resolution", more))
        else:
            expected.append("did not train")
    assert [row[table.header.index("verdict")] for row in table.rows] == expected
    alone = tables.make_tables(replace(comparison, baseline=None))[0]
    assert not {"difference", "interval", "p", "verdict"} & set(alone.header)


def test_the_terminal_shows_all_columns_in_parts_that_fit(comparison):
    for table in tables.make_tables(comparison):
        for width in (20, 60, 1000):
            parts = list(tables.column_groups(table, width))
            assert sorted(i for part in parts for i in part[1:]) == list(
                range(1, len(table.header))
            )
            assert all(part[0] == 0 for part in parts)


def test_claims_are_beside_the_measured_values(comparison):
    claim = Claim(f1=91.2, precision=90.8, recall=91.6, time=1.0, types={"LOC": 65.68})
    rows = (replace(comparison.rows[0], claim=claim), *comparison.rows[1:])
    reference = Reference("a paper", rows={"crf": claim})
    all_tables = tables.make_tables(replace(comparison, rows=rows, reference=reference))
    *_, measured, claimed = all_tables
    assert (claimed.header, claimed.rows) == (["setting", "LOC"], [[rows[0].setting, "65.68"]])
    assert "claimed (a paper)" in claimed.title and not claimed.legend
    assert len(measured.header) == 1 + len(comparison.types)
    cells = {}
    for table in all_tables:
        cells |= dict(zip(table.header, zip(*table.rows, strict=True), strict=True))
    for name, text in {
        "claimed": "91.20",
        "claimed precision": "90.80",
        "claimed recall": "91.60",
        "claimed step": "1.0×",
    }.items():
        assert cells[name] == (text, "–", "–", "–")
    precision = [f"{100 * row.mean('precision'):.2f}" for row in rows]
    assert list(cells["precision"]) == precision
    for table in tables.make_tables(comparison):
        assert "claimed" not in " ".join([table.title, *table.header])


def after(tau=0.0, at_bound=False, **changes):
    """A result with everything that is chosen after training."""
    rates = {"f1": 0.61, "precision": 0.6, "recall": 0.6}
    scores = {"cross_entropy": 0.04321, "calibration_error": {"all": 0.01, "entities": 0.02}}
    types = {"offsets": {"LOC": 0.5, "PER": 0.0}, "dev": rates, "test": rates | {"f1": 0.6234}}
    temperature = {"value": 1.255, "dev": scores, "test": scores}
    result = finished_result(**changes)
    values = result.to_json()
    values["analysis"]["test"]["cross_entropy"] = 0.05
    values["analysis"]["threshold"] |= {"tau": tau, "test": rates, "at_bound": at_bound}
    values["analysis"] |= {"type_thresholds": types, "temperature": temperature}
    return result_of(values)


def test_what_was_chosen_after_training_has_a_table_and_unknown_is_a_dash():
    known = Row("focal", (Record(after(tau=1.5), "test"),))
    older = Row("dice", (Record(finished_result("dice"), "test"),))
    both = tables.make_tables(Comparison((known, older), None, "test"))[1]
    assert both.title == "After training, in percent"
    assert [dict(zip(both.header, row, strict=True)) for row in both.rows] == [
        {"setting": "focal", "F1": "50.00", "with τ": "61.00", "τ": "+1.5", "with types": "62.34",
         "ECE": "10.00", "ECE entities": "10.00", "cross entropy": "0.0500", "T": "1.25",
         "ECE at T": "1.00", "ECE entities at T": "2.00", "cross entropy at T": "0.0432"},
        {"setting": "dice", "F1": "50.00", "with τ": "50.00", "τ": "+0.0", "with types": "–",
         "ECE": "10.00", "ECE entities": "10.00", "cross entropy": "–", "T": "–",
         "ECE at T": "–", "ECE entities at T": "–", "cross entropy at T": "–"},
    ]  # fmt: skip
    alone = tables.make_tables(Comparison((older,), None, "test"))[1]
    assert alone.header == ["setting", "F1", "with τ", "τ", "ECE", "ECE entities"]


def test_a_tau_at_the_end_of_its_search_is_noted():
    ends = Record(after(tau=-10.0, at_bound=True, loss="dice", seed=3), "test")
    inside = Record(after(tau=1.0, seed=1), "test")
    rows = [Row("dice", (ends,)), Row("focal", (inside,))]
    (note,) = note_tau(rows)
    assert note.startswith("dice: τ ends where its search does, at -10 with seed 3")
    assert note in write_notes(rows, None, "")


@pytest.mark.parametrize(
    "share, note",
    [
        (0.0, None),
        (0.004, "training has 0.4% of the sentences of test, word for word"),
        (0.25, "training has 25.0% of the sentences of test, word for word; F1 without them is in"),
        (1.0, "training has all sentences of test: the scores measure memory alone"),
    ],
)
def test_sentences_that_training_has_are_a_note_and_from_half_a_percent_a_column(
    comparison, share, note
):
    rows = []
    for row in comparison.rows:
        records = []
        for record in row.records:
            analysis = record.result.analysis
            test = replace(analysis.test, shared=share, unshared_f1=0.125)
            result = replace(record.result, analysis=replace(analysis, test=test))
            records.append(replace(record, result=result))
        rows.append(replace(row, records=tuple(records)))
    notes = note_shared(rows[0].records[0])
    assert len(notes) == (note is not None) and all(each.startswith(note) for each in notes)
    shown = tables.score_columns(replace(comparison, rows=rows))
    columns = {column.name: column for column in shown}
    assert ("unshared" in columns) == (share > 0.005)
    if "unshared" in columns:
        assert columns["unshared"].value(rows[0]) == "12.50"
