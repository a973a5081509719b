"""The counts of a run's entities by document, and their only reader and writer."""

import json
from collections.abc import Mapping
from pathlib import Path

from nersweep.evaluation.counts import DocumentCounts, from_json
from nersweep.faults import Fault, UserError
from nersweep.machine.files import write_json

COUNTS = Path("predictions", "counts.json")


def write_counts(folder: Path, counts: Mapping[str, DocumentCounts]) -> None:
    """Write the counts of dev and test into a run's folder."""
    write_json(folder / COUNTS, {split: each.to_json() for split, each in counts.items()})


def read_counts(folder: Path, split: str) -> DocumentCounts | None:
    """Read the counts of a split; None for a run of an older version, which has no such file.

    Raises UserError if the file is damaged.
    """
    file = folder / COUNTS
    try:
        return from_json(json.loads(file.read_text(encoding="utf-8"))[split])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(Fault(str(file), must=f"cannot be read ({error.strerror})")) from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(Fault(str(file), must=f"not the counts of a run ({error})")) from None
