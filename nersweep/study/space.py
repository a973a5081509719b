"""What a study tries: settings, each with its part of Hydra's sweep grammar."""

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, QuotedString, RangeSweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from nersweep.config import check
from nersweep.config import settings as settings_module
from nersweep.config.build import ROOMS
from nersweep.config.compose import Composer
from nersweep.config.flat import flat
from nersweep.config.knobs import not_read
from nersweep.config.schema import StudyConfig
from nersweep.evaluation.analysis import KINDS
from nersweep.evaluation.metrics import rates
from nersweep.faults import fault_lines, reason, shown

GRAMMAR = "interval(0,5), int(interval(1,8)), tag(log,interval(1e-5,1e-1)), range(1,5), choice(a,b) or a,b"
TAGS = {"log", "complement"}  # a log scale; 1 minus what is drawn
OUTSIDE = {"study"}  # of what is given to a run
MOST_CHECKED = 200  # combinations of options that are looked at before a study starts
ONCE = (  # what the analysis of a run says of its development split, after the last epoch
    *(f"{which}/{score}" for which in ("seen", "unseen") for score in rates(0, 0, 0)),
    *(f"errors/{kind}" for kind in KINDS),
    *("calibration_error/all", "calibration_error/entities", "illegal_transitions"),
)

Composed = Callable[[Sequence[str]], DictConfig]


@dataclass(frozen=True)
class Dimension:
    """A setting and what is tried of it: a list of values, or an interval [low, high] of numbers.

    log: drawn on a log scale. complement: the setting is 1 minus what is drawn, so that .9, .99 and .999 can be evenly
    spaced. whole: only whole numbers.
    """

    name: str
    typed: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    complement: bool = False
    whole: bool = False

    @property
    def key(self) -> str:
        """Its name in the study: of what is drawn."""
        return f"1-{self.name}" if self.complement else self.name

    @property
    def categories(self) -> list[Any]:
        """The values as Optuna takes them, which has no lists and mappings."""
        return [quoted(v) if isinstance(v, list | tuple | dict) else v for v in self.values]

    def draw(self, trial: Any) -> Any:
        """The value of the setting in an Optuna trial."""
        if self.values:
            return self.setting(trial.suggest_categorical(self.key, self.categories))
        suggest = trial.suggest_int if self.whole else trial.suggest_float
        return self.setting(suggest(self.key, self.low, self.high, log=self.log))

    def setting(self, drawn: Any) -> Any:
        """What is drawn, as the setting: 1 minus it where that is meant, without digits that subtraction makes up."""
        if self.values:
            return self.values[self.categories.index(drawn)]
        return float(f"{1 - drawn:.12g}") if self.complement else drawn

    def corners(self) -> list[Any]:
        return list(self.values) or [self.setting(self.low), self.setting(self.high)]


class Space:
    """The dimensions of a study. Options of groups come first; then the settings that are there with these options."""

    def __init__(self, dimensions: Sequence[Dimension], fixed: Sequence[str], composed: Composed):
        self.groups = [d for d in dimensions if d.name in ROOMS]
        self.settings = [d for d in dimensions if d.name not in ROOMS]
        self.fixed, self.composed = list(fixed), composed
        self.known: dict[tuple[str, ...], list[Dimension]] = {}

    def draw(self, trial: Any) -> list[str]:
        """The overrides that are this trial: `loss=focal`, `focal_gamma=1.3`. What its options do not have is not
        drawn."""
        options = [f"{d.name}={d.draw(trial)}" for d in self.groups]
        return options + [f"{d.name}={quoted(d.draw(trial))}" for d in self.alive(options)]

    def alive(self, options: Sequence[str]) -> list[Dimension]:
        """The settings that are there with these options. Raises what Hydra raises where they do not compose."""
        options = tuple(options)
        if options not in self.known:
            config = self.composed([*self.fixed, *options])
            self.known[options] = [d for d in self.settings if is_there(config, d.name)]
        return self.known[options]

    def combinations(self) -> Iterator[list[str]]:
        for values in itertools.product(*(d.values for d in self.groups)):
            yield [f"{d.name}={value}" for d, value in zip(self.groups, values, strict=True)]

    def points(self) -> list[dict[str, Any]]:
        """Of a grid: what is drawn in each trial, by the names in the study."""
        found = []
        for options in self.combinations():
            taken = dict(option.split("=", 1) for option in options)
            alive = self.alive(options)
            for values in itertools.product(*(d.categories for d in alive)):
                found.append(taken | {d.key: value for d, value in zip(alive, values, strict=True)})
        return found

    def firsts(self) -> Iterator[list[str]]:
        """The overrides of one trial with each combination of options, always the same."""
        for options in itertools.islice(self.combinations(), MOST_CHECKED):
            yield self.corner(options, 0)

    def probes(self) -> Iterator[list[str]]:
        """Overrides in which each option occurs, and with it each value and each end of an interval."""
        for options in itertools.islice(self.combinations(), MOST_CHECKED):
            for i in range(max((len(d.corners()) for d in self.alive(options)), default=1)):
                yield self.corner(options, i)

    def corner(self, options: Sequence[str], i: int) -> list[str]:
        alive = self.alive(options)
        return [*options, *(f"{d.name}={quoted(d.corners()[i % len(d.corners())])}" for d in alive)]


