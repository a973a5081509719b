"""CLUENER: Chinese news with ten entity types, as JSON lines with character offsets (Xu et al. 2020)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from nersweep.data.columns import assemble
from nersweep.data.corpus import Corpus, Sentence
from nersweep.data.files import local_folder, missing_files, read_utf8
from nersweep.faults import Faults
from nersweep.labels import Span, tags_from_spans

FILES = ("train.json", "dev.json")
ORIGIN = "https://github.com/CLUEbenchmark/CLUENER2020"
LABEL = "{type: {surface: [[start, end], ...]}}"
SPACE = "␣"

# The published files have one line with overlaps, train.json:1507: two companies in the title of a book.
TITLE, WITHIN = (15, 35, "book"), {(16, 20, "company"), (23, 27, "company")}


@dataclass(frozen=True)
class Cluener:
    """CLUENER from the folder `path`, else from $NERSWEEP_DATA/cluener: a word is one character of the text.

    A line is {"text": str, "label": {type: {surface: [[start, end], ...]}}}, offsets in characters, end inclusive.
    Other keys are not read. White space in a text becomes the word ␣, so that column files of words stay readable;
    every other character stays itself. (The published files have no white space, control or zero-width characters.)

    The public test file has no labels. So dev.json is the test split, and of train.json a tenth, drawn with
    `dev_seed` (≥ 0), is the development split; both parts keep the order of the file, on every machine the same.

    Raises ValueError for a folder without the files, and with file and line for what is wrong in them: another shape,
    offsets outside the text, a surface that is not what stands there, entities that overlap. The published
    train.json has one line with overlaps; there the longest entity is kept, and `notes` says so.
    """

    path: str | None
    dev_seed: int

    def __post_init__(self):
        faults = [] if self.dev_seed >= 0 else [f"dev_seed={self.dev_seed}: must be ≥ 0"]
        faults += missing_files("cluener", self.path, FILES, f"of {ORIGIN}")
        if local_folder("cluener", self.path) is None:
            faults.append(
                f"data=cluener: no folder given; type data.path=DIR with {' and '.join(FILES)} of {ORIGIN}, "
                "or set NERSWEEP_DATA to a folder of data sets"
            )
        if faults:
            raise Faults(faults)

    def load(self) -> Corpus:
        folder = local_folder("cluener", self.path)
        whole, whole_notes = read_file(folder / "train.json")
        test, test_notes = read_file(folder / "dev.json")
        if len(whole) < 2:
            raise ValueError(
                f"{folder / 'train.json'}: 1 sentence, expected ≥ 2, of which a tenth is for development"
            )
        train, dev = divide(whole, self.dev_seed)
        corpus = assemble("cluener", str(folder), {"train": train, "dev": dev, "test": test})
        drawn = (
            f"dev is {len(dev)} of the {len(whole)} sentences of train.json, drawn with data.dev_seed={self.dev_seed}; "
            "test is dev.json, as the public test.json has no labels"
        )
        return replace(corpus, notes=(drawn, *whole_notes, *test_notes, *corpus.notes))


def divide(sentences: Sequence[Sentence], seed: int) -> tuple[list[Sentence], list[Sentence]]:
    """All but a tenth, and the tenth (at least one). Of `random` only `Random.random` is used, the one method that
    Python promises to keep."""
    random = Random(seed)
    shuffled = sorted(range(len(sentences)), key=lambda _: random.random())
    drawn = set(shuffled[: max(1, round(len(sentences) / 10))])
    parts = ([], [])
    for i, sentence in enumerate(sentences):
        parts[i in drawn].append(sentence)
    return parts


def read_file(path: Path) -> tuple[list[Sentence], list[str]]:
    """The sentences of one file, and notes on entities that were left out. Raises ValueError with file and line."""
    sentences, notes = [], []
    for number, line in enumerate(read_utf8(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            text, entities = read_line(line)
            if {TITLE, *WITHIN} <= entities:
                entities -= WITHIN
                within = " and ".join(map(shown, sorted(WITHIN)))
                notes.append(
                    f"{path.name}:{number}: {within} lie within {shown(TITLE)} and are left out"
                )
            refuse_overlaps(entities)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        words = tuple(SPACE if character.isspace() else character for character in text)
        sentences.append(Sentence(words, tuple(tags_from_spans(entities, len(words)))))
    if not sentences:
        raise ValueError(f"{path}: no sentence in it")
    return sentences, notes


def read_line(line: str) -> tuple[str, set[Span]]:
    """The text of a line and its entities, end exclusive. Raises ValueError for anything but the format of CLUENER."""
    try:
        example = json.loads(line, object_pairs_hook=without_repeats)
        json.dumps(
            example, ensure_ascii=False
        ).encode()  # fails for half a surrogate pair, which no file can hold
    except (ValueError, RecursionError) as error:
        told = (
            f"{error.msg}, column {error.colno}"
            if isinstance(error, json.JSONDecodeError)
            else error
        )
        raise ValueError(f"not valid JSON ({told})") from None
    if not isinstance(example, dict) or "text" not in example:
        raise ValueError(f'no text; expected {{"text": ..., "label": {LABEL}}}')
    if "label" not in example:
        raise ValueError(f"no label (as in the public test.json); expected {LABEL}")
    text, label = example["text"], example["label"]
    if not isinstance(text, str) or not text:
        raise ValueError(f"text {quoted(text)}: must be text of at least one character")
    if not isinstance(label, dict) or not all(
        isinstance(surfaces, dict) for surfaces in label.values()
    ):
        raise ValueError(f"label {quoted(label)}: expected {LABEL}")
    entities = set()
    for type_, surfaces in label.items():
        if type_.split() != [type_]:
            raise ValueError(f"type {quoted(type_)}: must be one word")
        for surface, places in surfaces.items():
            if not isinstance(places, list) or not places:
                raise ValueError(
                    f"{type_} {quoted(surface)} {quoted(places)}: expected [[start, end], ...]"
                )
            entities |= {
                (*place_of(place, f"{type_} {quoted(surface)}", surface, text), type_)
                for place in places
            }
    return text, entities


def place_of(place: Any, name: str, surface: str, text: str) -> tuple[int, int]:
    """[start, end] with the end exclusive. Raises ValueError unless the surface stands there."""
    if (
        not isinstance(place, list)
        or len(place) != 2
        or any(type(offset) is not int for offset in place)
    ):
        raise ValueError(f"{name} {quoted(place)}: expected two whole numbers, [start, end]")
    start, end = place
    if end < start:
        raise ValueError(f"{name} {place}: ends before it starts")
    if start < 0 or end >= len(text):
        raise ValueError(
            f"{name} {place}: outside the text, whose offsets are 0 to {len(text) - 1}"
        )
    if text[start : end + 1] != surface:
        raise ValueError(f"{name} {place}: the text has {quoted(text[start : end + 1])} there")
    return start, end + 1


def refuse_overlaps(entities: set[Span]) -> None:
    last = None
    for entity in sorted(entities):
        if last and entity[0] < last[1]:
            raise ValueError(f"{shown(last)} and {shown(entity)} overlap")
        last = entity


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Of a key that stands there twice json would keep the last, silently."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(
            f"key {next(quoted(key) for key in found if keys.count(key) > 1)} stands there twice"
        )
    return found


def quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def shown(entity: Span) -> str:
    """An entity with its offsets as the files have them."""
    start, end, type_ = entity
    return f"{type_} [{start}, {end - 1}]"
