"""The settings of a run: a typed view of a resolved configuration, and what identifies a run."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nersweep.config.build import COMPONENTS
from nersweep.config.schema import (
    SECTIONS,
    SeedsConfig,
    StudyConfig,
    SweepConfig,
    TrackingConfig,
    TrainConfig,
    TuneConfig,
)

# Settings that do not enter the fingerprint: where, when and for whom a run takes place.
ELSEWHERE = {
    "output_dir",
    "device",
    "gpus_per_run",
    "rerun",
    "on_failure",
    "dry_run",
    "report",
    "resolution",
    "seeds",
    "sweep",
    "tune",
    "tracking",
    "study",
    "train.checkpoint_minutes",
    "train.auto_batch",
}
# Settings that enter it by content (checksum), not by value.
SOURCES = {"data", "model.name", "model.revision", "model.package"}
# The top level without knobs.
FIXED = {"seed", "metric", *(name for name in ELSEWHERE if "." not in name), *SECTIONS, *COMPONENTS}


@dataclass(frozen=True)
class Choice:
    """The option of each group: loss=focal gives loss "focal"."""

    data: str
    model: str
    head: str
    loss: str
    weights: str
    aux: str
    augment: str


@dataclass(frozen=True)
class Settings:
    """A configuration without faults. values: resolved, by name; "choice" holds the options.

    device: auto, cpu, cuda or cuda:N. resolution: the smallest difference of interest, in points
    of the metric. on_failure: continue or stop.
    """

    values: dict[str, Any]
    choice: Choice
    train: TrainConfig
    tracking: TrackingConfig
    study: StudyConfig
    seeds: SeedsConfig
    sweep: SweepConfig
    tune: TuneConfig
    seed: int
    metric: str
    device: str
    gpus_per_run: float | None
    output_dir: Path
    rerun: bool
    dry_run: bool
    report: bool
    resolution: float
    on_failure: str

    @classmethod
    def of(cls, resolved: dict[str, Any], choice: Choice) -> "Settings":
        fields = {name: resolved[name] for name in FIXED - COMPONENTS.keys()}
        for name, section in SECTIONS.items():
            fields[name] = section(**resolved[name])
        fields["output_dir"] = Path(resolved["output_dir"])
        return cls(resolved | {"choice": asdict(choice)}, choice, **fields)


def matters(name: str) -> bool:
    """Return whether a setting, such as focal_gamma or train.lr, enters the fingerprint."""
    return not {name, name.partition(".")[0]} & ELSEWHERE


def is_source(name: str) -> bool:
    """Return whether a setting enters the fingerprint by content (checksum), not by value."""
    return bool({name, name.partition(".")[0]} & SOURCES)