def make(config: DictConfig, choice: Mapping[str, str], composed: Composer) -> Space:
    """The space of a configuration. Raises ValueError for one that cannot be read."""
    dimensions, lines = read(OmegaConf.to_container(config.study.space))
    if lines:
        raise ValueError("\n".join(lines))
    return Space(
        dimensions, fixed(config, choice, [d.name for d in dimensions], composed), composed
    )


def read(space: Mapping[str, Any]) -> tuple[list[Dimension], list[str]]:
    """The dimensions, and a line for each setting whose space cannot be read."""
    dimensions, lines = [], []
    for name, text in flat(space).items():
        try:
            dimensions.append(dimension(name, text))
        except ValueError as error:
            lines.append(f"study.space.{name}={shown(text)}: {error}")
    return dimensions, lines


def dimension(name: str, text: Any) -> Dimension:
    """Raises ValueError, without the name, for what is no space."""
    if name == "seed":
        raise ValueError("is not searched; study.seeds are those of each trial")
    if not settings_module.matters(name):
        raise ValueError("is not searched, for it changes no score")
    try:
        sweep = (
            text
            if isinstance(text, list)
            else OverridesParser.create().parse_override(f"{name}={text}").value()
        )
    except HydraException:
        raise ValueError(f"cannot be read; expected {GRAMMAR}") from None
    if not isinstance(sweep, list | ChoiceSweep | RangeSweep | IntervalSweep):
        raise ValueError(f"one value, and nothing to search; expected {GRAMMAR}")
    tags = set() if isinstance(sweep, list) else sweep.tags
    if unknown := tags - TAGS:
        raise ValueError(
            f"no such tag: {', '.join(sorted(unknown))}; there are {', '.join(sorted(TAGS))}"
        )
    if isinstance(sweep, IntervalSweep):
        return interval(name, str(text), sweep)
    if tags:
        raise ValueError(f"{' and '.join(sorted(tags))} can be said of an interval only")
    if isinstance(sweep, RangeSweep):
        values = list(sweep.range())
    else:
        values = [plain(value) for value in (sweep if isinstance(sweep, list) else sweep.list)]
    values = [value for i, value in enumerate(values) if value not in values[:i]]
    if len(values) < 2:
        raise ValueError(f"{len(values)} value, and nothing to search; expected {GRAMMAR}")
    if name in ROOMS and not all(isinstance(value, str) for value in values):
        raise ValueError(f"expected names of options, as in choice({name}_a,{name}_b)")
    return Dimension(name, str(text), tuple(values))


def interval(name: str, typed: str, sweep: IntervalSweep) -> Dimension:
    low, high = sweep.start, sweep.end
    if name in ROOMS:
        raise ValueError("is a choice between options, as in choice(NAME,NAME)")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError("an empty interval; must be from a lower number to a higher one")
    if "log" in sweep.tags and low <= 0:
        raise ValueError("a log scale begins above 0")
    whole, complement = isinstance(low, int) and isinstance(high, int), "complement" in sweep.tags
    return Dimension(name, typed, (), low, high, "log" in sweep.tags, complement, whole)


