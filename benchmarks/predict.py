"""Tagging with a saved model beside transformers.pipeline: sentences per second, and memory.

    OMP_NUM_THREADS=1 python benchmarks/predict.py --model RUN/model --data DIR

RUN is a finished run with head=token on CoNLL-2003, DIR holds the data. Both tag the same sentences
of test.txt, with the words given, in turn; then both get them as raw text, to count how often their
entities differ. With --memory MB … it measures instead the peak memory of
python -m nersweep.predict for files of raw text of so many megabytes.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
import transformers
from common import corpus_of, machine, ratios, shown
from transformers import pipeline

from nersweep.deployment.documents import Document, of_text, of_words
from nersweep.deployment.output import json_line, spans_of
from nersweep.deployment.prediction import tag_all
from nersweep.model.saved import SavedTagger

Spans = list[list[tuple[int, int, str]]]


def ours(tagger: SavedTagger, documents: Iterable[Document]) -> Spans:
    """Tag and write as the command does."""
    spans: Spans = []
    for document, tagged in tag_all(tagger, documents):
        json_line(document, tagged)
        found = spans_of(document, tagged)
        spans.append([(span["start"], span["end"], span["label"]) for span in found])
    return spans


def theirs(tagger, texts: list, size: int, **arguments: object) -> Spans:
    spans: Spans = []
    for entities in tagger(texts, batch_size=size, **arguments):
        spans.append([(x["start"], x["end"], x["entity_group"]) for x in entities])
    return spans


def timed(call: Callable[[], Spans]) -> tuple[float, Spans]:
    started = time.perf_counter()
    spans = call()
    return time.perf_counter() - started, spans


def is_undivided(word: str) -> bool:
    """Return whether a tokeniser that splits at punctuation leaves a word whole."""
    return word.isalnum() or len(word) == 1


def compare(folder: str, sentences: list[list[str]], rounds: int) -> None:
    """Print the sentences per second of each, and how often entities differ."""
    given, texts = list(map(of_words, sentences)), [" ".join(words) for words in sentences]
    taggers = {
        "nersweep, precision of the run": SavedTagger(folder),
        "nersweep, fp32": SavedTagger(folder, dtype=torch.float32),
    }
    tagger = pipeline("token-classification", model=folder, aggregation_strategy="first")
    calls: dict[str, Callable[[], Spans]] = {}
    for name, own in taggers.items():
        calls[name] = lambda own=own: ours(own, given)
    for size in (1, 32):
        calls[f"pipeline, batch_size={size}"] = lambda size=size: theirs(
            tagger, sentences, size, is_split_into_words=True
        )
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    spans: dict[str, Spans] = {}
    for _ in range(rounds):
        for name, call in calls.items():
            taken, spans[name] = timed(call)
            seconds[name].append(taken)
    print(machine(torch.get_num_threads()), f"{len(sentences)} sentences\n", sep=", ")
    # The pipeline takes U.S. for four words, each with a label of its own.
    whole = [i for i, words in enumerate(sentences) if all(map(is_undivided, words))]
    header = "| | sentences/s | times the pipeline, batch_size=1 | batch_size=32 | other entities |"
    print(f"{header} of {len(whole)} undivided |")
    print("|---|---|---|---|---|---|")
    alone, batched = list(seconds)[2:]
    for name, times in seconds.items():
        rate = shown([len(sentences) / t for t in times])
        other = sum(a != b for a, b in zip(spans[name], spans[alone], strict=True))
        gains = [shown(ratios(seconds[base], times), 2) for base in (alone, batched)]
        undivided = sum(spans[name][i] != spans[alone][i] for i in whole)
        print(f"| {name} | {rate} | {' | '.join(gains)} | {other} | {undivided} |")
    raw = ours(taggers["nersweep, fp32"], map(of_text, texts))
    raw_theirs = theirs(tagger, texts, 1)
    other = sum(a != b for a, b in zip(raw, raw_theirs, strict=True))
    entities = sum(map(len, raw)), sum(map(len, raw_theirs))
    print(f"\nRaw text, fp32: {other} of {len(texts)} sentences have other entities;", end=" ")
    print(f"{entities[0]} entities, the pipeline {entities[1]}")
    for name, found, reference in (("nersweep", raw, spans), ("pipeline", raw_theirs, spans)):
        other = sum(a != b for a, b in zip(found, reference["nersweep, fp32"], strict=True))
        print(f"{name} on raw text against its words given: {other} sentences differ")


def memory(folder: str, texts: list[str], megabytes: list[float]) -> None:
    """Print the peak memory of the command for files of these sizes."""
    for size in megabytes:
        with tempfile.TemporaryDirectory() as scratch:
            file, count = Path(scratch) / "texts", 0
            with open(file, "w", encoding="utf-8") as out:
                while count < size * 1e6:
                    for text in texts:
                        count += out.write(f"{text}\n")
                        if count >= size * 1e6:
                            break
            command = [sys.executable, "-m", "nersweep.predict", f"model={folder}"]
            started = time.perf_counter()
            subprocess.run([*command, f"input={file}", "output=/dev/null"], check=True)
            seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"{size:g} MB: peak {peak:.0f} MiB so far, {seconds:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=float, nargs="+", help="megabytes of raw text, ascending")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    test = corpus_of(arguments.data).test[: arguments.sentences]
    sentences = [list(sentence.words) for sentence in test]
    if arguments.memory:
        memory(arguments.model, [" ".join(words) for words in sentences], arguments.memory)
    else:
        compare(arguments.model, sentences, arguments.rounds)


if __name__ == "__main__":
    main()
