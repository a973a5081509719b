"""The settings of a run: a typed view of a resolved configuration, and what identifies a run."""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nersweep.config.build import COMPONENTS
from nersweep.config.schema import SECTIONS, StudyConfig, TrackingConfig, TrainConfig

# Settings that do not enter the fingerprint: where, when and for whom a run takes place.
ELSEWHERE = {
    "output_dir",
    "device",
    "gpus_per_run",
    "rerun",
    "on_failure",
    "dry_run",
    "report",
    "tracking",
    "study",
    "train.checkpoint_minutes",
    "train.auto_batch",
}
# Settings that enter it by content (checksum), not by value.
SOURCES = {"data", "model.name", "model.revision", "model.package"}
# The top level without knobs.
FIXED = {"seed", *(name for name in ELSEWHERE if "." not in name), *SECTIONS, *COMPONENTS}


@dataclass(frozen=True)
class Choice:
    """The option of each group: loss=focal gives loss "focal"."""

    data: str
    model: str
    head: str
    loss: str
    weights: str
    aux: str


@dataclass(frozen=True)
class Settings:
    """A configuration without faults. values: resolved, by name; "choice" holds the options."""

    values: dict[str, Any]
    choice: Choice

    @classmethod
    def of(cls, resolved: dict[str, Any], choice: Choice) -> "Settings":
        return cls(resolved | {"choice": asdict(choice)}, choice)

    @cached_property
    def train(self) -> TrainConfig:
        return TrainConfig(**self.values["train"])

    @cached_property
    def tracking(self) -> TrackingConfig:
        return TrackingConfig(**self.values["tracking"])

    @cached_property
    def study(self) -> StudyConfig:
        return StudyConfig(**self.values["study"])

    @property
    def seed(self) -> int:
        return self.values["seed"]

    @property
    def device(self) -> str:
        """auto, cpu, cuda or cuda:N."""
        return self.values["device"]

    @property
    def gpus_per_run(self) -> float | None:
        return self.values["gpus_per_run"]

    @property
    def output_dir(self) -> Path:
        return Path(self.values["output_dir"])

    @property
    def rerun(self) -> bool:
        return self.values["rerun"]

    @property
    def dry_run(self) -> bool:
        return self.values["dry_run"]

    @property
    def report(self) -> bool:
        return self.values["report"]

    @property
    def on_failure(self) -> str:
        """continue or stop."""
        return self.values["on_failure"]


def matters(name: str) -> bool:
    """Return whether a setting, such as focal_gamma or train.lr, enters the fingerprint."""
    return not {name, name.partition(".")[0]} & ELSEWHERE


def is_source(name: str) -> bool:
    """Return whether a setting enters the fingerprint by content (checksum), not by value."""
    return bool({name, name.partition(".")[0]} & SOURCES)
