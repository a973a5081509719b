"""Print the diagnosis of a data set."""

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from nersweep.config.knobs import knobs
from nersweep.faults import one_line
from nersweep.terminal import console, print_table

if TYPE_CHECKING:  # torch and transformers cost seconds, which --help need not pay
    from nersweep.config.check import Checked, Parts
    from nersweep.data.corpus import Corpus
    from nersweep.diagnosis.imbalance import Diagnosis
    from nersweep.diagnosis.recommendation import Finding, Setting
    from nersweep.run.plan import Facts


# What a recommended command has of its own, whatever was typed.
OWN = {
    "loss",
    "weights",
    "seed",
    "experiment",
    "dry_run",
    "rerun",
    "train.sampler",
    "train.head_lr",
}


SD = 0.002  # of F1 over seeds, about what runs on CoNLL-2003 have


LENGTHS = 5  # entities of so many words, and of more, are told together


def describe(checked: "Checked") -> None:
    from nersweep.data.corpus import tag_counts
    from nersweep.diagnosis import picture
    from nersweep.diagnosis.recommendation import AFTERWARDS, examine, findings, settings
    from nersweep.machine import files
    from nersweep.run import plan

    resolved, parts = checked.settings.values, checked.parts
    facts = plan.learn(parts)
    corpus, folder = facts.corpus, Path(resolved["output_dir"]) / "diagnosis" / facts.corpus.name
    found = examine(parts, facts, resolved["train"]["batch_size"])
    told = findings(found)
    sweep = settings(told, resolved["choice"]["head"])
    weights = class_weights(facts, parts, resolved)
    cut = windows(parts, facts)

    show_data(corpus)
    show_statistics(found, cut)
    show_classes(found, weights)
    show_findings(told)
    show_sweep(sweep, told)
    say(f"{AFTERWARDS}\n")
    files.writable(folder)
    files.write_json(folder / "diagnosis.json", as_json(found, weights, cut, told, sweep))
    counts = {split: tag_counts(sentences) for split, sentences in corpus.splits().items()}
    for file in [*picture.draw(folder, corpus.name, counts), folder / "diagnosis.json"]:
        console.print(f"{'statistics' if file.suffix == '.json' else 'picture'}: {file}")


def class_weights(facts: "Facts", parts: "Parts", config: Mapping[str, Any]) -> dict[str, Any]:
    """What each scheme gives, as it is without further settings, and the chosen one as it was typed."""
    from nersweep.weights import Effective, Inverse, InverseSqrt

    schemes = {"inverse": Inverse(), "inverse_sqrt": InverseSqrt(), "effective": Effective()}
    given = {name: scheme(facts.counts) for name, scheme in schemes.items()}
    return given | (
        {f"{config['choice']['weights']}, as typed": facts.weights} if parts.weights else {}
    )


def windows(parts: "Parts", facts: "Facts") -> dict[str, Any]:
    """The most pieces that the chosen encoder reads at once, and how many sentences of each split are longer."""
    import transformers

    from nersweep.batches.windows import tokenise

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        encoder = parts.model.build(parts.head.target.outputs(facts.labels), facts.corpus)
    except ValueError as error:
        return {"unknown": one_line(error)}
    found = {"pieces": encoder.max_length}
    for split, sentences in facts.corpus.splits().items():
        starts = tokenise(
            sentences, facts.labels, encoder.tokenizer, encoder.max_length
        ).sentence_windows
        found[split] = int(((starts[1:] - starts[:-1]) > 1).sum())
    return found


def show_data(corpus: "Corpus") -> None:
    sizes = ", ".join(f"{len(sentences):,} {split}" for split, sentences in corpus.splits().items())
    say(f"{corpus.name} ({corpus.source}): {sizes} sentences")
    for note in corpus.notes:
        say(f"note: {note}")
    say("")


def show_statistics(found: "Diagnosis", cut: Mapping[str, Any]) -> None:
    lengths, longest = found.entity_words, max(found.entity_words, default=0)
    entities = max(1, sum(lengths.values()))
    parts = [
        f"{n} word{'s' * (n > 1)} {lengths.get(n, 0) / entities:.0%}" for n in range(1, LENGTHS)
    ]
    parts.append(
        f"more {sum(n for words, n in lengths.items() if words >= LENGTHS) / entities:.0%}"
    )
    name, share = found.most_absent
    rows = [
        ["words outside entities (O)", f"{found.o_share:.1%}"],
        ["most frequent class / rarest", f"{found.ratio:,.1f}"],
        ["most frequent entity class / rarest", f"{found.entity_ratio:,.1f}"],
        ["entropy of the entity classes", f"{found.entropy:.3f} (1 is even)"],
        [
            "most often absent",
            f"{name}, from {share:.0%} of the batches of {found.batch_size} sentences",
        ],
        ["no class absent from more than half", f"in batches of {found.batch_enough} sentences"],
        ["entities", f"{', '.join(parts)}; the longest has {longest}"],
    ]
    for split, of in found.unseen.items():
        told = f"{of.mentions:.1%} ({of.any_case:.1%} whatever the case), {of.names:.1%} of the different names"
        rows.append([f"{split} entities whose name is new", told])
    rows += [
        [
            "sentences copied from train",
            ", ".join(f"{x:.1%} of {split}" for split, x in found.copied.items()),
        ],
        ["type unlike most of the same name", f"{found.other_type:.1%} of the entities"],
        [
            "sentences that occur again",
            f"{found.repeated:,}, of which {found.repeated_differing:,} with other tags",
        ],
    ]
    if "unknown" in cut:
        rows.append(["longer than a window", f"not known: {cut['unknown']}"])
    else:
        longer = ", ".join(f"{cut[split]:,} {split}" for split in found.counts)
        rows.append(
            [
                f"longer than {cut['pieces']} pieces",
                f"{longer}; read in overlapping windows, no word is lost",
            ]
        )
    aligned(rows)


