"""Score a saved model on the run's own data or on any other."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path

import numpy as np

from nersweep.batches.batch import Tokenised
from nersweep.command.keywords import keyword, overrides_of
from nersweep.config.build import build
from nersweep.data.corpus import (
    SPLITS,
    Corpus,
    DataSet,
    Sentence,
    entity_rows,
    is_copied,
    read,
    types_of,
)
from nersweep.data.mix import retag
from nersweep.deployment import datasets
from nersweep.deployment.models import ChosenModel, ModelOptions, find_model, load_tagger
from nersweep.evaluation.analysis import training_entities
from nersweep.evaluation.final import (
    analyse_split,
    confidence,
    decoding_of,
    with_copies,
    with_curve,
)
from nersweep.evaluation.metrics import score
from nersweep.evaluation.thresholds import prior_shift
from nersweep.faults import Fault, UserError
from nersweep.labels import LabelSet
from nersweep.machine.files import fingerprint, writable, write_json, write_text
from nersweep.model.saved import SavedTagger
from nersweep.model.tagger import Predictions
from nersweep.report.errors import error_page
from nersweep.report.predictions import TaggedSplit
from nersweep.results.result import RESULT, FinishedResult, read_result
from nersweep.run.artifacts import conll_columns, score_table, span_lines
from nersweep.run.plan import class_counts
from nersweep.terminal import console, print_table

# What depends on the probabilities of all types, and is left out where some are not scored.
OF_ALL_TYPES = (
    "cross_entropy",
    "calibration_error/",
    "auc",
    "threshold/",
    "type_thresholds/",
    "temperature/",
)


@dataclass
class EvaluateOptions(ModelOptions):
    """The options of `python -m nersweep.evaluate`."""

    data: tuple[str, ...] = overrides_of(
        "data",
        "a data set as in training; with input=FILE its reader, as in data=conll (the run's data)",
    )
    input: str | None = keyword("a file of gold labels, read as data= says")
    split: str | None = keyword("which split of the data set: train, dev or test (test)")
    types: str | None = keyword("types to score, as in PER,LOC (those that model and data share)")
    folder: str | None = keyword(
        "where scores.json, report.txt, predictions.conll and errors.html go "
        "(output_dir/evaluations/RUN-DATA-SPLIT-HASH, a hash of the options)"
    )


@dataclass(frozen=True)
class GoldSplit:
    """Sentences with IOB2 tags. name: of data and split; types: of the whole data set."""

    name: str
    sentences: Sequence[Sentence]
    types: set[str]
    notes: Sequence[str] = ()


def evaluate(options: EvaluateOptions) -> None:
    """Score a model; print the scores, and write them with the predictions and a page of errors.

    Raises UserError for wrong options and data, before anything is written.
    """
    check_data(options)
    chosen = find_model(options)
    tagger = load_tagger(options, chosen)
    trained_on, augmented, notes = training_corpus(chosen, bool(options.data))
    if options.data:
        gold = gold_split(options)
    else:
        assert trained_on, "else a fault"
        gold = split_of(trained_on, options.split)
    types, left_out = scored_types(options, gold.types, tagger.labels)
    notes += [*gold.notes, *left_out]
    folder = folder_of(options, f"{chosen.name}-{gold.name}")
    sentences = retag(gold.sentences, dict.fromkeys(gold.types - types, "O"))
    split, predicted = predict(tagger, sentences, types)
    scores = all_scores(tagger, sentences, split, predicted, trained_on, augmented, types)
    title = f"{chosen.name} on {gold.name}"
    console.print(score_table(split, predicted, tagger.labels).rstrip("\n"))
    print_scores(title, scores)
    for note in notes:
        console.print(f"note: {note}")
    facts = {"model": str(chosen.folder), "data": gold.name, "types": sorted(types)}
    write_json(folder / "scores.json", {**facts, "notes": notes, "scores": scores})
    write_files(folder, title, tagger.labels, sentences, split, predicted, notes)
    console.print(f"evaluation: {folder / 'errors.html'}")


def folder_of(options: EvaluateOptions, title: str) -> Path:
    """Return the folder to write to; by default that of the same options, and of no others."""
    if options.folder is not None:
        return writable(Path(options.folder), "folder")
    place = options.input and str(Path(options.input).absolute())
    facts = [*options.data, place, options.types, options.thresholds, options.precision]
    name = re.sub(r"[^\w.=-]+", "_", f"{title}-{fingerprint(facts)[:6]}")
    return writable(Path(options.output_dir) / "evaluations" / name)


def print_scores(title: str, scores: Mapping[str, float]) -> None:
    """Print the scores that are not of a type."""
    rows: list[tuple[str, str]] = []
    for name, value in scores.items():
        if not name.startswith("types/"):
            rows.append((name, f"{value:.4f}" if isinstance(value, float) else str(value)))
    print_table(title, ("score", "value"), rows)


def write_files(
    folder: Path,
    title: str,
    labels: LabelSet,
    sentences: Sequence[Sentence],
    split: Tokenised,
    predicted: Predictions,
    notes: Sequence[str],
) -> None:
    """Write report.txt, predictions.conll, predictions.spans.jsonl of spans, and errors.html."""
    write_text(folder / "report.txt", score_table(split, predicted, labels))
    gold_tags, tags = labels.decode(split.labels), labels.decode(predicted.labels)
    write_text(folder / "predictions.conll", conll_columns(sentences, tags))
    if predicted.spans is not None:
        lines = span_lines(sentences, predicted.spans, labels)
        write_text(folder / "predictions.spans.jsonl", lines)
    words = [word for sentence in sentences for word in sentence.words]
    tagged = TaggedSplit(
        labels, words, split.lengths(), gold_tags, tags, predicted.spans, split.spans
    )
    write_text(folder / "errors.html", error_page(title, tagged, notes))


def check_data(options: EvaluateOptions) -> None:
    """Raise UserError for options that clash."""
    if options.input is not None and not options.data:
        must = "needs its reader"
        raise UserError(Fault("input", options.input, must, "set data=NAME, as in data=conll"))
    if options.input is not None and not Path(options.input).exists():
        raise UserError(Fault("input", options.input, "no such file"))
    if options.split is not None and (options.split not in SPLITS or options.input):
        must = f"must be one of {', '.join(SPLITS)}, of a data set without input="
        raise UserError(Fault("split", options.split, must))


def training_corpus(
    chosen: ChosenModel, optional: bool
) -> tuple[Corpus | None, Sequence[Sentence], list[str]]:
    """Return the data that a model was trained on, the sentences of augment=, and notes.

    optional: return None if they cannot be read. Raises UserError then otherwise.
    """
    try:
        if chosen.run is None:
            must = "the model lies apart from its run, so its data are unknown"
            raise UserError(Fault("data", must=must, remedy="set data=NAME"))
        result = read_result(chosen.run / RESULT)
        assert isinstance(result, FinishedResult), "find_model has looked"
        section = result.config["data"]
        data: DataSet = build("data", section, section)
        corpus = read(data)
    except (UserError, OSError) as error:
        if not optional:
            raise
        lost = "seen, unseen and auc are left out, as the training data cannot be read"
        return None, (), [f"{lost} ({error})"]
    if corpus.checksum == result.data.checksum:
        section = result.config.get("augment", {})  # which an older version did not have
        augmentation = build("augment", section, section)
        seed = result.config["seed"]
        return corpus, augmentation.generate(corpus.train, seed) if augmentation else (), []
    if not optional:
        return corpus, (), ["the data have changed since the run was trained and scored on them"]
    return None, (), ["seen, unseen and auc are left out, as the training data have changed"]


def gold_split(options: EvaluateOptions) -> GoldSplit:
    """Return the sentences that the options name."""
    if options.input is not None:
        sentences, notes = datasets.read_tagged(options.data, options.input)
        types = types_of(sentences)
        for sentence in sentences:
            types.update(type_ for *_, type_ in sentence.entities or ())
        return GoldSplit(Path(options.input).stem, sentences, types, notes)
    return split_of(read(datasets.data_set(options.data)), options.split)


def split_of(corpus: Corpus, split: str | None) -> GoldSplit:
    """Return a split of a data set, test by default."""
    split = split or "test"
    name = f"{corpus.name}-{split}"
    return GoldSplit(name, corpus.splits()[split], set(corpus.labels.types), corpus.notes)


def scored_types(
    options: EvaluateOptions, of_data: set[str], labels: LabelSet
) -> tuple[set[str], list[str]]:
    """Return the types to score, and notes on those that are left out.

    Raises UserError if model and data share none, and for a type that the model lacks.
    """
    shared = of_data & set(labels.types)
    model_has, data_have = ", ".join(labels.types), ", ".join(sorted(of_data)) or "none"
    if not shared:
        must = f"share no type: the model has {model_has}, the data have {data_have}"
        raise UserError(Fault("model and data", must=must, remedy="data.map renames types"))
    types = set(options.types.split(",")) if options.types else shared
    if unknown := sorted(types - set(labels.types)):
        must = f"the model has no {', '.join(unknown)}; it has {model_has}"
        raise UserError(Fault("types", options.types, must))
    notes: list[str] = []
    if others := sorted(of_data - types):
        notes.append(f"entities of {', '.join(others)} in the data are not scored")
    if others := sorted(set(labels.types) - types):
        notes.append(f"predictions of {', '.join(others)} are not scored")
    return types, notes


def predict(
    tagger: SavedTagger, sentences: Sequence[Sentence], types: set[str]
) -> tuple[Tokenised, Predictions]:
    """Return sentences with their gold labels, and what a model predicts for them, of these types.

    The probabilities are those of the run, without its temperature.
    """
    labels = tagger.labels
    split = tagger.tokenise([sentence.words for sentence in sentences])
    gold: list[int] = []
    for sentence in sentences:
        gold += labels.encode(sentence.tags)
    predicted = tagger.predictions(split, temperature=1.0)
    ids = [number for number, name in enumerate(labels.types, 1) if name in types]
    is_scored = np.isin(labels.type_ids, [0, *ids])  # (K,)
    predicted = predicted._replace(
        labels=np.where(is_scored[predicted.labels], predicted.labels, 0)
    )
    if predicted.spans is not None:
        inside = np.isin(predicted.spans[:, 2], ids)
        predicted = predicted._replace(spans=predicted.spans[inside])
    rows = entity_rows(sentences, labels)
    return replace(split, labels=np.array(gold), spans=rows), predicted


def all_scores(
    tagger: SavedTagger,
    sentences: Sequence[Sentence],
    split: Tokenised,
    predicted: Predictions,
    trained_on: Corpus | None,
    augmented: Sequence[Sentence],
    types: set[str],
) -> dict[str, float]:
    """Return every score that a run has of a split, by the same names, without those unknown."""
    labels, head = tagger.labels, tagger.tagger.head
    base = score(
        split.labels, predicted.labels, split.lengths(), labels, predicted.spans, split.spans
    )
    decoding = decoding_of(head, labels, split, predicted, tagger.device)
    has_spans = predicted.spans is not None
    known = training_entities(trained_on.train, labels, has_spans) if trained_on else set()
    analysis = analyse_split(decoding, predicted, sentences, known)
    if trained_on:
        prior = prior_shift(head, class_counts(trained_on, type(head), augmented))
        copied = is_copied(sentences, trained_on.train)
        analysis = with_copies(analysis, decoding, predicted, copied)
        analysis, _ = with_curve(analysis, decoding, prior, sentences)
    scores = base.flat() | analysis.flat()
    for name, key in (("tau", "threshold"), ("types", "type_thresholds")):
        if name in tagger.shifts:
            scores |= decoding.rates(tagger.shifts[name].numpy()).flat(key)
    scores |= confidence(decoding, tagger.temperature).flat("temperature")
    hidden: Iterable[str] = () if trained_on else ("seen", "unseen", "auc")
    if types != set(labels.types):
        hidden = (*hidden, *OF_ALL_TYPES)
    kept: dict[str, float] = {}
    for name, value in scores.items():
        if not (name.startswith(tuple(hidden)) or isnan(value)):
            kept[name] = value
    return kept
