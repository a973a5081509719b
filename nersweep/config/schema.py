"""The fixed sections of the configuration, with types and ranges. Everything else is in conf/."""

import math
import operator
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore

from nersweep.faults import Fault

SIGNS = {"≥": operator.ge, ">": operator.gt, "<": operator.lt, "≤": operator.le}
WORDS = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "text",
    types.NoneType: "null",
}


def within(default: Any, *bounds: tuple[str, float]) -> Any:
    """Return a numeric field with its default and its bounds, such as ("≥", 1)."""
    return field(default=default, metadata={"bounds": bounds})


def one_of(*choices: str) -> Any:
    """Return a field that takes one of these words, the first by default."""
    return field(default=choices[0], metadata={"choices": choices})


def not_empty(default: str) -> Any:
    """Return a field that takes any text but an empty one."""
    return field(default=default, metadata={"empty": False})


@dataclass
class EngineConfig:
    """Parts that make training fast. Without one, results differ by rounding, or by a draw."""

    packing: bool = True  # windows in one row without padding, if the encoder allows it
    masks: bool = True  # dropout masks of 16-bit draws, in bf16 on CPU
    chunked_adamw: bool = True  # AdamW in chunks that fit the cache, on CPU
    used_rows: bool = True  # only the embedding rows in use are trained, without weight decay
    sdpa: bool = (
        True  # on CUDA, packed windows form a grid of static shape for one attention kernel
    )
    flat_adamw: bool = True  # on CUDA with sdpa, the encoder's parameters lie in one piece
    graphs: bool = True  # on CUDA with both, a step's work in the encoder is two CUDA graphs


@dataclass
class TrainConfig:
    epochs: int = within(3, ("≥", 1))
    batch_size: int = within(32, ("≥", 1))  # sentences per optimiser step
    accumulation: int = within(1, ("≥", 1))  # micro-batches of a step, split by length
    lr: float = within(5e-5, (">", 0))  # peak learning rate of AdamW
    # Learning rate of what is not part of the encoder (CRF, aux heads); null: lr.
    head_lr: float | None = within(None, (">", 0))
    # Share of the steps in which the rate rises; then it falls to 0.
    warmup: float = within(0.1, ("≥", 0), ("<", 1))
    weight_decay: float = within(0.0, ("≥", 0))
    max_grad_norm: float = within(1.0, (">", 0))
    # Stop after so many epochs without a better dev metric; null: never.
    patience: int | None = within(None, ("≥", 1))
    # Of sentences: importance_of in nersweep/training/sampling.py has the formulas.
    sampler: str = one_of("random", "entity_balanced", "sC", "sCRD", "nsCRD", "repeat_factor")
    # Of sampler=repeat_factor: types in a smaller share of sentences are drawn more often; null:
    # the share of the most frequent type.
    repeat_threshold: float | None = within(None, (">", 0), ("≤", 1))
    precision: str = one_of("auto", "fp32", "bf16")
    # If the device's memory is too small, split the same step into more micro-batches.
    auto_batch: bool = False
    # The least time between two checkpoints within an epoch; null: none.
    checkpoint_minutes: float | None = within(10.0, ("≥", 0))
    engine: EngineConfig = field(default_factory=EngineConfig)

    def __post_init__(self) -> None:
        if isinstance(self.engine, Mapping):
            self.engine = EngineConfig(**self.engine)


@dataclass
class TrackingConfig:
    kind: str = "mlflow"  # tensorboard, none, or a module with a function tracker
    uri: str | None = None  # an MLflow server or database; null: mlflow.db in output_dir
    experiment: str = not_empty("nersweep")


