"""The search space of a study: dimensions, written in Hydra's sweep grammar."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    QuotedString,
    RangeSweep,
)
from hydra.core.override_parser.types import (
    Sweep as BaseSweep,
)
from hydra.errors import HydraException
from omegaconf import DictConfig

from nersweep.config import settings
from nersweep.config.build import COMPONENTS
from nersweep.config.compose import Composer
from nersweep.config.flat import flat, plain
from nersweep.config.overrides import assignment, assignments, literal, setting_of
from nersweep.config.schema import type_of
from nersweep.faults import Fault, UserError
from nersweep.study.changes import changes

if TYPE_CHECKING:
    from optuna.trial import Trial  # a second to import, which a command without a study can save

GRAMMAR = (
    "interval(0,5), int(interval(1,8)), tag(log,interval(1e-5,1e-1)), range(1,5), "
    "choice(a,b) or a,b"
)
TAGS = {"log", "complement"}
MAX_COMBINATIONS = 200  # combinations of options to check before a study starts

Sweep = list[Any] | ChoiceSweep | RangeSweep | IntervalSweep


@dataclass(frozen=True)
class Dimension:
    """A setting and what to try for it: a list of values, or an interval [low, high] of numbers.

    text: the definition as the user wrote it. values: empty for an interval.
    log: sample on a log scale. integer: sample whole numbers only.
    complement: sample 1 − setting instead, so that .9, .99 and .999 are evenly spaced with log.
    """

    name: str
    text: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    complement: bool = False
    integer: bool = False

    @property
    def is_group(self) -> bool:
        """True for a choice between options, such as loss=focal."""
        return self.name in COMPONENTS

    @property
    def parameter(self) -> str:
        """Return the name of the parameter in Optuna."""
        return f"1-{self.name}" if self.complement else self.name

    @property
    def categories(self) -> list[Any]:
        """Return the values as Optuna accepts them: lists and mappings become text."""
        return [literal(v) if isinstance(v, list | dict) else v for v in self.values]

    def suggest(self, trial: "Trial") -> Any:
        """Sample the parameter in a trial and return the value of the setting."""
        parameter: Any
        if self.values:
            parameter = trial.suggest_categorical(self.parameter, self.categories)
        elif self.integer:
            low, high = int(self.low), int(self.high)
            parameter = trial.suggest_int(self.parameter, low, high, log=self.log)
        else:
            parameter = trial.suggest_float(self.parameter, self.low, self.high, log=self.log)
        return self.decode(parameter)

    def decode(self, parameter: Any) -> Any:
        """Return the value of the setting for a value of Optuna's parameter."""
        if self.values:
            return self.values[self.categories.index(parameter)]
        if self.complement:
            return float(f"{1 - parameter:.12g}")  # without the digits that subtraction adds
        return parameter

    def extremes(self) -> list[Any]:
        """Return all values, or both ends of an interval."""
        return list(self.values) or [self.decode(self.low), self.decode(self.high)]


