"""The card of a run: what trackers show of it beside its results."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nersweep.config import settings
from nersweep.config.flat import flat
from nersweep.config.knobs import is_fed
from nersweep.machine.databases import public
from nersweep.results.card import Card, DataSource, relative_to_output_dir
from nersweep.run.plan import Facts, Plan
from nersweep.version import __version__

HIDDEN = (
    "tracking.uri=",
    "experiment=recommended",  # sets nothing, but recommends settings to the command
)


def describe(plan: Plan, overrides: Sequence[str], parent: Path | None) -> Card:
    """Return the card of a run. parent: the folder of the sweep or study that it belongs to."""
    config = plan.config
    arguments = [public(o) for o in overrides if not o.startswith(HIDDEN)]
    command = shlex.join(["python", "-m", "nersweep", *arguments])
    tags = {
        **config["choice"],
        "setting": plan.identity.setting,
        "seed": str(config["seed"]),
        "device": str(plan.device),
        "fingerprint": plan.fingerprint,
        "code_version": __version__,
    }
    return Card(
        kind="run",
        name=plan.name,
        experiment=config["tracking"]["experiment"],
        params=params(config),
        tags=tags,
        note=f"`{command}`",
        datasets=data_sources(plan.facts),
        numbers=class_numbers(plan.facts),
        parent=relative_to_output_dir(parent) if parent else None,
    )


def params(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options and their settings under the names that users set, without what changes no
    result, what is null, and what repeats a knob (loss.gamma beside focal_gamma)."""
    values: dict[str, Any] = dict(config["choice"])
    for name, value in flat(config).items():
        repeats = name.startswith("choice.") or "_target_" in name or is_fed(name, config["choice"])
        if settings.matters(name) and value is not None and not repeats:
            values[name] = value
    return values


def data_sources(facts: Facts) -> list[DataSource]:
    corpus, sources = facts.corpus, []
    for split, sentences in corpus.splits().items():
        words = sum(len(sentence.words) for sentence in sentences)
        source = DataSource(
            corpus.name, str(corpus.source), corpus.checksum, split, len(sentences), words
        )
        sources.append(source)
    return sources


def class_numbers(facts: Facts) -> dict[str, float]:
    """Return the training count and the weight of each class."""
    numbers: dict[str, float] = {}
    for name, count, weight in zip(facts.classes, facts.counts, facts.weights, strict=True):
        numbers[f"train/{name}/count"] = float(count)
        numbers[f"train/{name}/weight"] = float(weight)
    return numbers
