"""A tagger on disk: the encoder as transformers saves it, and beside it what the head adds."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from nersweep.batches.windows import tokenise
from nersweep.config.build import Recipe, build
from nersweep.data.corpus import Sentence
from nersweep.faults import one_line
from nersweep.labels import LabelSet, Span, spans
from nersweep.losses import CrossEntropyLoss
from nersweep.machine import files
from nersweep.model.encoder import Pretrained
from nersweep.model.tagger import Predictions, Tagger, predict

HEAD = "nersweep.json"  # the head with its settings, the entity types, the pieces of a window
HEAD_WEIGHTS = "head.safetensors"  # the parameters that are no part of the encoder


def save(folder: Path, tagger: Tagger, head: Recipe, labels: LabelSet, dtype: torch.dtype) -> None:
    """`transformers.pipeline` loads the folder of a token head, which needs the encoder's files alone. dtype: that the
    tagger was scored in."""
    tagger.encoder.save(folder)
    weights = {name: value.contiguous() for name, value in tagger.head.state_dict().items()}
    if weights:
        save_file(weights, folder / HEAD_WEIGHTS)
    facts = {
        "head": {
            "_target_": f"{head.target.__module__}.{head.target.__qualname__}",
            **head.arguments,
        },
        "types": labels.types,
        "max_length": tagger.encoder.max_length,
        "precision": str(dtype).removeprefix("torch."),
    }
    files.write_json(folder / HEAD, facts)


class SavedTagger:
    """A tagger that a run has saved, ready to predict: `SavedTagger("outputs/runs/focal-g3-s1-…/model")`. It computes
    in the precision in which the run was scored, or in `dtype`.

    Nothing in the folder is run: the encoder is read from safetensors, and its head must be one of ours. Raises
    ValueError for a folder that is not what `save` leaves.
    """

    def __init__(self, folder: str | Path, device: str = "cpu", dtype: torch.dtype | None = None):
        folder = Path(folder)
        try:
            facts = json.loads((folder / HEAD).read_text(encoding="utf-8"))
            self.labels = LabelSet(facts["types"])
            head = build("head", facts["head"], facts["head"])
            encoder, whole = Pretrained(str(folder), max_length=facts["max_length"]).load(
                head.target.outputs(self.labels)
            )
            if not whole:
                raise ValueError(
                    f"its weights are not those of a model with types {', '.join(self.labels.types)}"
                )
            self.device = torch.device(device)
            self.tagger = Tagger(
                encoder, head.make(encoder=encoder, labels=self.labels), CrossEntropyLoss()
            )
            if self.tagger.head.state_dict():
                self.tagger.head.load_state_dict(load_file(folder / HEAD_WEIGHTS))
            self.tagger.to(self.device).encoder.on(
                self.device,
                dtype or {"float32": torch.float32, "bfloat16": torch.bfloat16}[facts["precision"]],
            )
        except (
            OSError,
            KeyError,
            TypeError,
            AttributeError,
            RuntimeError,
            SafetensorError,
            ValueError,
        ) as error:
            raise ValueError(
                f"{folder}: not the model folder of a run ({one_line(error)})"
            ) from None

    def predict(self, sentences: Sequence[Sequence[str]]) -> list[tuple[list[str], list[Span]]]:
        """For each sentence of words its IOB2 tags, and its entities as (start, end, type) over words, end exclusive;
        those of a span head may overlap."""
        encoder = self.tagger.encoder
        words = [Sentence(tuple(sentence), ("O",) * len(sentence)) for sentence in sentences]
        if not any(sentence.words for sentence in words):
            return [([], []) for _ in words]
        split = tokenise(words, self.labels, encoder.tokenizer, encoder.max_length)
        found = predict(self.tagger, split, self.device)
        ends = split.sentence_words.tolist()
        tags = self.labels.decode(found.labels)
        return [
            (tags[start:end], self.spans_between(found, tags, start, end))
            for start, end in pairwise(ends)
        ]

    def spans_between(
        self, found: Predictions, tags: Sequence[str], start: int, end: int
    ) -> list[Span]:
        if found.spans is None:
            return spans(tags[start:end])
        inside = found.spans[(found.spans[:, 0] >= start) & (found.spans[:, 1] <= end)]
        return [
            (a - start, b - start, self.labels.types[type_ - 1]) for a, b, type_ in inside.tolist()
        ]
