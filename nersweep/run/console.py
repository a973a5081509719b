"""Print a run: its data, its engine, its scores."""

from pathlib import Path

import torch

from nersweep.evaluation.metric import F1
from nersweep.evaluation.metrics import Rates
from nersweep.model.tagger import Tagger
from nersweep.results.result import RESULT, FinishedResult
from nersweep.run.plan import Facts, Plan
from nersweep.terminal import console, print_table
from nersweep.tracking.syncing import is_complete
from nersweep.tracking.tracker import Tracker

GET_CONLL = (
    "real data: data=conll2003 reads CoNLL-2003 from the hub, or from a folder with data.path=DIR"
)


def introduce(plan: Plan, brief: bool) -> None:
    """Print the name of a run that starts, its data unless brief, and notes on its settings."""
    console.print(f"{plan.name}:")
    if not brief:
        print_facts(plan.facts)
    accumulation = plan.train.accumulation
    if not plan.loss.splits and accumulation > 1:
        console.print(
            f"note: loss={plan.settings.choice.loss} needs a step as a whole, "
            f"so train.accumulation={accumulation} saves no memory"
        )


def print_facts(facts: Facts) -> None:
    """Print the data, and the labels with their counts and weights.

    With two pointers an entity counts once, at its first word.
    """
    corpus = facts.corpus
    console.print(f"{corpus.name} ({corpus.source}): {corpus.sizes()}")
    for note in corpus.notes:
        console.print(f"note: {note}")
    if corpus.name == "generated":
        console.print(GET_CONLL)
    rows: list[list[str]] = []
    for name, count, weight in zip(facts.classes, facts.counts, facts.weights, strict=True):
        rows.append([name, f"{count:,}", f"{weight:.4g}"])
    print_table("", ["label", "count", "weight"], rows)


def print_engine(plan: Plan, tagger: Tagger) -> None:
    """Print how the model trains: device, number format, packing, sizes."""
    number_format = "bf16" if plan.precision == torch.bfloat16 else "fp32"
    packing = "packed" if tagger.encoder.packed else "padded by length"
    if plan.train.engine.packing and not tagger.encoder.packed:
        packing += ", as this encoder cannot be packed"
    counts = {True: 0, False: 0}
    for parameter in tagger.parameters():
        counts[parameter.requires_grad] += parameter.numel()
    parameters = f"{counts[True]:,} parameters"
    if counts[False]:
        parameters += f" ({counts[False]:,} others are frozen)"
    sentences = f"{len(plan.facts.corpus.train):,} sentences"
    if plan.facts.augmented:
        added = f"{len(plan.facts.augmented):,} of augment={plan.settings.choice.augment}"
        sentences += f" and {added}"
    console.print(
        f"training on {plan.device} in {number_format}, {packing}: {parameters}, {sentences}"
    )


def print_line(result: FinishedResult) -> None:
    """Print the result of a run in one line."""
    console.print(f"{result.name}: {summary(result)} ({result.seconds.total:.1f} s)")


def summary(result: FinishedResult) -> str:
    """Return the run's metric on dev and test: dev F1 0.8123, test F1 0.8017."""
    metric = result.metric
    dev, test = result.value("dev"), result.value("test")
    return f"dev {metric.label} {dev:.4f}, test {metric.label} {test:.4f}"


def print_result(result: FinishedResult, folder: Path, tracker: Tracker) -> None:
    """Print scores, times and places. The last line names the result file."""
    rows = [row("dev", result.dev, ""), row("test", result.test, "")]
    for type_, scores in result.test.types.items():
        rows.append(row(f"test {type_}", scores, f"{scores.support:,}"))
    print_table(
        f"\n{result.name}: entity scores of epoch {result.best_epoch}, the best on dev",
        ["", "F1", "precision", "recall", "support"],
        rows,
    )
    if result.metric != F1:
        console.print(summary(result))
    test = result.analysis.test
    if test.shared > 0:
        console.print(
            f"\ntest F1 without the sentences that training has, {test.shared:.1%} of all: "
            f"{test.unshared_f1:.4f}"
        )
    seconds = result.seconds
    console.print(
        f"\n{seconds.total:.0f} s in all: setup {seconds.setup:.1f} s, "
        f"train {seconds.train:.1f} s, eval {seconds.eval:.1f} s, tracking {seconds.tracking:.1f} s"
    )
    console.print(f"model: {folder / 'model'}")
    if view := tracker.view():
        console.print(f"{tracker.name}: {view}")
    if not is_complete(tracker, folder):
        console.print(
            f"{tracker.name} did not answer when the run ended; to sync it, run the same command "
            "again, or python -m nersweep.sync"
        )
    console.print(f"result: {folder / RESULT}")


def row(name: str, rates: Rates, support: str) -> list[str]:
    return [name, f"{rates.f1:.4f}", f"{rates.precision:.4f}", f"{rates.recall:.4f}", support]
