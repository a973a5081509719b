"""Read predictions back: gold and predicted tags of every word of a split."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from nersweep.evaluation import metrics
from nersweep.evaluation.counts import DocumentCounts, count_documents
from nersweep.faults import Fault, UserError
from nersweep.labels import LabelSet


@dataclass(frozen=True)
class TaggedSplit:
    """Gold and predicted tags of a split, its sentences one after another.

    words, gold_tags, tags: one per word (W,). lengths: words of each sentence (S,).
    spans: entities predicted by a head of spans, (E, 3) as start, end, type; None if the tags
    give them. gold_spans: all gold entities, if some overlap and the head has spans.
    """

    labels: LabelSet
    words: list[str]
    lengths: np.ndarray
    gold_tags: list[str]
    tags: list[str]
    spans: np.ndarray | None
    gold_spans: np.ndarray | None = None

    @cached_property
    def gold_ids(self) -> np.ndarray:
        return np.array(self.labels.encode(self.gold_tags))

    @cached_property
    def ids(self) -> np.ndarray:
        return np.array(self.labels.encode(self.tags))

    @cached_property
    def gold(self) -> np.ndarray:
        """Gold entities, (E, 3) as start, end, type."""
        return metrics.gold_entities(
            self.gold_ids, self.lengths, self.labels, self.spans, self.gold_spans
        )

    @cached_property
    def predicted(self) -> np.ndarray:
        """Predicted entities, (E, 3) as start, end, type."""
        if self.spans is not None:
            return self.spans
        return metrics.entities(self.ids, self.lengths, self.labels)

    @cached_property
    def ends(self) -> np.ndarray:
        """The end of each sentence, in words (S,)."""
        return np.cumsum(self.lengths)

    def sentences(self, entities: np.ndarray) -> np.ndarray:
        """Return the sentence of each entity, by number from 0."""
        return np.searchsorted(self.ends, entities[:, 0], side="right")

    @cached_property
    def sentence_counts(self) -> DocumentCounts:
        """Entities of each sentence by type."""
        documents = np.arange(len(self.lengths))
        return count_documents(
            self.gold_ids,
            self.ids,
            self.lengths,
            self.labels,
            self.spans,
            documents,
            marked=None,
            gold_spans=self.gold_spans,
        )

    def counts(self) -> np.ndarray:
        """Count the entities of each sentence: correct, predicted, gold (S, 3)."""
        correct = self.gold[metrics.is_among(self.gold, self.predicted)]
        columns: list[np.ndarray] = []
        for entities in (correct, self.predicted, self.gold):
            columns.append(np.bincount(self.sentences(entities), minlength=len(self.lengths)))
        return np.stack(columns, axis=1)

    def confusion(self) -> np.ndarray:
        """Count words by gold label (rows) and predicted label (columns)."""
        return metrics.confusion(self.gold_ids, self.ids, self.labels)


def read_predictions(folder: Path, split: str, types: Iterable[str]) -> TaggedSplit:
    """Read the predictions of a run's folder. Raises UserError if the file is not one of ours."""
    file = folder / "predictions" / f"{split}.conll"
    words: list[str] = []
    gold_tags: list[str] = []
    tags: list[str] = []
    lengths: list[int] = []
    try:
        for block in file.read_text(encoding="utf-8").removesuffix("\n").split("\n\n"):
            lines = block.split("\n")
            lengths.append(len(lines))
            for line in lines:
                word, gold_tag, tag = line.rsplit(" ", 2)
                words.append(word)
                gold_tags.append(gold_tag)
                tags.append(tag)
        labels = LabelSet(types)
        spans = read_spans(file.with_suffix(".spans.jsonl"), labels, lengths)
        gold_spans = read_spans(file.with_suffix(".gold.jsonl"), labels, lengths)
        split_tags = TaggedSplit(
            labels, words, np.array(lengths), gold_tags, tags, spans, gold_spans
        )
        for ids in (split_tags.gold_ids, split_tags.ids):  # raises for an unknown tag
            assert len(ids) == len(words)
    except OSError as error:
        raise UserError(Fault(str(file), must=f"cannot be read ({error.strerror})")) from None
    except (ValueError, KeyError) as error:
        raise UserError(Fault(str(file), must=f"not the predictions of a run ({error})")) from None
    return split_tags


def read_spans(file: Path, labels: LabelSet, lengths: list[int]) -> np.ndarray | None:
    """Read entities that may overlap, a line per sentence; None without a file."""
    if not file.exists():
        return None
    type_ids = {name: number for number, name in enumerate(labels.types, 1)}
    rows: list[tuple[int, int, int]] = []
    offset = 0
    lines = file.read_text(encoding="utf-8").splitlines()
    for line, length in zip(lines, lengths, strict=True):
        for start, end, type_ in json.loads(line):
            rows.append((start + offset, end + offset, type_ids[type_]))
        offset += length
    return np.array(rows, dtype=np.int64).reshape(-1, 3)
