"""What a run leaves to be read: predictions in columns, seqeval's report, pictures."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nersweep.data.corpus import Sentence
from nersweep.evaluation import metrics
from nersweep.labels import LabelSet
from nersweep.machine import files as files_module
from nersweep.model.tagger import Predictions
from nersweep.run.plan import Plan
from nersweep.training.history import History


def write(
    prepared: Plan, history: History, predictions: dict[str, Predictions], test_gold: np.ndarray
) -> None:
    """Predictions in CoNLL columns, seqeval's report, pictures."""
    from seqeval.metrics import classification_report  # a second, through scikit-learn

    from nersweep.run import plots

    folder, labels, corpus = prepared.folder, prepared.facts.labels, prepared.facts.corpus
    predicted = {}
    for split, found in predictions.items():
        sentences = corpus.splits()[split]
        predicted[split] = split_words(
            labels.decode(found.labels), [len(s.words) for s in sentences]
        )
        file = folder / "predictions" / f"{split}.conll"
        files_module.write_text(file, conll_columns(sentences, predicted[split]))
        if found.spans is not None:
            files_module.write_text(
                file.with_suffix(".spans.jsonl"), span_lines(sentences, found.spans, labels)
            )
    gold = [list(sentence.tags) for sentence in corpus.test]
    report = classification_report(gold, predicted["test"], digits=4, zero_division=0)
    if predictions["test"].spans is not None:
        report += (
            "\nSpans that overlap an earlier one are left out here; result.json counts them.\n"
        )
    files_module.write_text(folder / "report.txt", report)
    plots.learning_curves(folder / "learning_curves.png", history.steps, history.epochs)
    counts = metrics.confusion(test_gold, predictions["test"].labels, labels)
    title = f"{prepared.name}: labels of words, {corpus.name} test"
    plots.confusion_matrix(folder / "confusion_matrix.png", counts, labels.names, title)


def files(folder: Path) -> list[Path]:
    """What is there of all that a run leaves to be read, but for its result and its model."""
    names = (
        "config.yaml",
        "report.txt",
        "learning_curves.png",
        "confusion_matrix.png",
        "metrics.jsonl",
    )
    return [
        *sorted(folder.glob("predictions/*")),
        *(folder / name for name in names if (folder / name).exists()),
    ]


def split_words(values: Sequence[str], lengths: Sequence[int]) -> list[list[str]]:
    """One flat sequence as one list per sentence."""
    ends = np.cumsum(lengths)
    return [list(values[end - length : end]) for end, length in zip(ends, lengths, strict=True)]


def conll_columns(sentences: Sequence[Sentence], predicted: Sequence[Sequence[str]]) -> str:
    """word, gold tag, predicted tag: what the CoNLL evaluation script reads."""
    blocks = (
        "\n".join(
            f"{word} {gold} {tag}" for word, gold, tag in zip(s.words, s.tags, tags, strict=True)
        )
        for s, tags in zip(sentences, predicted, strict=True)
    )
    return "\n\n".join(blocks) + "\n"


def span_lines(sentences: Sequence[Sentence], spans: np.ndarray, labels: LabelSet) -> str:
    """The predicted spans of each sentence, as a JSON list of [start, end, type] over words, end exclusive: columns
    cannot hold spans that overlap."""
    first = np.cumsum([0, *(len(sentence.words) for sentence in sentences)])
    found: list[list] = [[] for _ in sentences]
    for (start, end, type_), i in zip(
        spans.tolist(), np.searchsorted(first, spans[:, 0], "right") - 1, strict=True
    ):
        found[i].append([int(start - first[i]), int(end - first[i]), labels.types[type_ - 1]])
    return "".join(json.dumps(sentence, ensure_ascii=False) + "\n" for sentence in found)
