"""Corrections of labels: a file of accepted suspects, applied when the data are read."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter

from nersweep.data.corpus import Corpus, DataSet, Sentence
from nersweep.data.files import read_utf8
from nersweep.faults import Fault, UserError, blame, one_line
from nersweep.labels import Span, spans, tags_from_spans
from nersweep.machine.files import fingerprint
from nersweep.machine.typed import validate

LINE = '{"words": ["Ada", "sang"], "gold": [[0, 1, "LOC"]], "proposed": [[0, 1, "PER"]]}'


@dataclass(frozen=True)
class Correction:
    """In sentences of these words, the proposed entities stand in the place of the gold ones.

    gold: all entities that overlap one of these or of the proposed ones. Either may be empty.
    Entities are (start, end, type), end exclusive.
    """

    words: tuple[str, ...]
    gold: tuple[Span, ...]
    proposed: tuple[Span, ...]

    def concerns(self, entity: Span) -> bool:
        """Return whether an entity overlaps one that this correction names."""
        for start, end, _ in (*self.gold, *self.proposed):
            if entity[0] < end and start < entity[1]:
                return True
        return False

    def apply(self, sentence: Sentence) -> Sentence | None:
        """Return the sentence with its entities corrected.

        None if it has other ones there, or any that overlap, which tags cannot hold.
        """
        if sentence.entities is not None:
            return None
        entities = spans(sentence.tags)
        concerned = {entity for entity in entities if self.concerns(entity)}
        if concerned == set(self.proposed):
            return sentence
        if concerned != set(self.gold):
            return None
        others = [entity for entity in entities if entity not in concerned]
        tags = tags_from_spans([*others, *self.proposed], len(sentence.tags))
        return replace(sentence, tags=tuple(tags))


ADAPTER = TypeAdapter(Correction)


@dataclass(frozen=True)
class Corrected:
    """A data set with the corrections of a file, one JSON object a line, as in `LINE`.

    A correction changes the sentences of its words, in all splits, that have its gold entities.
    Raises UserError for a missing file and, with the line, for one that is no correction, for a
    sentence that the data lack or whose entities are others, and for a type that the data lack.
    """

    data: DataSet
    corrections: str

    def __post_init__(self) -> None:
        if not Path(self.corrections).is_file():
            raise UserError(Fault("corrections", self.corrections, "no such file"))

    def load(self) -> Corpus:
        path = Path(self.corrections)
        corrections = read_corrections(path)
        with blame("data", type(self.data)):
            corpus = self.data.load()
        if corpus.pool:
            content = [asdict(correction) for correction in corrections.values()]
            corpus = replace(corpus, pool=fingerprint([corpus.pool, content]))
        return correct(corpus, corrections, path, getattr(self.data, "share", 1) == 1)


def read_corrections(path: Path) -> dict[int, Correction]:
    """Return the corrections of a file by line. Raises UserError."""
    corrections: dict[int, Correction] = {}
    for number, line in enumerate(read_utf8(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            correction = validate(ADAPTER, json.loads(line))
            for entities in (correction.gold, correction.proposed):
                tags_from_spans(entities, len(correction.words))
        except (ValueError, RecursionError) as error:
            must = f"not a correction ({one_line(error)})"
            raise UserError(Fault(f"{path}:{number}", must=must, remedy=f"as in {LINE}")) from None
        corrections[number] = correction
    return corrections


@dataclass
class Outcome:
    """What became of the corrections of a file, by line.

    present: the data have its sentence; fitting: with the entities of either side. applied: its
    sentence has changed. sentences: how many have, by split.
    """

    present: set[int] = field(default_factory=set)
    fitting: set[int] = field(default_factory=set)
    applied: set[int] = field(default_factory=set)
    sentences: dict[str, int] = field(default_factory=dict)


def correct(
    corpus: Corpus, corrections: Mapping[int, Correction], path: Path, whole: bool = True
) -> Corpus:
    """Return the corpus with the corrections of a file, by line, and a note on them.

    whole: whether it must have all their sentences, since none is left out by data.share. Raises
    UserError for corrections that do not fit.
    """
    lines: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for line, correction in corrections.items():
        lines[correction.words].append(line)
    outcome = Outcome()
    splits: dict[str, list[Sentence]] = {}
    for split, sentences in corpus.splits().items():
        splits[split] = []
        for old in sentences:
            new = old
            for line in lines.get(old.words, ()):
                outcome.present.add(line)
                revised = corrections[line].apply(new)
                if revised is None:
                    continue
                outcome.fitting.add(line)
                if revised != new:
                    outcome.applied.add(line)
                new = revised
            if new != old:
                outcome.sentences[split] = outcome.sentences.get(split, 0) + 1
            splits[split].append(new)
    total = len(corrections)
    if not whole:
        corrections = {line: corrections[line] for line in sorted(outcome.present)}
    refuse_misfits(corpus, corrections, path, outcome)
    note = f"{len(outcome.applied):,} of {total:,} corrections of {path} applied"
    changed = [f"{count:,} {split}" for split, count in outcome.sentences.items()]
    if changed:
        note += f", to {', '.join(changed)} sentences"
    train, dev, test = splits.values()
    notes = (*corpus.notes, note)
    return replace(corpus, train=train, dev=dev, test=test, notes=notes)


def refuse_misfits(
    corpus: Corpus, corrections: Mapping[int, Correction], path: Path, outcome: Outcome
) -> None:
    """Raise UserError with a fault for each correction that does not fit the data."""
    faults: list[Fault] = []
    for line, correction in corrections.items():
        unknown = {type_ for *_, type_ in correction.proposed} - set(corpus.labels.types)
        if line not in outcome.present:
            must = f"no sentence of the data has these words: {' '.join(correction.words)[:80]}"
            remedy = "remove the line, or set the data that it is for"
        elif unknown:
            must = f"{', '.join(sorted(unknown))}: no such type"
            remedy = f"the data have {', '.join(corpus.labels.types)}"
        elif line not in outcome.fitting:
            must = "the sentence has other entities there than the correction's gold"
            remedy = "remove the line, or find suspects in these data again"
        else:
            continue
        faults.append(Fault(f"{path}:{line}", must=must, remedy=remedy))
    if faults:
        raise UserError(*faults)
