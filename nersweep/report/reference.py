"""Published scores of a data set, from conf/reference, to show beside the measured ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from omegaconf import OmegaConf
from pydantic import TypeAdapter

from nersweep.config.knobs import CONF


@dataclass(frozen=True)
class Claim:
    """What a source claims for a loss. Scores are percent; time is a multiple of another loss's.

    own: the options and knobs with which the source has measured it, where these are known and
    are not the defaults here, as in {loss: weighted_focal, weights: inverse}.
    """

    f1: float | None = None
    precision: float | None = None
    recall: float | None = None
    time: float | None = None
    types: Mapping[str, float] = field(default_factory=dict)  # F1 of each type
    own: Mapping[str, Any] = field(default_factory=dict)

    def is_own(self, choice: Mapping[str, str], config: Mapping[str, Any]) -> bool:
        """Return whether a run of these options and settings has those of the source."""
        for name, value in self.own.items():
            if choice.get(name, config.get(name)) != value:
                return False
        return bool(self.own)


@dataclass(frozen=True)
class Reference:
    """Claims by loss.

    source: who claims it. encoder: with which encoder and training. trials: how many trials the
    best value was chosen from. time_of: the loss whose time is 1.
    """

    source: str = "others"
    encoder: str | None = None
    trials: int | None = None
    time_of: str | None = None
    rows: Mapping[str, Claim] = field(default_factory=dict)

    @property
    def about(self) -> str:
        """The source, its encoder and its trials in words."""
        parts = [self.source]
        if self.encoder:
            parts.append(self.encoder)
        if self.trials:
            parts.append(f"the highest is the best of {self.trials} trials")
        return "; ".join(parts)

    def claim(self, choice: Mapping[str, str], config: Mapping[str, Any]) -> Claim:
        """Return what is claimed for a run: for its very settings, else for its loss.

        choice: the options of the run. config: its settings.
        """
        for claim in self.rows.values():
            if claim.is_own(choice, config):
                return claim
        return self.rows.get(choice["loss"], NO_CLAIM)


NO_CLAIM = Claim()
NO_REFERENCE = Reference()


def read_reference(data: str) -> Reference:
    """Return the published claims for a data set; NO_REFERENCE without any."""
    file = files(CONF) / "reference" / f"{data}.yaml"
    if not file.is_file():
        return NO_REFERENCE
    content = OmegaConf.to_container(OmegaConf.create(file.read_text("utf-8")))
    return TypeAdapter(Reference).validate_python(content)
