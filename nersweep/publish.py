"""What the tracker is told of a run. All of it lies in the run's folder too, so that it can be told again."""

import json
import shlex
import time
from collections.abc import Mapping, Sequence
from typing import Any

import nersweep
from nersweep import outputs, plan, store, tracking
from nersweep.data import SPLITS
from nersweep.faults import flat, knobs
from nersweep.metrics import flatten
from nersweep.plan import Plan


def start(
    prepared: Plan, overrides: Sequence[str], parent_id: str | None, run_id: str | None
) -> tracking.Run | tracking.Away:
    """A run of the tracker that knows settings, data and the command. run_id: the tracker's name of it, where it was
    begun before. Where the store does not answer, a run that belongs to others, to which it has answered before, goes
    on without; one that is alone raises ConnectionError."""
    config, corpus, began = prepared.config, prepared.facts.corpus, time.perf_counter()
    hidden = ("tracking.uri=", "experiment=recommended")  # which sets nothing, and recommends settings to the command
    typed = [tracking.public(o) for o in overrides if not o.startswith(hidden)]
    command = shlex.join(["python", "-m", "nersweep", *typed])
    try:
        tracker = tracking.Run.start(
            tracking.open_store(config["tracking"]["uri"], prepared.output_dir),
            prepared.output_dir,
            run_id=run_id,
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
    except ConnectionError as error:
        if parent_id is None:
            raise
        return tracking.Away(run_id, str(error), time.perf_counter() - began)
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
        if plan.matters(name) and value is not None and not f"{name}.".startswith(fed) and "_target_" not in name
    }


def curves(tracker: tracking.Run | tracking.Away, values: Mapping[str, Any]) -> None:
    """Of a step, or of an epoch, as `fit` records it. The tracker is up to date after each epoch."""
    if "epoch" in values:
        scores = flatten(values["dev"], "dev")
        absent = {f"train/{type_}/absent_steps": share for type_, share in values["absent"].items()}
        tracker.metrics(scores | absent | {"train/epoch_loss": values["loss"]}, step=values["epoch"])
        tracker.flush()
    else:
        shown = {f"train/{key}": values[key] for key in ("loss", "lr", "grad_norm")}
        shown |= {f"train/{name}_loss": value for name, value in values.get("terms", {}).items()}
        tracker.metrics(shown, step=values["step"])


def scores(tracker: tracking.Run | tracking.Away, prepared: Plan, result: Mapping[str, Any]) -> None:
    """All but the curves, of a run that has finished."""
    facts, folder, step, analysis = prepared.facts, prepared.folder, result["best_epoch"], result["analysis"]
    for file in outputs.files(folder):
        tracker.artifact(file, "predictions" if file.parent.name == "predictions" else None)
    for name, count, weight in zip(facts.classes, facts.counts, facts.weights, strict=True):
        # after the curves: the UI's comparison begins with the metric that was told first
        tracker.metrics({f"train/{name}/count": float(count), f"train/{name}/weight": float(weight)}, step=0)
    for name in ("dev", "test"):
        shifted = {"threshold/f1": analysis["threshold"][name]["f1"]}
        tracker.metrics(flatten(analysis[name] | shifted, name), step=step)
    tracker.metrics({"dev/best_f1": result["dev"]["f1"]}, step=step)
    tracker.model(folder / "model", flatten(result["test"], "test"), step=step)
    tracker.text(json.dumps(store.sealed(result), ensure_ascii=False), store.RESULT)


def again(prepared: Plan, result: dict[str, Any], overrides: Sequence[str], parent_id: str | None) -> dict[str, Any]:
    """Tells of a run that is over, of whose end the tracker did not know, and returns its result, on disk too."""
    tracker = start(prepared, overrides, parent_id, result["run_id"])
    if isinstance(tracker, tracking.Away):
        return result
    lines = prepared.folder / "metrics.jsonl"
    if lines.exists():  # not so where its loss was no number at once
        for line in lines.read_text("utf-8").splitlines():
            curves(tracker, json.loads(line))
    told = {key: value for key, value in result.items() if key != "untracked"} | {"run_id": tracker.id}
    if told["status"] == "finished":
        scores(tracker, prepared, told)
    tracker.finish(told["status"], told.get("error", ""))
    if not tracker.ended:
        return result
    store.write_result(prepared.folder, told)
    return told
