"""The tables of a comparison, as text in rows and columns."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nersweep.evaluation.inference import Contrast
from nersweep.report.comparison import Comparison
from nersweep.report.notes import SHARED
from nersweep.report.rows import Interval, Row, points

NOTHING = "–"


@dataclass(frozen=True)
class Column:
    """A column: its value for a row, and what it means. Scores are percent."""

    name: str
    value: Callable[[Row], str]
    about: str = ""


@dataclass(frozen=True)
class Table:
    """A table as text; the first column names the setting. about: the meaning of each column, or
    nothing if the title says it."""

    title: str
    header: list[str]
    rows: list[list[str]]
    about: list[str]

    @property
    def legend(self) -> list[tuple[str, str]]:
        """The columns that need an explanation, with it."""
        return [pair for pair in zip(self.header, self.about, strict=True) if pair[1]]


def make_tables(comparison: Comparison) -> list[Table]:
    """Return all tables that have a row."""
    finished = comparison.finished
    source = comparison.reference.source
    claims = [row for row in comparison.rows if row.claim.types]
    tables = [
        make_table("Scores, in percent", score_columns(comparison), comparison.rows),
        make_table("After training, in percent", after_columns(finished), finished),
        make_table("Other measures, in percent", other_columns(comparison), finished),
        make_table("Errors, per run", error_columns(), finished),
        make_table("F1 of each type, in percent", type_columns(comparison), finished),
        make_table(
            f"F1 of each type, in percent, as claimed ({source})",
            claimed_type_columns(comparison),
            claims,
        ),
    ]
    return [table for table in tables if table.rows]


def make_table(title: str, columns: Sequence[Column], rows: Sequence[Row]) -> Table:
    """Return a table of these columns beside the setting."""
    table = Table(title, ["setting"], [], [""])
    for column in columns:
        table.header.append(column.name)
        table.about.append(column.about)
    for row in rows:
        table.rows.append([row.setting, *(column.value(row) for column in columns)])
    return table


def score_columns(comparison: Comparison) -> list[Column]:
    baseline, rarest = comparison.baseline, comparison.rarest
    columns = [
        Column("seeds", seeds, "runs that differ in their seed alone; finished ones of all"),
        Column(
            comparison.metric.label,
            mean_and_sd,
            f"{comparison.metric.about} on {comparison.split}, mean ± standard deviation over "
            "seeds",
        ),
        Column(
            "95%",
            lambda row: interval(row.interval, percent),
            "interval of that mean on its own, from seeds and documents",
        ),
    ]
    if baseline:
        columns += [
            Column("difference", of(lambda x: points(x.difference)), f"from {baseline}, in points"),
            Column(
                "interval",
                of(lambda x: interval((x.low, x.high), points)),
                "of the difference, from seeds and documents: all of them hold together in 95%",
            ),
            Column(
                "p",
                of(lambda x: p_value(x.p)),
                f"below {significance(comparison.alpha)} exactly where 0 is outside of it",
            ),
            Column(
                "verdict",
                lambda row: verdict(row, comparison),
                f"what the interval says at a resolution of {comparison.resolution:g} points",
            ),
        ]
    if comparison.reference.rows:
        about = (
            f"F1 claimed for the loss, whatever its settings here ({comparison.reference.about})"
        )
        columns.append(Column("claimed", lambda row: claim(row.claim.f1), about))
        if any(row.as_claimed for row in comparison.rows):
            about = "theirs: with the settings of the source of the claims; ours: with others"
            columns.append(Column("settings", owner, about))
    columns += [
        Column("precision", mean("precision"), "share of predicted entities that are correct"),
        Column("recall", mean("recall"), "share of true entities that are predicted"),
        Column("macro", mean("macro_f1"), "mean of the types' F1"),
        Column(rarest, mean(f"types/{rarest}/f1"), "F1 of the rarest type in training"),
        Column("strict", mean("strict/f1"), "F1 if only B- begins an entity"),
    ]
    if comparison.first.scores["shared"] > SHARED:
        about = "F1 without the sentences that training has"
        columns.append(Column("unshared", mean("unshared_f1"), about))
    return columns


def of(value: Callable[[Contrast], str]) -> Callable[[Row], str]:
    """Return a column's value from the contrast with the baseline."""
    return lambda row: value(row.contrast) if row.contrast else NOTHING


def owner(row: Row) -> str:
    """Return whose settings a row has, of those that something is claimed for."""
    if row.claim.f1 is None:
        return NOTHING
    return "theirs" if row.as_claimed else "ours"


def verdict(row: Row, comparison: Comparison) -> str:
    """Return the verdict on a row in a few words."""
    if row.setting == comparison.baseline:
        return "baseline"
    if row.contrast:
        more = f"by more than {comparison.resolution:g}"
        return row.contrast.verdict.replace("by more than the resolution", more)
    return NOTHING if row.trained or not row.records else "did not train"


