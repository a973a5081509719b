"""Published scores of a data set, from conf/reference, to show beside the measured ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files

from omegaconf import OmegaConf
from pydantic import TypeAdapter

from nersweep.config.knobs import CONF


@dataclass(frozen=True)
class Claim:
    """What a source claims for a loss. Scores are percent; time is a multiple of another loss's."""

    f1: float | None = None
    precision: float | None = None
    recall: float | None = None
    time: float | None = None
    types: Mapping[str, float] = field(default_factory=dict)  # F1 of each type


@dataclass(frozen=True)
class Reference:
    """Claims by loss. source: who claims it; time_of: the loss whose time is 1."""

    source: str = "others"
    time_of: str | None = None
    rows: Mapping[str, Claim] = field(default_factory=dict)


NO_CLAIM = Claim()
NO_REFERENCE = Reference()


def read_reference(data: str) -> Reference:
    """Return the published claims for a data set; NO_REFERENCE without any."""
    file = files(CONF) / "reference" / f"{data}.yaml"
    if not file.is_file():
        return NO_REFERENCE
    content = OmegaConf.to_container(OmegaConf.create(file.read_text("utf-8")))
    return TypeAdapter(Reference).validate_python(content)
