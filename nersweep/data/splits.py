"""Data sets in files: read what is given and divide it into training, development and test."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

from nersweep.data.corpus import SPLITS, Corpus, Sentence, Splits
from nersweep.data.division import Division
from nersweep.data.normalise import assemble, normalised
from nersweep.faults import Fault, UserError


@dataclass(frozen=True, kw_only=True)
class SplitFiles(Division, ABC):
    """The files of a data set, one for each split: the base class of every format.

    A format is a subclass with the option's name as `format` and its own `read`. Its fields are its
    arguments. A `__post_init__` of its own calls this one's. Raises UserError for missing files.
    """

    format: ClassVar[str]

    train: str
    dev: str | None = None
    test: str | None = None
    notes: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        faults = []
        for split, file in self.files().items():
            if not Path(file).exists():
                faults.append(Fault(split, file, "no such file"))
        if faults:
            raise UserError(*faults)
        super().__post_init__()

    def given(self) -> set[str]:
        return set(self.files())

    def files(self) -> dict[str, str]:
        """Return the file of each split that has one."""
        files = {"train": self.train, "dev": self.dev, "test": self.test}
        return {split: file for split, file in files.items() if file is not None}

    @abstractmethod
    def read(self, path: Path) -> list[Sentence]:
        """Return the sentences of a file with the tags as written. Raises UserError.

        Lines that the user should read are added to `notes`.
        """

    def load(self) -> Corpus:
        files = self.files()
        self.notes.clear()
        splits: dict[str, list[Sentence]] = {}
        for split in SPLITS:
            if split in files:
                splits[split] = self.read(Path(files[split]))
        corpus = self.assemble(", ".join(files.values()), splits)
        return replace(corpus, notes=(*dict.fromkeys(self.notes), *corpus.notes))

    def assemble(self, source: str, splits: Splits) -> Corpus:
        """Return the corpus of the splits that are given. Raises UserError."""
        return assemble(self.format, source, splits, self.divide, self.normalise)

    def normalise(self, splits: Splits) -> tuple[Splits, list[str]]:
        """Return splits that were read with IOB2 tags, and notes for the user. Raises UserError."""
        return normalised(splits)


@dataclass(frozen=True, kw_only=True)
class Tagged(Division):
    """A data set with a tag for each word.

    scheme, outside: of the tags, and their sign for O; None: what all splits show, see `scheme_of`.
    """

    format: ClassVar[str]

    scheme: Literal["IO", "IOB1", "IOB2", "BIOES", "BILOU", "BMES", "BMEWO", "bare"] | None = None
    outside: str | int | None = None

    def assemble(self, source: str, splits: Splits) -> Corpus:
        return assemble(self.format, source, splits, self.divide, self.normalise)

    def normalise(self, splits: Splits) -> tuple[Splits, list[str]]:
        outside = None if self.outside is None else str(self.outside)
        return normalised(splits, self.scheme, outside)


@dataclass(frozen=True, kw_only=True)
class TaggedFiles(Tagged, SplitFiles):
    """Files with a tag for each word: the base class of such formats."""
