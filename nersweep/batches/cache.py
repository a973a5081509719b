"""Tokenised splits, made once: kept in the process, and on disk under a hash of what they are made of."""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerFast

from nersweep.batches.batch import Tokenised
from nersweep.batches.windows import tokenise
from nersweep.data.corpus import Sentence
from nersweep.faults import one_line
from nersweep.labels import LabelSet
from nersweep.machine import files
from nersweep.terminal import console

FORMAT = 1  # to be raised where `tokenise` gives something else for the same sentences
KEPT = 8  # splits in the process, the last ones
kept: dict[str, Tokenised] = {}


def tokenised(
    sentences: Sequence[Sentence],
    labels: LabelSet,
    tokenizer: PreTrainedTokenizerFast,
    max_length: int,
    vocabularies: Mapping[str, Mapping[str, int]],
    folder: Path,
) -> Tokenised:
    """What `tokenise` gives. Several processes may share the folder: a file is whole or not there, and one that cannot
    be read is made again."""
    key = digest(sentences, labels, tokenizer, max_length, vocabularies)
    file = folder / f"{key}.npz"
    split = kept[key] if key in kept else read(file, vocabularies)
    if split is None:
        split = tokenise(sentences, labels, tokenizer, max_length, vocabularies)
        try:
            write(file, split)
        except OSError as error:
            console.print(
                f"{file}: cannot be written ({one_line(error)}); the data is tokenised again next time"
            )
    kept.pop(key, None)
    kept[key] = split
    while len(kept) > KEPT:
        del kept[next(iter(kept))]
    return split


def digest(sentences, labels, tokenizer, max_length, vocabularies) -> str:
    ids = [
        tokenizer.pad_token_id,
        tokenizer.unk_token_id,
    ]  # which pieces these are is not told by the vocabulary
    settings = [FORMAT, labels.names, max_length, vocabularies, vocabulary_digest(tokenizer), ids]
    found = hashlib.sha256(json.dumps(settings).encode())
    for sentence in sentences:
        columns = [
            sentence.words,
            sentence.tags,
            *(sentence.columns[name] for name in sorted(vocabularies)),
        ]
        found.update("\n\n".join("\n".join(column) for column in columns).encode() + b"\n\n\n")
    return found.hexdigest()


@lru_cache(maxsize=2)
def vocabulary_digest(tokenizer: PreTrainedTokenizerFast) -> str:
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()


def write(file: Path, split: Tokenised) -> None:
    arrays = {
        item.name: getattr(split, item.name) for item in fields(split) if item.name != "columns"
    }
    with files.in_place_of(file) as beside, open(beside, "wb") as whole:
        np.savez(whole, **arrays, **{f"column {name}": ids for name, ids in split.columns.items()})


def read(file: Path, columns: Iterable[str]) -> Tokenised | None:
    """The split with these further columns; None where the file is not there or not whole."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            further = {name: arrays[f"column {name}"] for name in columns}
            single = {name: int(arrays[name]) for name in ("pad_id", "max_length")}
            names = {item.name for item in fields(Tokenised)} - {"columns", *single}
            return Tokenised(**{name: arrays[name] for name in names}, columns=further, **single)
    # What numpy and zipfile raise, by which byte of the file was changed.
    except (
        OSError,
        ValueError,
        LookupError,
        EOFError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ):
        return None
