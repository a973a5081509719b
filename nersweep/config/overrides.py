"""The text of one Hydra override: name=value, +name=value, ++name=value or ~name."""

import re
from collections.abc import Mapping, Sequence

from hydra.core.override_parser.types import Override

from nersweep.faults import UNSET, Fault, shown

Overrides = tuple[str, ...]  # of one run

RESERVED = {"true", "false", "null", "nan", "inf"}  # words that Hydra does not read as text

# Text in quotes, or an element of a list without quotes and brackets that has an equals sign.
ENTRY = re.compile(
    r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
    r"""|(?<=[\[,])\s*([^\s"'\[\]{},][^"'\[\]{},]*=[^"'\[\]{},]*?)\s*(?=[,\]])"""
)


def text_of(override: Override) -> str:
    """Return an override as it was given."""
    assert override.input_line is not None, "parsed from text"
    return override.input_line


def setting_of(override: str) -> str:
    """Return the name of the setting or group."""
    return override.lstrip("+~").partition("=")[0]


def value_of(override: str) -> str:
    """Return the text after the equals sign."""
    return override.partition("=")[2]


def is_hydra(override: str) -> bool:
    """Return whether an override belongs to Hydra's own section."""
    return re.match(r"hydra([./=@]|$)", override.lstrip("+~")) is not None


def fault(override: str, must: str, remedy: str = "") -> Fault:
    """Return the fault of an override."""
    setting, equals, value = override.partition("=")
    return Fault(setting, value if equals else UNSET, must, remedy)


def without_seed(overrides: Sequence[str]) -> tuple[str, ...]:
    """Return the overrides without `seed=`: what runs share that differ in their seed alone."""
    return tuple(o for o in overrides if not re.fullmatch(r"seed=(0|[1-9]\d{0,8})", o))


def for_hydra(argument: str) -> str:
    """Return an argument as Hydra accepts it.

    Hydra would read study.space.focal_gamma=interval(0,5) as a sweep of its own, of a setting that
    does not exist: it becomes ++study.space.focal_gamma='interval(0,5)'. It would miss the quotes
    in sweep.settings=['loss=focal'], refuse line breaks there, and the signs in
    metric=recall@precision=.9.
    """
    if re.match(r"\+{0,2}(study\.)?metric=", argument):
        return re.sub(r"(?<![\"'])recall@precision=[\d.]+", r"'\g<0>'", argument)
    if re.match(r"\+{0,2}sweep\.settings=", argument):
        return ENTRY.sub(lambda match: match[1] or f"'{match[2]}'", " ".join(argument.split("\n")))
    space = re.fullmatch(r"\+{0,2}((?:study|tune)\.space\.[^=]+)=(.*)", argument, re.S)
    if space is None:
        return argument
    if re.match(r"""['"]|\[[^(]*$""", space[2]) or argument.endswith("=null"):
        return f"++{argument.lstrip('+')}"
    return f"++{space[1]}='" + space[2].replace("'", "\\'") + "'"


def for_people(override: str) -> str:
    """Return an override as the user may have given it: the inverse of `for_hydra`."""
    bare = override.removeprefix("++")
    name, _, value = bare.partition("=")
    if len(value) > 1 and value[0] == value[-1] == "'":
        bare = f"{name}=" + value[1:-1].replace("\\'", "'")
    for candidate in (bare, override.removeprefix("++")):
        if for_hydra(candidate) == override:
            return candidate
    return override


def assignment(name: str, value: object) -> str:
    """Return the override that sets a value."""
    return f"{name}={literal(value)}"


def assignments(values: Mapping[str, object]) -> list[str]:
    """Return the overrides that set values by name."""
    return [assignment(name, value) for name, value in values.items()]


def literal(value: object) -> str:
    """Return a value as Hydra's grammar reads it back: text in quotes where it needs them."""
    if isinstance(value, Mapping):
        items = [f"{literal_key(key)}: {literal(item)}" for key, item in value.items()]
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(literal, value)) + "]"
    if not isinstance(value, str):
        return shown(value)
    if re.fullmatch(r"(?a)[A-Za-z_][\w./-]*", value) and value.lower() not in RESERVED:
        return value
    # A backslash counts as one only before a quote, or at the end, where ours follows.
    escaped = re.sub(r"(\\*)('|\Z)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), value)
    return f"'{escaped}'"


def literal_key(key: object) -> str:
    """Return a key as Hydra's grammar reads it back, which takes no quotes around one."""
    return re.sub(r"([\\()\[\]{}:=, \t])", r"\\\1", key) if isinstance(key, str) else shown(key)
