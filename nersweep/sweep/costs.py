"""Estimate time and disk space of runs, from earlier runs or else from a few steps."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any

from nersweep.batches.batch import Tokenised
from nersweep.batches.windows import tokenise
from nersweep.config.check import Checked
from nersweep.data.corpus import Corpus
from nersweep.machine.device import choose_device
from nersweep.model.encoders.encoder import Encoder
from nersweep.results.result import RESULT, FinishedResult, read_result
from nersweep.run import plan
from nersweep.run.assembly import assemble
from nersweep.run.environment import hardware
from nersweep.run.plan import Plan
from nersweep.training.loop import fit

PROBE_STEPS = 8  # of training, twice; the second time counts
BYTES = 4  # of a saved parameter


@dataclass(frozen=True)
class Rate:
    """What runs of a shape cost. other_seconds: set-up, evaluation, writing; size: in bytes.

    source: what the numbers were measured on.
    """

    epoch_seconds: float
    other_seconds: float
    size: int
    source: str


@dataclass(frozen=True, order=True)
class Cost:
    """What a run costs: seconds, bytes on disk, and what that was measured on."""

    seconds: float
    size: int
    source: str


class Costs:
    """The costs of runs. elsewhere: runs take place on other machines, as earlier ones may have."""

    def __init__(self, output_dir: Path, elsewhere: bool):
        self.history = list(finished(output_dir))
        self.elsewhere = elsewhere
        self.rates: dict[str, Rate] = {}

    def cost(self, checked: Checked) -> Cost:
        """Return the cost of a run."""
        settings = checked.settings
        shape = shape_of(settings.values)
        if shape not in self.rates:
            self.rates[shape] = self.measure(shape, checked)
        rate = self.rates[shape]
        seconds = settings.train.epochs * rate.epoch_seconds + rate.other_seconds
        return Cost(seconds, rate.size, rate.source)

    def measure(self, shape: str, checked: Checked) -> Rate:
        """Return the typical rate of earlier runs; without any, that of a few steps."""
        here = hardware(choose_device(checked.settings.device))
        rates = []
        for other, rate in self.history:
            if other == shape and (self.elsewhere or rate.source == here):
                rates.append(rate)
        return typical(rates) if rates else probe(plan.make(checked), here)


def finished(output_dir: Path) -> Iterator[tuple[str, Rate]]:
    """Yield the shapes and rates of finished runs, with their hardware as the source.

    Skips results of other programs and versions.
    """
    for file in output_dir.glob(f"runs/*/{RESULT}"):
        try:
            result = read_result(file)
        except (OSError, ValueError):
            continue
        if isinstance(result, FinishedResult):
            train, total = result.seconds.train, result.seconds.total
            files = filter(Path.is_file, file.parent.rglob("*"))
            size = sum(file.stat().st_size for file in files)
            rate = Rate(train / result.epochs, total - train, size, result.hardware)
            yield shape_of(result.config), rate


def shape_of(config: Mapping[str, Any]) -> str:
    """Return what determines a run's speed on given hardware: data, model, head and batches."""
    parts = {name: config[name] for name in ("data", "model", "head", "aux")}
    parts["augment"] = config.get("augment", {})  # which an older version did not have
    deciding = ("batch_size", "accumulation", "precision", "engine")
    train = {name: config["train"].get(name) for name in deciding}
    return json.dumps([parts, train], sort_keys=True)


def typical(rates: Sequence[Rate]) -> Rate:
    """Return the median of the rates of one shape."""
    machines = " and ".join(sorted({rate.source for rate in rates}))
    runs = "1 run" if len(rates) == 1 else f"{len(rates)} runs"
    return Rate(
        epoch_seconds=median(rate.epoch_seconds for rate in rates),
        other_seconds=median(rate.other_seconds for rate in rates),
        size=rates[0].size,
        source=f"{runs} of that shape on {machines}",
    )


def probe(prepared: Plan, here: str) -> Rate:
    """Time a few steps of a run, on its first sentences and this hardware; write nothing."""
    corpus, labels = prepared.facts.corpus, prepared.facts.labels
    count = PROBE_STEPS * prepared.train.batch_size
    sample = Corpus(
        corpus.name, corpus.source, corpus.train[:count], corpus.dev[:count], corpus.test[:1]
    )

    def splits(encoder: Encoder) -> dict[str, Tokenised]:
        tokenised = {}
        for name, split in sample.splits().items():
            columns = prepared.vocabularies if name == "train" else {}
            tokenised[name] = tokenise(
                split, labels, encoder.tokenizer, encoder.max_length, columns
            )
        return tokenised

    tagger, tokenised = assemble(prepared, splits)
    train, dev = tokenised["train"], tokenised["dev"]
    settings = replace(prepared.train, epochs=1, patience=None)
    with redirect_stdout(StringIO()):
        for _ in range(2):
            history = fit(
                tagger, train, dev, labels, settings, 1, prepared.device, lambda record: None
            )
    step_seconds = history.train_seconds / -(-len(train) // settings.batch_size)
    sentence_seconds = history.eval_seconds / len(dev)
    sentences = len(corpus.train) + len(prepared.facts.augmented)
    steps = -(-sentences // settings.batch_size)
    evaluations = prepared.train.epochs * len(corpus.dev) + len(corpus.test)
    tagger.encoder.restore_rows()  # a saved model has them all
    size = BYTES * sum(parameter.numel() for parameter in tagger.parameters())
    source = f"{PROBE_STEPS} steps of it on {here}"
    return Rate(steps * step_seconds, evaluations * sentence_seconds, size, source)


def duration(seconds: float) -> str:
    """Return a time for people: 30 s, 20 min, 1.5 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
