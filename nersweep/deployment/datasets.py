"""The data set that the options data=… and input=FILE of a command name."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from nersweep.command.explain import compose_or_explain
from nersweep.config import schema
from nersweep.config.build import build, locate
from nersweep.config.compose import COMPOSITION, Composer
from nersweep.config.flat import flat, plain
from nersweep.config.overrides import fault
from nersweep.data.corpus import SPLITS, DataSet, Sentence
from nersweep.data.splits import SplitFiles
from nersweep.faults import Fault, UserError, reason


def data_set(overrides: Sequence[str], file: str | None = None) -> DataSet:
    """Return the data set that overrides describe: data=conll, data.train=FILE.

    file: takes the place of all splits, in a data set of files. Raises UserError for overrides that
    do not compose, and for what the data set refuses.
    """
    schema.register()
    composer = Composer()
    with composer:
        composed = compose(overrides, composer)
        raw = plain(composed)["data"]
        if file is not None:
            if not issubclass(locate("data", raw.get("_target_")), SplitFiles):
                option = next((o for o in reversed(overrides) if o.startswith("data=")), "data")
                remedy = "leave out input=, or set data=conll"
                raise UserError(fault(option, "reads no single file", remedy))
            if raw.get("corrections") is not None:
                must, remedy = "are those of a whole data set", "leave them out beside input="
                raise UserError(Fault("data.corrections", raw["corrections"], must, remedy))
            raw |= dict.fromkeys(SPLITS, file)
        faults: list[Fault] = []
        for name, value in flat(raw).items():
            if value == "???":
                remedy = "for a file without splits set input=FILE"
                faults.append(Fault(f"data.{name}", must="must be given", remedy=remedy))
        if faults:
            raise UserError(*faults)
        composed.data = raw
        try:
            resolved = plain(composed, resolve=True)["data"]
        except OmegaConfBaseException as error:
            raise UserError(Fault("data", must=reason(error))) from None
    data: DataSet = build("data", raw, resolved)
    return data


def compose(overrides: Sequence[str], composer: Composer) -> DictConfig:
    """Compose overrides. Raises UserError with a fault for each that does not compose."""
    faults: list[Fault] = []
    for override in overrides:
        try:
            composer.parsed(override)
        except COMPOSITION:
            remedy = "write name=value, with quotes around special characters"
            faults.append(fault(override, "cannot be read", remedy))
    if faults:
        raise UserError(*faults)
    composed = compose_or_explain(overrides, composer)
    if composed.faults:
        raise UserError(*composed.faults)
    return composed.config


def read_tagged(overrides: Sequence[str], file: str) -> tuple[Sequence[Sentence], list[str]]:
    """Return the sentences of a file with IOB2 tags, and notes for the user.

    overrides: of its reader. Raises UserError for a data set that is not one of files.
    """
    reader = data_set(overrides, file)
    assert isinstance(reader, SplitFiles), "checked"
    normal, notes = reader.normalise({"test": reader.read(Path(file))})
    return normal["test"], [*reader.notes, *notes]


def read_file(overrides: Sequence[str], file: str) -> tuple[list[Sentence], list[str]]:
    """Return the sentences of a file, with the tags as written, and notes for the user.

    overrides: of its reader. Raises UserError for a data set that is not one of files.
    """
    reader = data_set(overrides, file)
    assert isinstance(reader, SplitFiles), "checked"
    return reader.read(Path(file)), reader.notes