@dataclass
class StudyConfig:
    """A search with Optuna; no search if the space is empty."""

    # For each setting what is tried, in Hydra's sweep grammar.
    space: dict[str, Any] = field(default_factory=dict)
    # Finished trials, over restarts and workers; null: 20, or a whole grid.
    trials: int | None = within(None, ("≥", 1))
    # Seeds of each trial, whose value is their mean: how many, from `seed` on, or a list.
    seeds: Any = 1
    # A score of the development split, such as macro_f1, accuracy, unseen/f1; null: `metric`.
    metric: str | None = None
    direction: str = one_of("maximize", "minimize")
    sampler: str = one_of("tpe", "gp", "random", "grid")
    pruner: str = one_of("median", "hyperband", "wilcoxon", "none")
    storage: str | None = None  # sqlite:///FILE or postgresql://…; null: studies.db in output_dir
    name: str | None = None  # null: the option, with a hash of all that is fixed
    # The file that the best trial is written to; null: in output_dir/studies/NAME.
    export: str | None = None
    worker: int = within(0, ("≥", 0))  # a number for each worker: -m study.worker=range(4)


@dataclass
class SeedsConfig:
    """Seeds until the answer is known: further seeds of the settings of a sweep that are open."""

    max: int | None = within(None, ("≥", 2))  # seeds per setting; null: no further ones


@dataclass
class SweepConfig:
    """Rows of a sweep that are no product of values: nersweep/command/rows.py."""

    # A list with the overrides of each row; null: one row; recommended: as the data suggests.
    settings: Any = None


@dataclass
class TuneConfig:
    """A search for each row of a sweep, before its seeds: nersweep/sweep/tuning.py."""

    trials: int | None = within(None, ("≥", 2))  # of each row; null: rows are not tuned
    # What is searched instead of, or beside, the learning rate, the epochs and the knobs of a row,
    # in Hydra's sweep grammar; null: not searched.
    space: dict[str, Any] = field(default_factory=dict)


SECTIONS = {
    "train": TrainConfig,
    "tracking": TrackingConfig,
    "study": StudyConfig,
    "seeds": SeedsConfig,
    "sweep": SweepConfig,
    "tune": TuneConfig,
}


SECTIONS_NAME = "sections"  # in Hydra's store


def register() -> None:
    """Register the sections with Hydra: conf/config.yaml lists them first among its defaults."""
    sections = {**SECTIONS, "data": {"corrections": None}}  # which every data set takes
    ConfigStore.instance().store(name=SECTIONS_NAME, node=sections)


def type_of(key: str) -> Any:
    """Return the type of a setting of a fixed section: train.engine.packing; None for others."""
    hint: Any = None
    hints: Mapping[str, Any] = SECTIONS
    for name in key.split("."):
        hint = hints.get(name)
        hints = typing.get_type_hints(hint) if is_dataclass(hint) else {}
    return hint


def faults(config: Mapping[str, Any]) -> list[Fault]:
    """Return a fault for each setting of a fixed section that is unknown or out of range."""
    faults = []
    for section, schema in SECTIONS.items():
        items, values = {item.name: item for item in fields(schema)}, config[section]
        if not isinstance(values, Mapping):
            faults.append(Fault(section, values, "must be a section", f"set {section}.NAME"))
            continue
        for name in values.keys() - items.keys():
            remedy = f"{section} has {', '.join(items)}"
            faults.append(Fault(f"{section}.{name}", values[name], "no such setting", remedy))
        for name, item in items.items():
            must = requirement(values[name], **item.metadata)
            if must:
                faults.append(Fault(f"{section}.{name}", values[name], must))
    return faults


def requirement(
    value: Any,
    bounds: Sequence[tuple[str, float]] = (),
    choices: Sequence[str] = (),
    empty: bool = True,
) -> str:
    """Return the requirement that a value violates; empty for a valid value."""
    if not empty and not str(value).strip():
        return "must not be empty"
    if choices and value not in choices:
        return f"must be one of {', '.join(choices)}"
    if not bounds or value is None:
        return ""
    allowed = " and ".join(f"{sign} {bound}" for sign, bound in bounds)
    if not math.isfinite(value):
        return f"must be finite and {allowed}"
    holds = all(SIGNS[sign](value, bound) for sign, bound in bounds)
    return "" if holds else f"must be {allowed}"


def describe(hint: Any) -> str:
    """Describe a type in words."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(map(describe, inner))
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, inner))
    if origin is not None:
        return "a mapping" if issubclass(origin, Mapping) else "a list"
    return "a section" if is_dataclass(hint) else WORDS.get(hint, hint.__name__)