def show_classes(found: "Diagnosis", weights: Mapping[str, Any]) -> None:
    """With two pointers an entity counts once, at its first word."""
    from nersweep.weights import Effective, effective_numbers

    effective = effective_numbers(found.train, Effective().beta)
    shares = zip(found.absent, found.absent_balanced, strict=True)
    shown = [[f"{share:.0%}" if share == share else "" for share in of] for of in shares]
    rows = [
        [
            name,
            *(f"{counts[i]:,}" for counts in found.counts.values()),
            f"{effective[i]:,.0f}",
            *shown[i],
        ]
        for i, name in enumerate(found.classes)
    ]
    print_table(
        "\nwords of each class", ["", *found.counts, "effective", "absent", "balanced"], rows
    )
    say(
        f"effective: number in train, β={Effective().beta}. absent: share of the batches of {found.batch_size} "
        "sentences without the class; balanced: the same with train.sampler=entity_balanced."
    )
    rows = [
        [name, f"{found.train[i]:,}", *(f"{of[i]:.3g}" for of in weights.values())]
        for i, name in enumerate(found.classes)
    ]
    print_table("\nclass weights, by weights=", ["", "count", *weights], rows)


def show_findings(told: Sequence["Finding"]) -> None:
    say(
        "\nWhat this suggests, for the sweep to test:"
        if told
        else "\nNo rule fires: nothing suggests a loss."
    )
    aligned([["-", f"{of.name}: {of.statistic}. So {of.hypothesis}."] for of in told])


def show_sweep(sweep: Sequence["Setting"], told: Sequence["Finding"]) -> None:
    from nersweep.report.conclusions import WORTHWHILE, seeds_to_see

    say("\nThe sweep, with seeds 1, 2, 3 of each setting:")
    reasons = [
        [finding.name for finding in told if setting in finding.settings] for setting in sweep
    ]
    rows = zip(sweep, reasons, strict=True)
    aligned([[f"  {shlex.join(setting)}", ", ".join(why) or "always"] for setting, why in rows])
    tested, least = len(sweep) - 1, WORTHWHILE[0]
    enough = seeds_to_see(least, SD, tested)
    say(
        f"Three seeds show large differences alone. With {tested} row{'s' * (tested > 1)} against cross entropy, and "
        f"an sd over seeds of {100 * SD:.1f} points, a t test needs {enough} seeds of each to see {100 * least:.1f} "
        f"points with 80% power: seed='range(1,{enough + 1})'."
    )
    say(
        "Each run also tells the F1 with a threshold τ chosen on dev after training, so cross entropy with τ needs no "
        "setting of its own. This runs the sweep, and with dry_run=true tells what it takes:"
    )
    console.print(f"\n{command(sys.argv[1:])}\n")


def command(typed: Sequence[str]) -> str:
    """The sweep of this data, with what was typed of data, model and training."""
    own = OWN | {knob.name for knob in knobs() if knob.group in ("loss", "weights")}
    keys = {argument: re.sub(r"^\W*", "", argument).partition("=")[0] for argument in typed}
    kept = [a for a in typed if not {keys[a], keys[a].partition(".")[0]} & own and a != "head=crf"]
    return shlex.join(["python", "-m", "nersweep", "experiment=recommended", *kept])


def as_json(
    found: "Diagnosis",
    weights: Mapping[str, Any],
    cut: Mapping[str, Any],
    told: Sequence["Finding"],
    sweep: Sequence["Setting"],
) -> dict[str, Any]:
    """The diagnosis, as it is written down; null where a class does not occur."""
    from nersweep.weights import Effective, effective_numbers

    def by_class(values: Any) -> dict[str, float | None]:
        return {
            name: None if x != x else x
            for name, x in zip(found.classes, values.tolist(), strict=True)
        }

    derived = ("o_share", "ratio", "entity_ratio", "entropy")
    return {
        **{name: getattr(found, name) for name in derived},
        **{name: value for name, value in asdict(found).items() if name != "classes"},
        "counts": {split: by_class(values) for split, values in found.counts.items()},
        "effective_numbers": by_class(effective_numbers(found.train, Effective().beta)),
        "absent": by_class(found.absent),
        "absent_balanced": by_class(found.absent_balanced),
        "weights": {name: by_class(values) for name, values in weights.items()},
        "windows": cut,
        "findings": [finding._asdict() for finding in told],
        "sweep": sweep,
    }


def say(text: str) -> None:
    """Prose, which is broken between words; commands and paths are not, so that they can be copied."""
    console.print(text, soft_wrap=False)


def aligned(rows: Sequence[Sequence[str]]) -> None:
    """Rows of what and its text, which goes on below itself."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    for row in rows:
        grid.add_row(*row)
    console.print(grid, soft_wrap=False)
