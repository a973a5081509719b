"""Cache tokenised splits in the process and on disk, by a hash of everything they depend on."""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from nersweep.batches.batch import Tokenised
from nersweep.batches.windows import FIRST, Reading, tokenise
from nersweep.data.corpus import Sentence
from nersweep.faults import one_line
from nersweep.labels import LabelSet
from nersweep.machine import files
from nersweep.terminal import console

FORMAT = 2  # raise it if `tokenise` gives something else for the same sentences
LIMIT = 8  # splits in the process, the last ones
SINGLE = {"pad_id", "max_length"}  # fields that are numbers
NO_SPANS = np.zeros((0, 3), dtype=np.int64)  # in place of None
# What numpy and zipfile raise, by which byte of the file is damaged.
DAMAGED = (
    OSError,
    ValueError,
    LookupError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)
Vocabularies = Mapping[str, Mapping[str, int]]  # the ids of a column's values, by its name

recent: dict[str, Tokenised] = {}  # by their keys


def tokenised(
    sentences: Sequence[Sentence],
    labels: LabelSet,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    vocabularies: Vocabularies,
    folder: Path,
    reading: Reading = FIRST,
) -> Tokenised:
    """Return what `tokenise` gives, from the process or the folder if cached.

    Several processes may share the folder: each file is whole, and replaced if it cannot be read.
    """
    key = digest(sentences, labels, tokenizer, max_length, vocabularies, reading)
    file = folder / f"{key}.npz"
    split = recent.pop(key, None) or read(file, vocabularies)
    if split is None:
        split = tokenise(sentences, labels, tokenizer, max_length, vocabularies, reading)
        try:
            write(file, split)
        except OSError as error:
            why = one_line(error)
            console.print(f"{file}: cannot be written ({why}); the data is tokenised again")
    recent[key] = split
    while len(recent) > LIMIT:
        del recent[next(iter(recent))]
    return split


def digest(
    sentences: Sequence[Sentence],
    labels: LabelSet,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    vocabularies: Vocabularies,
    reading: Reading = FIRST,
) -> str:
    """Return the SHA-256 of all that `tokenise` depends on."""
    # The vocabulary does not say which pieces these are.
    ids = [tokenizer.pad_token_id, tokenizer.unk_token_id]
    ids += [tokenizer.mask_token_id, tokenizer.eos_token_id]
    rules = [vocabulary_digest(tokenizer), *ids, *reading]
    settings = [FORMAT, labels.names, max_length, vocabularies, rules]
    sha = hashlib.sha256(json.dumps(settings).encode())
    for sentence in sentences:
        columns = [sentence.words, sentence.tags]
        for name in sorted(vocabularies):
            columns.append(sentence.columns[name])
        text = "\n\n".join("\n".join(column) for column in columns)
        sha.update(text.encode() + b"\n\n\n")
        if sentence.entities is not None:
            sha.update(f"entities {sentence.entities}\n".encode())
    return sha.hexdigest()


@lru_cache(maxsize=2)
def vocabulary_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the SHA-256 of a tokenizer's vocabulary and rules."""
    if tokenizer.is_fast:
        return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
    sha = hashlib.sha256()
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        for file in sorted(Path(folder).iterdir()):
            sha.update(file.read_bytes())
    return sha.hexdigest()


def write(file: Path, split: Tokenised) -> None:
    """Write a split to a file, whole or not at all."""
    arrays: dict[str, Any] = {}
    for item in fields(Tokenised):
        value = getattr(split, item.name)
        if item.name != "columns":
            arrays[item.name] = NO_SPANS if value is None else value
    for name, ids in split.columns.items():
        arrays[f"column {name}"] = ids
    with files.in_place_of(file) as beside, open(beside, "wb") as whole:
        np.savez(whole, **arrays)


def read(file: Path, columns: Iterable[str]) -> Tokenised | None:
    """Return the split with these further columns; None if there is no file, or it is damaged."""
    values: dict[str, int | np.ndarray | dict[str, np.ndarray]] = {}
    try:
        with np.load(file, allow_pickle=False) as arrays:
            values["columns"] = {name: arrays[f"column {name}"] for name in columns}
            for item in fields(Tokenised):
                if item.name in SINGLE:
                    values[item.name] = int(arrays[item.name])
                elif item.name != "columns":
                    values[item.name] = arrays[item.name]
            if not len(arrays["spans"]):
                del values["spans"]
            return Tokenised(**values)  # type: ignore[arg-type]  # each has its field's type
    except DAMAGED:
        return None