def plain(value: Any) -> Any:
    """An element of Hydra's grammar without its quotes."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return {plain(k): plain(v) for k, v in value.items()} if isinstance(value, dict) else value


def quoted(value: Any) -> str:
    """A value as the right side of an override."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{quoted(k)}: {quoted(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(quoted, value)) + "]"
    if not isinstance(value, str):
        return shown(value)
    if re.fullmatch(r"[A-Za-z_][\w./-]*", value) and value.lower() not in (
        "true",
        "false",
        "null",
        "nan",
        "inf",
    ):
        return value
    return "'" + re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), value) + "'"


def is_there(config: DictConfig, name: str) -> bool:
    """Is there such a setting, or, with a dot, such a part of a mapping?"""
    node: Any = OmegaConf.to_container(config)
    for part in name.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return False
        node = node[part]
    return True


def setting(override: str) -> str:
    """The name in it."""
    return override.lstrip("+").partition("=")[0]


def at_the_end(metric: str) -> bool:
    """Is there no such score before the last epoch?"""
    return metric.removeprefix("dev/") in ONCE


def fixed(
    config: DictConfig, choice: Mapping[str, str], searched: Sequence[str], composed: Composer
) -> list[str]:
    """Overrides that give this configuration, without its study and what that searches."""
    options, settings = changes(config, choice, composed)
    return [f"{group}={option}" for group, option in options.items() if group not in searched] + [
        f"{'' if known else '+'}{name}={quoted(value)}"
        for name, value, known in settings
        if name not in searched
    ]


def changes(
    config: DictConfig, choice: Mapping[str, str], composed: Composer
) -> tuple[dict[str, str], list[tuple[str, Any, bool]]]:
    """What makes this configuration of the default one, whether it was typed or comes from a file: options by their
    group, then settings that differ from those of the options: name, value, whether there is such a setting."""
    options: dict[str, str] = {}
    for group in ("loss", *ROOMS):  # the loss may bring others along
        if (
            composed.choice([f"{name}={option}" for name, option in options.items()])[group]
            != choice[group]
        ):
            options[group] = choice[group]
    there = OmegaConf.to_container(
        composed([f"{name}={option}" for name, option in options.items()])
    )
    mine = {
        name: value for name, value in OmegaConf.to_container(config).items() if name not in OUTSIDE
    }
    return options, list(differing(mine, there))


def differing(
    new: Mapping[str, Any], old: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, bool]]:
    """The settings of `new` that are other in `old`: name, value, whether `old` has the name."""
    for key, value in new.items():
        if key not in old:
            yield f"{prefix}{key}", value, False
        elif isinstance(value, Mapping) and isinstance(old[key], Mapping):
            yield from differing(value, old[key], f"{prefix}{key}.")
        elif value != old[key]:
            yield f"{prefix}{key}", value, True


def seeds(config: DictConfig) -> list[int]:
    """Those of each trial."""
    asked = config.study.seeds
    return [config.seed + i for i in range(asked)] if isinstance(asked, int) else list(asked)


def faults(config: DictConfig, choice: Mapping[str, str], composed: Composer) -> list[str]:
    """A line for each thing that is wrong with the study of a configuration, where it has one; nothing is started."""
    study = config.study
    dimensions, lines = read(OmegaConf.to_container(study.space))
    lines += seed_faults(study.seeds) + setting_faults(config, dimensions)
    if lines or not dimensions:
        return lines
    options, settings = changes(config, choice, composed)
    given = options | {name: value for name, value, _ in settings}
    lines += option_faults(dimensions, composed) + twice(given, dimensions)
    if lines:
        return lines
    space = Space(
        dimensions, fixed(config, choice, [d.name for d in dimensions], composed), composed
    )
    try:
        probes = list(space.probes())
    except Exception as error:  # options that do not go together
        return [f"study.space: {reason(error)}"]
    alive = {d.name for found in space.known.values() for d in found}
    for d in space.settings:
        if d.name not in alive:
            typed = f"study.space.{d.name}={d.typed}"
            lines.append(not_read(typed, d.name, choice) or f"{typed}: no such setting")
    for overrides in probes:
        try:
            check.check_overrides(composed, [*space.fixed, *overrides])
        except ValueError as error:
            lines += [line for line in fault_lines(error) if line not in lines]
        except Exception as error:
            line = f"study.space: {' '.join(overrides)}: {reason(error)}"
            lines += [line] if not any(reason(error) in other for other in lines) else []
    return lines


