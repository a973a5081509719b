"""Which settings a configuration has, and which of them are part of a run's identity."""

from nersweep.config import schema as sections
from nersweep.config.build import ROOMS

# No part of what a run is: where, when and for whom it is made, and what that may take.
ELSEWHERE = {
    *(
        "output_dir",
        "device",
        "gpus_per_run",
        "rerun",
        "on_failure",
        "dry_run",
        "report",
        "choice",
        "tracking",
        "study",
    ),
    *("train.checkpoint_minutes", "train.auto_batch"),
}


# A part of it by what they lead to: sentences, weights.
SOURCES = {"data", "model.name", "model.revision", "model.package"}


# The top level without knobs.
FIXED = {"seed", *(name for name in ELSEWHERE if "." not in name), *sections.SECTIONS, *ROOMS}


def matters(name: str) -> bool:
    """Is this setting, focal_gamma or train.lr, a part of what a run is?"""
    return not {name, name.partition(".")[0]} & ELSEWHERE


def is_source(name: str) -> bool:
    """Is it a part by what it leads to?"""
    return bool({name, name.partition(".")[0]} & SOURCES)
