"""The counts of a run's entities by document, and their only reader and writer."""

from collections.abc import Mapping
from pathlib import Path

from nersweep.evaluation.counts import DocumentCounts, from_json
from nersweep.machine.files import write_json
from nersweep.machine.typed import read_json

COUNTS = Path("predictions", "counts.json")


def write_counts(folder: Path, counts: Mapping[str, DocumentCounts]) -> None:
    """Write the counts of dev and test into a run's folder."""
    write_json(folder / COUNTS, {split: each.to_json() for split, each in counts.items()})


def read_counts(folder: Path, split: str) -> DocumentCounts | None:
    """Read the counts of a split; None for a run of an older version, which has no such file.

    Raises UserError if the file is damaged.
    """
    return read_json(
        folder / COUNTS, lambda counts: from_json(counts[split]), "the counts of a run"
    )
