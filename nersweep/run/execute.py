"""The life of one run: plan, train, score, write, track."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
import transformers
from omegaconf import OmegaConf

from nersweep.batches.batch import Tokenised
from nersweep.batches.cache import tokenised
from nersweep.config.schema import TrainConfig
from nersweep.data.corpus import tag_counts
from nersweep.evaluation import metrics
from nersweep.evaluation.analysis import analyse
from nersweep.evaluation.metrics import Scores
from nersweep.faults import one_line
from nersweep.machine import files, gpus, host
from nersweep.machine.databases import public
from nersweep.machine.device import choose_precision
from nersweep.model import saved
from nersweep.model.encoders.encoder import Encoder
from nersweep.model.tagger import Tagger, predict
from nersweep.results import folder as folder_module
from nersweep.results.card import remove_card, write_card
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
from nersweep.run.card import describe
from nersweep.run.console import conclude, introduce, one_line_of
from nersweep.run.environment import hardware, peak_memory, versions
from nersweep.run.plan import Plan
from nersweep.terminal import console
from nersweep.tracking import syncing
from nersweep.tracking import tracker as trackers
from nersweep.tracking.syncing import Syncing
from nersweep.training.checkpoint import Checkpoint
from nersweep.training.history import EpochRecord, StepRecord
from nersweep.training.loop import fit
from nersweep.training.observers import Diverged


class Pruned(Exception):
    """Whoever watches a run has seen enough of it."""


def execute(
    prepared: Plan,
    overrides: Sequence[str],
    parent: Path | None = None,
    watch: Callable[[int, Scores], None] = lambda epoch, dev: None,
    brief: bool = False,
) -> FinishedResult:
    """Runs a plan and returns its result, as in result.json. A run that has finished or diverged before is not run
    again, and one that was ended early goes on from its last checkpoint, unless rerun=true.

    overrides: what was typed for it. parent: the folder of the sweep or study that it belongs to. watch: is told the development
    scores of each epoch, from the first on, and ends the run by raising Pruned. brief: one line tells the result.

    Raises Pruned, Unavailable for a tracker that does not answer a
    run which is alone, Diverged for a loss that is no number; Ctrl-C goes through. Whatever ends the run early is
    written down in its result.json and in the tracker first.
    """
    started = prepared.began
    versions()  # of the code that is imported, which may be edited during a training
    folder, rerun = prepared.folder, prepared.settings.rerun
    tracker = trackers.of(prepared.settings.tracking, prepared.output_dir)
    result = None if rerun else read_run(folder, prepared.fingerprint)
    if result and result.status.over:
        console.print(f"{prepared.name}: {result.status} before; rerun=true runs it again")
        if parent is None:
            syncing.sync_all(tracker, [folder])
        if not isinstance(result, FinishedResult):
            raise Diverged(result.error)
        if not brief:
            conclude(result, folder, tracker)
        return result
    files.writable(prepared.output_dir)
    asked = time.perf_counter()
    if parent is None:  # else its sweep or study has opened it, and no run ends for its tracker
        tracker.open()
    open_seconds = time.perf_counter() - asked
    introduce(prepared, brief)
    asked = time.perf_counter()  # for a GPU, and to wait for one is no work
    with folder_module.claimed(folder), placed(prepared) as prepared:
        started += time.perf_counter() - asked
        minutes = prepared.train.checkpoint_minutes
        checkpoint = Checkpoint(
            folder / folder_module.CHECKPOINT, prepared.fingerprint, minutes, started
        )
        if rerun:
            checkpoint.remove()
            remove_card(folder)
        result = None if rerun else read_run(folder, prepared.fingerprint)
        if result is None or not result.status.over:  # else another process was faster
            write_card(folder, describe(prepared, overrides, parent))
            sync = Syncing(tracker, folder, alone=parent is None)
            sync.seconds += open_seconds
            result = perform(prepared, checkpoint, sync, watch, started)
    if not isinstance(result, FinishedResult):
        raise Diverged(result.error)
    if brief:
        console.print(one_line_of(result))
    else:
        conclude(result, folder, tracker)
    return result


@contextmanager
def placed(prepared: Plan) -> Iterator[Plan]:
    """With gpus_per_run, on a GPU that has room for it, after a wait for that."""
    share, free = prepared.config["gpus_per_run"], prepared.config["device"] in ("auto", "cuda")
    if share is None or not free or prepared.device.type != "cuda":
        yield prepared
        return
    with gpus.slot(torch.cuda.device_count(), share, host.host_folder() / "gpus") as device:
        yield replace(prepared, device=torch.device(device))


def perform(
    prepared: Plan,
    checkpoint: Checkpoint,
    sync: Syncing,
    watch: Callable,
    started: float,
) -> FinishedResult:
    """From the start of the run to what it leaves, whatever happens."""
    result = Result(status=Status.RUNNING, **about(prepared))
    sync.start()
    try:
        write_result(prepared.folder, result)  # a killed run leaves it
        files.write_text(
            prepared.folder / "config.yaml",
            OmegaConf.to_yaml(OmegaConf.create(shown(prepared.config))),
        )
        finished = train_and_score(prepared, sync, checkpoint, watch, started + sync.seconds)
        result = finished
    except BaseException as error:
        endings = {
            Pruned: Status.PRUNED,
            Diverged: Status.DIVERGED,
            Exception: Status.FAILED,
            BaseException: Status.KILLED,
        }
        status = next(status for kind, status in endings.items() if isinstance(error, kind))
        result = Result(status=status, error=one_line(error), **about(prepared))
        raise
    finally:
        if isinstance(result, FinishedResult):
            result.seconds.tracking = sync.seconds
            result.seconds.total = checkpoint.seconds()
        write_result(prepared.folder, result)
        if result.status.over or result.status == Status.PRUNED:  # nothing goes on from there
            checkpoint.remove()
        sync.finish()
    return finished


def about(prepared: Plan) -> dict[str, Any]:
    """What any result holds of its run."""
    identity = prepared.identity
    return {
        "name": identity.name,
        "fingerprint": identity.fingerprint,
        "setting": identity.setting,
        "seed": identity.seed,
        "device": str(prepared.device),
    }


def train_and_score(
    prepared: Plan,
    sync: Syncing,
    checkpoint: Checkpoint,
    watch: Callable,
    started: float,
) -> FinishedResult:
    """Trains the model, scores the best epoch on test, writes everything but result.json."""
    config, corpus, labels, device = (
        prepared.config,
        prepared.facts.corpus,
        prepared.facts.labels,
        prepared.device,
    )
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    settings, dtype = prepared.train, choose_precision(config["train"]["precision"], device)
    while True:
        tagger, splits = assemble(prepared, partial(all_splits, prepared))
        packed = tagger.encoder.packed
        console.print(
            f"training on {device} in {'bf16' if dtype == torch.bfloat16 else 'fp32'}, "
            f"{'packed' if packed else 'padded by length, as this encoder cannot be packed'}: "
            f"{sum(p.numel() for p in tagger.parameters()):,} parameters, {len(splits['train']):,} sentences"
        )
        setup_seconds = time.perf_counter() - started
        try:
            with open(prepared.folder / "metrics.jsonl", "w", encoding="utf-8") as file:
                record = recorder(file, sync, watch)
                train, dev, seed = splits["train"], splits["dev"], config["seed"]
                history = fit(
                    tagger, train, dev, labels, settings, seed, device, record, checkpoint
                )
            break
        except torch.OutOfMemoryError as error:
            settings = in_smaller_parts(settings, error)
            del tagger, splits
            torch.cuda.empty_cache()
    eval_started = time.perf_counter()
    test, test_predictions = splits["test"], predict(tagger, splits["test"], device)
    test_scores = metrics.score(
        test.labels, test_predictions.labels, test.lengths(), labels, test_predictions.spans
    )
    eval_seconds = history.eval_seconds + time.perf_counter() - eval_started
    predictions = {"dev": history.dev_predictions, "test": test_predictions}
    analysis = analyse(
        tagger.head, prepared.facts.counts, corpus, labels, splits, predictions, device
    )
    tagger.float().load_state_dict(history.weights)
    saved.save(prepared.folder / "model", tagger, prepared.head, labels, dtype)
    write_artifacts(prepared, history, predictions, test)
    epochs = len(history.epochs)
    entities = tag_counts(corpus.train)
    return FinishedResult(
        status=Status.FINISHED,
        **about(prepared),
        config=shown(config),
        best_epoch=history.best_epoch,
        epochs=epochs,
        absent=history.epochs[-1].absent,
        padding=history.epochs[-1].padding,
        dev=history.best.dev,
        test=test_scores,
        analysis=analysis,
        seconds=Seconds(
            setup_seconds, history.train_seconds, eval_seconds, tracking=0.0, total=0.0
        ),
        cpu_seconds=history.cpu_seconds,
        sentences_per_second=epochs * len(splits["train"]) / history.train_seconds,
        words_per_second=epochs * len(splits["train"].labels) / history.train_seconds,
        peak_memory_bytes=peak_memory(device),
        hardware=hardware(device),
        accumulation=settings.accumulation,
        precision=str(dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        data=DataFacts(
            checksum=corpus.checksum,
            sentences={name: len(sentences) for name, sentences in corpus.splits().items()},
            entities={type_: entities[f"B-{type_}"] for type_ in labels.types},
        ),
        notes=list(corpus.notes),
        versions=versions(),
    )


def assemble(
    prepared: Plan, splits: Callable[[Encoder], dict[str, Tokenised]]
) -> tuple[Tagger, dict[str, Tokenised]]:
    """The model with its first weights, on its device, and the data as it sees it. splits: gives that data."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    config, labels, device = prepared.config, prepared.facts.labels, prepared.device
    torch.manual_seed(config["seed"])
    encoder = prepared.encoder.build(prepared.head.target.outputs(labels), prepared.facts.corpus)
    aux = (
        prepared.aux.build(encoder.model.config.hidden_size, prepared.vocabularies)
        if prepared.aux
        else None
    )
    tagger = Tagger(
        encoder, prepared.head.make(encoder=encoder, labels=labels), prepared.loss, aux
    ).to(device)
    found = splits(encoder)
    engine = prepared.train.engine
    if engine.used_rows and prepared.train.weight_decay == 0:
        encoder.use_rows(np.concatenate([split.pieces for split in found.values()]))
    encoder.on(device, choose_precision(config["train"]["precision"], device), engine)
    return tagger, found


