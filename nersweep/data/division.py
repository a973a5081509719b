"""Divide sentences into training, development and test, by document where documents are marked.

Random numbers come from `Random.random` alone, the one method that Python promises to keep: the
same settings give the same splits on every machine.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, NamedTuple

from nersweep.data.corpus import (
    SPLITS,
    Sentence,
    Splits,
    checksum_of,
    document_numbers,
    has_documents,
)
from nersweep.faults import Fault, UserError
from nersweep.machine.files import fingerprint

SHARE = 0.1  # of dev, and of test, where neither a file nor a share is given


class Divided(NamedTuple):
    """Train, dev and test, with notes for the user. pool and fold: as in `Corpus`."""

    splits: Splits
    notes: Sequence[str] = ()
    pool: str = ""
    fold: int = 0


class Unit(NamedTuple):
    """What no split divides: a document, or a sentence where documents are not marked."""

    sentences: list[Sentence]
    types: set[str]  # of its entities


@dataclass(frozen=True, kw_only=True)
class Division:
    """How the sentences of a data set are divided into splits.

    dev_share, test_share, in (0, 1): shares of data.train that become the development and the test
        split where the data have none; null is .1.
    folds, ≥ 2, and fold, from 0: the test split is this fold of data.train, for cross-validation.
    share, in (0, 1]: the share of the training split to train on. Smaller shares lie within larger
        ones.
    resample: the run's seed draws all splits of the data, of the sizes that they have.
    split_seed, ≥ 0: draws the splits and the share; with `resample` it is the run's seed.
    absent: what to do if a type has no entity in a split that is drawn: fail, or keep the split.

    Splits are stratified by type: see `stratify`. Raises UserError for values out of range, and for
    shares of splits that the data have.
    """

    dev_share: float | None = None
    test_share: float | None = None
    folds: int | None = None
    fold: int | None = None
    share: float = 1.0
    resample: bool = False
    split_seed: int = 1
    absent: Literal["fail", "keep"] = "fail"

    def __post_init__(self) -> None:
        faults = self.range_faults() or self.clashes()
        if faults:
            raise UserError(*faults)

    def given(self) -> set[str]:
        """Return the splits that the data have."""
        return set(SPLITS)

    def range_faults(self) -> list[Fault]:
        """Return the faults of single values."""
        ranges = [
            ("dev_share", self.dev_share is None or 0 < self.dev_share < 1, "> 0 and < 1"),
            ("test_share", self.test_share is None or 0 < self.test_share < 1, "> 0 and < 1"),
            ("share", 0 < self.share <= 1, "> 0 and ≤ 1"),
            ("folds", self.folds is None or self.folds >= 2, "≥ 2"),
            ("split_seed", self.split_seed >= 0, "≥ 0"),
        ]
        faults = []
        for name, holds, allowed in ranges:
            if not holds:
                faults.append(Fault(name, getattr(self, name), f"must be {allowed}"))
        return faults

    def clashes(self) -> list[Fault]:
        """Return the faults of values that do not fit each other, or the splits of the data."""
        faults = []
        for split in ("dev", "test"):
            share = getattr(self, f"{split}_share")
            if share is not None and split in self.given():
                must = f"the data have a {split} split already"
                faults.append(Fault(f"{split}_share", share, must, "leave it out"))
        if self.folds is None:
            if self.fold is not None:
                must = "there are no folds"
                faults.append(Fault("fold", self.fold, must, "set data.folds=5"))
        elif "test" in self.given() or self.test_share is not None:
            # By the name of which `build` leaves no second fault when it tries without it.
            name = "folds" if self.fold is None else "fold"
            must = "the test split is a fold of data.train, so it cannot be given too"
            remedy = "leave data.test and data.test_share out"
            faults.append(Fault(name, getattr(self, name), must, remedy))
        elif self.fold is None:
            remedy = f"set data.fold=0, or sweep them: -m 'data.fold=range({self.folds})'"
            faults.append(Fault("fold", None, "must be given with data.folds", remedy))
        elif not 0 <= self.fold < self.folds:
            must = f"must be from 0 to {self.folds - 1}: data.folds={self.folds}"
            faults.append(Fault("fold", self.fold, must))
        shares = self.new_shares()
        if not faults and sum(shares.values()) >= 1:
            text = " and ".join(f"{share:g} for {split}" for split, share in shares.items())
            must = f"leaves nothing to train on: {text}"
            name = "dev_share" if self.dev_share is not None else "test_share"
            faults.append(Fault(name, getattr(self, name), must))
        return faults

    def new_shares(self) -> dict[str, float]:
        """Return the shares of dev and test that are to be drawn from data.train."""
        shares: dict[str, float] = {}
        if "dev" not in self.given():
            shares["dev"] = SHARE if self.dev_share is None else self.dev_share
        if self.folds is not None:
            shares["test"] = 1 / self.folds
        elif "test" not in self.given():
            shares["test"] = SHARE if self.test_share is None else self.test_share
        return shares

    def divide(self, splits: Splits) -> Divided:
        """Return train, dev and test of the splits that are given, which have IOB2 tags.

        Raises UserError if the data are too few.
        """
        divided, notes, pool = dict(splits), [], ""
        shares = self.new_shares()
        if self.resample:
            whole = sum(map(len, splits.values()))
            for split in ("dev", "test"):
                if split in splits:
                    shares[split] = len(splits[split]) / whole
            pooled = splits
        else:
            pooled = {"train": splits["train"]}
        if shares:
            units = units_of(pooled)
            parts = self.draw(units, shares)
            self.refuse_empty(units, parts)
            for split, part in parts.items():
                divided[split] = [sentence for unit in part for sentence in unit.sentences]
            notes += self.notes_on(units, parts, pooled)
        if self.resample or self.folds:
            settings = [self.folds, self.dev_share, self.test_share, self.share, self.resample]
            seed = None if self.resample else self.split_seed
            pool = fingerprint([checksum_of(splits), *settings, seed])
        if self.share < 1:
            whole = len(divided["train"])
            divided["train"] = self.subset(divided["train"])
            notes.append(
                f"train is {len(divided['train']):,} of {whole:,} sentences, data.share="
                f"{self.share:g} drawn with {self.seed_name}"
            )
        return Divided(divided, notes, pool, self.fold or 0)

    def draw(self, units: Sequence[Unit], shares: Mapping[str, float]) -> dict[str, list[Unit]]:
        """Return the units of each split that is drawn, in their order.

        Raises UserError if there are fewer units than splits, or than folds.
        """
        least = max(len(shares) + 1, self.folds or 0)
        if len(units) < least:
            kind, remedy = kind_of(units), ""
            if kind == "documents":
                remedy = "remove their marks to divide the data by sentence"
            must = f"{len(units)} {kind} cannot be divided so; expected ≥ {least}"
            raise UserError(Fault(*self.origin(next(iter(shares))), must, remedy))
        parts: dict[str, list[Unit]] = {}
        rest = list(units)
        wanted = dict(shares)
        if self.folds:
            assert self.fold is not None
            places = stratify(rest, [1 / self.folds] * self.folds, self.split_seed)
            parts["test"] = of_place(rest, places, self.fold)
            rest = [unit for unit, place in zip(rest, places, strict=True) if place != self.fold]
            remaining = 1 - wanted.pop("test")
            wanted = {split: share / remaining for split, share in wanted.items()}
        order = [1 - sum(wanted.values()), *wanted.values()]
        places = stratify(rest, order, self.split_seed)
        for place, split in enumerate(("train", *wanted)):
            parts[split] = of_place(rest, places, place)
        return parts

    def refuse_empty(self, units: Sequence[Unit], parts: Mapping[str, Sequence[Unit]]) -> None:
        """Raise UserError for a split that would hold no entity of a type.

        With folds, all of which are scored, only for a split without any entity.
        """
        types = count_types(units)
        faults = []
        kind = kind_of(units)
        for split, part in parts.items() if types else ():
            present = count_types(part)
            absent = sorted(types.keys() - present.keys())
            is_bad = self.absent == "fail" and not self.folds
            if not present or (absent and is_bad):
                counts = ", ".join(f"{type_} ({types[type_]})" for type_ in absent)
                must = f"{split} would hold no entity of {counts}: in brackets, {kind} with one"
                remedy = "set data.absent=keep to go on all the same" if present else ""
                faults.append(Fault(*self.origin(split), must, remedy))
        if faults:
            raise UserError(*faults)

    def origin(self, split: str) -> tuple[str, object]:
        """Return the setting that draws a split, and its value."""
        if self.resample:
            return "data.resample", True
        if self.folds:
            return "data.folds", self.folds
        if split == "train":
            split = next(iter(self.new_shares()))
        return f"data.{split}_share", self.new_shares()[split]

    @property
    def seed_name(self) -> str:
        return "the run's seed" if self.resample else f"data.split_seed={self.split_seed}"

    def notes_on(
        self, units: Sequence[Unit], parts: Mapping[str, Sequence[Unit]], pooled: Splits
    ) -> list[str]:
        """Say what was drawn from what, and which types a split lacks."""
        whole = sum(map(len, pooled.values()))
        source = " and ".join(f"data.{split}" for split in pooled)
        by_document = kind_of(units) == "documents"
        notes = []
        for split, part in parts.items():
            if split == "train":
                continue
            size = sum(len(unit.sentences) for unit in part)
            text = f"{split} is {size:,} of the {whole:,} sentences of {source}"
            text += f", drawn with {self.seed_name}"
            if by_document:
                text += f": {len(part):,} of {len(units):,} documents"
            if split == "test" and self.folds:
                text += f"; fold {self.fold} of {self.folds}, from 0"
            notes.append(text)
        types = count_types(units).keys()
        for split, part in parts.items():
            absent = types - count_types(part).keys()
            if absent:
                notes.append(f"{split} has no entity of {', '.join(sorted(absent))}")
        return notes

    def subset(self, sentences: Sequence[Sentence]) -> list[Sentence]:
        """Return the share of sentences to train on, by document where documents are marked.

        The units come in one random order; the share is their beginning, until it has
        share·sentences. So smaller shares lie within larger ones.
        """
        units = units_of({"train": sentences})
        wanted = self.share * len(sentences)
        size = 0
        chosen: set[int] = set()
        for number in shuffled(len(units), self.split_seed):
            if size >= wanted:
                break
            chosen.add(number)
            size += len(units[number].sentences)
        return [sentence for number in sorted(chosen) for sentence in units[number].sentences]


def units_of(splits: Splits) -> list[Unit]:
    """Return the documents of splits, or their sentences where documents are not marked.

    One mark in a split is a header, as in Label Studio's export, and divides nothing. Documents of
    several splits may share an id, and sentences before a first mark have none: then all get new
    ids.
    """
    units: dict[tuple[str, int], Unit] = {}
    is_marked = any(map(has_several_documents, splits.values()))
    for split, sentences in splits.items():
        if not is_marked and has_documents(sentences):
            sentences = [replace(sentence, document=None) for sentence in sentences]
        is_clear = len(splits) == 1 and all(each.document is not None for each in sentences)
        for sentence, number in zip(sentences, document_numbers(sentences).tolist(), strict=True):
            if is_marked and not is_clear:
                sentence = replace(sentence, document=f"{split}:{number}")
            unit = units.setdefault((split, number), Unit([], set()))
            unit.sentences.append(sentence)
            unit.types.update([tag[2:] for tag in set(sentence.tags) if tag != "O"])
    return list(units.values())


def has_several_documents(sentences: Sequence[Sentence]) -> bool:
    """Return whether the data mark two documents or more in a split."""
    return has_documents(sentences) and int(document_numbers(sentences).max()) > 0


def count_types(units: Sequence[Unit]) -> Counter[str]:
    """Count the units of each type."""
    counts: Counter[str] = Counter()
    for unit in units:
        for type_ in unit.types:
            counts[type_] += 1
    return counts


def kind_of(units: Sequence[Unit]) -> str:
    """Return what units are."""
    is_marked = units[0].sentences[0].document is not None
    return "documents" if is_marked else "sentences"


def shuffled(count: int, seed: int) -> list[int]:
    """Return the numbers from 0 to count − 1 in random order."""
    random = Random(seed)
    return sorted(range(count), key=lambda _: random.random())


def of_place(units: Sequence[Unit], places: Sequence[int], place: int) -> list[Unit]:
    return [unit for unit, own in zip(units, places, strict=True) if own == place]


def stratify(units: Sequence[Unit], shares: Sequence[float], seed: int) -> list[int]:
    """Return the part of each unit, so that parts have their shares of each type and of sentences.

    shares: of the parts, > 0, of sum 1. Iterative stratification (Sechidis et al. 2011, algorithm
    1): the type with the fewest units left is dealt out first, each of its units to the part that
    still wants most of the type, then most sentences. The units without entities follow. Unlike
    there, each part but the first wants at least one unit of each type, so that rare types occur in
    all parts; the first wants the rest, and at least one too.
    """
    total = count_types(units)
    sentences = sum(len(unit.sentences) for unit in units)
    wanted = {type_: quotas(count, shares) for type_, count in total.items()}
    room = quotas(sentences, shares)
    order = shuffled(len(units), seed)
    by_type: dict[str, list[int]] = {type_: [] for type_ in total}
    for number in order:
        for type_ in units[number].types:
            by_type[type_].append(number)
    places = [-1] * len(units)
    left = dict(total)

    def deal(number: int, wishes: Sequence[float]) -> None:
        part = max(range(len(shares)), key=lambda part: (wishes[part], room[part], -part))
        places[number] = part
        room[part] -= len(units[number].sentences)
        for type_ in units[number].types:
            wanted[type_][part] -= 1
            left[type_] -= 1

    while by_type:
        rarest = min(by_type, key=lambda type_: (left[type_], type_))
        for number in by_type.pop(rarest):
            if places[number] < 0:
                deal(number, wanted[rarest])
    for number in order:
        if places[number] < 0:
            deal(number, room)
    return places


def quotas(count: float, shares: Sequence[float]) -> list[float]:
    """Return what each part wants of a count: its share, and at least 1; the first has the rest."""
    others = [max(1.0, share * count) for share in shares[1:]]
    return [max(1.0, count - sum(others)), *others]
