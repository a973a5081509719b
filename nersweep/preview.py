"""What a command would do and cost, told before anything is done: dry_run=true."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any

from omegaconf import OmegaConf

from nersweep import plan, store, worker
from nersweep.batching import Tokenised, tokenise
from nersweep.compose import Composer
from nersweep.data import Corpus
from nersweep.encoder import Encoder
from nersweep.plan import Plan
from nersweep.progress import console, table
from nersweep.run import assemble
from nersweep.sweep import MOST_ROWS, OVER, Member, planned
from nersweep.train import fit

PROBE_STEPS = 8  # of training, twice; the second time counts


@dataclass(frozen=True)
class Cost:
    """Of a run of some shape."""

    epoch_seconds: float
    other_seconds: float  # set-up, evaluation, writing
    size: int  # bytes that it leaves on disk
    source: str  # where that is known from

    def seconds(self, config: Mapping[str, Any]) -> float:
        return config["train"]["epochs"] * self.epoch_seconds + self.other_seconds


def show(runs: Sequence[tuple[str, ...]], composer: Composer) -> None:
    """Prints each run with what would become of it, and the time and disk that all of them would take."""
    with composer:
        first = composer(runs[0])
        known = list(finished(Path(first.output_dir)))
        costs: dict[str, Cost] = {}
        seen: set[str] = set()
        rows, seconds, size = [], 0.0, 0
        for member in planned(runs, composer):
            state = "the same as one above" if member.fingerprint in seen else state_of(member, first.rerun)
            seen.add(member.fingerprint)
            rows.append([member.name, state, ""])
            if state in ("to do", "goes on"):
                config = composer(member.overrides)
                resolved = OmegaConf.to_container(config, resolve=True)
                shape = shape_of(resolved)
                if shape not in costs:
                    costs[shape] = recorded(known, shape) or probe(plan.make(config))
                rows[-1][2] = f"{costs[shape].seconds(resolved):.0f}"
                seconds, size = seconds + costs[shape].seconds(resolved), size + costs[shape].size
        todo = sum(bool(row[2]) for row in rows)
        launcher = OmegaConf.to_container(composer.compose(runs[0]).hydra.launcher)
    at_once = worker.at_once(launcher, max(1, todo))
    table(f"{len(rows)} run{'s' * (len(rows) > 1)}, {todo} to be made", ["", "", "about s"], rows[:MOST_ROWS])
    if len(rows) > MOST_ROWS:
        console.print(f"… and {len(rows) - MOST_ROWS} more")
    together = f", {duration(seconds / at_once)} with {at_once} at once" if at_once and at_once > 1 else ""
    sources = f" (from {' and '.join(sorted({c.source for c in costs.values()}))})" if costs else ""
    console.print(
        f"about {duration(seconds)} of work{together}, {size / 1e6:,.0f} MB on disk{sources}; nothing was done"
    )


def state_of(member: Member, rerun: bool) -> str:
    status = member.result().get("status")
    if status in OVER and not rerun:
        return "done" if status == "finished" else status
    return "goes on" if status and not rerun and (member.folder / store.CHECKPOINT).exists() else "to do"


def finished(output_dir: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Runs that have ended well, with their folders."""
    for file in output_dir.glob(f"runs/*/{store.RESULT}"):
        try:
            result = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(result, dict) and result.get("status") == "finished":
            yield file.parent, result


def shape_of(config: Mapping[str, Any]) -> str:
    """Runs of one shape take one time: the same data, model and head on the same device."""
    train = {name: config["train"][name] for name in ("batch_size", "accumulation", "precision")}
    parts = {name: config[name] for name in ("data", "model", "head", "aux", "device")}
    return json.dumps([parts, train], sort_keys=True)


def recorded(known: Sequence[tuple[Path, dict[str, Any]]], shape: str) -> Cost | None:
    """The median of finished runs of this shape."""
    alike = [(folder, result) for folder, result in known if shape_of(result["config"]) == shape]
    if not alike:
        return None
    epochs = [result["seconds"]["train"] / result["epochs"] for _, result in alike]
    others = [result["seconds"]["total"] - result["seconds"]["train"] for _, result in alike]
    size = sum(file.stat().st_size for file in alike[0][0].rglob("*") if file.is_file())
    return Cost(median(epochs), median(others), size, f"{len(alike)} runs of that shape")


def probe(prepared: Plan) -> Cost:
    """Some steps of the run itself, on its first sentences; nothing is written."""
    corpus, labels = prepared.facts.corpus, prepared.facts.labels
    few = PROBE_STEPS * prepared.train.batch_size
    small = Corpus(corpus.name, corpus.source, corpus.train[:few], corpus.dev[:few], corpus.test[:1])

    def splits(encoder: Encoder) -> dict[str, Tokenised]:
        columns = {"train": prepared.vocabularies}
        return {
            name: tokenise(split, labels, encoder.tokenizer, encoder.max_length, columns.get(name, {}))
            for name, split in small.splits().items()
        }

    tagger, found = assemble(prepared, splits)
    train, dev = found["train"], found["dev"]
    settings = replace(prepared.train, epochs=1, patience=None)
    with redirect_stdout(StringIO()):
        fits = [fit(tagger, train, dev, labels, settings, 1, prepared.device, lambda _: None) for _ in range(2)]
    step = fits[1].train_seconds / -(-len(train) // settings.batch_size)
    sentence = fits[1].eval_seconds / len(dev)
    steps = -(-len(corpus.train) // settings.batch_size)
    scored = prepared.train.epochs * len(corpus.dev) + len(corpus.test)
    tagger.encoder.restore_rows()  # all are saved
    size = sum(4 * p.numel() for p in tagger.parameters())
    return Cost(steps * step, sentence * scored, size, f"{PROBE_STEPS} steps of it")


def duration(seconds: float) -> str:
    hours, minutes = seconds / 3600, seconds / 60
    return f"{hours:.1f} h" if hours >= 1 else f"{minutes:.0f} min" if minutes >= 2 else f"{seconds:.0f} s"