def all_splits(prepared: Plan, encoder: Encoder) -> dict[str, Tokenised]:
    cache = prepared.output_dir / "cache"
    return {
        split: tokenised(
            sentences,
            prepared.facts.labels,
            encoder.tokenizer,
            encoder.max_length,
            prepared.vocabularies if split == "train" else {},
            cache,
        )
        for split, sentences in prepared.facts.corpus.splits().items()
    }


def in_smaller_parts(settings: TrainConfig, error: torch.OutOfMemoryError) -> TrainConfig:
    """The same optimiser step in twice as many micro-batches, each of half the sentences. Raises ValueError where that
    was not asked for, or a micro-batch has one sentence already."""
    typed = f"train.batch_size={settings.batch_size} train.accumulation={settings.accumulation}"
    smaller = replace(settings, accumulation=2 * settings.accumulation)
    if smaller.accumulation > settings.batch_size:
        raise ValueError(
            f"{typed}: one sentence does not fit into the device's memory; type a smaller model"
        ) from error
    if not settings.auto_batch:
        raise ValueError(
            f"{typed}: does not fit into the device's memory; type train.accumulation={smaller.accumulation}, which "
            "changes no gradient, or train.auto_batch=true"
        ) from error
    console.print(
        f"{typed}: does not fit into the device's memory; going on with twice as many parts"
    )
    return smaller


def shown(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration as it is written down: without the tracker's password."""
    uri = config["tracking"]["uri"]
    return config | {"tracking": config["tracking"] | {"uri": public(uri) if uri else None}}


def recorder(
    file: TextIO, sync: Syncing, watch: Callable[[int, Scores], None]
) -> Callable[[StepRecord | EpochRecord], None]:
    """Write what `fit` records as JSON lines. After each epoch, update the tracker and call `watch`."""

    def record(values: StepRecord | EpochRecord) -> None:
        file.write(json.dumps(values.to_json()) + "\n")
        if isinstance(values, EpochRecord):
            file.flush()
            sync.update()
            watch(values.epoch, values.dev)

    return record
