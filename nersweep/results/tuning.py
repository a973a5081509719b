"""How the rows of a sweep were tuned: tuning.json in its folder."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from nersweep.faults import Fault, UserError
from nersweep.machine.files import write_json
from nersweep.machine.typed import validate

TUNING = "tuning.json"


@dataclass(frozen=True)
class Search:
    """The search of a row. setting: the row. selected: the best trial, as overrides.

    values: of the metric on dev, by trial; of a pruned trial its best until then.
    """

    setting: str
    study: str
    selected: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Tuning:
    """The searches of a sweep, of so many trials each. metric: on dev."""

    trials: int
    metric: str
    searches: tuple[Search, ...]


ADAPTER = TypeAdapter(Tuning)


def write_tuning(folder: Path, tuning: Tuning) -> None:
    """Write the searches of a sweep into its folder."""
    write_json(folder / TUNING, asdict(tuning))


def read_tuning(folder: Path) -> Tuning | None:
    """Read the searches of a sweep; None if it had none. Raises UserError for a damaged file."""
    file = folder / TUNING
    try:
        return validate(ADAPTER, json.loads(file.read_text("utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        remedy = "repeat the sweep's command to write it again"
        raise UserError(Fault(str(file), must=f"cannot be read ({error})", remedy=remedy)) from None
