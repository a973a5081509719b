"""What each part of the training engine saves: a training step with it against one without it.

    OMP_NUM_THREADS=1 python benchmarks/engine.py --data DIR

DIR holds train.txt, valid.txt and test.txt of CoNLL-2003. For each switch of `train.engine`, two
MiniLM taggers take the same steps of 32 sentences in turn, in one process on one thread of the CPU,
in bf16: one with all parts, one with this part off. Prints Markdown: the median of the steps and
the range, and the ratio of each pair. AdamW's update is also timed by itself.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import transformers
from common import LABELS, MINILM, corpus_of, machine, ratios, shown

from nersweep.batches.windows import tokenise
from nersweep.config.schema import EngineConfig, TrainConfig
from nersweep.data.corpus import Corpus
from nersweep.losses import CrossEntropyLoss
from nersweep.model.heads.token import TokenHead
from nersweep.model.tagger import Tagger, weighted_sum
from nersweep.training.loop import parameter_groups
from nersweep.training.optimiser import AdamW
from nersweep.training.sampling import epoch_batches, micro_batches

CPU = torch.device("cpu")
PARTS = {
    "packing": "packing",
    "masks": "dropout masks",
    "chunked_adamw": "AdamW in chunks",
    "used_rows": "vocabulary rows in use",
}
UPDATE = "AdamW in chunks, the update alone"
WARM_UP = 3  # steps


class Training:
    """A tagger that takes training steps, with some parts of the engine."""

    def __init__(self, corpus: Corpus, engine: EngineConfig):
        torch.manual_seed(1)
        config = TrainConfig(engine=engine)
        encoder = MINILM.build(LABELS.names)
        splits = []
        for sentences in corpus.splits().values():
            splits.append(tokenise(sentences, LABELS, encoder.tokenizer, encoder.max_length))
        if engine.used_rows:
            encoder.use_rows(np.concatenate([split.pieces for split in splits]))
        encoder.on(CPU, torch.bfloat16, engine)
        self.train = splits[0]
        self.tagger = Tagger(encoder, TokenHead(encoder, LABELS), CrossEntropyLoss()).train()
        self.optimiser = AdamW(parameter_groups(self.tagger, config), engine.chunked_adamw)
        self.order = epoch_batches(len(self.train), config.batch_size, seed=1, epoch=1)

    def step(self, i: int) -> tuple[float, float]:
        """Take a step; return the seconds of all of it, and of the update."""
        started = time.perf_counter()
        packed, sentences = self.tagger.encoder.packed, self.order[i % len(self.order)]
        for batch in micro_batches(self.train, sentences, 1, packed, True, CPU):
            features, emissions = self.tagger(batch.inputs)
            terms = self.tagger.terms(emissions, features, batch.gold, batch.step)
            weighted_sum(terms).backward()
        half = time.perf_counter()
        self.optimiser.step(0.5, 1.0)
        ended = time.perf_counter()
        return ended - started, ended - half


def compare(corpus: Corpus, part: str, steps: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return milliseconds with and without a part, (steps,), of the steps and of their updates."""
    with_it = Training(corpus, EngineConfig())
    without = Training(corpus, replace(EngineConfig(), **{part: False}))
    times = np.zeros((2, steps, 2))
    for i in range(-WARM_UP, steps):
        order = [(0, with_it), (1, without)]
        for which, training in order if i % 2 else reversed(order):
            seconds = training.step(i)
            if i >= 0:
                times[which, i] = seconds
    return [tuple(1e3 * times[:, :, what]) for what in (0, 1)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=40, help="of each kind")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    corpus = corpus_of(options.data)
    print(f"{machine(1)}\n")
    print("| part | with, ms | without, ms | ratio |\n|---|---|---|---|")
    for part, name in PARTS.items():
        step, update = compare(corpus, part, options.steps)
        rows = {name: step, UPDATE: update} if part == "chunked_adamw" else {name: step}
        for label, (on, off) in rows.items():
            ratio = shown(ratios(off.tolist(), on.tolist()), 2)
            print(
                f"| {label} | {shown(on.tolist())} | {shown(off.tolist())} | {ratio} |", flush=True
            )


if __name__ == "__main__":
    main()
