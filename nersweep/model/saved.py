"""A tagger on disk: the encoder as transformers saves it, and beside it what the head adds."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from nersweep.batches.batch import Tokenised
from nersweep.batches.windows import tokenise
from nersweep.config.build import Recipe, build
from nersweep.data.corpus import Sentence
from nersweep.faults import Fault, UserError, one_line
from nersweep.labels import LabelSet, Span, spans
from nersweep.losses import CrossEntropyLoss
from nersweep.machine import files
from nersweep.model.encoders import adapters
from nersweep.model.encoders.encoder import Encoder
from nersweep.model.encoders.pretrained import Pretrained, hide_from_transformers
from nersweep.model.heads.base import Head
from nersweep.model.heads.crf import CRFHead
from nersweep.model.heads.span import SpanHead
from nersweep.model.heads.token import TokenHead
from nersweep.model.tagger import Predictions, Tagger, predict

HEAD = "nersweep.json"  # the head with its settings, the entity types, the pieces of a window
HEAD_WEIGHTS = "head.safetensors"  # the parameters outside the encoder
HEADS: dict[str, type[Head]] = {"token": TokenHead, "crf": CRFHead, "span": SpanHead}
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# What a folder leads to that is not the model of a run.
UNREADABLE = (
    OSError,
    LookupError,
    ArithmeticError,
    RecursionError,
    TypeError,
    AttributeError,
    RuntimeError,
    SafetensorError,
    ValueError,
)


def save(
    folder: Path,
    tagger: Tagger,
    head: Recipe,
    labels: LabelSet,
    dtype: torch.dtype,
    thresholds: Mapping[str, np.ndarray],
    temperature: float,
) -> None:
    """Write a tagger to a folder. dtype: the precision in which it was scored.

    thresholds: by name, what each adds to the scores of a word, (outputs,). temperature: what
    divides the scores for calibrated probabilities. Both were chosen on dev after training.

    `transformers.pipeline` loads the folder of a token head, which needs the encoder's files alone.
    It refuses that of any other head, which it would take for a token head, and a decoder's, whose
    words it would label at their first pieces.
    """
    encoder = tagger.encoder
    encoder.save(folder)
    if encoder.adapter is None and head.target is not TokenHead:
        hide_from_transformers(folder, f"nersweep with head={option_of(head.target)}")
    elif encoder.adapter is None and encoder.reading.last:
        hide_from_transformers(folder, "nersweep, which labels a word at its last piece")
    weights = {name: value.contiguous() for name, value in tagger.head.state_dict().items()}
    if weights:
        save_file(weights, folder / HEAD_WEIGHTS)
    facts = {
        "head": {"option": option_of(head.target), **head.arguments},
        "types": labels.types,
        "max_length": encoder.max_length,
        "attention": encoder.ahead or None,
        "adapter": encoder.adapter.facts() if encoder.adapter else None,
        "precision": str(dtype).removeprefix("torch."),
        "thresholds": {name: shift.tolist() for name, shift in thresholds.items()},
        "temperature": temperature,
    }
    files.write_json(folder / HEAD, facts)


def option_of(head: type[Head]) -> str:
    """Return the option of a head, or the path of a plug-in's."""
    for option, target in HEADS.items():
        if target is head:
            return option
    return f"{head.__module__}.{head.__qualname__}"


def recipe_of(settings: dict[str, object]) -> Recipe:
    """Return the recipe of a saved head. Raises UserError unless it is ours or a plug-in's."""
    option = settings.pop("option")
    head = HEADS.get(str(option))
    path = f"{head.__module__}.{head.__qualname__}" if head else option
    section = {"_target_": path, **settings}
    recipe: Recipe = build("head", section, section)
    return recipe


class Mention(NamedTuple):
    """An entity of a sentence: words from start to end, exclusive.

    probability: the smallest that the model gives to the label of one of its words, or, with a span
    head, to its start and its end; at the temperature that the run chose on dev, without
    thresholds.
    """

    start: int
    end: int
    type: str
    probability: float


class TaggedSentence(NamedTuple):
    """The IOB2 tags of a sentence, and its entities; those of a span head may overlap."""

    tags: list[str]
    entities: list[Mention]


