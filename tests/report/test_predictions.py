"""Predictions of a run, read back."""

import numpy as np

from nersweep.data.corpus import Sentence
from nersweep.labels import LabelSet
from nersweep.report.predictions import read_predictions
from nersweep.run.artifacts import conll_columns, span_lines

LABELS = LabelSet(["LOC", "ORG"])


def test_spans_are_compared_with_all_gold_entities(tmp_path):
    sentences = [Sentence(("a", "b"), ("B-ORG", "I-ORG")), Sentence(("c",), ("O",))]
    gold, predicted = np.array([[0, 2, 2], [1, 2, 1]]), np.array([[1, 2, 1], [2, 3, 1]])
    folder = tmp_path / "predictions"
    folder.mkdir()
    (folder / "test.conll").write_text(conll_columns(sentences, ["O", "B-LOC", "B-LOC"]))
    (folder / "test.spans.jsonl").write_text(span_lines(sentences, predicted, LABELS))
    assert read_predictions(tmp_path, "test", LABELS.types).gold.tolist() == [[0, 2, 2]]
    (folder / "test.gold.jsonl").write_text(span_lines(sentences, gold, LABELS))
    split = read_predictions(tmp_path, "test", LABELS.types)
    assert split.gold.tolist() == gold.tolist()
    assert split.counts().tolist() == [[1, 1, 2], [0, 1, 0]]
    assert split.sentence_counts.lenient[0].tolist() == [[1, 1, 1], [0, 0, 1]]
