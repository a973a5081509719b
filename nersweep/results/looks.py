"""The looks of a sweep that ran seeds until the answer was known: looks.json in its folder."""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter

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
    """The looks of a sweep. resolution: in points.

    alpha: the nominal level α′ of each look, at which the intervals of all looks, and those of the
    report, hold together with 95%. seeds: of the plan, in their order. baseline: a setting.
    is_complete: False while runs are left. metric: what judged the settings.
    """

    resolution: float
    alpha: float
    seeds: tuple[int, ...]
    baseline: str
    is_complete: bool
    looks: tuple[Look, ...]
    metric: str = "f1"


ADAPTER = TypeAdapter(Looks)


def write_looks(folder: Path, looks: Looks) -> None:
    """Write the looks of a sweep into its folder."""
    write_json(folder / LOOKS, asdict(looks))


def read_looks(folder: Path) -> Looks | None:
    """Read the looks of a sweep; None if it took none. Raises UserError for a damaged file."""
    remedy = "repeat the sweep's command to write it again"
    return read_json(folder / LOOKS, partial(validate, ADAPTER), "the looks of a sweep", remedy)
