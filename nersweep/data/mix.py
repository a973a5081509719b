"""Several data sets as one: mapped to common types, mixed for training, scored on any of them."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from nersweep.data.author import evenly
from nersweep.data.corpus import (
    SPLITS,
    Corpus,
    DataSet,
    Sentence,
    document_numbers,
    has_documents,
    tag_counts,
)
from nersweep.data.spans import reduced
from nersweep.faults import Fault, UserError, blame
from nersweep.labels import spans, tags_from_spans

Types = dict[str, str]  # old type: new type, or O


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Several data sets as one.

    sets: data sets by name. map: {OLD: NEW} renames a type in all sets, {NAME: {OLD: NEW}} in one,
    which comes first; O drops it. train, dev, test: the sets whose split of that name is used, by
    default all, those of train, those of train.
    temperature, from 1 to inf: a set with n sentences, of at most N, counts N·(n/N)^(1/temperature)
    in training, by repetition: 1 concatenates the sets, inf gives all the same size. No sentence is
    left out, and dev and test have each once.

    Where a set is tested that is not trained on, only types that both sides have count; the others
    become O in all splits, and notes say so.

    Raises UserError for names and types that do not exist, and for sets that nothing uses.
    """

    sets: Mapping[str, Any]
    map: Mapping[str, Any] | None = None
    train: Sequence[str] | None = None
    dev: Sequence[str] | None = None
    test: Sequence[str] | None = None
    temperature: float = 1.0

    def __post_init__(self) -> None:
        faults = [*self.name_faults(), *self.map_faults()]
        if not self.temperature >= 1:
            must = "must be from 1 (concatenated) to inf (each set equally often)"
            faults.append(Fault("temperature", self.temperature, must))
        for name, data in self.sets.items():
            for setting in ("folds", "resample"):
                if value := getattr(data, setting, None):
                    must = "cannot be used in a mix of sets"
                    faults.append(Fault(f"sets.{name}.{setting}", value, must, "leave it out"))
        if faults:
            raise UserError(*faults)

    def name_faults(self) -> list[Fault]:
        """Return the faults of train, dev and test."""
        faults = []
        for split in SPLITS:
            given = getattr(self, split)
            if given is None:
                continue
            unknown = sorted(set(given) - self.sets.keys())
            if unknown or not given or len(set(given)) < len(given):
                must = f"must name sets, each once: there are {', '.join(self.sets)}"
                faults.append(Fault(split, list(given), must))
        used = {name for names in self.roles().values() for name in names}
        unused = sorted(self.sets.keys() - used)
        if unused and not faults:
            must = f"nothing uses {', '.join(unused)}"
            remedy = "name each set in data.train, data.dev or data.test, or leave it out"
            faults.append(Fault("sets", list(self.sets), must, remedy))
        return faults

    def map_faults(self) -> list[Fault]:
        """Return the faults of the map that can be seen without the data."""
        faults = []
        for name, entry in (self.map or {}).items():
            if isinstance(entry, Mapping) and name not in self.sets:
                must = f"no such set; there are {', '.join(self.sets)}"
                faults.append(Fault(f"map.{name}", entry, must))
            for new in entry.values() if isinstance(entry, Mapping) else [entry]:
                if not isinstance(new, str) or new.split() != [new]:
                    must = "expected a type, or O, as in {person: PER}"
                    faults.append(Fault(f"map.{name}", entry, must))
                    break
        return faults

    def roles(self) -> dict[str, list[str]]:
        """Return the sets of each split."""
        train = list(self.train or self.sets)
        return {"train": train, "dev": list(self.dev or train), "test": list(self.test or train)}

    def load(self) -> Corpus:
        corpora = {name: load(name, data) for name, data in self.sets.items()}
        maps = self.maps(corpora)
        types: dict[str, set[str]] = {}  # of each set, as mapped
        for name, corpus in corpora.items():
            types[name] = {maps[name].get(type_, type_) for type_ in corpus.labels.types} - {"O"}
        roles, notes = self.roles(), []
        for name, corpus in corpora.items():
            notes += [f"{name}: {note}" for note in corpus.notes]
        kept = set().union(*types.values())
        if set(roles["test"]) - set(roles["train"]):
            kept = self.shared(types)
        columns = set.intersection(*(column_names(corpus) for corpus in corpora.values()))
        splits: dict[str, list[Sentence]] = {}
        for split, names in roles.items():
            sizes = {name: len(corpora[name].splits()[split]) for name in names}
            dropped: Counter[str] = Counter()
            splits[split] = []
            has_marks = any(has_documents(corpora[name].splits()[split]) for name in names)
            for name in names:
                sentences = corpora[name].splits()[split]
                mapped = retag(sentences, maps[name])
                part = retag(mapped, dict.fromkeys(types[name] - kept, "O"))
                dropped += tag_counts(mapped) - tag_counts(part)
                part = with_columns(part, columns)
                if has_marks:
                    part = marked(part, name)
                if split == "train":
                    part = repeated(part, max(sizes.values()), self.temperature)
                    sizes[name] = len(part)
                splits[split] += part
            notes.append(f"{split}: " + ", ".join(f"{n:,} of {name}" for name, n in sizes.items()))
            notes += dropped_notes(split, dropped)
        notes += partial_notes(roles["train"], types, kept)
        source = "; ".join(f"{name}: {corpus.source}" for name, corpus in corpora.items())
        train, dev, test = (splits[split] for split in SPLITS)
        return Corpus("mix", source, train, dev, test, tuple(notes))

    def maps(self, corpora: Mapping[str, Corpus]) -> dict[str, Types]:
        """Return the map of each set. Raises UserError for a type that is in none."""
        own: dict[str, Types] = {name: {} for name in corpora}
        common: Types = {}
        faults = []
        for name, entry in (self.map or {}).items():
            named = {name: entry}
            types = {type_ for corpus in corpora.values() for type_ in corpus.labels.types}
            place = "data.map"
            if isinstance(entry, Mapping):
                named, types = dict(entry), set(corpora[name].labels.types)
                place = f"data.map.{name}"
                own[name] = dict(entry)
            else:
                common[name] = entry
            for type_ in named:
                if type_ not in types:
                    must = f"no such type; there are {', '.join(sorted(types))}"
                    faults.append(Fault(f"{place}.{type_}", named[type_], must))
        if faults:
            raise UserError(*faults)
        return {name: common | mapped for name, mapped in own.items()}

    def shared(self, types: Mapping[str, set[str]]) -> set[str]:
        """Return the types that both train and test have. Raises UserError without one."""
        roles = self.roles()
        trained = set().union(*(types[name] for name in roles["train"]))
        tested = set().union(*(types[name] for name in roles["test"]))
        if not trained & tested:
            must = (
                f"train has {', '.join(sorted(trained))}, and test {', '.join(sorted(tested))}: "
                "no type in common"
            )
            raise UserError(Fault("data.test", roles["test"], must, "set data.map={OLD: NEW}"))
        return trained & tested


