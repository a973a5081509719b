"""Auxiliary tasks: further token heads on the same encoder, trained on other columns of the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from nersweep.batches.batch import Gold
from nersweep.data.corpus import Corpus
from nersweep.losses import CrossEntropyLoss
from nersweep.losses.base import Terms

TAKEN = ("loss", "ner", "uncertainty")  # what the tracker calls other losses
Vocabularies = dict[str, dict[str, int]]  # the ids of a column's values, by the column's name


@dataclass(frozen=True)
class Multitask:
    """Σ λ_i L_i over the NER loss, with λ = 1, and the cross entropy of each of these columns.

    weight: λ ≥ 0 of every column, or one for each by name, or "uncertainty": Σ exp(-s_i)·L_i + s_i/2 with learned s_i,
    one for NER and one per column, that begin at 0 (Kendall et al. 2018, as written for log-variances s). Class weights
    touch the NER loss only. Raises ValueError for columns that are none, twice there or named as a loss is, for a
    negative weight, and for one that names no column.
    """

    columns: Sequence[str]
    weight: float | Mapping[str, float] | Literal["uncertainty"] = 1.0

    def __post_init__(self):
        typed = f"columns={list(self.columns)}"
        if not self.columns or len(set(self.columns)) < len(self.columns):
            raise ValueError(f"{typed}: must name one or more columns, each once")
        if taken := [name for name in self.columns if name in TAKEN or not name.isidentifier()]:
            raise ValueError(
                f"{typed}: {taken[0]} cannot name a task: it must be a word, and none of {', '.join(TAKEN)}"
            )
        weights = (
            self.weight
            if isinstance(self.weight, Mapping)
            else dict.fromkeys(self.columns, self.weight)
        )
        if weights.keys() != set(self.columns):
            raise ValueError(
                f"weight={dict(weights)}: must name the columns {', '.join(self.columns)}"
            )
        for value in weights.values():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if self.weight != "uncertainty" and not (number and 0 <= value < float("inf")):
                raise ValueError(
                    f"weight={value}: must be ≥ 0, or uncertainty for weights that are learned"
                )

    def vocabularies(self, corpus: Corpus) -> Vocabularies:
        """The values of the columns in the training split. Raises ValueError for a column that the data lacks."""
        for column in self.columns:
            if any(column not in sentence.columns for sentence in corpus.train):
                there = ", ".join(sorted(corpus.train[0].columns)) or "no further column"
                raise ValueError(
                    f"aux={'_'.join(self.columns)}: data={corpus.name} has no column {column}; it has {there}"
                )
        values = {
            column: sorted({v for s in corpus.train for v in s.columns[column]})
            for column in self.columns
        }
        return {
            column: {value: i for i, value in enumerate(known)} for column, known in values.items()
        }

    def build(self, hidden: int, vocabularies: Vocabularies) -> "AuxiliaryHeads":
        return AuxiliaryHeads(
            hidden, {column: len(known) for column, known in vocabularies.items()}, self.weight
        )


class AuxiliaryHeads(nn.Module):
    """A linear layer per column over word features of width `hidden`; sizes: column -> number of classes."""

    def __init__(
        self, hidden: int, sizes: Mapping[str, int], weight: float | Mapping[str, float] | str
    ):
        super().__init__()
        self.dropout = nn.Dropout(0.1)
        self.columns = tuple(sizes)
        self.heads = nn.ModuleList(nn.Linear(hidden, size) for size in sizes.values())
        self.loss = CrossEntropyLoss()
        learned = weight == "uncertainty"
        self.log_variances = (
            nn.Parameter(torch.zeros(1 + len(sizes))) if learned else None
        )  # NER, then the columns
        self.weights = weight if isinstance(weight, Mapping) else dict.fromkeys(sizes, weight)

    def terms(self, ner: Terms, features: Tensor, gold: Gold, step: Gold) -> Terms:
        """The terms of the NER loss with those of the columns. features (W, H) are a micro-batch of the step."""
        features = self.dropout(features)
        losses = {
            column: self.loss(head(features), gold.columns[column], step.columns[column])
            for column, head in zip(self.columns, self.heads, strict=True)
        }
        assert not ner.keys() & losses.keys(), "a term of the loss and a column of one name"
        if self.log_variances is None:
            return ner | {column: (self.weights[column], loss) for column, loss in losses.items()}
        factors = (-self.log_variances).exp()
        share = len(gold.labels) / len(step.labels)  # micro-batches add up to one Σ s_i/2
        return (
            {name: (factors[0] * weight, value) for name, (weight, value) in ner.items()}
            | {
                column: (factor, losses[column])
                for column, factor in zip(losses, factors[1:], strict=True)
            }
            | {"uncertainty": (1.0, share * self.log_variances.sum() / 2)}
        )
