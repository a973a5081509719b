"""What a command would do and cost, told before anything is done: dry_run=true."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any

from omegaconf import OmegaConf

from nersweep.batches.batch import Tokenised
from nersweep.batches.windows import tokenise
from nersweep.command.line import Command
from nersweep.config.check import Checked, check_overrides
from nersweep.config.compose import Composer
from nersweep.data.corpus import Corpus
from nersweep.machine.device import choose_device
from nersweep.model.encoders.encoder import Encoder
from nersweep.results import folder
from nersweep.results.result import RESULT, FinishedResult, Status, read_result
from nersweep.run import plan
from nersweep.run.assembly import assemble
from nersweep.run.environment import hardware
from nersweep.run.plan import Plan
from nersweep.study import plan as study_plan
from nersweep.study import queue, storage
from nersweep.sweep import launchers
from nersweep.sweep.launch import MOST_ROWS, Member, planned
from nersweep.terminal import console, print_table
from nersweep.training.loop import fit

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


class Costs:
    """Of runs by their shape: as finished runs in a folder tell it, else from some steps of one. elsewhere: the runs
    will be made on other machines, which may be those of the finished ones."""

    def __init__(self, output_dir: Path, elsewhere: bool):
        self.known = list(finished(output_dir))
        self.elsewhere = elsewhere
        self.found: dict[str, Cost] = {}

    def of(self, checked: Checked) -> tuple[float, int, str]:
        """Seconds and bytes, and where they are known from."""
        resolved = checked.settings.values
        shape = shape_of(resolved)
        if shape not in self.found:
            here = hardware(choose_device(resolved["device"]))
            alike = [
                c
                for other, c in self.known
                if other == shape and (self.elsewhere or c.source == here)
            ]
            self.found[shape] = typical(alike) if alike else probe(plan.make(checked), here)
        cost = self.found[shape]
        return cost.seconds(resolved), cost.size, cost.source


def show(command: Command) -> None:
    """Tells of each run what would become of it, or of the study that they are workers of, and the time and disk that
    all of it would take."""
    with command.composer as composer:
        if composer(command.runs[0]).study.space:
            show_studies(command.runs, composer)
        else:
            show_runs(command)


def show_runs(command: Command) -> None:
    runs, composer = command.runs, command.composer
    first = composer(runs[0])
    launcher = OmegaConf.to_container(composer.compose(runs[0]).hydra.launcher)
    costs = Costs(Path(first.output_dir), launchers.runs_elsewhere(launcher))
    seen: set[str] = set()
    rows, seconds, size, sources = [], 0.0, 0, set()
    for member in planned(command):
        state = (
            "the same as one above" if member.fingerprint in seen else state_of(member, first.rerun)
        )
        seen.add(member.fingerprint)
        rows.append([member.label, state, ""])
        if state in ("to do", "goes on"):
            own, bytes_, source = costs.of(check_overrides(composer, member.overrides))
            rows[-1][2] = f"{own:.0f}"
            seconds, size, sources = seconds + own, size + bytes_, sources | {source}
    todo = sum(bool(row[2]) for row in rows)
    print_table(
        f"{len(rows)} run{'s' * (len(rows) > 1)}, {todo} to be made",
        ["", "", "about s"],
        rows[:MOST_ROWS],
    )
    if len(rows) > MOST_ROWS:
        console.print(f"… and {len(rows) - MOST_ROWS} more")
    tell("about", seconds, launchers.concurrency(launcher, max(1, todo)), size, sources)


def show_studies(runs: Sequence[tuple[str, ...]], composer: Composer) -> None:
    """runs: each a worker of a study, most often of the same one."""
    launcher = OmegaConf.to_container(composer.compose(runs[0]).hydra.launcher)
    workers = Counter(tuple(o for o in run if not o.startswith("study.worker=")) for run in runs)
    for overrides, count in workers.items():
        show_study(
            overrides,
            launchers.concurrency(launcher, count) or count,
            launchers.runs_elsewhere(launcher),
            composer,
        )


def show_study(
    overrides: tuple[str, ...], workers: int, elsewhere: bool, composer: Composer
) -> None:
    """The costs are those of the dearest trial that the space has, and of trials that are not pruned."""
    config = composer(overrides)
    asked = study_plan.make(config, overrides, composer)
    trials = study_plan.trials(asked)
    total = queue.trial_count(queue.grid(asked.space, config), config)
    done = sum(trial.state in queue.FINISHED for trial in trials)
    failed = sum(trial.state == queue.FAILED for trial in trials)
    left, seeds = max(0, total - done), len(asked.seeds)
    console.print(
        f"study {asked.name} in {storage.public(asked.url)}{'' if trials else ' (not begun)'}"
    )
    console.print(
        f"{done} of {total} trials done{f', {failed} failed' if failed else ''}, {left} left: "
        f"each {seeds} seed{'s' * (seeds > 1)} × {asked.example.train.epochs} epochs"
    )
    seconds, size, source = 0.0, 0, ""
    if left:
        costs = Costs(Path(config.output_dir), elsewhere)
        trials_tried = (
            [*asked.space.fixed, *drawn, f"seed={asked.seeds[0]}"] for drawn in asked.space.probes()
        )
        seconds, size, source = max(
            costs.of(check_overrides(composer, typed)) for typed in trials_tried
        )
    tell(
        "at most", left * seeds * seconds, min(left, workers), left * seeds * size, {source} - {""}
    )


def tell(
    about: str, seconds: float, at_once: int | None, size: int, sources: Collection[str]
) -> None:
    together = (
        f", {duration(seconds / at_once)} with {at_once} at once" if at_once and at_once > 1 else ""
    )
    known = f" (from {' and '.join(sorted(sources))})" if sources else ""
    console.print(
        f"{about} {duration(seconds)} of work{together}, {size / 1e6:,.0f} MB on disk{known}; nothing was done"
    )


def state_of(member: Member, rerun: bool) -> str:
    status = member.result().status
    if status.over and not rerun:
        return "done" if status == Status.FINISHED else status
    begun = status != Status.NOT_BEGUN and (member.folder / folder.CHECKPOINT).exists()
    return "goes on" if begun and not rerun else "to do"


def finished(output_dir: Path) -> Iterator[tuple[str, Cost]]:
    """What runs that have ended well took, by their shape, with their hardware as its source. Results of other programs
    and versions are passed over."""
    for file in output_dir.glob(f"runs/*/{RESULT}"):
        try:
            result = read_result(file)
        except (OSError, ValueError):
            continue
        if isinstance(result, FinishedResult):
            train, total = result.seconds.train, result.seconds.total
            size = sum(inner.stat().st_size for inner in file.parent.rglob("*") if inner.is_file())
            cost = Cost(train / result.epochs, total - train, size, result.hardware)
            yield shape_of(result.config), cost


def shape_of(config: Mapping[str, Any]) -> str:
    """Runs of one shape take one time on the same hardware, if that was not busy: the same data, model and head."""
    deciding = ("batch_size", "accumulation", "precision", "engine")
    train = {name: config["train"].get(name) for name in deciding}
    parts = {name: config[name] for name in ("data", "model", "head", "aux")}
    return json.dumps([parts, train], sort_keys=True)


def typical(alike: Sequence[Cost]) -> Cost:
    """The median of finished runs of one shape."""
    machines = " and ".join(sorted({cost.source for cost in alike}))
    source = f"{len(alike)} run{'s' * (len(alike) > 1)} of that shape on {machines}"
    epochs, others = (
        median(getattr(c, name) for c in alike) for name in ("epoch_seconds", "other_seconds")
    )
    return Cost(epochs, others, alike[0].size, source)


def probe(prepared: Plan, here: str) -> Cost:
    """Some steps of the run itself, on its first sentences, on the hardware of this process; nothing is written."""
    corpus, labels = prepared.facts.corpus, prepared.facts.labels
    few = PROBE_STEPS * prepared.train.batch_size
    small = Corpus(
        corpus.name, corpus.source, corpus.train[:few], corpus.dev[:few], corpus.test[:1]
    )

    def splits(encoder: Encoder) -> dict[str, Tokenised]:
        columns = {"train": prepared.vocabularies}
        return {
            name: tokenise(
                split, labels, encoder.tokenizer, encoder.max_length, columns.get(name, {})
            )
            for name, split in small.splits().items()
        }

    tagger, found = assemble(prepared, splits)
    train, dev = found["train"], found["dev"]
    settings = replace(prepared.train, epochs=1, patience=None)
    with redirect_stdout(StringIO()):
        fits = [
            fit(tagger, train, dev, labels, settings, 1, prepared.device, lambda _: None)
            for _ in range(2)
        ]
    step = fits[1].train_seconds / -(-len(train) // settings.batch_size)
    sentence = fits[1].eval_seconds / len(dev)
    steps = -(-len(corpus.train) // settings.batch_size)
    scored = prepared.train.epochs * len(corpus.dev) + len(corpus.test)
    tagger.encoder.restore_rows()  # all are saved
    size = sum(4 * p.numel() for p in tagger.parameters())
    return Cost(steps * step, sentence * scored, size, f"{PROBE_STEPS} steps of it on {here}")


def duration(seconds: float) -> str:
    hours, minutes = seconds / 3600, seconds / 60
    return (
        f"{hours:.1f} h"
        if hours >= 1
        else f"{minutes:.0f} min"
        if minutes >= 2
        else f"{seconds:.0f} s"
    )
