"""The report: tables, pictures and a page in one folder, and with the tracker's run that the runs belong to."""

import signal
import sys
from dataclasses import fields
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from nersweep import terminal
from nersweep.config.knobs import CONF
from nersweep.faults import UserError, fault_lines
from nersweep.machine import files as files_module
from nersweep.report import difference, page, sources, tables
from nersweep.report.comparison import Comparison, compare
from nersweep.report.figures import gallery
from nersweep.report.records import Record, write_archive
from nersweep.report.sources import Found, ReportConfig
from nersweep.terminal import console
from nersweep.tracking.reading import Store
from nersweep.tracking.stores import open_store


def report(config: ReportConfig) -> None:
    """Does what `python -m nersweep.report` was asked for. Raises ValueError for what is asked wrongly, for runs that
    cannot be compared, and for one of which something is missing."""
    if config.compare:
        names = config.compare.split(",")
        if len(names) != 2 or not all(names):
            raise ValueError(
                f"compare={config.compare}: expected two runs, as in compare=RUN_A,RUN_B"
            )
        difference.show(*(sources.one(name, config) for name in names))
        return
    found = sources.find(config)
    answer = compare(found.records, config.baseline, reference_of(found.records), found.tried)
    folder = files_module.writable(Path(config.folder) if config.folder else found.folder)
    tables.show(answer)
    write(answer, found, folder)
    if config.save:
        write_archive(Path(config.save), found.records)
        console.print(f"runs: {config.save}")
    if found.parent_id:
        try:
            uri = open_store(config.tracking.uri, found.output_dir)
            Store(uri).attach(found.parent_id, folder, "report")
        except UserError as error:
            console.print(f"the report is not in MLflow: {error}")
    console.print(f"report: {folder / 'report.html'}")


def reference_of(records: list[Record]) -> dict[str, Any]:
    """What is claimed of this data set, as conf/reference has it; empty where nothing is."""
    data = next((record.config["choice"]["data"] for record in records if record.finished), "")
    file = files(CONF) / "reference" / f"{data}.yaml"
    return (
        OmegaConf.to_container(OmegaConf.create(file.read_text("utf-8"))) if file.is_file() else {}
    )


def write(answer: Comparison, found: Found, folder: Path) -> None:
    """report.md, report.csv, report.tex, report.html, and the pictures."""
    files_module.write_text(folder / "report.md", tables.markdown(answer, found.title))
    files_module.write_text(folder / "report.csv", tables.comma_separated(answer))
    files_module.write_text(folder / "report.tex", tables.latex(answer))
    pictures = gallery.draw(answer, folder)
    page.write(answer, pictures, folder / "report.html", found.title, found.command, date.today())


def typed(arguments: list[str]) -> ReportConfig:
    """Every value is text as it stands: a sweep may be called 12345e67. Raises ValueError for what is no setting."""
    config = ReportConfig()
    names = [item.name for item in fields(config) if item.name != "tracking"]
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name == "tracking.uri":
            config.tracking.uri = value or None
        elif name not in names:
            raise ValueError(
                f"{argument}: no such setting; there are {', '.join(names)}, tracking.uri"
            )
        elif not value:
            raise ValueError(f"{argument}: expected {name}=VALUE")
        else:
            setattr(config, name, value)
    return config


def show_help() -> None:
    console.print("python -m nersweep.report [name=value …]")
    for item in fields(ReportConfig):
        name = "tracking.uri=" if item.name == "tracking" else f"{item.name}="
        console.print(f"  {name:15}{item.metadata['about']}")


def main() -> None:
    """The command line. Exit code 0, or 1 with a line for each fault on standard error; 130 after Ctrl-C."""
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        show_help()
        return
    try:
        report(typed(arguments))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        terminal.print_faults(fault_lines(error))
        sys.exit(1)
