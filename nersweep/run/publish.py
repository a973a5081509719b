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
from nersweep.evaluation.metrics import flatten
from nersweep.results import folder as folder_module
from nersweep.results import result as result_module
from nersweep.run import artifacts
from nersweep.run.plan import Plan

log = logging.getLogger(__name__)


def start(
    prepared: Plan, overrides: Sequence[str], parent_id: str | None, before: Mapping[str, Any]
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
        run_id=before.get("run_id"),
        anew=config["rerun"] or before.get("status") == result_module.ANEW,
        parent_id=parent_id,
        experiment=config["tracking"]["experiment"],
        name=prepared.name,
        params=params(config),
        tags={
            **config["choice"],
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


def curves(tracker: tracking.Run | tracking.Away, values: Mapping[str, Any]) -> None:
    """Of a step, or of an epoch, as `fit` records it. The tracker is up to date after each epoch."""
    if "epoch" in values:
        scores = flatten(values["dev"], "dev")
        absent = {f"train/{type_}/absent_steps": share for type_, share in values["absent"].items()}
        tracker.metrics(
            scores | absent | {"train/epoch_loss": values["loss"]}, step=values["epoch"]
        )
        tracker.flush()
    else:
        shown = {f"train/{key}": values[key] for key in ("loss", "lr", "grad_norm")}
        shown |= {f"train/{name}_loss": value for name, value in values.get("terms", {}).items()}
        tracker.metrics(shown, step=values["step"])


def scores(
    tracker: tracking.Run | tracking.Away, prepared: Plan, result: Mapping[str, Any]
) -> None:
    """All but the curves, of a run that has finished."""
    facts, folder, step, analysis = (
        prepared.facts,
        prepared.folder,
        result["best_epoch"],
        result["analysis"],
    )
    for file in artifacts.files(folder):
        tracker.artifact(file, "predictions" if file.parent.name == "predictions" else None)
    for name, count, weight in zip(facts.classes, facts.counts, facts.weights, strict=True):
        # after the curves: the UI's comparison begins with the metric that was told first
        tracker.metrics(
            {f"train/{name}/count": float(count), f"train/{name}/weight": float(weight)}, step=0
        )
    for name in ("dev", "test"):
        shifted = {"threshold/f1": analysis["threshold"][name]["f1"]}
        tracker.metrics(flatten(analysis[name] | shifted, name), step=step)
    tracker.metrics({"dev/best_f1": result["dev"]["f1"]}, step=step)
    tracker.model(folder / "model", flatten(result["test"], "test"), step=step)
    tracker.text(json.dumps(result_module.sealed(result), ensure_ascii=False), result_module.RESULT)


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
        result = result_module.read_result(prepared.folder, prepared.fingerprint)
        if "untracked" not in result:
            return True
        try:
            made_on = replace(prepared, device=torch.device(result["device"]))
            tracker = start(made_on, overrides, parent_id, result)
        except ConnectionError as error:
            log.warning("%s", error)
            return False
        result["run_id"] = tracker.id
        result_module.write_result(
            prepared.folder, result
        )  # a process that is killed from here on makes no second entry
        lines = prepared.folder / "metrics.jsonl"
        for line in lines.read_text("utf-8").splitlines() if lines.exists() else ():
            try:
                curves(tracker, json.loads(line))
            except ValueError:  # the last of a process that was killed
                break
        del result["untracked"]
        if result["status"] == "finished":
            scores(tracker, prepared, result)
        tracker.finish(result["status"], result.get("error", ""))
        if tracker.ended:
            result_module.write_result(prepared.folder, result)
        return tracker.ended
