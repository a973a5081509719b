"""What a run prints."""

from pathlib import Path
from typing import Any

from nersweep.results import result as result_module
from nersweep.run.plan import Facts, Plan
from nersweep.terminal import console, print_table

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


def one_line_of(result: dict[str, Any]) -> str:
    dev, test = (f"{name} F1 {result[name]['f1']:.4f}" for name in ("dev", "test"))
    return f"{result['name']}: {dev}, {test} ({result['seconds']['total']:.1f} s)"


def conclude(result: dict[str, Any], folder: Path, ui: str) -> None:
    """What was measured, where it lies, how to look at it. The last line names the result file."""
    rows = [[name, result[name]] for name in ("dev", "test")]
    rows += [[f"test {type_}", scores] for type_, scores in result["test"]["types"].items()]
    print_table(
        f"\n{result['name']}: entity scores of epoch {result['best_epoch']}, the best on dev",
        ["", "F1", "precision", "recall", "support"],
        [
            [
                name,
                *(f"{s[key]:.4f}" for key in ("f1", "precision", "recall")),
                f"{s.get('support', ''):,}" if "support" in s else "",
            ]
            for name, s in rows
        ],
    )
    seconds = result["seconds"]
    console.print(
        f"\n{seconds['total']:.0f} s in all: "
        + ", ".join(f"{key} {seconds[key]:.1f} s" for key in ("setup", "train", "eval", "tracking"))
    )
    console.print(f"model: {folder / 'model'}")
    console.print(f"MLflow: {ui}")
    if "untracked" in result:
        console.print(
            "MLflow did not answer when the run ended; to tell it of that, type the same command again"
        )
    console.print(f"result: {folder / result_module.RESULT}")
