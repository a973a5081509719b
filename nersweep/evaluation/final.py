"""Analyse the predictions of a run once, after its last epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from nersweep.batches.batch import Tokenised
from nersweep.data.corpus import Corpus, Sentence, document_numbers, is_copied
from nersweep.evaluation import stats
from nersweep.evaluation.analysis import (
    Analysis,
    Confidence,
    Diagram,
    Diagrams,
    SplitAnalysis,
    Temperature,
    Threshold,
    TypeThresholds,
    WordGroups,
    by_familiarity,
    calibration,
    diagram,
    errors,
    f1_without,
    illegal_transitions,
    training_entities,
)
from nersweep.evaluation.counts import DocumentCounts
from nersweep.evaluation.curve import CurveRate, count_curve
from nersweep.evaluation.metrics import entities, gold_entities
from nersweep.evaluation.thresholds import (
    Decoding,
    best_offsets,
    best_tau,
    best_temperature,
    prior_shift,
    type_shift,
)
from nersweep.labels import LabelSet
from nersweep.model.heads.base import Head
from nersweep.model.tagger import Predictions


def analyse(
    head: Head,
    counts: np.ndarray,
    corpus: Corpus,
    labels: LabelSet,
    splits: Mapping[str, Tokenised],
    predictions: Mapping[str, Predictions],
    device: torch.device,
) -> tuple[Analysis, dict[str, DocumentCounts]]:
    """Analyse the predictions of dev and test. counts: (classes,) of the head's, in training.

    Returns the analysis, and the precision–recall curve of each split by document.
    """
    decodings: dict[str, Decoding] = {}
    analyses: dict[str, SplitAnalysis] = {}
    curves: dict[str, DocumentCounts] = {}
    prior = prior_shift(head, counts)
    has_spans = predictions["dev"].spans is not None
    known = training_entities(corpus.train, labels, has_spans)
    diagrams: dict[str, WordGroups[Diagram]] = {}
    for name, predicted in predictions.items():
        sentences = corpus.splits()[name]
        decodings[name] = decoding_of(head, labels, splits[name], predicted, device)
        bins = calibration(predicted.probabilities, decodings[name].targets)
        diagrams[name] = WordGroups(diagram(bins.all), diagram(bins.entities))
        split = analyse_split(decodings[name], predicted, sentences, known)
        split = with_copies(split, decodings[name], predicted, is_copied(sentences, corpus.train))
        analyses[name], curves[name] = with_curve(split, decodings[name], prior, sentences)
    dev, test = decodings["dev"], decodings["test"]
    tau, at_bound = best_tau(dev, prior)
    shift = tau * prior
    offsets = best_offsets(dev, shift)
    with_offsets = shift + type_shift(head, labels, offsets)
    t = best_temperature(dev)
    analysis = Analysis(
        **analyses,
        calibration=Diagrams(**diagrams),
        threshold=Threshold(tau, dev.rates(shift), test.rates(shift), at_bound),
        type_thresholds=TypeThresholds(
            dict(zip(labels.types, offsets.tolist(), strict=True)),
            dev.rates(with_offsets),
            test.rates(with_offsets),
        ),
        temperature=Temperature(t, confidence(dev, t), confidence(test, t)),
    )
    return analysis, curves


def decoding_of(
    head: Head, labels: LabelSet, split: Tokenised, predicted: Predictions, device: torch.device
) -> Decoding:
    """Return the predictions of a split with its gold labels, for decoding again."""
    gold = gold_entities(split.labels, split.lengths(), labels, predicted.spans, split.spans)
    targets = torch.stack(head.targets(split.gold(range(len(split))), labels), 1).numpy()
    emissions = torch.from_numpy(predicted.emissions).to(device)
    return Decoding(head, labels, emissions, split.lengths(), targets, gold)


def analyse_split(
    decoding: Decoding,
    predicted: Predictions,
    sentences: Sequence[Sentence],
    known: set[tuple[str, ...]],
) -> SplitAnalysis:
    """Analyse the predictions of a split, without its curve. known: the entities of training."""
    labels, gold, lengths = decoding.labels, decoding.gold, decoding.lengths
    spans = spans_of(predicted, decoding)
    bins = calibration(predicted.probabilities, decoding.targets)
    familiar = by_familiarity(gold, spans, sentences, known, len(labels.types))
    return SplitAnalysis(
        illegal_transitions=illegal_transitions(predicted.labels, lengths, labels),
        calibration_error=WordGroups(bins.all.error, bins.entities.error),
        errors=errors(gold, spans),
        seen=familiar["seen"],
        unseen=familiar["unseen"],
        cross_entropy=stats.cross_entropy(predicted.probabilities, decoding.targets),
    )


def spans_of(predicted: Predictions, decoding: Decoding) -> np.ndarray:
    """Return the predicted entities of a split, rows (start, end, type)."""
    if predicted.spans is not None:
        return predicted.spans
    return entities(predicted.labels, decoding.lengths, decoding.labels)


def with_copies(
    analysis: SplitAnalysis, decoding: Decoding, predicted: Predictions, copied: np.ndarray
) -> SplitAnalysis:
    """Return the analysis with F1 without copied sentences. copied: which training has, (S,)."""
    spans = spans_of(predicted, decoding)
    f1 = f1_without(copied, decoding.gold, spans, decoding.lengths)
    return replace(analysis, shared=float(copied.mean()), unshared_f1=f1)


def with_curve(
    analysis: SplitAnalysis, decoding: Decoding, prior: np.ndarray, sentences: Sequence[Sentence]
) -> tuple[SplitAnalysis, DocumentCounts]:
    """Return the analysis with the precision–recall curve of a split, and it by document."""
    by_document = count_curve(decoding, prior, document_numbers(sentences))
    curve = by_document.lenient.sum(0)
    auc = CurveRate().measure(curve[None].astype(np.float64))[0] / 100
    return replace(analysis, auc=auc, curve=curve.tolist()), by_document


def shifts(
    analysis: Analysis, head: Head, counts: np.ndarray, labels: LabelSet
) -> dict[str, np.ndarray]:
    """Return what thresholds add to the scores of a head, (outputs,), as "tau" and "types"."""
    tau = analysis.threshold.tau * prior_shift(head, counts)
    assert analysis.type_thresholds
    offsets = np.array([analysis.type_thresholds.offsets[name] for name in labels.types])
    return {"tau": tau, "types": tau + type_shift(head, labels, offsets)}


def confidence(decoding: Decoding, temperature: float) -> Confidence:
    """Return the cross entropy and the calibration errors of a split at a temperature."""
    probabilities = decoding.probabilities(temperature)
    bins = calibration(probabilities, decoding.targets)
    return Confidence(
        stats.cross_entropy(probabilities, decoding.targets),
        WordGroups(bins.all.error, bins.entities.error),
    )
