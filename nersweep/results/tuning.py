"""How the rows of a sweep were tuned: tuning.json in its folder."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from nersweep.machine.files import write_json
from nersweep.machine.typed import read_json, validate

TUNING = "tuning.json"


@dataclass(frozen=True)
class Search:
    """The search of a row. setting: the row. selected: the best trial, as overrides.

    fingerprint: of the first run of what is selected, by which a report finds the row.
    space: what was searched, by setting. values: of the metric on dev, by trial.
    """

    setting: str
    study: str
    fingerprint: str
    space: dict[str, str]
    selected: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Tuning:
    """The searches of a sweep, of so many trials each; 0 if it had none. metric: on dev."""

    trials: int
    metric: str
    searches: tuple[Search, ...]


UNTUNED = Tuning(0, "", ())
ADAPTER = TypeAdapter(Tuning)


def write_tuning(folder: Path, tuning: Tuning) -> None:
    """Write the searches of a sweep into its folder."""
    write_json(folder / TUNING, asdict(tuning))


def read_tuning(folder: Path) -> Tuning:
    """Read the searches of a sweep. Raises UserError for a damaged file."""
    remedy = "repeat the sweep's command to write it again"
    tuning = read_json(folder / TUNING, tuning_of, "the searches of a sweep", remedy)
    return tuning or UNTUNED


def tuning_of(values: Any) -> Tuning:
    """Return the searches that JSON values describe. Raises Mismatch."""
    return validate(ADAPTER, values)
