"""`python -m nersweep.export`: a run's model, ready to share, or the scores of all runs as CSV."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nersweep.command.keywords import keyword, run_program
from nersweep.deployment.export import ModelExport, export_model
from nersweep.faults import Fault, UserError
from nersweep.machine.files import writable, write_text
from nersweep.results.card import Card, read_card
from nersweep.results.folder import METRICS
from nersweep.results.result import FinishedResult
from nersweep.terminal import console
from nersweep.tracking import facts

COMMAND = "python -m nersweep.export"
CURVES = ("run", "setting", "seed", "step", "name", "value")
SCORES = ("run", "setting", "seed", "status")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a formula begins in a spreadsheet


@dataclass
class ExportArguments(ModelExport):
    """What the command takes, as name=value. Without a model it writes CSV files of all runs."""

    folder: str | None = keyword(
        "without model=: where curves.csv (run, setting, seed, step, name, value) and scores.csv "
        "(run, setting, seed, status and the final scores, a row per run) go (output_dir/export)"
    )


def export(arguments: ExportArguments) -> None:
    """Export the model that the arguments name; without one, write curves.csv and scores.csv."""
    if arguments.model is None:
        for name in ("sweep", "to", "register"):
            if (value := getattr(arguments, name)) is not None:
                raise UserError(Fault(name, value, "is for a model", "set model=RUN"))
        export_tables(arguments)
        return
    if arguments.folder is not None:
        must, remedy = "is for the CSV files of all runs", "set to=DIR for a model"
        raise UserError(Fault("folder", arguments.folder, must, remedy))
    export_model(arguments)


def export_tables(arguments: ExportArguments) -> None:
    """Write curves.csv and scores.csv.

    Raises UserError if there are no runs, and, after all others, for those that cannot be read.
    """
    output_dir = Path(arguments.output_dir)
    folders = sorted(file.parent for file in output_dir.glob(f"runs/*/{METRICS}"))
    if not folders:
        raise UserError(Fault("output_dir", output_dir, "no runs in it"))
    if arguments.folder:
        place = writable(Path(arguments.folder), "folder")
    else:
        place = writable(output_dir / "export")
    curves: list[Sequence[Any]] = []
    rows: list[tuple[Sequence[Any], dict[str, float]]] = []
    faults: list[Fault] = []
    for folder in folders:
        try:
            run, status, records, scores = read_run(folder)
        except UserError as error:
            faults += error.faults
            continue
        for step, values in records:
            for name, value in values.items():
                curves.append((*run, step, name, value))
        rows.append(((*run, status), scores))
    write_csv(place / "curves.csv", CURVES, curves)
    names: dict[str, None] = {}
    for _, scores in rows:
        names |= dict.fromkeys(scores)
    table = [(*run, *(scores.get(name, "") for name in names)) for run, scores in rows]
    write_csv(place / "scores.csv", (*SCORES, *names), table)
    console.print(f"{len(rows)} runs: {place / 'curves.csv'}, {place / 'scores.csv'}")
    if faults:
        raise UserError(*faults)


def read_run(
    folder: Path,
) -> tuple[tuple[Any, ...], str, list[tuple[int, dict[str, float]]], dict[str, float]]:
    """Return (run, setting, seed), the status, the curves and the final scores of a run."""
    card = read_card(folder) or Card(kind="run", name=folder.name, experiment="")
    run = facts.run_facts(folder, card)
    result = facts.result_in(folder)
    setting, seed = card.tags.get("setting", ""), card.tags.get("seed", "")
    scores: dict[str, float] = {}
    if result and result.setting:
        setting, seed = result.setting, str(result.seed)
    if isinstance(result, FinishedResult):
        scores |= result.dev.flat("dev")
        for _, values in (run.test, *run.scores):
            scores |= values
    return (folder.name, setting, seed), run.status, run.curves, scores


def write_csv(file: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(cell, header))
    for row in rows:
        writer.writerow(map(cell, row))
    write_text(file, out.getvalue())


def cell(value: Any) -> Any:
    """Return a value that no spreadsheet takes for a formula: such a text gets an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def main() -> None:
    run_program(ExportArguments, COMMAND, export)


if __name__ == "__main__":
    main()
