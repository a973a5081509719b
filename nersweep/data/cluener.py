"""CLUENER: Chinese news with ten entity types, as JSON lines with offsets (Xu et al. 2020)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from nersweep.data.corpus import Corpus, Sentence
from nersweep.data.division import Division
from nersweep.data.files import (
    FOLDER,
    at_line,
    local_folder,
    missing_files,
    parse_json,
    quoted,
    read_utf8,
)
from nersweep.data.normalise import SPACE_SIGN, assemble
from nersweep.data.spans import reduced
from nersweep.faults import Fault, UserError
from nersweep.labels import Span, tags_from_spans

FILES = ("train.json", "dev.json")
ORIGIN = "https://github.com/CLUEbenchmark/CLUENER2020"
LABEL = "{type: {surface: [[start, end], ...]}}"


@dataclass(frozen=True, kw_only=True)
class Cluener(Division):
    """CLUENER from the folder `path`, else from $NERSWEEP_DATA/cluener: a word is one character.

    A line is {"text": str, "label": {type: {surface: [[start, end], ...]}}}, offsets in characters,
    end inclusive. "document", text or a whole number, may say which document the line is of; the
    published files do not. Other keys are ignored. White space in a text becomes the word ␣, so
    that column files of words stay readable; every other character stays itself. (The published
    files have no white space, control or zero-width characters.)

    The public test file has no labels. So dev.json is the test split, and a tenth of train.json,
    drawn with `dev_seed` (≥ 0), is the development split; both parts keep the order of the file, on
    every machine the same.

    Of entities that overlap, the outermost become tags, as the published train.json has in one
    line, and `notes` says so. Raises UserError for a folder without the files, and with file and
    line for what is wrong in them: another shape, offsets outside the text, a surface that differs
    from the text.
    """

    path: str | None
    dev_seed: int

    def __post_init__(self) -> None:
        faults = missing_files("cluener", self.path, FILES, f"of {ORIGIN}")
        if self.dev_seed < 0:
            faults.insert(0, Fault("dev_seed", self.dev_seed, "must be ≥ 0"))
        if local_folder("cluener", self.path) is None:
            files = f"DIR with {' and '.join(FILES)} of {ORIGIN}"
            remedy = f"set data.path={files}, or {FOLDER} to a folder of data sets"
            faults.append(Fault("data", "cluener", "no folder given", remedy))
        if faults:
            raise UserError(*faults)
        super().__post_init__()

    def load(self) -> Corpus:
        folder = local_folder("cluener", self.path)
        assert folder is not None  # checked at the start
        sentences, notes = read_file(folder / "train.json")
        test, test_notes = read_file(folder / "dev.json")
        if len(sentences) < 2:
            must = "1 sentence, expected ≥ 2, a tenth of them for development"
            raise UserError(Fault(str(folder / "train.json"), must=must))
        train, dev = divide(sentences, self.dev_seed)
        splits = {"train": train, "dev": dev, "test": test}
        corpus = assemble("cluener", str(folder), splits, self.divide)
        split = (
            f"dev is {len(dev)} of the {len(sentences)} sentences of train.json, drawn with "
            f"data.dev_seed={self.dev_seed}; test is dev.json, as the public test.json has no "
            "labels"
        )
        return replace(corpus, notes=(split, *notes, *test_notes, *corpus.notes))


def divide(sentences: Sequence[Sentence], seed: int) -> tuple[list[Sentence], list[Sentence]]:
    """Split off a tenth, at least one sentence. Returns the rest and the tenth, both in order.

    Only `Random.random` is used, the one method that Python promises to keep.
    """
    random = Random(seed)
    shuffled = sorted(range(len(sentences)), key=lambda _: random.random())
    tenth = set(shuffled[: max(1, round(len(sentences) / 10))])
    train: list[Sentence] = []
    dev: list[Sentence] = []
    for i, sentence in enumerate(sentences):
        (dev if i in tenth else train).append(sentence)
    return train, dev


def read_file(path: Path) -> tuple[list[Sentence], list[str]]:
    """Return the sentences of a file, and notes on entities left out.

    Raises UserError with file and line.
    """
    sentences, notes = [], []
    for number, line in enumerate(read_utf8(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            text, entities, document = read_line(line)
        except UserError as error:
            raise at_line(path, number, error) from None
        words = tuple(SPACE_SIGN if character.isspace() else character for character in text)
        every = sorted(entities)
        kept = reduced(every, "outermost")
        if len(kept) < len(every):
            others = " and ".join(map(shown, sorted(entities.difference(kept))))
            place = f"{path.name}:{number}"
            notes.append(f"{place}: {others} overlap others and are left to head=span alone")
        nested = tuple(every) if len(kept) < len(every) else None
        tags = tuple(tags_from_spans(kept, len(words)))
        sentences.append(Sentence(words, tags, document=document, entities=nested))
    if not sentences:
        raise UserError(Fault(str(path), must="no sentence in it"))
    return sentences, notes


def read_line(line: str) -> tuple[str, set[Span], str | int | None]:
    """Return the text of a line, its entities, end exclusive, and its document.

    Raises UserError.
    """
    example, _ = parse_json(line)
    if not isinstance(example, dict) or "text" not in example:
        raise error_in("", f'no text; expected {{"text": ..., "label": {LABEL}}}')
    if "label" not in example:
        raise error_in("", f"no label (as in the public test.json); expected {LABEL}")
    text, label = example["text"], example["label"]
    if not isinstance(text, str) or not text:
        raise error_in(f"text {quoted(text)}", "must be text of at least one character")
    is_mapping = isinstance(label, dict)
    if not is_mapping or not all(isinstance(surfaces, dict) for surfaces in label.values()):
        raise error_in(f"label {quoted(label)}", f"expected {LABEL}")
    entities: set[Span] = set()
    for type_, surfaces in label.items():
        if type_.split() != [type_]:
            raise error_in(f"type {quoted(type_)}", "must be one word")
        for surface, places in surfaces.items():
            name = f"{type_} {quoted(surface)}"
            if not isinstance(places, list) or not places:
                raise error_in(f"{name} {quoted(places)}", "expected [[start, end], ...]")
            for place in places:
                start, end = offsets(place, name, surface, text)
                entities.add((start, end, type_))
    document = example.get("document")
    if document is not None and not isinstance(document, str | int):
        raise error_in(f"document {quoted(document)}", "must be text or a whole number")
    return text, entities, document


def offsets(place: Any, name: str, surface: str, text: str) -> tuple[int, int]:
    """Return [start, end] with the end exclusive. Raises UserError unless the surface is there."""
    is_pair = isinstance(place, list) and len(place) == 2
    if not is_pair or any(type(offset) is not int for offset in place):
        raise error_in(f"{name} {quoted(place)}", "expected two whole numbers, [start, end]")
    start, end = place
    if end < start:
        raise error_in(f"{name} {place}", "ends before it starts")
    if start < 0 or end >= len(text):
        allowed = f"0 to {len(text) - 1}"
        raise error_in(f"{name} {place}", f"outside the text, whose offsets are {allowed}")
    if text[start : end + 1] != surface:
        raise error_in(f"{name} {place}", f"the text has {quoted(text[start : end + 1])} there")
    return start, end + 1


def error_in(subject: str, must: str) -> UserError:
    """Return the fault of a part of a line; of the whole line if the subject is empty."""
    return UserError(Fault(subject, must=must))


def shown(entity: Span) -> str:
    """Return an entity with its offsets as in the files: company [16, 19]."""
    start, end, type_ = entity
    return f"{type_} [{start}, {end - 1}]"