class SavedTagger:
    """A saved tagger, ready to predict: `SavedTagger("outputs/runs/focal-g3-s1-…/model")`.

    It computes in the precision in which the run was scored, or in `dtype`. thresholds: "tau" or
    "types" applies the threshold for rare labels, or the types' own, that the run chose on dev.

    No code in the folder is run: the encoder is read from safetensors, and its head must be one of
    ours. Raises UserError for a folder that `save` has not written, for unknown thresholds, and for
    thresholds that a folder of an older version lacks.
    """

    def __init__(
        self,
        folder: str | Path,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        thresholds: str = "none",
    ):
        self.device = torch.device(device)
        try:
            self.labels, self.tagger = load(Path(folder), self.device, dtype)
            self.temperature, self.shifts = read_choices(Path(folder), self.tagger.head)
        except UNREADABLE as error:
            must = f"not the model folder of a run ({one_line(error)})"
            raise UserError(Fault(str(folder), must=must)) from None
        self.shift = None
        if thresholds != "none":
            if thresholds not in self.shifts:
                must = f"must be one of {', '.join(['none', *self.shifts])} for {folder}"
                remedy = (
                    "" if self.shifts else "an older version made its run; rerun=true repeats it"
                )
                raise UserError(Fault("thresholds", thresholds, must, remedy))
            self.shift = self.shifts[thresholds].to(self.device)

    def predict(self, sentences: Sequence[Sequence[str]]) -> list[tuple[list[str], list[Span]]]:
        """Return for each sentence of words its IOB2 tags, and its entities.

        These are (start, end, type) over words, end exclusive; those of a span head may overlap.
        """
        results: list[tuple[list[str], list[Span]]] = []
        for sentence in self.tag(sentences):
            results.append((sentence.tags, [entity[:3] for entity in sentence.entities]))
        return results

    def tag(self, sentences: Sequence[Sequence[str]]) -> list[TaggedSentence]:
        """Return for each sentence of words its tags, and its entities with probabilities."""
        if not any(sentences):
            return [TaggedSentence([], []) for _ in sentences]
        split = self.tokenise(sentences)
        predictions = self.predictions(split, self.temperature)
        tags = self.labels.decode(predictions.labels)
        results: list[TaggedSentence] = []
        for first, last in pairwise(split.sentence_words.tolist()):
            results.append(TaggedSentence(tags[first:last], []))
        for number, mention in self.mentions(split, predictions, tags):
            results[number].entities.append(mention)
        return results

    def mentions(
        self, split: Tokenised, predictions: Predictions, tags: Sequence[str]
    ) -> Iterator[tuple[int, Mention]]:
        """Yield the entities of a split from left to right, each with its sentence's number."""
        bounds, probabilities = split.sentence_words, predictions.probabilities
        if predictions.spans is None:
            of_words = probabilities[np.arange(len(tags)), 0, predictions.labels]  # (W,)
            for number, (first, last) in enumerate(pairwise(bounds.tolist())):
                for start, end, type_ in spans(tags[first:last]):
                    least = float(of_words[first + start : first + end].min())
                    yield number, Mention(start, end, type_, least)
            return
        rows = predictions.spans[np.lexsort(predictions.spans.T[::-1])]
        numbers = np.searchsorted(bounds, rows[:, 0], side="right") - 1
        starts = probabilities[rows[:, 0], 0, rows[:, 2]]
        ends = probabilities[rows[:, 1] - 1, 1, rows[:, 2]]
        least_of = np.minimum(starts, ends).tolist()
        for number, row, least in zip(numbers.tolist(), rows.tolist(), least_of, strict=True):
            first, type_ = int(bounds[number]), self.labels.types[row[2] - 1]
            yield number, Mention(row[0] - first, row[1] - first, type_, least)

    def probabilities(self, sentences: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Return for each sentence the probabilities of the classes, (words, pointers, classes).

        Classes are those of `self.tagger.head.classes(self.labels)`. The probabilities are at the
        temperature that the run chose on dev; thresholds change predictions alone.
        """
        head = self.tagger.head
        if not any(sentences):
            classes = len(head.classes(self.labels))
            return [np.zeros((0, head.pointers, classes), np.float32) for _ in sentences]
        split = self.tokenise(sentences)
        predictions = self.predictions(split, self.temperature)
        return np.split(predictions.probabilities, split.sentence_words[1:-1])

    def predictions(self, split: Tokenised, temperature: float) -> Predictions:
        """Return the predictions for a split that `tokenise` has made."""
        return predict(self.tagger, split, self.device, self.shift, temperature)

    def tokenise(self, sentences: Sequence[Sequence[str]]) -> Tokenised:
        """Return sentences of words, at least one word in all, as the encoder sees them."""
        encoder = self.tagger.encoder
        words = [Sentence(tuple(sentence), ("O",) * len(sentence)) for sentence in sentences]
        return tokenise(
            words, self.labels, encoder.tokenizer, encoder.max_length, reading=encoder.reading
        )


def load(
    folder: Path, device: torch.device, dtype: torch.dtype | None = None
) -> tuple[LabelSet, Tagger]:
    """Return the labels and the tagger of a folder. Raises what the folder leads to."""
    facts = json.loads((folder / HEAD).read_text(encoding="utf-8"))
    labels = LabelSet(facts["types"])
    head = recipe_of(facts["head"])
    target: type[Head] = head.target
    encoder = load_encoder(folder, facts, target.outputs(labels))
    tagger = Tagger(encoder, head.make(encoder=encoder, labels=labels), CrossEntropyLoss())
    if tagger.head.state_dict():
        tagger.head.load_state_dict(load_file(folder / HEAD_WEIGHTS))
    tagger.to(device)
    encoder.on(device, dtype or PRECISIONS[facts["precision"]])
    return labels, tagger


def load_encoder(folder: Path, facts: Mapping[str, Any], outputs: Sequence[str]) -> Encoder:
    """Return the encoder of a folder, whose classifier must have these outputs."""
    settings = {"max_length": facts["max_length"], "attention": facts.get("attention")}
    adapter = facts.get("adapter")
    if adapter is None:
        encoder, whole = Pretrained(str(folder), **settings).load_encoder(outputs)
        if not whole:
            raise ValueError("its weights are not those of a model with the types of its labels")
        return encoder
    refuse_base(folder, **adapter["base"])
    pretrained = Pretrained(**adapter["base"], **settings, peft="lora", lora=adapter["lora"])
    if pretrained.identity_of_files() != adapter["identity"]:
        raise ValueError(
            f"{pretrained.name} is no longer the model that its adapter was trained on"
        )
    encoder = pretrained.build(outputs)
    adapters.load(folder, encoder.model)
    return encoder


def refuse_base(folder: Path, name: str, revision: str | None, load: str | None) -> None:
    """Raise UserError if the base of an adapter's folder cannot be loaded here."""
    if load in ("8bit", "4bit") and not torch.cuda.is_available():
        must = f"was trained with model.load={load}, which needs CUDA"
        raise UserError(Fault("model", folder, must, "use it on a machine with a GPU"))
    if revision is None and not Path(name).is_dir():
        must = f"needs its base model, the folder {Path(name).absolute()}, which is missing"
        raise UserError(Fault("model", folder, must, "put a copy of the base there"))


def hide_base_path(folder: Path) -> None:
    """Leave of the path to an adapter's base, if that is a folder, its last part: ./NAME."""
    facts = json.loads((folder / HEAD).read_text(encoding="utf-8"))
    adapter = facts.get("adapter")
    if adapter is None or adapter["base"]["revision"] is not None:  # a base on the hub has one
        return
    name = adapter["base"]["name"] = f"./{Path(adapter['base']['name']).name}"
    files.write_json(folder / HEAD, facts)
    of_peft = json.loads((folder / adapters.CONFIG).read_text(encoding="utf-8"))
    files.write_json(folder / adapters.CONFIG, of_peft | {"base_model_name_or_path": name})


def read_choices(folder: Path, head: Head) -> tuple[float, dict[str, torch.Tensor]]:
    """Return the temperature and the thresholds (outputs,) of a folder, by name.

    1 and none if an older version wrote it. Raises what the folder leads to.
    """
    facts = json.loads((folder / HEAD).read_text(encoding="utf-8"))
    temperature = float(facts.get("temperature", 1.0))
    outputs = len(head.outputs(head.labels))
    shifts: dict[str, torch.Tensor] = {}
    for name, values in facts.get("thresholds", {}).items():
        shifts[name] = torch.tensor(values, dtype=torch.float32)
        if shifts[name].shape != (outputs,) or not shifts[name].isfinite().all():
            raise ValueError(f"its threshold {name} is not {outputs} finite numbers")
    if not 0 < temperature < float("inf"):
        raise ValueError(f"its temperature is {temperature}, must be > 0 and finite")
    return temperature, shifts
