"""The life of one run: claim its folder, train, score, write, and keep the tracker up to date."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TextIO

import torch
from omegaconf import OmegaConf

from nersweep.config.schema import TrainConfig
from nersweep.data.corpus import tag_counts
from nersweep.evaluation.analysis import Analysis
from nersweep.evaluation.final import analyse, shifts
from nersweep.evaluation.metrics import Scores, score
from nersweep.faults import one_line
from nersweep.machine import files, gpus, host
from nersweep.model import saved
from nersweep.model.tagger import Tagger, predict
from nersweep.results.card import write_card
from nersweep.results.folder import CHECKPOINT, METRICS, claim, forget
from nersweep.results.result import (
    DataFacts,
    FinishedResult,
    Result,
    Seconds,
    Status,
    read_run,
    write_result,
)
from nersweep.run.artifacts import write_artifacts
from nersweep.run.assembly import Splits, assemble, in_smaller_parts, tokenise_all
from nersweep.run.card import describe
from nersweep.run.console import introduce, print_engine, print_line, print_result
from nersweep.run.environment import hardware, peak_memory, versions
from nersweep.run.plan import Plan
from nersweep.terminal import console
from nersweep.tracking import syncing
from nersweep.tracking import tracker as trackers
from nersweep.tracking.syncing import Syncing
from nersweep.training.checkpoint import Checkpoint
from nersweep.training.history import EpochRecord, History, StepRecord
from nersweep.training.loop import fit
from nersweep.training.observers import Diverged
from nersweep.training.optimiser import load_trained

Watch = Callable[[int, Scores], None]


class Pruned(Exception):
    """Raised by a watch that ends a run before its last epoch."""


def execute(
    plan: Plan,
    overrides: Sequence[str],
    parent: Path | None = None,
    watch: Watch = lambda epoch, dev: None,
    brief: bool = False,
) -> FinishedResult:
    """Execute a plan and return its result, as in result.json.

    A run that has finished or diverged is not run again, and one that was ended early resumes from
    its last checkpoint, unless rerun=true.

    overrides: those of the command. parent: the folder of the sweep or study that the run belongs
    to. watch: receives the development scores of each epoch, from the first on; it ends the run by
    raising Pruned. brief: print the result in one line.

    Raises Pruned; Diverged for a loss that is no number; Unavailable for the tracker of a run that
    belongs to nothing and starts for the first time. Ctrl-C goes through. result.json holds
    whatever ends the run.
    """
    versions()  # of the code as imported: its files may be edited while the run trains
    tracker = trackers.of(plan.settings.tracking, plan.output_dir)
    result = None if plan.settings.rerun else read_run(plan.folder, plan.fingerprint)
    if result and result.status.over:
        console.print(f"{plan.name}: {result.status} before; rerun=true runs it again")
        if parent is None:
            syncing.sync_all(tracker, [plan.folder])
        finished = finished_or_diverged(result)
        if not brief:
            print_result(finished, plan.folder, tracker)
        return finished
    files.writable(plan.output_dir)
    sync = Syncing(tracker, plan.folder, alone=parent is None)
    if parent is None:  # else its sweep or study has opened it, and no run ends for its tracker
        opening = time.perf_counter()
        syncing.open_at_start(tracker, plan.folder)
        sync.seconds = time.perf_counter() - opening
    introduce(plan, brief)
    with claim(plan.folder), place(plan) as plan:
        if plan.settings.rerun:
            forget(plan.folder)
        result = None if plan.settings.rerun else read_run(plan.folder, plan.fingerprint)
        if result is None or not result.status.over:  # else another process was faster
            write_card(plan.folder, describe(plan, overrides, parent))
            result = perform(plan, sync, watch)
    finished = finished_or_diverged(result)
    if brief:
        print_line(finished)
    else:
        print_result(finished, plan.folder, tracker)
    return finished


def finished_or_diverged(result: Result) -> FinishedResult:
    """Return the result of a run that has finished. Raises Diverged if it has diverged."""
    if isinstance(result, FinishedResult):
        return result
    raise Diverged(result.error)


@contextmanager
def place(plan: Plan) -> Iterator[Plan]:
    """Yield the plan on a GPU with room for it, with gpus_per_run. To wait for one is no work."""
    share = plan.settings.gpus_per_run
    if share is None or plan.settings.device not in ("auto", "cuda") or plan.device.type != "cuda":
        yield plan
        return
    waiting = time.perf_counter()
    with gpus.slot(torch.cuda.device_count(), share, host.host_folder() / "gpus") as device:
        waited = time.perf_counter() - waiting
        yield replace(plan, device=torch.device(device), began=plan.began + waited)


def perform(plan: Plan, sync: Syncing, watch: Watch) -> FinishedResult:
    """Train and score. Write the result, and show it to the tracker, however the run ends."""
    minutes = plan.train.checkpoint_minutes
    checkpoint = Checkpoint(plan.folder / CHECKPOINT, plan.fingerprint, minutes, plan.began)
    result: Result = describe_result(plan, Status.RUNNING)
    try:
        write_result(plan.folder, result)  # a killed run leaves it, and the tracker reads it
        sync.start()
        config = OmegaConf.to_yaml(OmegaConf.create(plan.config))
        files.write_text(plan.folder / "config.yaml", config)
        finished = train_and_score(plan, checkpoint, sync, watch)
        result = finished
    except BaseException as error:
        result = describe_result(plan, status_after(error), one_line(error))
        raise
    finally:
        if isinstance(result, FinishedResult):
            result.seconds.tracking = sync.seconds
            result.seconds.total = checkpoint.seconds()
        write_result(plan.folder, result)
        if result.status.over or result.status == Status.PRUNED:  # nothing resumes from there
            checkpoint.remove()
        sync.finish()
    return finished


def describe_result(plan: Plan, status: Status, error: str = "") -> Result:
    """Return the result of a run that has not finished."""
    return Result(
        status=status,
        name=plan.name,
        **asdict(plan.identity),
        device=str(plan.device),
        error=error,
    )


def status_after(error: BaseException) -> Status:
    """Return the status of a run that an error has ended."""
    if isinstance(error, Pruned):
        return Status.PRUNED
    if isinstance(error, Diverged):
        return Status.DIVERGED
    return Status.FAILED if isinstance(error, Exception) else Status.KILLED


@dataclass
class Trained:
    """A trained model with the weights of its best epoch. train: as it fitted into memory."""

    tagger: Tagger
    splits: Splits
    history: History
    train: TrainConfig
    setup_seconds: float


def train_and_score(
    plan: Plan, checkpoint: Checkpoint, sync: Syncing, watch: Watch
) -> FinishedResult:
    """Train the model, score its best epoch on test, and write all files but result.json."""
    trained = train(plan, checkpoint, sync, watch)
    tagger, history, test = trained.tagger, trained.history, trained.splits["test"]
    facts, labels = plan.facts, plan.facts.labels
    scoring = time.perf_counter()
    predicted = predict(tagger, test, plan.device)
    scores = score(
        test.labels, predicted.labels, test.lengths(), labels, predicted.spans, test.spans
    )
    history.eval_seconds += time.perf_counter() - scoring
    assert history.dev_predictions is not None
    predictions = {"dev": history.dev_predictions, "test": predicted}
    analysis, curves = analyse(
        tagger.head, facts.counts, facts.corpus, labels, trained.splits, predictions, plan.device
    )
    tagger.encoder.widen()
    load_trained(tagger, history.weights)
    saved.save(
        plan.folder / "model",
        tagger,
        plan.head,
        labels,
        plan.precision,
        shifts(analysis, tagger.head, facts.counts, labels),
        analysis.after("dev")["temperature/value"],
    )
    write_artifacts(plan, history, predictions, trained.splits, curves)
    return finish(plan, trained, scores, analysis)


def train(plan: Plan, checkpoint: Checkpoint, sync: Syncing, watch: Watch) -> Trained:
    """Train the model, in smaller micro-batches if memory runs out with train.auto_batch=true."""
    if plan.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(plan.device)
    config, labels, seed = plan.train, plan.facts.labels, plan.identity.seed
    while True:
        tagger, splits = assemble(plan, partial(tokenise_all, plan))
        print_engine(plan, tagger)
        setup_seconds = time.perf_counter() - plan.began - sync.seconds
        try:
            with open(plan.folder / METRICS, "w", encoding="utf-8") as file:
                record = recorder(file, sync, watch)
                history = fit(
                    tagger,
                    splits["train"],
                    splits["dev"],
                    labels,
                    config,
                    seed,
                    plan.device,
                    record,
                    checkpoint,
                    plan.metric.of_epochs,
                )
            return Trained(tagger, splits, history, config, setup_seconds)
        except torch.OutOfMemoryError as error:
            config = in_smaller_parts(config, error)
            del tagger, splits
            torch.cuda.empty_cache()


def recorder(
    file: TextIO, sync: Syncing, watch: Watch
) -> Callable[[StepRecord | EpochRecord], None]:
    """Return what writes records as JSON lines, and updates the tracker and `watch` each epoch."""

    def record(values: StepRecord | EpochRecord) -> None:
        file.write(json.dumps(values.to_json()) + "\n")
        if isinstance(values, EpochRecord):
            file.flush()
            sync.update()
            watch(values.epoch, values.dev)

    return record


def finish(plan: Plan, trained: Trained, test: Scores, analysis: Analysis) -> FinishedResult:
    """Return the result of a run that has finished, but for the seconds that are known later."""
    history, corpus, split = trained.history, plan.facts.corpus, trained.splits["train"]
    best, last = history.best, history.epochs[-1]
    assert best is not None
    counts = tag_counts(corpus.train)
    epochs, seconds = len(history.epochs), history.train_seconds
    about = describe_result(plan, Status.FINISHED)
    return FinishedResult(
        **vars(about),
        config=plan.config,
        best_epoch=best.epoch,
        epochs=epochs,
        absent=last.absent,
        padding=last.padding,
        dev=best.dev,
        test=test,
        analysis=analysis,
        seconds=Seconds(trained.setup_seconds, seconds, history.eval_seconds, 0.0, 0.0),
        cpu_seconds=history.cpu_seconds,
        sentences_per_second=epochs * len(split) / seconds,
        words_per_second=epochs * len(split.labels) / seconds,
        peak_memory_bytes=peak_memory(plan.device),
        hardware=hardware(plan.device),
        accumulation=trained.train.accumulation,
        precision=str(plan.precision).removeprefix("torch."),
        threads=torch.get_num_threads(),
        data=DataFacts(
            checksum=corpus.checksum,
            sentences={name: len(sentences) for name, sentences in corpus.splits().items()},
            entities={type_: counts[f"B-{type_}"] for type_ in plan.facts.labels.types},
            pool=corpus.pool,
            fold=corpus.fold,
            augmented=len(plan.facts.augmented),
        ),
        notes=list(corpus.notes),
        versions=versions(),
    )