def load(name: str, data: DataSet) -> Corpus:
    """Read a set. Raises UserError under the names of its settings in the mix."""
    section = f"data.sets.{name}"
    try:
        with blame(section, type(data)):
            return data.load()
    except UserError as error:
        faults = []
        for fault in error.faults:
            setting = fault.setting
            if setting.startswith("data."):
                setting = section + setting.removeprefix("data")
            faults.append(replace(fault, setting=setting))
        raise UserError(*faults) from error


def column_names(corpus: Corpus) -> set[str]:
    """Return the further columns that all sentences have."""
    own = {frozenset(each.columns) for split in corpus.splits().values() for each in split}
    return set(frozenset.intersection(*own)) if own else set()


def retag(sentences: Sequence[Sentence], types: Types) -> list[Sentence]:
    """Return the sentences with their types renamed; O drops one.

    Tags then hold those that overlapped a dropped one, too, if they can.
    """
    tags: dict[str, str] = {}
    for old, new in types.items():
        for prefix in ("B-", "I-"):
            tags[prefix + old] = prefix + new if new != "O" else "O"
    renamed: list[Sentence] = []
    for sentence in sentences:
        own = tuple(tags.get(tag, tag) for tag in sentence.tags)
        entities = sentence.entities
        if entities is not None:
            mapped = ((start, end, types.get(type_, type_)) for start, end, type_ in entities)
            entities = tuple(span for span in mapped if span[2] != "O")
            kept = reduced([*spans(own), *entities], "first")  # those that tags hold, and more
            own = tuple(tags_from_spans(kept, len(own)))
            if not any(second[0] < first[1] for first, second in pairwise(entities)):
                entities = None
        renamed.append(replace(sentence, tags=own, entities=entities))
    return renamed


def with_columns(sentences: Sequence[Sentence], names: set[str]) -> list[Sentence]:
    """Return the sentences with these further columns alone."""
    kept: list[Sentence] = []
    for sentence in sentences:
        columns = {name: values for name, values in sentence.columns.items() if name in names}
        kept.append(replace(sentence, columns=columns))
    return kept


def marked(sentences: Sequence[Sentence], name: str) -> list[Sentence]:
    """Return the sentences of a set with ids of documents that no other set has.

    Where the set marks none, each sentence is one, as it would be in the set itself.
    """
    numbers = document_numbers(sentences).tolist()
    own: list[Sentence] = []
    for sentence, number in zip(sentences, numbers, strict=True):
        own.append(replace(sentence, document=f"{name}:{number}"))
    return own


def repeated(sentences: Sequence[Sentence], largest: int, temperature: float) -> list[Sentence]:
    """Return the sentences as often as their set counts: see `Mix`. largest: N, of all sets.

    The last repetition is of sentences spaced evenly.
    """
    if not sentences:
        return []
    size = round(largest * math.pow(len(sentences) / largest, 1 / temperature))
    whole, rest = divmod(size, len(sentences))
    part = list(sentences) * whole
    chosen = evenly(rest / len(sentences), len(sentences))
    part += [each for each, is_chosen in zip(sentences, chosen, strict=True) if is_chosen]
    return part


def dropped_notes(split: str, dropped: Mapping[str, int]) -> list[str]:
    """Say which types of a split became O, as train or test lacks them."""
    counts: list[str] = []
    for tag, number in sorted(dropped.items()):
        if tag.startswith("B-"):
            counts.append(f"{tag[2:]} ({number:,} entities)")
    if not counts:
        return []
    return [f"{split}: not scored, as not both train and test have them: {', '.join(counts)}"]


def partial_notes(names: Sequence[str], types: Mapping[str, set[str]], kept: set[str]) -> list[str]:
    """Name the types that only some of the sets to train on have: they are O in the others."""
    notes = []
    for name in names:
        absent = kept & set().union(*(types[other] for other in names)) - types[name]
        if absent:
            notes.append(f"{name} has no {', '.join(sorted(absent))}, which other sets have")
    return notes
