"""A comparison as tables: on the terminal, in Markdown, LaTeX and CSV."""

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table as Drawn

from nersweep.report.comparison import Comparison
from nersweep.report.rows import Row, points
from nersweep.terminal import console

NOTHING = "–"
LATEX_WIDTH = 60  # characters of a table that fits between the margins of A4


@dataclass(frozen=True)
class Table:
    """title; header and rows as text, the first column naming the setting; about: for each column what it means, or
    nothing where the title says it."""

    title: str
    header: list[str]
    rows: list[list[str]]
    about: list[str]

    @property
    def meant(self) -> list[tuple[str, str]]:
        """The columns beside the setting that need a word, with it."""
        return [
            (name, about)
            for name, about in zip(self.header[1:], self.about[1:], strict=True)
            if about
        ]


@dataclass(frozen=True)
class Column:
    """value: of a row, as text. about: what it means. Scores are percent."""

    name: str
    value: Callable[[Row], str]
    about: str


def tables(of: Comparison) -> list[Table]:
    """The scores; each row against the baseline; what stands beside the score; errors; F1 of each type, and what is
    claimed of it."""
    groups = [
        ("Scores, in percent", scores(of), of.rows),
        (
            f"Against {of.baseline}, in points of F1",
            against(),
            [row for row in of.finished if row.versus],
        ),
        ("Beside the score, in percent", beside(of), of.finished),
        ("Errors, per run", errors(), of.finished),
        ("F1 of each type, in percent", by_type(of), of.finished),
        (
            f"F1 of each type, in percent, as claimed ({of.reference.get('source', 'others')})",
            claims_by_type(of),
            [row for row in of.rows if row.claimed.get("types")],
        ),
    ]
    return [made(title, columns, rows) for title, columns, rows in groups if rows]


def made(title: str, columns: list[Column], rows: Sequence[Row]) -> Table:
    cells = [[row.setting, *(column.value(row) for column in columns)] for row in rows]
    return Table(
        title,
        ["setting", *(c.name for c in columns)],
        cells,
        ["what was run", *(c.about for c in columns)],
    )


def scores(of: Comparison) -> list[Column]:
    found = [
        Column("seeds", seeds, "how many runs, which differ in their seed alone, and of how many"),
        Column(
            "F1",
            plus_minus,
            f"micro F1 of entities on {of.split}, mean ± standard deviation over seeds",
        ),
        Column(
            "95%",
            lambda row: span(row.interval, percent),
            "interval of that mean, over seeds and sentences",
        ),
    ]
    if of.reference:
        about = f"F1 as claimed for the loss, whatever its settings here ({of.reference['source']})"
        found.append(Column("claimed", lambda row: claim(row.claimed, "f1"), about))
    for name, about in (
        ("precision", "of predicted entities those that are right"),
        ("recall", "of true entities those that are found"),
    ):
        found.append(Column(name, lambda row, name=name: percent(row.mean(name)), about))
        if any(name in row.claimed for row in of.rows):
            found.append(
                Column(
                    f"claimed {name}",
                    lambda row, name=name: claim(row.claimed, name),
                    "the same as claimed",
                )
            )
    found += [
        Column("macro", lambda row: percent(row.mean("macro_f1")), "the mean of the types' F1"),
        Column(
            of.rarest,
            lambda row: percent(row.mean(f"{of.rarest}/f1")),
            "F1 of the rarest type in training",
        ),
        Column(
            "strict",
            lambda row: percent(row.mean("strict/f1")),
            "F1 where only B- begins an entity",
        ),
    ]
    return found


def against() -> list[Column]:
    def of(value: Callable[..., str]) -> Callable[[Row], str]:
        return lambda row: value(row.versus) if row.versus else NOTHING

    return [
        Column(
            "difference",
            of(lambda v: points(v.difference)),
            "of mean F1, over the seeds that both have",
        ),
        Column(
            "95%", of(lambda v: span(v.interval, points)), "its interval, over seeds and sentences"
        ),
        Column(
            "p seeds",
            of(lambda v: p_value(v.adjusted_seeds)),
            "sign-flip test over seeds, Holm-corrected over the rows",
        ),
        Column(
            "p sentences",
            of(lambda v: p_value(v.adjusted_sentences)),
            "approximate randomisation over sentences, of these very models, Holm-corrected over the rows",
        ),
        Column(
            "g",
            of(lambda v: number(v.g, ".2f")),
            "Hedges g: the difference in standard deviations over seeds",
        ),
        Column(
            "better",
            of(lambda v: number(v.superiority, ".2f")),
            "the share of pairs of runs in which this one wins",
        ),
        Column(
            "ε",
            of(lambda v: number(v.order, ".2f")),
            "upper 95% bound of almost stochastic order, of five seeds or more: below .5 better, above it open",
        ),
    ]


