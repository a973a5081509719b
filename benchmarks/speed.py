"""The training loop against the Hugging Face Trainer: MiniLM, CoNLL-2003, 32 sentences per step.

    python benchmarks/speed.py --data DIR --share 0.25 --rounds 3

DIR holds train.txt, valid.txt and test.txt of CoNLL-2003. One process after another, interleaved
over the rounds: nersweep; the Trainer with the settings of its token-classification example (fp32,
random batches); the Trainer with bf16 and group_by_length. Measures the seconds of an epoch over a
share of the training split, data loading included, those of evaluating the development split with
its scores, and the largest resident set. Each process evaluates twice and the faster time counts:
the first evaluation meets its shapes for the first time, and a run evaluates after every epoch.
Prints Markdown: medians over the rounds, and the range; and the peak of a bf16 matrix product in
the same run.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from common import LABELS, MINILM, corpus_of, machine, peak, ratios, shown

from nersweep.data.corpus import Corpus

CONTENDERS = {
    "nersweep": "nersweep",
    "Trainer, as in its example": "plain",
    "Trainer, bf16 and group_by_length": "best",
}


def ours(corpus: Corpus) -> tuple[float, float]:
    """Seconds of one epoch, and of evaluating dev."""
    from nersweep.batches.windows import tokenise
    from nersweep.config.schema import TrainConfig
    from nersweep.evaluation.metrics import score
    from nersweep.losses import CrossEntropyLoss
    from nersweep.machine.device import choose_precision
    from nersweep.model.heads.token import TokenHead
    from nersweep.model.tagger import Tagger, predict
    from nersweep.training.loop import fit

    torch.manual_seed(1)
    device = torch.device("cpu")
    encoder = MINILM.build(LABELS.names)
    splits = {
        name: tokenise(sentences, LABELS, encoder.tokenizer, encoder.max_length)
        for name, sentences in corpus.splits().items()
    }
    encoder.use_rows(np.concatenate([split.pieces for split in splits.values()]))
    encoder.on(device, choose_precision("auto", device))
    tagger = Tagger(encoder, TokenHead(encoder, LABELS), CrossEntropyLoss())
    fitted = fit(
        tagger,
        splits["train"],
        splits["dev"],
        LABELS,
        TrainConfig(epochs=1),
        1,
        device,
        lambda _: None,
    )
    dev = splits["dev"]
    started = time.perf_counter()
    score(dev.labels, predict(tagger, dev, device).labels, dev.lengths(), LABELS)
    return fitted.train_seconds, min(fitted.eval_seconds, time.perf_counter() - started)


def theirs(corpus: Corpus, best: bool) -> tuple[float, float]:
    from trainer import encode, scores
    from transformers import DataCollatorForTokenClassification, Trainer, TrainingArguments

    torch.manual_seed(1)
    encoder = MINILM.build(LABELS.names)
    train, dev = (
        encode(list(split), LABELS, encoder.tokenizer) for split in (corpus.train, corpus.dev)
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=32,
            per_device_eval_batch_size=32,
            learning_rate=5e-5,
            num_train_epochs=1,
            bf16=best,
            bf16_full_eval=best,
            train_sampling_strategy="group_by_length" if best else "random",
            save_strategy="no",
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
        )
        collator = DataCollatorForTokenClassification(encoder.tokenizer)
        trainer = Trainer(
            encoder.model, arguments, collator, train, processing_class=encoder.tokenizer
        )
        started = time.perf_counter()
        trainer.train()
        times = [time.perf_counter()]
        for _ in range(2):
            scores(trainer, dev, LABELS)
            times.append(time.perf_counter())
        return times[0] - started, min(times[1] - times[0], times[2] - times[1])


def measure(contender: str, folder: Path, share: float) -> dict[str, float]:
    corpus = corpus_of(folder, share)
    train, dev = ours(corpus) if contender == "nersweep" else theirs(corpus, contender == "best")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # KiB on Linux
    return {"train": train, "dev": dev, "memory": memory, "peak": peak()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--share", type=float, default=1.0, help="of the training split")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--one", choices=CONTENDERS.values(), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        torch.set_num_threads(given.threads)
        print(json.dumps(measure(given.one, given.data, given.share)))
        return
    results: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    for round_ in range(given.rounds):
        for name, key in CONTENDERS.items():
            print(f"round {round_ + 1} of {given.rounds}: {name}", file=sys.stderr, flush=True)
            options = {
                "--data": given.data,
                "--share": given.share,
                "--threads": given.threads,
                "--one": key,
            }
            command = [
                sys.executable,
                __file__,
                *(str(part) for option in options.items() for part in option),
            ]
            environment = os.environ | {"OMP_NUM_THREADS": str(given.threads)}
            done = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, check=True, env=environment
            )
            results[name].append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{machine(given.threads)}\n")
    print(
        "| | epoch, s | times ours | dev, s | times ours | memory, GB |\n|---|---|---|---|---|---|"
    )
    of = {name: {key: [r[key] for r in runs] for key in runs[0]} for name, runs in results.items()}
    for name, runs in of.items():
        times = {key: shown(ratios(runs[key], of["nersweep"][key])) for key in ("train", "dev")}
        cells = [
            shown(runs["train"]),
            times["train"],
            shown(runs["dev"]),
            times["dev"],
            shown(runs["memory"], 2),
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    highest = max(max(runs["peak"]) for runs in of.values())
    print(f"\nPeak of a bf16 matrix product: {highest:.0f} GFLOP/s")


if __name__ == "__main__":
    main()
