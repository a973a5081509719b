"""Load a model folder for MLflow: `mlflow.pyfunc.load_model("models:/NAME/1").predict(["…"])`."""

from collections.abc import Sequence
from typing import Any

from nersweep.deployment.documents import of_text
from nersweep.deployment.output import spans_of
from nersweep.deployment.prediction import tag_all
from nersweep.model.saved import SavedTagger


class TextTagger:
    """What MLflow calls to tag texts with a saved model."""

    def __init__(self, tagger: SavedTagger):
        self.tagger = tagger

    def predict(self, texts: Any, params: object = None) -> list[list[dict[str, Any]]]:
        """Return the entities of each text: start and end in characters, label, text, probability.

        texts: a list, or a data frame whose only column, or whose column text, has them.
        """
        spans: list[list[dict[str, Any]]] = []
        for document, tagged in tag_all(self.tagger, map(of_text, listed(texts))):
            spans.append(spans_of(document, tagged))
        return spans


def listed(texts: Any) -> Sequence[str]:
    """Return the texts that MLflow passes as a list."""
    if isinstance(texts, str):
        return [texts]
    if hasattr(texts, "columns"):
        texts = texts["text"] if "text" in texts.columns else texts[texts.columns[0]]
    return [text if isinstance(text, str) else "" for text in texts]  # None and NaN: no text


def _load_pyfunc(path: str) -> TextTagger:
    """Load a model folder; MLflow calls it by this name."""
    return TextTagger(SavedTagger(path))