class Space:
    """The dimensions of a study: options of groups first, then the settings they bring along.

    given: what a configuration sets, by the names of overrides. fixed: these overrides without the
    settings that are searched: all trials share them.
    """

    def __init__(
        self, dimensions: Sequence[Dimension], given: Mapping[str, Any], composer: Composer
    ):
        self.groups = [d for d in dimensions if d.is_group]
        self.settings = [d for d in dimensions if not d.is_group]
        self.dimensions = [*self.groups, *self.settings]
        self.given = given
        searched = {dimension.name for dimension in dimensions}
        self.fixed = [o for o in assignments(given) if setting_of(o) not in searched]
        self.composer = composer
        self._active: dict[tuple[str, ...], list[Dimension]] = {}

    @classmethod
    def of(cls, config: DictConfig, choice: Mapping[str, str], composer: Composer) -> "Space":
        """Return the space of a configuration. Raises UserError if it cannot be parsed.

        choice: the option of each group.
        """
        dimensions, faults = parse_space(plain(config.study.space))
        if faults:
            raise UserError(*faults)
        return cls(dimensions, changes(config, choice, composer), composer)

    def suggest(self, trial: "Trial") -> list[str]:
        """Sample a trial and return its overrides, such as loss=focal focal_gamma=1.3.

        Settings that do not exist with the trial's options are not sampled.
        """
        overrides = []
        for dimension in self.groups:
            overrides.append(f"{dimension.name}={dimension.suggest(trial)}")
        for dimension in self.active(overrides):
            overrides.append(assignment(dimension.name, dimension.suggest(trial)))
        return overrides

    def active(self, options: Sequence[str]) -> list[Dimension]:
        """Return the settings that exist with these options.

        Raises Hydra's errors for options that do not compose.
        """
        key = tuple(options)
        if key not in self._active:
            config = plain(self.composer([*self.fixed, *key]))
            self._active[key] = [d for d in self.settings if contains(config, d.name)]
        return self._active[key]

    def ever_active(self) -> set[str]:
        """Return the names of settings that exist with any combination composed so far."""
        names: set[str] = set()
        for dimensions in self._active.values():
            names.update(dimension.name for dimension in dimensions)
        return names

    def values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of a trial by their own names, from its parameters in Optuna."""
        dimensions = {dimension.parameter: dimension for dimension in self.dimensions}
        values = {}
        for parameter, value in params.items():
            dimension = dimensions[parameter]
            values[dimension.name] = dimension.decode(value)
        return values

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """Return the overrides of a trial, from its parameters in Optuna."""
        return assignments(self.values(params))

    def combinations(self) -> Iterator[list[str]]:
        """Yield each combination of options."""
        for options in itertools.product(*(group.values for group in self.groups)):
            yield [f"{g.name}={option}" for g, option in zip(self.groups, options, strict=True)]

    def grid(self) -> list[dict[str, Any]]:
        """Return the parameters of all trials of a grid."""
        points = []
        for options in self.combinations():
            choice = dict(option.split("=", 1) for option in options)
            active = self.active(options)
            parameters = [dimension.parameter for dimension in active]
            for values in itertools.product(*(dimension.categories for dimension in active)):
                points.append(choice | dict(zip(parameters, values, strict=True)))
        return points

    def examples(self) -> Iterator[list[str]]:
        """Yield the overrides of one trial for each combination of options, always the same."""
        for options in itertools.islice(self.combinations(), MAX_COMBINATIONS):
            yield self.example(options, 0)

    def probes(self) -> Iterator[list[str]]:
        """Yield overrides that cover, for each combination of options, all values and ends."""
        for options in itertools.islice(self.combinations(), MAX_COMBINATIONS):
            longest = 1
            for dimension in self.active(options):
                longest = max(longest, len(dimension.extremes()))
            for i in range(longest):
                yield self.example(options, i)

    def example(self, options: Sequence[str], i: int) -> list[str]:
        """Return overrides with these options and the i-th value of each setting."""
        overrides = list(options)
        for dimension in self.active(options):
            extremes = dimension.extremes()
            overrides.append(assignment(dimension.name, extremes[i % len(extremes)]))
        return overrides


def contains(config: Mapping[str, Any], name: str) -> bool:
    """True if nested settings contain this dotted name, be it that of a value or of a mapping."""
    section, dot, rest = name.partition(".")
    if not dot or section not in config:
        return section in config
    return isinstance(config[section], Mapping) and contains(config[section], rest)


def seeds(config: DictConfig) -> list[int]:
    """Return the seeds of each trial: a list, or that many from `seed` on."""
    given = config.study.seeds
    if isinstance(given, int):
        return [config.seed + i for i in range(given)]
    return list(given)


# Parse definitions


def parse_space(space: Mapping[str, Any]) -> tuple[list[Dimension], list[Fault]]:
    """Parse study.space: return its dimensions, and a fault for each that cannot be parsed."""
    dimensions = []
    faults: list[Fault] = []
    for name, text in flat(space).items():
        try:
            dimensions.append(parse_dimension(name, text))
        except UserError as error:
            faults += error.faults
    return dimensions, faults


def parse_dimension(name: str, text: Any) -> Dimension:
    """Parse one definition, such as interval(0,5). Raises UserError if it is none."""
    if name == "seed":
        remedy = "set study.seeds for the seeds of each trial"
        raise invalid(name, text, "cannot be searched", remedy)
    if not settings.matters(name):
        raise invalid(name, text, "cannot be searched, because it changes no score")
    sweep = parse_sweep(name, text)
    if isinstance(sweep, IntervalSweep):
        return interval(name, str(text), sweep)
    return choice(name, str(text), sweep)


def parse_sweep(name: str, text: Any) -> Sweep:
    """Parse a definition with Hydra's grammar. Raises UserError for one that is no sweep."""
    try:
        sweep = text
        if not isinstance(text, list):
            sweep = OverridesParser.create().parse_override(f"{name}={text}").value()
    except HydraException:
        raise invalid(name, text, "cannot be parsed", f"use {GRAMMAR}") from None
    if not isinstance(sweep, list | ChoiceSweep | RangeSweep | IntervalSweep):
        raise invalid(name, text, "has one value, so there is nothing to search", f"use {GRAMMAR}")
    tags = set() if isinstance(sweep, list) else sweep.tags
    if unknown := tags - TAGS:
        must = f"has an unknown tag: {', '.join(sorted(unknown))}"
        raise invalid(name, text, must, f"use {' or '.join(sorted(TAGS))}")
    if tags and not isinstance(sweep, IntervalSweep):
        raise invalid(name, text, f"{' and '.join(sorted(tags))} can only tag an interval")
    return sweep