def beside(of: Comparison) -> list[Column]:
    def share(score: str) -> Callable[[Row], str]:
        return lambda row: percent(row.mean(score))

    found = [
        Column(
            "with τ",
            lambda row: percent(row.shifted),
            "F1 with a shift of rare labels, chosen on dev after training",
        ),
        Column("τ", lambda row: number(row.tau, "+.1f"), "that shift, the mean over seeds"),
        Column("ECE", share("calibration_error/all"), "expected calibration error over all words"),
        Column(
            "ECE entities",
            share("calibration_error/entities"),
            "over words that are an entity's, true or predicted",
        ),
        Column(
            "illegal", share("illegal_transitions"), "words whose label IOB2 does not allow there"
        ),
        Column(
            "seen",
            share("seen/f1"),
            "F1 over entities whose words are an entity of the training split",
        ),
        Column("unseen", share("unseen/f1"), "F1 over the others"),
        Column(
            "step",
            lambda row: f"{of.time_ratio(row):.2f}×",
            f"time of an optimiser step, the median over seeds, to that of {of.timed}",
        ),
    ]
    if any("time" in row.claimed for row in of.rows):
        found.append(
            Column(
                "claimed step",
                lambda row: claim(row.claimed, "time", ".1f", "×"),
                "the same as claimed",
            )
        )
    return found


def by_type(of: Comparison) -> list[Column]:
    support = of.first.result.scores(of.split).types
    return [
        Column(
            type_,
            lambda row, t=type_: percent(row.mean(f"{t}/f1")),
            f"{support[type_].support:,} true entities",
        )
        for type_ in of.types
    ]


def claims_by_type(of: Comparison) -> list[Column]:
    claimed = {type_ for row in of.rows for type_ in row.claimed.get("types", {})}
    return [
        Column(type_, lambda row, t=type_: claim(row.claimed["types"], t), "")
        for type_ in of.types
        if type_ in claimed
    ]


def errors() -> list[Column]:
    about = {
        "boundary": "wrong entities that overlap a true one of their type",
        "type": "wrong ones that overlap only true ones of other types",
        "spurious": "wrong ones that overlap none",
        "missed": "true entities that no prediction overlaps",
    }
    return [
        Column(kind, lambda row, k=kind: f"{row.mean(f'errors/{k}'):.0f}", what)
        for kind, what in about.items()
    ]


def percent(x: float) -> str:
    return number(100 * x, ".2f")


def number(x: float, how: str) -> str:
    return NOTHING if math.isnan(x) else format(x, how)


def p_value(p: float) -> str:
    return "<.001" if p < 0.001 else number(p, ".3f")


def span(interval: tuple[float, float], how: Callable[[float], str]) -> str:
    return NOTHING if math.isnan(interval[0]) else "…".join(how(x) for x in interval)


def seeds(row: Row) -> str:
    finished, left = len(row.seeds), len(row.unfinished)
    return f"{finished} of {finished + left}" if left else str(finished)


def plus_minus(row: Row) -> str:
    return percent(row.mean()) + ("" if math.isnan(row.sd) else f" ± {100 * row.sd:.2f}")


def claim(claimed: Mapping[str, float], name: str, how: str = ".2f", unit: str = "") -> str:
    return f"{claimed[name]:{how}}{unit}" if name in claimed else NOTHING


def unfinished(of: Comparison) -> list[str]:
    """A line for each row of which runs did not finish: its seeds by what became of them."""
    lines = []
    for row in of.rows:
        seeds: dict[str, list[str]] = {}
        for seed, what in sorted(row.unfinished, key=lambda left: (len(left[0]), left[0])):
            seeds.setdefault(what, []).append(seed)
        told = [
            f"seed{'s' * (len(those) > 1)} {', '.join(those)} {what}"
            for what, those in seeds.items()
        ]
        lines += [f"{row.setting}: {'; '.join(told)}"] if told else []
    return lines


def show(of: Comparison) -> None:
    """On the terminal; a table that is wider goes on below, with the settings again."""
    for table in tables(of):
        title = table.title
        for chosen in fitting(table, console.width):
            drawn = Drawn(
                title=title, title_justify="left", box=None, pad_edge=False, title_style="bold"
            )
            for i in chosen:
                drawn.add_column(table.header[i], justify="right" if i else "left")
            for row in table.rows:
                drawn.add_row(*(row[i] for i in chosen))
            console.print(drawn)
            console.print()
            title = ""
    for line in [*unfinished(of), *of.notes, "", *of.conclusions]:
        console.print(line)


