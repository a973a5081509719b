"""Time per token and memory against the number of sentences: does either grow with the corpus?

    OMP_NUM_THREADS=1 python benchmarks/growth.py --rounds 3

For each size a process reads a column file, tokenises it, and trains the small encoder of
model=tiny for an epoch with 32 sentences per step; tokens are its pieces. The sentences are
generated: each size takes the first ones of the largest corpus, and all share one vocabulary, the
words that occur 20 times in that corpus, so that all sizes train the same model. The time of `fit`
counts, without scoring the 500 development sentences; small sizes are trained several times, for
the median. Each process first trains for an epoch on the first --warm sentences, whatever its
size: oneDNN keeps memory for each matrix shape that it has met, up to 1,024 of them, and rare
shapes come late.

Memory is the resident set: the text of the sentences; the bytes of the tokenised arrays; the
increase while tokenising, arrays included; the increase while training, which is weights, averages
and activations, and should be the same for all sizes. Sizes are interleaved over the rounds.
Prints Markdown: medians over the rounds, and the range. Linux only.
"""

import argparse
import ctypes
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from common import machine, shown

from nersweep.batches.batch import Tokenised
from nersweep.batches.windows import tokenise
from nersweep.config.schema import TrainConfig
from nersweep.data.columns import read_file
from nersweep.data.corpus import Corpus, Sentence
from nersweep.data.generated import TYPES, Generated
from nersweep.labels import LabelSet
from nersweep.losses import CrossEntropyLoss
from nersweep.machine.device import choose_precision
from nersweep.model.encoders.scratch import Scratch
from nersweep.model.heads.token import TokenHead
from nersweep.model.tagger import Tagger
from nersweep.training.loop import fit

LABELS = LabelSet(TYPES)
DEVICE = torch.device("cpu")
OFTEN, DEV = 20, 500
TRAINED = 20_000  # sentences at least, before a size's median is taken


def write_corpus(sizes: list[int], warm: int, folder: Path) -> None:
    """Write a column file per size; warm.txt, dev.txt, vocabulary.txt (its words in a row)."""
    shape = {
        "imbalance": 20,
        "o_share": 0.83,
        "ambiguity": 0.15,
        "unseen": 0.5,
        "label_noise": 0,
        "seed": 1,
    }
    corpus = Generated(train=max(sizes), dev=DEV, test=1, **shape).load()
    counts = Counter(word for sentence in corpus.train for word in sentence.words)
    characters = {character for word in counts for character in word}
    words = [word for word, count in counts.items() if count >= OFTEN and len(word) > 1] + sorted(
        characters
    )
    files = {f"{size}.txt": corpus.train[:size] for size in sizes} | {
        "dev.txt": corpus.dev,
        "warm.txt": corpus.train[:warm],
    }
    files["vocabulary.txt"] = [Sentence(tuple(words), ("O",) * len(words))]
    for name, sentences in files.items():
        with open(folder / name, "w", encoding="utf-8") as file:
            for sentence in sentences:
                file.writelines(
                    f"{word} {tag}\n"
                    for word, tag in zip(sentence.words, sentence.tags, strict=True)
                )
                file.write("\n")


