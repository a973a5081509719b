"""Entities of each document by type: every metric of a run and its spread follow from them."""

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nersweep.evaluation.metrics import tally
from nersweep.labels import LabelSet

Ints = NDArray[np.int64]
MOST = 10**9  # documents times types that a file may claim


@dataclass(frozen=True, eq=False)
class DocumentCounts:
    """Hold the correct, predicted and gold entities of the D documents of a split by type.

    types: T names; empty if types are unknown, and T = 1 is all of them. marked: False if the data
    mark no documents, None if that is unknown; a document then is a sentence. cells: (N,) those of
    documents × types with an entity, as document·T + type, ascending. counts: (N, 3, 3), by the
    modes of `metrics.tally`; (N, 2, 3) if no relaxed matches are known, (N, 1, 3) if no strict
    entities are either. curve: those of `curve.count_curve`, by τ in place of types; None if
    unknown.
    """

    types: tuple[str, ...]
    documents: int
    marked: bool | None
    cells: Ints
    counts: Ints
    curve: "DocumentCounts | None" = None

    @property
    def lenient(self) -> Ints:
        """Correct, predicted and gold entities as conlleval counts (D, T, 3)."""
        return self.dense()[:, :, 0]

    def dense(self) -> Ints:
        """Return all counts (D, T, modes, 3), with T = 1 if types are unknown."""
        types = max(1, len(self.types))
        counts = np.zeros((self.documents * types, *self.counts.shape[1:]), dtype=np.int64)
        counts[self.cells] = self.counts
        return counts.reshape(self.documents, types, *self.counts.shape[1:])

    def to_json(self) -> dict[str, Any]:
        """Return JSON values. The counts are text: column by column, less the mode before."""
        steps = np.diff(self.cells, prepend=0)
        modes = self.counts.shape[1]
        differences = np.diff(self.counts, axis=1, prepend=0).reshape(-1, 3 * modes)
        columns = np.concatenate([steps[None], differences.T])  # (1 + 3·modes, N)
        text = base64.b64encode(zlib.compress(columns.astype("<i4").tobytes(), 9)).decode()
        curve = {"curve": self.curve.to_json()} if self.curve else {}
        return curve | {
            "types": list(self.types),
            "documents": self.documents,
            "marked": self.marked,
            "modes": modes,
            "counts": text,
        }


NO_DOCUMENTS = DocumentCounts(
    (), 0, None, np.zeros(0, dtype=np.int64), np.zeros((0, 1, 3), dtype=np.int64)
)


def from_dense(types: tuple[str, ...], marked: bool | None, counts: Ints) -> DocumentCounts:
    """Return the counts of an array (D, T, modes, 3), with T = 1 if types are unknown."""
    rows = counts.reshape(-1, *counts.shape[2:])
    cells = np.flatnonzero(rows.any(axis=(1, 2)))
    return DocumentCounts(types, len(counts), marked, cells, rows[cells])


def from_json(values: Mapping[str, Any]) -> DocumentCounts:
    """Return the counts of JSON values. Raises ValueError, KeyError or TypeError for others."""
    types, documents = tuple(map(str, values["types"])), values["documents"]
    marked, modes = values["marked"], values["modes"]
    size, width = documents * max(1, len(types)), 1 + 3 * modes
    if not 0 <= size <= MOST or marked not in (True, False, None) or modes not in (1, 2, 3):
        raise ValueError(f"{documents} documents, marked: {marked}, modes: {modes}")
    try:
        unpacking = zlib.decompressobj()
        content = unpacking.decompress(base64.b64decode(values["counts"]), 4 * width * size + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    columns = np.frombuffer(content, dtype="<i4").reshape(width, -1).astype(np.int64)
    cells = np.cumsum(columns[0])
    counts = np.cumsum(columns[1:].T.reshape(-1, modes, 3), axis=1)
    is_ascending = bool((columns[0, 1:] > 0).all())
    if len(cells) and not (is_ascending and cells[0] >= 0 and cells[-1] < size):
        raise ValueError("counts outside the documents")
    if (counts < 0).any() or (counts[:, :2, 0] > counts[:, :2, 1:].min(-1)).any():
        raise ValueError("impossible counts")
    read = DocumentCounts(types, documents, marked, cells, counts)
    if modes == 3:
        matches, entities = read.dense()[:, :, 2], read.lenient[..., 1:].min(-1)
        sums = read.dense().sum(1)  # types do not matter to exact and partial
        if (matches[..., 2] > entities).any() or (
            sums[:, 2, :2] > sums[:, 0, 1:].min(-1, keepdims=True) * [1, 2]
        ).any():
            raise ValueError("impossible counts")
    if "curve" in values:
        curve = {name: values["curve"][name] for name in values.keys() - {"curve"}}
        by_tau = from_json(curve)
        if by_tau.documents != documents:
            raise ValueError("a curve of other documents")
        read = replace(read, curve=by_tau)
    return read


def count_documents(
    gold: Ints,
    predicted: Ints,
    lengths: Ints,
    labels: LabelSet,
    spans: Ints | None,
    documents: Ints,
    marked: bool | None,
    gold_spans: Ints | None = None,
) -> DocumentCounts:
    """Count the entities of each document. marked: see DocumentCounts; the others: `tally`."""
    counts = tally(gold, predicted, lengths, labels, spans, documents, gold_spans)
    return from_dense(labels.types, marked, counts)
