"""What the tracker is told of a run. All of it lies in the run's folder too, so that it can be told again."""

import json
import logging
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

import nersweep
from nersweep import tracking
from nersweep.config import settings
from nersweep.config.flat import flat
from nersweep.config.knobs import knobs
from nersweep.data.corpus import SPLITS
from nersweep.results import folder as folder_module
from nersweep.results.result import (
    RESULT,
    FinishedResult,
    Result,
    Status,
    read_run,
    sealed,
    write_result,
)
from nersweep.run import artifacts
from nersweep.run.plan import Plan
from nersweep.training.history import EpochRecord, StepRecord, record_of

log = logging.getLogger(__name__)


def start(
    prepared: Plan, overrides: Sequence[str], parent_id: str | None, before: Result | None
) -> tracking.Run:
    """A run of the tracker that knows settings, data and the command. before: the result of an earlier start, which has
    the tracker's name of the run. Raises ConnectionError."""
    config, corpus, began = prepared.config, prepared.facts.corpus, time.perf_counter()
    hidden = (
        "tracking.uri=",
        "experiment=recommended",
    )  # which sets nothing, and recommends settings to the command
    typed = [tracking.public(o) for o in overrides if not o.startswith(hidden)]
    command = shlex.join(["python", "-m", "nersweep", *typed])
    tracker = tracking.Run.start(
        tracking.open_store(config["tracking"]["uri"], prepared.output_dir),
        prepared.output_dir,
        run_id=before.run_id if before else None,
        anew=config["rerun"] or (before is not None and before.status == Status.RESTART),
        parent_id=parent_id,
        experiment=config["tracking"]["experiment"],
        name=prepared.name,
        params=params(config),
        tags={
            **config["choice"],
            "setting": prepared.identity.setting,
            "seed": config["seed"],
            "device": prepared.device,
            "fingerprint": prepared.fingerprint,
            "code_version": nersweep.__version__,
            "folder": prepared.folder.absolute(),
        },
        note=f"`{command}`",
    )
    for split in SPLITS:
        sentences = corpus.splits()[split]
        profile = {"num_rows": len(sentences), "words": sum(len(s.words) for s in sentences)}
        tracker.dataset(corpus.name, corpus.source, corpus.checksum, split, profile)
    tracker.seconds = time.perf_counter() - began
    return tracker


def params(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were taken and their settings under the names that are typed, for the tracker: without what
    changes no result, what is null, and what repeats a knob (loss.gamma beside focal_gamma)."""
    choice = config["choice"]
    fed = tuple(f"{k.feeds}." for k in knobs() if k.option == choice.get(k.group))
    return choice | {
        name: value
        for name, value in flat(config).items()
        if settings.matters(name)
        and value is not None
        and not f"{name}.".startswith(fed)
        and "_target_" not in name
    }


def curves(tracker: tracking.Run | tracking.Away, record: StepRecord | EpochRecord) -> None:
    """Of a step, or of an epoch, as `fit` records it. The tracker is up to date after each epoch."""
    if isinstance(record, EpochRecord):
        shown = record.dev.flat("dev") | {"train/epoch_loss": record.loss}
        for type_, share in record.absent.items():
            shown[f"train/{type_}/absent_steps"] = share
        tracker.metrics(shown, step=record.epoch)
        tracker.flush()
    else:
        shown = {
            "train/loss": record.loss,
            "train/lr": record.lr,
            "train/grad_norm": record.grad_norm,
        }
        for name, value in (record.terms or {}).items():
            shown[f"train/{name}_loss"] = value
        tracker.metrics(shown, step=record.step)


def scores(tracker: tracking.Run | tracking.Away, prepared: Plan, result: FinishedResult) -> None:
    """All but the curves, of a run that has finished."""
    facts, folder, step, analysis = (
        prepared.facts,
        prepared.folder,
        result.best_epoch,
        result.analysis,
    )
    for file in artifacts.files(folder):
        tracker.artifact(file, "predictions" if file.parent.name == "predictions" else None)
    for name, count, weight in zip(facts.classes, facts.counts, facts.weights, strict=True):
        # after the curves: the UI's comparison begins with the metric that was told first
        tracker.metrics(
            {f"train/{name}/count": float(count), f"train/{name}/weight": float(weight)}, step=0
        )
    for name, shifted in (("dev", analysis.threshold.dev), ("test", analysis.threshold.test)):
        values = analysis.split(name).flat(name) | {f"{name}/threshold/f1": shifted.f1}
        tracker.metrics(values, step=step)
    tracker.metrics({"dev/best_f1": result.dev.f1}, step=step)
    tracker.model(folder / "model", result.test.flat("test"), step=step)
    tracker.text(json.dumps(sealed(result), ensure_ascii=False), RESULT)


def catch_up(runs: Iterable[tuple[Plan, Sequence[str]]], parent_id: str | None) -> bool:
    """Tells of runs that have ended while the tracker was away, each given with its overrides, and trains none of them,
    however they have ended. Returns whether the tracker knows of all now; after it did not answer, it is left alone."""
    for prepared, overrides in runs:
        if not folder_module.when_free(
            partial(again, prepared, overrides, parent_id), partial(Path, prepared.folder)
        ):
            return False
    return True


def again(prepared: Plan, overrides: Sequence[str], parent_id: str | None) -> bool:
    """Tells of a run that has ended, from its folder. Returns whether the tracker knows of its end."""
    with folder_module.claimed(prepared.folder):
        result = read_run(prepared.folder, prepared.fingerprint)
        if result is None or not result.untracked:
            return True
        try:
            made_on = replace(prepared, device=torch.device(result.device))
            tracker = start(made_on, overrides, parent_id, result)
        except ConnectionError as error:
            log.warning("%s", error)
            return False
        result.run_id = tracker.id
        write_result(
            prepared.folder, result
        )  # a process that is killed from here on makes no second entry
        lines = prepared.folder / "metrics.jsonl"
        for line in lines.read_text("utf-8").splitlines() if lines.exists() else ():
            try:
                curves(tracker, record_of(line))
            except ValueError:  # the last of a process that was killed
                break
        result.untracked = False
        if isinstance(result, FinishedResult):
            scores(tracker, prepared, result)
        tracker.finish(result.status, result.error)
        if tracker.ended:
            write_result(prepared.folder, result)
        return tracker.ended