def after_columns(rows: Sequence[Row]) -> list[Column]:
    """Return what thresholds and a temperature give, but for what is unknown of all rows."""
    nats = "the mean −log p of a word's true class, in nats"
    columns = [
        Column("F1", mean("f1"), "without any of these"),
        Column(
            "with τ",
            mean("threshold/f1"),
            "F1 with a threshold for rare labels, chosen on dev after training",
        ),
        Column(
            "τ",
            lambda row: number(row.mean("threshold/tau"), "+z.1f"),
            "that threshold, mean over seeds",
        ),
        Column(
            "with types",
            mean("type_thresholds/f1"),
            "F1 with a threshold of each type beside τ, chosen on dev too",
        ),
        Column("ECE", mean("calibration_error/all"), "expected calibration error over all words"),
        Column(
            "ECE entities",
            mean("calibration_error/entities"),
            "the same over the words of entities, true or predicted",
        ),
        Column("cross entropy", nats_of("cross_entropy"), nats),
        Column(
            "T",
            lambda row: number(row.mean("temperature/value"), ".2f"),
            "the temperature with the least cross entropy on dev, mean over seeds",
        ),
        Column("ECE at T", mean("temperature/calibration_error/all"), "with scores divided by T"),
        Column("ECE entities at T", mean("temperature/calibration_error/entities"), "the same"),
        Column("cross entropy at T", nats_of("temperature/cross_entropy"), "the same"),
    ]
    return [x for x in columns if any(x.value(row) != NOTHING for row in rows)]


def other_columns(comparison: Comparison) -> list[Column]:
    unit = comparison.time_unit.setting
    columns = [
        Column("illegal", mean("illegal_transitions"), "words whose label IOB2 forbids there"),
        Column("seen", mean("seen/f1"), "F1 over entities whose words are an entity of training"),
        Column("unseen", mean("unseen/f1"), "F1 over the other entities"),
        Column(
            "step",
            lambda row: number(comparison.time_ratio(row), ".2f", "×"),
            f"time of an optimiser step, median over seeds, as a multiple of that of {unit}",
        ),
    ]
    claims: dict[str, Callable[[Row], str]] = {
        "claimed step": lambda row: claim(row.claim.time, ".1f", "×"),
        "claimed precision": lambda row: claim(row.claim.precision),
        "claimed recall": lambda row: claim(row.claim.recall),
    }
    for name, value in claims.items():
        if any(value(row) != NOTHING for row in comparison.finished):
            columns.append(Column(name, value, "as claimed"))
    return columns


def error_columns() -> list[Column]:
    def count(kind: str) -> Callable[[Row], str]:
        return lambda row: f"{row.mean(f'errors/{kind}'):.0f}"

    return [
        Column(
            "boundary", count("boundary"), "wrong entities that overlap a true one of their type"
        ),
        Column("type", count("type"), "wrong ones that overlap only true ones of other types"),
        Column("spurious", count("spurious"), "wrong ones that overlap no true one"),
        Column("missed", count("missed"), "true entities that no prediction overlaps"),
    ]


def type_columns(comparison: Comparison) -> list[Column]:
    columns: list[Column] = []
    for type_ in comparison.types:
        about = f"{comparison.first.support(type_):,} true entities"
        columns.append(Column(type_, mean(f"types/{type_}/f1"), about))
    return columns


def claimed_type_columns(comparison: Comparison) -> list[Column]:
    def of(type_: str) -> Callable[[Row], str]:
        return lambda row: claim(row.claim.types.get(type_))

    columns: list[Column] = []
    for type_ in comparison.types:
        if any(type_ in row.claim.types for row in comparison.rows):
            columns.append(Column(type_, of(type_)))
    return columns


def mean(score: str) -> Callable[[Row], str]:
    """Return a column's value: the mean of a score over seeds, in percent."""
    return lambda row: percent(row.mean(score))


def nats_of(score: str) -> Callable[[Row], str]:
    """Return a column's value: the mean of a score over seeds, in nats."""
    return lambda row: number(row.mean(score), ".4f")


def percent(share: float) -> str:
    return number(100 * share, ".2f")


def number(value: float, form: str, unit: str = "") -> str:
    if math.isnan(value):
        return NOTHING
    return f"{value:{form}}{unit}".replace("-", "−")


def significance(alpha: float) -> str:
    """Return the level of a report: .05, or less where its sweep looked several times."""
    return f"{alpha:.2g}".removeprefix("0")


def p_value(p: float) -> str:
    return "<.001" if p < 0.001 else number(p, ".3f").removeprefix("0")


def interval(ends: Interval, form: Callable[[float], str]) -> str:
    return f"[{form(ends[0])}, {form(ends[1])}]" if math.isfinite(ends[0]) else NOTHING


def seeds(row: Row) -> str:
    finished, unfinished = len(row.seeds), len(row.unfinished)
    return f"{finished} of {finished + unfinished}" if unfinished else str(finished)


def mean_and_sd(row: Row) -> str:
    return percent(row.mean()) + ("" if math.isnan(row.sd) else f" ± {100 * row.sd:.2f}")


def claim(value: float | None, form: str = ".2f", unit: str = "") -> str:
    return NOTHING if value is None else f"{value:{form}}{unit}"


def column_groups(table: Table, width: int) -> list[list[int]]:
    """Divide the columns into groups that fit into so many characters, the first in each."""
    widths: list[int] = []
    for cells in zip(table.header, *table.rows, strict=True):
        widths.append(2 + max(map(len, cells)))
    groups = [[0]]
    for column in range(1, len(widths)):
        total = sum(widths[each] for each in [*groups[-1], column]) - 2
        if len(groups[-1]) > 1 and total > width:
            groups.append([0])
        groups[-1].append(column)
    return groups


def part(table: Table, columns: Sequence[int]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of some columns."""
    header = [table.header[column] for column in columns]
    rows: list[list[str]] = []
    for row in table.rows:
        rows.append([row[column] for column in columns])
    return header, rows
