"""Write a run's files: predictions in columns, counts by document, scores, pictures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from nersweep.batches.batch import Gold, Tokenised
from nersweep.data.corpus import Sentence, document_numbers, has_documents
from nersweep.evaluation.counts import DocumentCounts, count_documents
from nersweep.evaluation.metrics import confusion, entities, entity_counts, report_text
from nersweep.labels import LabelSet
from nersweep.machine.files import write_text
from nersweep.model.heads.base import Head
from nersweep.model.tagger import Predictions
from nersweep.results.counts import write_counts
from nersweep.results.probabilities import write_probabilities
from nersweep.run.plan import Plan
from nersweep.training.history import History

OVERLAPPING = "\nSpans that overlap an earlier one are left out here; result.json counts them.\n"


def write_artifacts(
    plan: Plan,
    history: History,
    predictions: Mapping[str, Predictions],
    splits: Mapping[str, Tokenised],
    curves: Mapping[str, DocumentCounts],
) -> None:
    """Write predictions/*, report.txt, learning_curves.png and confusion_matrix.png.

    predictions: of dev and test; curves: by document and τ.
    """
    from nersweep.run import plots  # Matplotlib: half a second that other commands do not need

    folder, labels, test = plan.folder, plan.facts.labels, splits["test"]
    counts_of: dict[str, DocumentCounts] = {}
    for split, predicted in predictions.items():
        sentences = plan.facts.corpus.splits()[split]
        file = folder / "predictions" / f"{split}.conll"
        write_text(file, conll_columns(sentences, labels.decode(predicted.labels)))
        if predicted.spans is not None:
            lines = span_lines(sentences, predicted.spans, labels)
            write_text(file.with_suffix(".spans.jsonl"), lines)
            gold = splits[split].spans
            if gold is not None:
                write_text(file.with_suffix(".gold.jsonl"), span_lines(sentences, gold, labels))
        both = label_probabilities(predicted, splits[split], plan.head.target, labels)
        write_probabilities(folder, split, both)
        counts = count_documents(
            splits[split].labels,
            predicted.labels,
            splits[split].lengths(),
            labels,
            predicted.spans,
            document_numbers(sentences),
            has_documents(sentences),
            splits[split].spans,
        )
        counts_of[split] = replace(counts, curve=curves[split])
    write_counts(folder, counts_of)
    write_text(folder / "report.txt", score_table(test, predictions["test"], labels))
    plots.learning_curves(folder / "learning_curves.png", history.steps, history.epochs)
    confused = confusion(test.labels, predictions["test"].labels, labels)
    title = f"{plan.name}: labels of words, {plan.facts.corpus.name} test"
    plots.confusion_matrix(folder / "confusion_matrix.png", confused, labels.names, title)


def label_probabilities(
    predicted: Predictions, split: Tokenised, head: type[Head], labels: LabelSet
) -> np.ndarray:
    """Return the probabilities of the gold and of the predicted label of each word, (2, W).

    With several pointers, the product of the probabilities that they give to the label's classes.
    """
    lengths = torch.from_numpy(split.lengths())
    both: list[np.ndarray] = []
    for ids in (split.labels, predicted.labels):
        targets = head.targets(Gold(torch.from_numpy(ids), lengths), labels)
        classes = torch.stack(targets, 1).numpy()[..., None]  # (W, P, 1)
        both.append(np.take_along_axis(predicted.probabilities, classes, -1)[..., 0].prod(1))
    return np.stack(both)


def score_table(split: Tokenised, predictions: Predictions, labels: LabelSet) -> str:
    """Return the rates of the predicted labels by type, as seqeval prints them."""
    lengths, words = split.lengths(), len(split.labels)
    gold = entities(split.labels, lengths, labels)
    predicted = entities(predictions.labels, lengths, labels)
    text = report_text(entity_counts(gold, predicted, words, len(labels.types)), labels.types)
    return text if predictions.spans is None else text + OVERLAPPING


def conll_columns(sentences: Sequence[Sentence], predicted: Sequence[str]) -> str:
    """Return lines of word, gold tag and predicted tag, as the CoNLL evaluation script reads them.

    predicted: the tags of the words of all sentences.
    """
    blocks: list[str] = []
    start = 0
    for sentence in sentences:
        tags = predicted[start : start + len(sentence.words)]
        start += len(tags)
        rows = zip(sentence.words, sentence.tags, tags, strict=True)
        blocks.append("\n".join(map(" ".join, rows)))
    return "\n\n".join(blocks) + "\n"


def span_lines(sentences: Sequence[Sentence], spans: np.ndarray, labels: LabelSet) -> str:
    """Return a line for each sentence: the JSON list of its entities [start, end, type].

    end is exclusive. Columns cannot hold spans that overlap. spans: rows (start, end, type) over
    the words of all sentences.
    """
    lengths = [len(sentence.words) for sentence in sentences]
    first = np.cumsum([0, *lengths])
    by_sentence: list[list[tuple[int, int, str]]] = [[] for _ in sentences]
    for start, end, type_ in spans.tolist():
        number = int(np.searchsorted(first, start, "right")) - 1
        offset = int(first[number])
        by_sentence[number].append((start - offset, end - offset, labels.types[type_ - 1]))
    lines: list[str] = []
    for sentence_spans in by_sentence:
        lines.append(json.dumps(sentence_spans, ensure_ascii=False) + "\n")
    return "".join(lines)
