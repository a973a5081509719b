"""Auxiliary tasks: further token heads on the same encoder, trained on other columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from nersweep.batches.batch import Gold
from nersweep.data.corpus import Corpus
from nersweep.faults import Fault, UserError
from nersweep.losses import CrossEntropyLoss
from nersweep.losses.base import Terms

RESERVED = ("loss", "ner", "uncertainty")  # what the tracker calls other losses
Vocabularies = dict[str, dict[str, int]]  # the ids of a column's values, by the column's name


@dataclass(frozen=True)
class Multitask:
    """Σ λ_i L_i over the NER loss, with λ = 1, and the cross entropy of each of these columns.

    weight: λ ≥ 0 of every column, or one for each by name, or "uncertainty": Σ exp(-s_i)·L_i +
    s_i/2 with learned s_i, one for NER and one per column, that begin at 0 (Kendall et al. 2018,
    as written for log-variances s). Class weights affect the NER loss only.

    Raises UserError for columns that are missing, repeated or named like a loss, for a negative
    weight, and for one that names no column.
    """

    columns: Sequence[str]
    weight: float | Mapping[str, float] | Literal["uncertainty"] = 1.0

    def __post_init__(self) -> None:
        columns = list(self.columns)
        if not columns or len(set(columns)) < len(columns):
            raise UserError(Fault("columns", columns, "must name one or more columns, each once"))
        for name in columns:
            if name in RESERVED or not name.isidentifier():
                must = f"must be a word, and none of {', '.join(RESERVED)}"
                raise UserError(Fault("columns", columns, f"{name} cannot name a task: it {must}"))
        weights = self.weights()
        if weights is None:
            return
        if weights.keys() != set(columns):
            must = f"must name the columns {', '.join(columns)}"
            raise UserError(Fault("weight", weights, must))
        for value in weights.values():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (number and 0 <= value < float("inf")):
                must = "must be ≥ 0, or uncertainty for weights that are learned"
                raise UserError(Fault("weight", value, must))

    def weights(self) -> dict[str, float] | None:
        """Return the weight of each column; None if they are learned."""
        if self.weight == "uncertainty":
            return None
        if isinstance(self.weight, Mapping):
            return dict(self.weight)
        return dict.fromkeys(self.columns, self.weight)

    def vocabularies(self, corpus: Corpus) -> Vocabularies:
        """Return the ids of the values in the training split, sorted.

        Raises UserError for a column that the data lacks.
        """
        ids = {}
        for column in self.columns:
            values: set[str] = set()
            for sentence in corpus.train:
                if column not in sentence.columns:
                    offered = ", ".join(sorted(corpus.train[0].columns)) or "no further column"
                    must = f"data={corpus.name} has no column {column}; it has {offered}"
                    raise UserError(Fault("aux", "_".join(self.columns), must))
                values.update(sentence.columns[column])
            ids[column] = {value: i for i, value in enumerate(sorted(values))}
        return ids

    def build(self, hidden: int, vocabularies: Vocabularies) -> "AuxiliaryHeads":
        """Return the heads over word features of this width."""
        sizes = {column: len(values) for column, values in vocabularies.items()}
        return AuxiliaryHeads(hidden, sizes, self.weights())


class AuxiliaryHeads(nn.Module):
    """A linear layer per column over word features of width `hidden`.

    sizes: the number of classes by column. weights: λ by column; None learns them.
    """

    def __init__(self, hidden: int, sizes: Mapping[str, int], weights: Mapping[str, float] | None):
        super().__init__()
        self.dropout = nn.Dropout(0.1)
        self.columns = tuple(sizes)
        self.heads = nn.ModuleList(nn.Linear(hidden, size) for size in sizes.values())
        self.loss = CrossEntropyLoss()
        self.weights = weights
        # NER, then the columns
        self.log_variances = nn.Parameter(torch.zeros(1 + len(sizes))) if weights is None else None

    def terms(self, ner: Terms, features: Tensor, gold: Gold, step: Gold) -> Terms:
        """Return the terms of the NER loss with those of the columns.

        features (W, H) and gold belong to a micro-batch of the step.
        """
        features = self.dropout(features)
        losses = {}
        for column, head in zip(self.columns, self.heads, strict=True):
            losses[column] = self.loss(head(features), gold.columns[column], step.columns[column])
        assert not ner.keys() & losses.keys(), "a term of the loss and a column have one name"
        terms: Terms = {}
        if self.weights is not None:
            for column, loss in losses.items():
                terms[column] = self.weights[column], loss
            return ner | terms
        assert self.log_variances is not None
        ner_factor, *factors = (-self.log_variances).exp()
        for name, (weight, value) in ner.items():
            terms[name] = ner_factor * weight, value
        for (column, loss), factor in zip(losses.items(), factors, strict=True):
            terms[column] = factor, loss
        share = len(gold.labels) / len(step.labels)  # micro-batches add up to one Σ s_i/2
        terms["uncertainty"] = 1.0, share * self.log_variances.sum() / 2
        return terms
