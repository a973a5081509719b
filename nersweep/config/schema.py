"""The fixed sections of the configuration, with types and ranges. Everything else lives in conf/."""

import math
import operator
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from hydra.core.config_store import ConfigStore

SIGNS = {"≥": operator.ge, ">": operator.gt, "<": operator.lt}


def within(default: Any, *bounds: tuple[str, float]) -> Any:
    """A numeric field with its default and its bounds, such as ("≥", 1)."""
    return field(default=default, metadata={"bounds": bounds})


@dataclass
class EngineConfig:
    """Parts that make training fast. Without one, results differ by rounding, or by a draw."""

    packing: bool = True  # windows in one row without padding, if the encoder allows it
    masks: bool = True  # dropout masks of 16-bit draws, in bf16 on CPU
    chunked_adamw: bool = True  # AdamW in chunks that fit the cache, on CPU
    used_rows: bool = True  # only the embedding rows in use are trained, without weight decay


@dataclass
class TrainConfig:
    epochs: int = within(3, ("≥", 1))
    batch_size: int = within(32, ("≥", 1))  # sentences per optimiser step
    accumulation: int = within(
        1, ("≥", 1)
    )  # micro-batches that one optimiser step is split into, by length
    lr: float = within(5e-5, (">", 0))  # peak learning rate of AdamW
    head_lr: float | None = within(
        None, (">", 0)
    )  # of what is no part of the encoder (CRF, aux heads); null: lr
    warmup: float = within(
        0.1, ("≥", 0), ("<", 1)
    )  # share of the steps in which the rate rises; then it falls to 0
    weight_decay: float = within(0.0, ("≥", 0))
    max_grad_norm: float = within(1.0, (">", 0))
    patience: int | None = within(
        None, ("≥", 1)
    )  # stop after so many epochs without a better dev F1; null: never
    sampler: str = field(
        default="random", metadata={"choices": ("random", "entity_balanced")}
    )  # of sentences
    precision: str = field(default="auto", metadata={"choices": ("auto", "fp32", "bf16")})
    auto_batch: bool = (
        False  # where the device's memory is too small: the same step in more micro-batches
    )
    checkpoint_minutes: float | None = within(
        10.0, ("≥", 0)
    )  # the least time between two within an epoch; null: none
    engine: EngineConfig = field(default_factory=EngineConfig)

    def __post_init__(self) -> None:
        if isinstance(self.engine, Mapping):
            self.engine = EngineConfig(**self.engine)


@dataclass
class TrackingConfig:
    kind: str = "mlflow"  # tensorboard, none, or a module with a function tracker
    uri: str | None = None  # an MLflow server or database; null: mlflow.db in output_dir
    experiment: str = "nersweep"


@dataclass
class StudyConfig:
    """A search, with Optuna; there is none where the space is empty."""

    space: dict[str, Any] = field(
        default_factory=dict
    )  # setting: what of it is tried, in Hydra's sweep grammar
    trials: int | None = within(
        None, ("≥", 1)
    )  # that finish, over restarts and workers; null: 20, a whole grid
    seeds: Any = (
        1  # of each trial: how many, from `seed` on, or a list; a trial's value is their mean
    )
    metric: str = (
        "f1"  # of the development split, as the tracker names it: f1, macro_f1, strict/f1, PER/f1
    )
    direction: str = field(default="maximize", metadata={"choices": ("maximize", "minimize")})
    sampler: str = field(default="tpe", metadata={"choices": ("tpe", "gp", "random", "grid")})
    pruner: str = field(
        default="median", metadata={"choices": ("median", "hyperband", "wilcoxon", "none")}
    )
    storage: str | None = None  # sqlite:///FILE or postgresql://…; null: studies.db in output_dir
    name: str | None = None  # null: of the option, with a hash of all that is fixed
    export: str | None = (
        None  # the file that the best trial is written to; null: in output_dir/studies/NAME
    )
    worker: int = within(
        0, ("≥", 0)
    )  # a number for each of several, as in -m study.worker=range(4)


SECTIONS = {"train": TrainConfig, "tracking": TrackingConfig, "study": StudyConfig}


def register() -> None:
    """Makes the sections known to Hydra as `sections`, the first entry of the defaults list in conf/config.yaml."""
    ConfigStore.instance().store(name="sections", node=dict(SECTIONS))


def faults(config: Mapping[str, Any]) -> list[str]:
    """One line per setting of a fixed section that lies outside its range."""
    lines = []
    for section, schema in SECTIONS.items():
        known = ", ".join(item.name for item in fields(schema))
        if not isinstance(config[section], Mapping):
            lines.append(f"{section}={config[section]}: is a section; it has {known}")
            continue
        unknown = config[section].keys() - {item.name for item in fields(schema)}
        lines += [
            f"{section}.{key}={config[section][key]}: no such setting; {section} has {known}"
            for key in unknown
        ]
        for item in fields(schema):
            value, bounds = config[section][item.name], item.metadata.get("bounds", ())
            choices = item.metadata.get("choices", (value,))
            if value not in choices:
                lines.append(f"{section}.{item.name}={value}: must be one of {', '.join(choices)}")
            elif bounds and value is not None:
                holds = all(SIGNS[sign](value, bound) for sign, bound in bounds)
                if not (holds and math.isfinite(value)):
                    allowed = " and ".join(f"{sign} {bound}" for sign, bound in bounds)
                    allowed = f"finite and {allowed}" if holds else allowed
                    lines.append(f"{section}.{item.name}={value}: must be {allowed}")
    return lines


def describe(hint: Any) -> str:
    """What a type takes, in words."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(describe(option) for option in inner)
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, inner))
    if origin is not None:
        return "a mapping" if issubclass(origin, Mapping) else "a list"
    names = {
        float: "a number",
        int: "a whole number",
        bool: "true or false",
        str: "text",
        types.NoneType: "null",
    }
    return names.get(hint, hint.__name__)