def memory(key: str) -> int:
    """Bytes: VmRSS, resident now; VmHWM, the most since `forget_peak`."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith(f"{key}:"))


def forget_peak() -> int:
    """Gives free memory back to the system, and lets the peak start at what is left: bytes."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def measure(size: int, folder: Path, hidden: int) -> dict[str, float]:
    """Seconds per 1,000 tokens and bytes, by name."""
    (vocabulary,), dev_sentences = (
        read_file(folder / "vocabulary.txt"),
        read_file(folder / "dev.txt"),
    )
    words = Corpus("growth", "generated", [vocabulary], [], [])
    tiny = Scratch(
        hidden, layers=2, heads=4, dropout=0.1, max_length=256, min_count=1, pieces="words"
    )
    tokenizer = tiny.tokenizer(words)

    def tokenised(sentences: list[Sentence]) -> Tokenised:
        return tokenise(sentences, LABELS, tokenizer, tiny.max_length)

    def trained(train: Tokenised) -> float:
        """Seconds of an epoch."""
        torch.manual_seed(1)
        encoder = tiny.build(LABELS.names, words).on(DEVICE, choose_precision("auto", DEVICE))
        tagger = Tagger(encoder, TokenHead(encoder, LABELS), CrossEntropyLoss())
        started = time.perf_counter()
        fitted = fit(
            tagger, train, dev, LABELS, TrainConfig(epochs=1, lr=1e-3), 1, DEVICE, lambda _: None
        )
        return time.perf_counter() - started - fitted.eval_seconds

    dev = tokenised(dev_sentences)
    trained(tokenised(read_file(folder / "warm.txt")))
    empty = forget_peak()
    sentences = read_file(folder / f"{size}.txt")
    before = forget_peak()
    started = time.perf_counter()
    split = tokenised(sentences)
    tokenising = time.perf_counter() - started
    tokenising_peak = memory("VmHWM") - before
    times, peaks = [], []
    for _ in range(max(1, TRAINED // size)):
        resident = forget_peak()
        times.append(trained(split))
        peaks.append(memory("VmHWM") - resident)
    thousands = len(split.pieces) / 1000
    arrays = (getattr(split, field.name) for field in fields(split))
    return {
        "tokens": len(split.pieces),
        "epoch": statistics.median(times) / thousands,
        "tokenising": tokenising / thousands,
        "text": before - empty,
        "arrays": sum(array.nbytes for array in arrays if isinstance(array, np.ndarray)),
        "tokenising peak": tokenising_peak,
        "training peak": statistics.median(peaks),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[2_000, 20_000, 200_000], help="sentences"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--warm", type=int, default=20_000, help="sentences trained on before, in each process"
    )
    parser.add_argument(
        "--hidden", type=int, default=128, help="width of the encoder, a multiple of 4"
    )
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.sizes[0], given.one, given.hidden)))
        return
    results: dict[int, list[dict[str, float]]] = {size: [] for size in given.sizes}
    with tempfile.TemporaryDirectory(prefix="nersweep-") as folder:
        print("generating sentences", file=sys.stderr, flush=True)
        write_corpus(given.sizes, given.warm, Path(folder))
        for number in range(1, given.rounds + 1):
            for size in given.sizes:
                print(
                    f"round {number} of {given.rounds}: {size:,} sentences",
                    file=sys.stderr,
                    flush=True,
                )
                command = [
                    __file__,
                    "--sizes",
                    str(size),
                    "--hidden",
                    str(given.hidden),
                    "--one",
                    folder,
                ]
                done = subprocess.run(
                    [sys.executable, *command], stdout=subprocess.PIPE, text=True, check=True
                )
                results[size].append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{machine(torch.get_num_threads())}, {given.rounds} rounds\n")
    first = [result["epoch"] for result in results[given.sizes[0]]]
    columns = [
        "sentences",
        "tokens",
        "epoch, ms per 1,000 tokens",
        f"of that of {given.sizes[0]:,}",
    ]
    columns += [
        "tokenising, ms per 1,000 tokens",
        "text, MB",
        "arrays, MB",
        "tokenising adds at most, MB",
    ]
    columns += ["training adds at most, MB"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for size, runs in results.items():
        of = {key: [run[key] for run in runs] for key in runs[0]}
        cells = [f"{size:,}", f"{of['tokens'][0]:,}", shown([1e3 * s for s in of["epoch"]])]
        cells += [shown([a / b for a, b in zip(of["epoch"], first, strict=True)], 2)]
        cells += [
            shown([1e3 * s for s in of["tokenising"]], 2),
            shown([b / 1e6 for b in of["text"]]),
        ]
        cells += [f"{of['arrays'][0] / 1e6:.1f}"]
        cells += [shown([b / 1e6 for b in of[key]]) for key in ("tokenising peak", "training peak")]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