def interval(name: str, text: str, sweep: IntervalSweep) -> Dimension:
    """Return the dimension of an interval of numbers."""
    low, high = sweep.start, sweep.end
    assert low is not None and high is not None
    if name in COMPONENTS:
        raise invalid(name, text, "is a choice between options", "use choice(NAME,NAME)")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise invalid(name, text, "is empty: the first number must be below the second")
    if "log" in sweep.tags and low <= 0:
        raise invalid(name, text, "must begin above 0 on a log scale")
    if type_of(name) in (int, int | None) and not (isinstance(low, int) and isinstance(high, int)):
        raise invalid(name, text, "must give whole numbers", f"use int({text})")
    return Dimension(
        name,
        text,
        low=low,
        high=high,
        log="log" in sweep.tags,
        complement="complement" in sweep.tags,
        integer=isinstance(low, int) and isinstance(high, int),
    )


def choice(name: str, text: str, sweep: list[Any] | ChoiceSweep | RangeSweep) -> Dimension:
    """Return the dimension of a list of values, each once."""
    elements: Any = sweep
    if isinstance(sweep, RangeSweep):
        elements = sweep.range()
    elif isinstance(sweep, ChoiceSweep):
        elements = sweep.list
    values: list[Any] = []
    for element in elements:
        if isinstance(element, BaseSweep):
            must = "is a list of intervals or other sweeps"
            raise invalid(name, text, must, "use one interval(LOW,HIGH), or values")
        value = unquote(element)
        if value not in values:
            values.append(value)
    if len(values) < 2:
        raise invalid(name, text, "has one value, so there is nothing to search", f"use {GRAMMAR}")
    if name in COMPONENTS and not all(isinstance(value, str) for value in values):
        raise invalid(name, text, "must name options", f"use choice({name}_a,{name}_b)")
    return Dimension(name, text, tuple(values))


def invalid(name: str, text: Any, must: str, remedy: str = "") -> UserError:
    """Return the error of a definition in study.space."""
    return UserError(Fault(f"study.space.{name}", text, must, remedy))


def unquote(value: Any) -> Any:
    """Return an element of Hydra's grammar without its quotes."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [unquote(item) for item in value]
    if isinstance(value, dict):
        return {unquote(key): unquote(item) for key, item in value.items()}
    return value
