"""`python -m nersweep.sync`: add to a tracker what it lacks of the runs, sweeps and studies."""

from dataclasses import dataclass
from pathlib import Path

from nersweep.command.keywords import keyword, run_program
from nersweep.faults import Fault, UserError
from nersweep.terminal import console
from nersweep.tracking import syncing, tracker

COMMAND = "python -m nersweep.sync"


@dataclass
class SyncArguments:
    """What the command takes, as name=value."""

    output_dir: str = keyword("where the runs are (outputs)", "outputs")
    uri: str | None = keyword(
        "MLflow's address (mlflow.db in output_dir)", name="tracking.uri", nullable=True
    )
    kind: str = keyword("mlflow (the default) or tensorboard", "mlflow", name="tracking.kind")


def sync(arguments: SyncArguments) -> None:
    """Sync every folder of output_dir that the tracker lacks a part of, and print progress.

    Asks the tracker for each folder that it should have: its store may be another one by now.
    Raises Unavailable for a tracker that does not answer, and, after all folders, UserError for
    those that failed.
    """
    output_dir = Path(arguments.output_dir)
    if not output_dir.is_dir():
        raise UserError(Fault("output_dir", output_dir, "no such folder"))
    chosen = tracker.make(arguments.kind, arguments.uri, output_dir)
    if not chosen.address:
        console.print(f"tracking.kind={arguments.kind} shows nothing, so there is nothing to sync")
        return
    chosen.open()
    folders = syncing.folders_in(output_dir)
    pending = []
    for folder in folders:
        if not syncing.is_complete(chosen, folder) or syncing.is_lost(chosen, folder):
            pending.append(folder)
    faults: list[Fault] = []
    for number, folder in enumerate(pending, 1):
        console.print(f"{number}/{len(pending)} {folder}")
        faults += syncing.faults_of_sync(chosen, folder)
    if faults:
        raise UserError(*faults)
    console.print(f"{chosen.name} has all of {len(folders)} runs, sweeps and studies")


def main() -> None:
    run_program(SyncArguments, COMMAND, sync)


if __name__ == "__main__":
    main()
