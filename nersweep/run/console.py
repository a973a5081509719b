"""What a run prints."""

from pathlib import Path

from nersweep.evaluation.metrics import Rates
from nersweep.results.result import RESULT, FinishedResult
from nersweep.run.plan import Facts, Plan
from nersweep.terminal import console, print_table
from nersweep.tracking.syncing import is_complete
from nersweep.tracking.tracker import Tracker

GET_CONLL = (
    "real data: data=conll2003 reads CoNLL-2003 from the hub, or from a folder with data.path=DIR"
)


def introduce(prepared: Plan, brief: bool) -> None:
    """What is about to run, and what is odd about it."""
    console.print(f"{prepared.name}:")
    if not brief:
        show_facts(prepared.facts)
    accumulation = prepared.config["train"]["accumulation"]
    if not prepared.loss.splits and accumulation > 1:
        loss = prepared.config["choice"]["loss"]
        console.print(
            f"note: loss={loss} sees a step as a whole, so train.accumulation={accumulation} saves no memory"
        )


def show_facts(facts: Facts) -> None:
    """The data, and its labels with their weights. With two pointers an entity counts once, at its first word."""
    corpus = facts.corpus
    sizes = ", ".join(f"{len(sentences):,} {split}" for split, sentences in corpus.splits().items())
    console.print(f"{corpus.name} ({corpus.source}): {sizes} sentences")
    for note in corpus.notes:
        console.print(f"note: {note}")
    if corpus.name == "generated":
        console.print(GET_CONLL)
    rows = zip(facts.classes, facts.counts, facts.weights, strict=True)
    print_table(
        "",
        ["label", "count", "weight"],
        [[name, f"{count:,}", f"{weight:.4g}"] for name, count, weight in rows],
    )


def one_line_of(result: FinishedResult) -> str:
    return (
        f"{result.name}: dev F1 {result.dev.f1:.4f}, test F1 {result.test.f1:.4f} "
        f"({result.seconds.total:.1f} s)"
    )


def shown_rates(rates: Rates) -> list[str]:
    return [f"{value:.4f}" for value in (rates.f1, rates.precision, rates.recall)]


def conclude(result: FinishedResult, folder: Path, tracker: Tracker) -> None:
    """What was measured, where it lies, how to look at it. The last line names the result file."""
    rows = []
    for name, scores in (("dev", result.dev), ("test", result.test)):
        rows.append([name, *shown_rates(scores), ""])
    for type_, scores in result.test.types.items():
        rows.append([f"test {type_}", *shown_rates(scores), f"{scores.support:,}"])
    print_table(
        f"\n{result.name}: entity scores of epoch {result.best_epoch}, the best on dev",
        ["", "F1", "precision", "recall", "support"],
        rows,
    )
    seconds = result.seconds
    console.print(
        f"\n{seconds.total:.0f} s in all: setup {seconds.setup:.1f} s, train {seconds.train:.1f} s, "
        f"eval {seconds.eval:.1f} s, tracking {seconds.tracking:.1f} s"
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