def fitting(table: Table, width: int) -> Iterator[list[int]]:
    """The columns in groups that each fit into so many characters, the first column in all of them."""
    widths = [
        max(len(row[i]) for row in [table.header, *table.rows]) for i in range(len(table.header))
    ]
    chosen = [0]
    for i in range(1, len(widths)):
        if len(chosen) > 1 and sum(widths[k] + 2 for k in [*chosen, i]) - 2 > width:
            yield chosen
            chosen = [0]
        chosen.append(i)
    yield chosen


def markdown(of: Comparison, title: str) -> str:
    """Conclusions, notes, tables, and what their columns mean."""
    parts = [f"# {escaped(title)}", "", *(f"- {escaped(line)}" for line in of.conclusions)]
    parts += ["", *(f"> {escaped(line)}\n>" for line in [*of.notes, *unfinished(of)])]
    for table in tables(of):
        header = [escaped(name) for name in table.header]
        parts += [
            "",
            f"## {escaped(table.title)}",
            "",
            *grid([header, *([escaped(x) for x in r] for r in table.rows)]),
        ]
        if table.meant:
            parts += [
                "",
                "; ".join(f"**{escaped(name)}**: {escaped(about)}" for name, about in table.meant)
                + ".",
            ]
    return "\n".join(parts) + "\n"


def grid(rows: list[list[str]]) -> Iterator[str]:
    """Rows of a Markdown table; numbers to the right."""
    for i, row in enumerate(rows):
        yield f"| {' | '.join(row)} |"
        if not i:
            yield f"|:---|{'---:|' * (len(row) - 1)}"


def escaped(text: str) -> str:
    """As Markdown shows it: no HTML, no column, no emphasis, no formula."""
    for sign in "\\`*_|[]#~$":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "±": r"$\pm$",
}
TEX |= {
    "×": r"$\times$",
    "ε": r"$\varepsilon$",
    "τ": r"$\tau$",
    "γ": r"$\gamma$",
    "β": r"$\beta$",
    "<": r"$<$",
}
TEX |= {">": r"$>$", "|": r"\textbar{}", "[": "{[}", "…": r"\dots{}", "\n": " "}
TEX |= {sign: f"\\{sign}" for sign in "&%$#_{}"}


def latex(of: Comparison) -> str:
    """A tabular of booktabs for each table; of one that is wider than a page several, with the settings again."""

    def cells(row: list[str], chosen: list[int]) -> str:
        return " & ".join("".join(TEX.get(sign, sign) for sign in row[i]) for i in chosen) + r" \\"

    parts = [r"% needs \usepackage{booktabs}", ""]
    for table in tables(of):
        parts.append(f"% {' '.join(table.title.split())}")
        for chosen in fitting(table, LATEX_WIDTH):
            parts += [
                rf"\begin{{tabular}}{{l{'r' * (len(chosen) - 1)}}}",
                r"\toprule",
                cells(table.header, chosen),
                r"\midrule",
                *(cells(row, chosen) for row in table.rows),
                r"\bottomrule",
                r"\end{tabular}",
                "",
            ]
    return "\n".join(parts)


def comma_separated(of: Comparison) -> str:
    """Everything, unrounded and as fractions of 1: a line for each row with its means, then what it is against the
    baseline."""
    names = list(of.first.scores)
    tested = (
        "difference",
        "p_seeds",
        "adjusted_seeds",
        "p_sentences",
        "adjusted_sentences",
        "g",
        "superiority",
        "order",
    )
    header = [
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
    ]
    header += ["step_ratio", *tested, "difference_low", "difference_high", *names]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    for row in of.rows:
        claimed = row.claimed["f1"] / 100 if "f1" in row.claimed else math.nan
        f1 = " ".join(f"{x:.6g}" for x in row.values("f1"))
        own = [
            " ".join(map(str, row.seeds)),
            len(row.unfinished),
            f1,
            row.sd,
            *row.interval,
            claimed,
        ]
        own += [row.shifted, row.tau, of.time_ratio(row)] if row.records else 3 * [math.nan]
        tests = [getattr(row.versus, name) if row.versus else math.nan for name in tested]
        tests += row.versus.interval if row.versus else (math.nan, math.nan)
        values = [*own, *tests, *(row.mean(name) for name in names)]
        writer.writerow(
            [row.setting, *("" if isinstance(x, float) and math.isnan(x) else x for x in values)]
        )
    return out.getvalue()