def option_faults(dimensions: Sequence[Dimension], composed: Composed) -> list[str]:
    """A line for each option that there is not."""
    lines = []
    for d in dimensions:
        for option in d.values if d.name in ROOMS else ():
            try:
                composed([f"{d.name}={option}"])
            except Exception:
                lines.append(f"study.space.{d.name}={d.typed}: no such option: {option}")
    return lines


def twice(given: Mapping[str, Any], dimensions: Sequence[Dimension]) -> list[str]:
    """A line for each setting that is given a value and searched too."""
    searched = [d.name for d in dimensions if d.name in given]
    return [
        f"{name}={shown(given[name])}: is searched, by study.space.{name}; leave one out"
        for name in searched
    ]


def seed_faults(asked: Any) -> list[str]:
    if isinstance(asked, int) and not isinstance(asked, bool) and asked >= 1:
        return []
    given = OmegaConf.to_container(asked) if OmegaConf.is_list(asked) else asked
    if (
        isinstance(given, list)
        and given
        and len(set(map(str, given))) == len(given)
        and all(map(is_seed, given))
    ):
        return []
    return [
        f"study.seeds={shown(given)}: expected how many, or a list of different whole numbers, as in [1,2,3]"
    ]


def is_seed(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32


def precision_faults(config: DictConfig, why: str) -> list[str]:
    """The fault of a run, or of a study with such trials, whose precision is left to the machine. why: there are
    several."""
    dimensions, _ = read(OmegaConf.to_container(config.study.space))
    if "auto" not in next(
        (d.values for d in dimensions if d.name == "train.precision"), (config.train.precision,)
    ):
        return []
    return [
        f"train.precision=auto: is chosen by each machine, and {why}; type train.precision=bf16 or fp32"
    ]


def setting_faults(config: DictConfig, dimensions: Sequence[Dimension]) -> list[str]:
    """Settings of the study that are wrong by themselves, or do not fit each other."""
    study, lines = config.study, []
    if not dimensions and not study.space:
        usual = asdict(StudyConfig())
        return [
            f"study.{name}={shown(value)}: nothing is searched; type study=NAME, or study.space.KNOB=interval(LOW,HIGH)"
            for name, value in OmegaConf.to_container(study).items()
            if value != usual[name]
        ]
    if study.name is not None and not re.fullmatch(r"\w[\w.-]{0,99}", study.name):
        lines.append(
            f"study.name={study.name}: expected letters, digits, - and _, up to 100 of them"
        )
    if study.export is not None and not re.search(r"(^|/)experiment/[^/]+\.yaml$", study.export):
        lines.append(
            f"study.export={study.export}: expected DIR/experiment/NAME.yaml, for experiment=NAME"
        )
    if study.sampler == "grid":
        lines += [
            f"study.space.{d.name}={d.typed}: study.sampler=grid needs values; type choice(...) or range(...)"
            for d in dimensions
            if not d.values
        ]
    if study.sampler == "cmaes" and sum(not d.values for d in dimensions) < 2:
        lines.append("study.sampler=cmaes: searches two intervals or more; type study.sampler=tpe")
    if study.sampler == "cmaes" and find_spec("cmaes") is None:
        lines.append(
            "study.sampler=cmaes: needs the package cmaes; type pip install -e '.[studies]' in a checkout"
        )
    if study.pruner == "wilcoxon" and not seed_faults(study.seeds) and len(seeds(config)) < 5:
        lines.append(
            "study.pruner=wilcoxon: prunes from the fourth seed on; type study.seeds=5 or more"
        )
    if at_the_end(study.metric) and study.pruner not in ("wilcoxon", "none"):
        lines.append(
            f"study.metric={study.metric}: is known after the last epoch, and study.pruner={study.pruner} looks at "
            "each; type study.pruner=none, or wilcoxon with study.seeds=5 or more"
        )
    if study.storage and not study.storage.startswith("sqlite:"):
        lines += precision_faults(config, "study.storage is for several")
    if config.rerun:
        lines.append("rerun=true: a study keeps its trials; type another study.name for new ones")
    return lines
