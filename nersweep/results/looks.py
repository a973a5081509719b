"""The looks of a sweep that ran seeds until the answer was known: looks.json in its folder.

Each set of the sweep has its own: a data set, or an encoder on it (results/sets.py).
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import Field, TypeAdapter

from nersweep.evaluation.inference import Verdict
from nersweep.machine.files import write_json
from nersweep.machine.typed import read_json, validate

LOOKS = "looks.json"


@dataclass(frozen=True)
class Judgement:
    """A setting at a look: its difference from the baseline on dev, in points, and its interval.

    seeds: the pairs of runs. low and high are None if it has no interval.
    """

    setting: str
    seeds: int
    difference: float
    low: float | None
    high: float | None
    verdict: Verdict


@dataclass(frozen=True)
class Look:
    """What a look after so many seeds said of the settings that had no answer before."""

    seeds: int
    judgements: tuple[Judgement, ...]


@dataclass(frozen=True)
class Looks:
    """The looks of a set. resolution: in points.

    alpha: the nominal level α′ of each look, at which the intervals of all looks, and those of the
    report, hold together with 95%. seeds: of the plan, in their order. baseline: a setting.
    is_complete: False while runs are left. metric: what judged the settings. name: of the set; ""
    in files of older versions, which had one set.
    """

    resolution: float
    alpha: float
    seeds: tuple[int, ...]
    baseline: str
    is_complete: bool
    looks: tuple[Look, ...]
    metric: str = "f1"
    name: str = ""


Sets: TypeAlias = Annotated[tuple[Looks, ...], Field(min_length=1)]
ADAPTER: TypeAdapter[tuple[Looks, ...]] = TypeAdapter(Sets)


def write_looks(folder: Path, sets: Iterable[Looks]) -> None:
    """Write the looks of a sweep into its folder."""
    write_json(folder / LOOKS, list(map(asdict, sets)))


def read_looks(folder: Path) -> tuple[Looks, ...]:
    """Read the looks of a sweep; none if it took none. Raises UserError for a damaged file."""
    remedy = "repeat the sweep's command to write it again"
    return read_json(folder / LOOKS, looks_of, "the looks of a sweep", remedy) or ()


def looks_of(content: Any) -> tuple[Looks, ...]:
    """Return the looks of each set. Raises Mismatch."""
    return validate(ADAPTER, content if isinstance(content, list) else [content])
