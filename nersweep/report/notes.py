"""What a reader must know beside the tables."""

from collections.abc import Sequence

from nersweep.evaluation.metric import EntityMetric
from nersweep.report.records import Record
from nersweep.report.rows import Row, names, outcome, overlap_of

SHARED = 0.005  # of a split's sentences, above which F1 without them gets a column


def write_notes(
    rows: Sequence[Row], baseline: Row | None, name: str, study_size: int = 0
) -> list[str]:
    """Return the notes, one line each.

    name: the baseline that was set. study_size: settings that a study tried, if these are its runs.
    """
    rows = [row for row in rows if row.records]
    records: list[Record] = []
    for row in rows:
        records += row.records
    first = records[0]
    models = ", ".join(sorted({record.result.choice["model"] for record in records}))
    data = first.result.choice["data"]
    notes = [f"data {data}, scored on {first.split}; model {models}"]
    if study_size > 1:
        notes.append(
            f"a study tried {study_size} settings: the best of so many looks better on dev, "
            "which selected it, than it is"
        )
    if first.split == "dev":
        notes.append(
            "dev selected the best epoch, and in a study the settings too: "
            "its scores are higher than those to expect on new data"
        )
    notes += note_shared(first)
    notes += note_metric(rows[0].metric, records)
    notes += note_zero(rows)
    notes += note_draws(records) or note_documents(records)
    notes += note_versions(records)
    machines = sorted({f"{record.result.device}, {record.result.hardware}" for record in records})
    if len(machines) > 1:
        notes.append(
            "the runs come from different machines; times are compared within one kind only: "
            + "; ".join(machines)
        )
    for row in rows:
        if row.repeated:
            seeds = ", ".join(map(str, row.repeated))
            notes.append(
                f"{row.setting}: several runs of seed {seeds}; one of the latest version counts"
            )
        if row.equals:
            notes.append(
                f"{', '.join(row.equals)}: the same predictions as {row.setting} with every seed, "
                "counted once"
            )
    notes += note_tau(rows)
    notes += note_baseline(rows, baseline, name)
    others = [row for row in rows if baseline and row.draws != baseline.draws]
    if baseline and others:
        notes.append(
            f"not the same seeds as {baseline.setting}: {', '.join(names(others))}; compared over "
            "the seeds they share if these are at least two and half of the fewer, else over all"
        )
    return notes


def note_shared(record: Record) -> list[str]:
    """Note that training has sentences of the scored split."""
    share = record.result.analysis.split(record.split).shared
    if share == 1:
        return [f"training has all sentences of {record.split}: the scores measure memory alone"]
    if not share > 0:
        return []
    note = f"training has {share:.1%} of the sentences of {record.split}, word for word"
    return [f"{note}; F1 without them is in the column unshared" if share > SHARED else note]


def note_metric(metric: EntityMetric, records: Sequence[Record]) -> list[str]:
    """Note that the runs have the best epochs of another metric than the report's."""
    picked = {record.result.metric.of_epochs.label for record in records}
    if picked == {metric.of_epochs.label}:
        return []
    names = " or ".join(sorted(picked))
    return [f"judged by {metric.label}, but each run has the epoch with the best {names} on dev"]


def note_zero(rows: Sequence[Row]) -> list[str]:
    """Name the rows whose metric is 0 in all runs, though they predict entities."""
    zero = names([row for row in rows if row.trained and not row.values().any()])
    if len(zero) < 2:
        return []
    label = rows[0].metric.label
    return [f"{label} is 0 in all runs of {', '.join(zero)}: that they are equal tells nothing"]


def note_tau(rows: Sequence[Row]) -> list[str]:
    """Name the rows whose τ ends where its search does."""
    notes: list[str] = []
    for row in rows:
        ends: list[str] = []
        for record in row.records:
            threshold = record.result.analysis.threshold
            if threshold.at_bound:
                ends.append(f"{threshold.tau:+g} with seed {record.seed}")
        if ends:
            notes.append(
                f"{row.setting}: τ ends where its search does, at {', '.join(ends)}: F1 with τ may "
                "be better beyond"
            )
    return notes


def note_draws(records: Sequence[Record]) -> list[str]:
    """Note that runs have splits of their own, and what their intervals contain."""
    overlap = overlap_of(records)
    if not overlap:
        return []
    folds = len({record.result.data.fold for record in records})
    draws = len({record.draw for record in records})
    of = f"{folds} folds" if folds == draws else f"{draws} draws"
    if 1 < folds < draws:
        of = f"{folds} folds × {draws // folds} seeds"
    return [
        f"the runs of a setting are {of} of one corpus: their scores vary with documents, training "
        "data and seeds, and intervals are from that and from how far the draws overlap "
        f"({overlap:.2g} sentences scored for one trained on)"
    ]


def note_documents(records: Sequence[Record]) -> list[str]:
    """Note that sentences are taken as independent, where no documents are known.

    Those of a generated corpus are independent.
    """
    marks = {record.documents.marked for record in records}
    if None in marks:
        return [
            "documents unknown, as an older version made some of these runs: sentences are taken "
            "as independent, so intervals are too narrow"
        ]
    if False in marks and records[0].result.choice["data"] != "generated":
        return [
            "the data mark no documents: sentences are taken as independent, so intervals are too "
            "narrow if sentences come from longer texts"
        ]
    return []


def note_versions(records: Sequence[Record]) -> list[str]:
    """Name the packages of which the runs used different versions."""
    versions: dict[str, set[str]] = {}
    for record in records:
        for package in record.result.versions:
            versions.setdefault(package, set())
    for record in records:
        for package, seen in versions.items():
            seen.add(record.result.versions.get(package, "unknown"))
    differences: list[str] = []
    for package, seen in versions.items():
        if len(seen) > 1:
            differences.append(f"{package} {' and '.join(sorted(seen))}")
    if not differences:
        return []
    return [f"runs of different versions are compared: {', '.join(differences)}"]


def note_baseline(rows: Sequence[Row], baseline: Row | None, name: str) -> list[str]:
    """Explain a baseline that is missing or was chosen among several rows."""
    if baseline is None:
        if len(rows) == 1:
            return []
        return [
            f"baseline={name}: no such row, so nothing is compared; rows: {', '.join(names(rows))}"
        ]
    if baseline.setting == name:
        return []
    rivals = [row for row in rows if row.loss == name and row.setting != baseline.setting]
    if not rivals:
        return []
    return [f"baseline={name}: {baseline.setting} is used, as the first of several; "
            f"the others are {', '.join(names(rivals))}"]  # fmt: skip


def note_unfinished(rows: Sequence[Row]) -> list[str]:
    """Return a line for each row with unfinished runs: its seeds by outcome."""
    lines: list[str] = []
    for row in rows:
        seeds: dict[str, list[str]] = {}
        for run in sorted(row.unfinished, key=lambda run: (run.seed or 0, run.name)):
            name = run.name if run.seed is None else str(run.seed)
            seeds.setdefault(outcome(run), []).append(name)
        parts: list[str] = []
        for what, group in seeds.items():
            plural = "s" if len(group) > 1 else ""
            parts.append(f"seed{plural} {', '.join(group)} {what}")
        if parts:
            lines.append(f"{row.setting}: {'; '.join(parts)}")
    return lines
