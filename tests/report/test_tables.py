"""The tables say in every format the same numbers, and names in them do no harm."""

import csv
import html
import io
import math
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from nersweep.report import tables
from nersweep.report.comparison import Comparison
from nersweep.report.rows import Row
from nersweep.terminal import console

HARM = r"a|b_c$d&e%f#g<h>[i]*j*~k^l{m}\n`o` ±"


@pytest.fixture
def harmed(answer) -> Comparison:
    """A row and the title of a table named so that every format would take it for its own; and one unfinished row."""
    first, *others = answer.rows
    rows = [
        replace(first, setting=HARM),
        *others,
        Row("ghm", (), (("1", "failed (x|y)"),), (math.nan, math.nan)),
    ]
    return replace(answer, rows=tuple(rows), conclusions=(f"{HARM} is better.",))


def of_markdown(text):
    """Its tables: rows of cells as they are shown."""
    found, inside = [], False
    for line in text.splitlines():
        if line.startswith("| "):
            cells = re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |"))
            shown = [html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", cell)) for cell in cells]
            found[-1].append(shown) if inside else found.append([shown])
        inside = line.startswith("|")
    return found


def of_latex(text):
    """Its tables, with the commands for signs undone, and the parts of one table beside each other again."""
    found = []
    signs = {v: k for k, v in tables.TEX.items() if v != " "} | {r"$<$": "<", r"$>$": ">"}
    pattern = re.compile("|".join(re.escape(sign) for sign in sorted(signs, key=len, reverse=True)))
    for whole in re.split("^% .*\n", text, flags=re.MULTILINE)[2:]:
        found.append([])
        for body in re.findall(r"\\toprule\n(.*?)\\bottomrule", whole, re.DOTALL):
            lines = [
                line.removesuffix(r" \\") for line in body.splitlines() if line.endswith(r" \\")
            ]
            part = [
                [pattern.sub(lambda m: signs[m[0]], cell) for cell in line.split(" & ")]
                for line in lines
            ]
            assert not found[-1] or [row[0] for row in part] == [row[0] for row in found[-1]]
            found[-1] = (
                [[*row, *more[1:]] for row, more in zip(found[-1], part, strict=True)]
                if found[-1]
                else part
            )
    return found


def test_markdown_and_latex_hold_the_tables_whatever_the_names(harmed):
    wanted = [[table.header, *table.rows] for table in tables.tables(harmed)]
    assert wanted[0][1][0] == HARM
    assert of_markdown(tables.markdown(harmed, HARM)) == wanted
    assert of_latex(tables.latex(harmed)) == wanted


def test_markdown_holds_no_html_that_a_name_brought(harmed):
    text = tables.markdown(harmed, "<b>")
    assert not re.search(r"<(?!br>)", text) and r"is better." in text


def test_latex_is_accepted(harmed, tmp_path):
    text = tables.latex(harmed)
    bare = re.sub(r"\\[\\{}$&%#_]|(?<!\\)%.*", "", text)
    bare = re.sub(r"\$[^$]*\$", "", bare)
    assert bare.count("{") == bare.count("}") and not re.search(r"[$_#^~|<>±×]", bare)
    for body in re.findall(r"\\begin{tabular}{(\w+)}(.*?)\\end", text, re.DOTALL):
        rows = [line for line in body[1].splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(body[0]) - 1}
    if shutil.which("pdflatex"):
        whole = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{text}\end{{document}}"
        (tmp_path / "t.tex").write_text(whole, encoding="utf-8")
        subprocess.run(
            ["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, capture_output=True
        )


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex")
def test_latex_fits_on_a_page(answer, tmp_path):
    types = {f"government{i}": 81.54 for i in range(18)}
    numbers = {"support": 7, "f1": 0.5, "precision": 0.5, "recall": 0.5}

    def wide(record):
        result = record.result | {
            "test": record.result["test"] | {"types": dict.fromkeys(types, numbers)}
        }
        return replace(
            record, result=result | {"data": result["data"] | {"entities": dict.fromkeys(types, 9)}}
        )

    rows = [
        replace(row, records=tuple(map(wide, row.records)), claimed={"types": types})
        for row in answer.rows
    ]
    text = tables.latex(replace(answer, rows=tuple(rows)))
    assert text.startswith("% needs \\usepackage{booktabs}\n")
    page = rf"\documentclass[a4paper]{{article}}\usepackage{{booktabs}}\begin{{document}}{text}\end{{document}}"
    (tmp_path / "t.tex").write_text(page, encoding="utf-8")
    ran = subprocess.run(
        ["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, capture_output=True
    )
    assert text.count("\\begin{tabular}") > 8 and b"Overfull" not in ran.stdout


def test_csv_holds_the_numbers_unrounded(harmed):
    rows = list(csv.DictReader(io.StringIO(tables.comma_separated(harmed))))
    assert [row["setting"] for row in rows] == [row.setting for row in harmed.rows]
    *rows, left = rows
    assert (left["setting"], left["seeds"], left["unfinished"], left["f1"]) == ("ghm", "", "1", "")
    for read, row in zip(rows, harmed.finished, strict=True):
        assert read["f1_of_seeds"].split() == [f"{x:.6g}" for x in row.values("f1")]
        numbers = {
            name: float(read[name])
            for name in ("f1", "LOC/f1", "errors/missed", "calibration_error/all")
        }
        assert numbers == {name: row.mean(name) for name in numbers}
        assert (float(read["low"]), float(read["high"]), float(read["sd"])) == (
            *row.interval,
            row.sd,
        )
        assert read["seeds"] == "1 2"
        tested = row.versus
        assert [
            read["difference"],
            read["p_sentences"],
            read["adjusted_seeds"],
            read["difference_high"],
        ] == (
            [
                str(x)
                for x in (
                    tested.difference,
                    tested.p_sentences,
                    tested.adjusted_seeds,
                    tested.interval[1],
                )
            ]
            if tested
            else [""] * 4
        )


def test_what_did_not_finish_is_shown_on_the_terminal_and_in_markdown(harmed):
    first, second, *others = harmed.rows
    partly = replace(harmed, rows=(first, replace(second, unfinished=(("3", "killed"),)), *others))
    assert [row[1] for row in tables.tables(partly)[0].rows] == ["2", "2 of 3", "2", "2", "0 of 1"]
    with console.capture() as capture:
        tables.show(harmed)
    shown = capture.get()
    for text in (shown, tables.markdown(harmed, "t")):
        assert re.search(r"ghm: seed 1 failed \(x\\?\|y\)", text) and re.search(
            r"ghm[ |]+0 of 1[ |]+–", text
        )
    assert HARM in shown and "[i]" in shown


def test_runs_that_did_not_finish_have_a_line_for_each_row(answer):
    left = (("3", "failed (x)"), ("10", "not begun"), ("9", "not begun"))
    rows = (*answer.rows, Row("ghm", (), left, (math.nan, math.nan)))
    lines = tables.unfinished(replace(answer, rows=rows))
    assert lines == ["ghm: seed 3 failed (x); seeds 9, 10 not begun"]


def test_a_small_bound_does_not_look_like_none(answer):
    base = next(row for row in answer.rows if row.setting == answer.baseline)
    row = next(row for row in answer.rows if row.versus)
    for interval, text in {
        (-0.0111, -0.00004): "-1.11…-0.004",
        (-0.0000041, 0.01): "-0.0004…+1.00",
        (0.0, 1e-17): "0.00…0.00",
    }.items():
        of = replace(
            answer, rows=(base, replace(row, versus=replace(row.versus, interval=interval)))
        )
        against = next(table for table in tables.tables(of) if table.title.startswith("Against"))
        assert text in against.rows[-1]


def test_the_terminal_shows_all_columns_in_parts_that_fit(answer):
    for table in tables.tables(answer):
        for width in (20, 60, 1000):
            parts = list(tables.fitting(table, width))
            assert sorted(i for part in parts for i in part[1:]) == list(
                range(1, len(table.header))
            )
            assert all(part[0] == 0 for part in parts)


def test_claims_stand_beside_what_was_measured(answer):
    claimed = {"f1": 91.2, "precision": 90.8, "recall": 91.6, "time": 1.0, "types": {"LOC": 65.68}}
    rows = (replace(answer.rows[0], claimed=claimed), *answer.rows[1:])
    of = replace(answer, rows=rows, reference={"source": "a paper", "rows": {}})
    cells, *_, measured, types = {}, *tables.tables(of)
    for table in tables.tables(of):
        cells |= {name: [row[i] for row in table.rows] for i, name in enumerate(table.header)}
    assert (types.header, types.rows) == (["setting", "LOC"], [[rows[0].setting, "65.68"]])
    assert (
        "claimed (a paper)" in types.title
        and len(measured.header) == 1 + len(of.types)
        and not types.meant
    )
    for name, text in {
        "claimed": "91.20", "claimed precision": "90.80", "claimed recall": "91.60", "claimed step": "1.0×",
    }.items():  # fmt: skip
        assert cells[name] == [text, "–", "–", "–"]
    assert cells["precision"] == [f"{100 * row.mean('precision'):.2f}" for row in of.rows]
    assert not any(
        "claimed" in " ".join([table.title, *table.header]) for table in tables.tables(answer)
    )
