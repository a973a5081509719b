"""Diagnose a data set: print its imbalance and the sweep to start with, and write both down."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import transformers
from rich.table import Table

from nersweep.batches.windows import tokenise
from nersweep.config.check import Checked, Parts
from nersweep.config.knobs import knobs
from nersweep.config.overrides import Overrides, setting_of
from nersweep.data.corpus import Corpus, tag_counts
from nersweep.diagnosis import picture
from nersweep.diagnosis.flaws import Flaw, find_flaws
from nersweep.diagnosis.imbalance import Diagnosis
from nersweep.diagnosis.recommendation import (
    AFTERWARDS,
    Finding,
    examine,
    findings,
    recommend,
)
from nersweep.faults import UserError, one_line
from nersweep.machine import files
from nersweep.model.heads.base import Head
from nersweep.run import plan
from nersweep.run.plan import Facts
from nersweep.terminal import console, print_table
from nersweep.weights import Effective, Inverse, InverseSqrt, effective_numbers

# Settings of the recommended command, which replace the user's.
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
LONG = 5  # words from which on entities are counted together


@dataclass(frozen=True)
class Windows:
    """Sentences that do not fit into a window of the encoder.

    pieces: the most that it reads at once; longer: such sentences by split. unknown: words by split
    that begin with the unknown piece, and their share; lost: words that no window holds. problem:
    why the encoder could not be built, or "".
    """

    pieces: int = 0
    longer: Mapping[str, int] | None = None
    unknown: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    lost: int = 0
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        if self.longer is None:
            return {"unknown": self.problem}
        unknown = {split: count for split, (count, _) in self.unknown.items()}
        words = {"unknown_words": unknown, "lost_words": self.lost}
        return {"pieces": self.pieces, **self.longer, **words}


def describe(checked: Checked) -> None:
    """Print the diagnosis of a configuration's data and write it to output_dir/diagnosis."""
    settings, parts = checked.settings, checked.parts
    facts = plan.learn(parts, settings.seed)
    corpus = facts.corpus
    diagnosis = examine(parts, facts, settings.train.batch_size)
    fired, flaws = findings(diagnosis), find_flaws(corpus)
    sweep = recommend(fired, settings.choice.head)
    weights = class_weights(facts, settings.choice.weights if parts.weights else None)
    windows = count_windows(parts, facts)

    print_data(corpus)
    print_statistics(diagnosis, windows)
    print_flaws(flaws)
    print_classes(diagnosis, weights)
    print_findings(fired)
    print_sweep(sweep, fired)
    print_text(f"{AFTERWARDS}\n")
    folder = files.writable(settings.output_dir / "diagnosis" / corpus.name)
    content = to_json(diagnosis, weights, windows, fired, sweep)
    content["flaws"] = [flaw._asdict() for flaw in flaws]
    files.write_json(folder / "diagnosis.json", content)
    counts = {split: tag_counts(sentences) for split, sentences in corpus.splits().items()}
    for file in picture.draw(folder, corpus.name, counts):
        console.print(f"figure: {file}")
    console.print(f"statistics: {folder / 'diagnosis.json'}")


def class_weights(facts: Facts, chosen: str | None) -> dict[str, np.ndarray]:
    """Return the weights of each scheme with its defaults, and the chosen ones as they are set."""
    weights = {
        "inverse": Inverse()(facts.counts),
        "inverse_sqrt": InverseSqrt()(facts.counts),
        "effective": Effective()(facts.counts),
    }
    if chosen:
        weights[f"{chosen}, as set"] = facts.weights
    return weights


def count_windows(parts: Parts, facts: Facts) -> Windows:
    """Count the sentences that the chosen encoder reads in several windows."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        head: type[Head] = parts.head.target
        encoder = parts.model.build(head.outputs(facts.labels), facts.corpus)
    except UserError as error:
        return Windows(problem=one_line(error))
    longer: dict[str, int] = {}
    unknown: dict[str, tuple[int, float]] = {}
    lost = 0
    for split, sentences in facts.corpus.splits().items():
        tokens = tokenise(sentences, facts.labels, encoder.tokenizer, encoder.max_length)
        longer[split] = int((np.diff(tokens.sentence_windows) > 1).sum())
        first = tokens.pieces[tokens.window_starts[tokens.word_window] + tokens.word_place]
        is_unknown = first == encoder.tokenizer.unk_token_id
        unknown[split] = int(is_unknown.sum()), float(is_unknown.mean())
        lost += sum(len(sentence.words) for sentence in sentences) - len(first)
    return Windows(encoder.max_length, longer, unknown, lost)


def print_data(corpus: Corpus) -> None:
    print_text(f"{corpus.name} ({corpus.source}): {corpus.sizes()}")
    for note in corpus.notes:
        print_text(f"note: {note}")
    print_text("")


def print_statistics(diagnosis: Diagnosis, windows: Windows) -> None:
    name, share = diagnosis.most_absent
    rows = [
        ["words outside entities (O)", f"{diagnosis.o_share:.1%}"],
        ["most frequent class / rarest", f"{diagnosis.ratio:,.1f}"],
        ["most frequent entity class / rarest", f"{diagnosis.entity_ratio:,.1f}"],
        ["entropy of the entity classes", f"{diagnosis.entropy:.3f} (1 is even)"],
        [
            "most often absent",
            f"{name}, from {share:.0%} of the batches of {diagnosis.batch_size} sentences",
        ],
        [
            "no class absent from more than half",
            f"in batches of {diagnosis.batch_enough} sentences",
        ],
        ["entities", entity_lengths(diagnosis)],
    ]
    for split, unseen in diagnosis.unseen.items():
        rows.append(
            [
                f"{split} entities whose name is new",
                f"{unseen.mentions:.1%} ({unseen.any_case:.1%} in any case), "
                f"{unseen.names:.1%} of the distinct names",
            ]
        )
    copied = ", ".join(f"{share:.1%} of {split}" for split, share in diagnosis.copied.items())
    rows += [
        ["sentences copied from train", copied],
        ["type unlike most of the same name", f"{diagnosis.other_type:.1%} of the entities"],
        ["names outside of entities", f"{diagnosis.untagged:.1%} of their places"],
        [
            "sentences that occur again",
            f"{diagnosis.repeated:,}, {diagnosis.repeated_differing:,} of them with other tags",
        ],
    ]
    if windows.longer is None:
        rows.append(["longer than a window", f"unknown: {windows.problem}"])
    else:
        longer = ", ".join(f"{count:,} {split}" for split, count in windows.longer.items())
        text = f"{longer}; read in overlapping windows, {windows.lost or 'no'} word is lost"
        rows.append([f"longer than {windows.pieces} pieces", text])
        unknown: list[str] = []
        for split, (count, share) in windows.unknown.items():
            unknown.append(f"{count:,} {split} ({share:.1%})")
        rows.append(["words unknown to the tokenizer", ", ".join(unknown)])
    print_pairs(rows)


def entity_lengths(diagnosis: Diagnosis) -> str:
    """Return the shares of entities by their number of words."""
    lengths = diagnosis.entity_words
    entities = max(1, sum(lengths.values()))
    parts: list[str] = []
    for words in range(1, LONG):
        plural = "s" if words > 1 else ""
        parts.append(f"{words} word{plural} {lengths.get(words, 0) / entities:.0%}")
    more = sum(count for words, count in lengths.items() if words >= LONG)
    parts.append(f"more {more / entities:.0%}")
    return f"{', '.join(parts)}; the longest has {max(lengths, default=0)}"


def print_classes(diagnosis: Diagnosis, weights: Mapping[str, np.ndarray]) -> None:
    """Print tables of the classes. With two pointers an entity counts once, at its first word."""
    beta = Effective().beta
    effective = effective_numbers(diagnosis.train, beta)
    counts: list[list[str]] = []
    weight_rows: list[list[str]] = []
    for number, name in enumerate(diagnosis.classes):
        row = [name]
        row += [f"{split_counts[number]:,}" for split_counts in diagnosis.counts.values()]
        row.append(f"{effective[number]:,.0f}")
        for absent in (diagnosis.absent, diagnosis.absent_balanced):
            row.append("" if np.isnan(absent[number]) else f"{absent[number]:.0%}")
        counts.append(row)
        values = [f"{scheme[number]:.3g}" for scheme in weights.values()]
        weight_rows.append([name, f"{diagnosis.train[number]:,}", *values])
    header = ["", *diagnosis.counts, "effective", "absent", "balanced"]
    print_table("\nwords of each class", header, counts)
    print_text(
        f"effective: effective number in train, β={beta}. absent: share of the batches of "
        f"{diagnosis.batch_size} sentences without the class; balanced: the same with "
        "train.sampler=entity_balanced."
    )
    print_table("\nclass weights, by weights=", ["", "count", *weights], weight_rows)


def print_findings(fired: Sequence[Finding]) -> None:
    if not fired:
        print_text("\nNo rule fires: nothing suggests a special loss.")
        return
    print_text("\nWhat this suggests, for the sweep to test:")
    rows: list[list[str]] = []
    for each in fired:
        rows.append(["-", f"{each.name}: {each.statistic}. So {each.hypothesis}."])
        rows.append(["", f"Evidence: {each.evidence}."])
    print_pairs(rows)


def print_flaws(flaws: Sequence[Flaw]) -> None:
    if not flaws:
        print_text("\nNo check of the labels fires.")
        return
    print_text("\nWhat may be wrong with the labels:")
    rows: list[list[str]] = []
    for flaw in flaws:
        rows.append(["-", f"{flaw.name}: {flaw.statement}"])
        rows += [["", example] for example in flaw.examples]
    print_pairs(rows)


def print_sweep(sweep: Sequence[Overrides], fired: Sequence[Finding]) -> None:
    print_text("\nThe sweep, with 2 to 10 seeds of each setting:")
    rows: list[list[str]] = []
    for setting in sweep:
        reasons = [finding.name for finding in fired if setting in finding.settings]
        rows.append([f"  {shlex.join(setting)}", ", ".join(reasons) or "always"])
    print_pairs(rows)
    print_text(
        "A setting gets seeds until it is better or worse than cross entropy, or practically the "
        "same. The report says what each has shown."
    )
    print_text(
        "Each run also reports the F1 with a threshold τ chosen on dev after training, so cross "
        "entropy with τ needs no setting of its own. This command runs the sweep; with "
        "dry_run=true it prints what the sweep would take:"
    )
    console.print(f"\n{sweep_command(sys.argv[1:])}\n")


def sweep_command(arguments: Sequence[str]) -> str:
    """Return the command of the sweep, with the user's settings of data, model and training."""
    own = OWN | {knob.name for knob in knobs() if knob.group in ("loss", "weights")}
    kept: list[str] = []
    for argument in arguments:
        key = setting_of(argument)
        if key not in own and key.partition(".")[0] not in own and argument != "head=crf":
            kept.append(argument)
    return shlex.join(["python", "-m", "nersweep", "experiment=recommended", *kept])


def to_json(
    diagnosis: Diagnosis,
    weights: Mapping[str, np.ndarray],
    windows: Windows,
    fired: Sequence[Finding],
    sweep: Sequence[Overrides],
) -> dict[str, Any]:
    """Return the diagnosis as JSON values; null for a class that does not occur."""

    def by_class(values: np.ndarray) -> dict[str, float | None]:
        numbers: dict[str, float | None] = {}
        for name, value in zip(diagnosis.classes, values.tolist(), strict=True):
            numbers[name] = None if np.isnan(value) else value
        return numbers

    content = {name: value for name, value in asdict(diagnosis).items() if name != "classes"}
    return content | {
        "o_share": diagnosis.o_share,
        "ratio": diagnosis.ratio,
        "entity_ratio": diagnosis.entity_ratio,
        "entropy": diagnosis.entropy,
        "counts": {split: by_class(values) for split, values in diagnosis.counts.items()},
        "effective_numbers": by_class(effective_numbers(diagnosis.train, Effective().beta)),
        "absent": by_class(diagnosis.absent),
        "absent_balanced": by_class(diagnosis.absent_balanced),
        "weights": {name: by_class(values) for name, values in weights.items()},
        "windows": windows.to_json(),
        "findings": [finding._asdict() for finding in fired],
        "sweep": sweep,
    }


def print_text(text: str) -> None:
    """Print prose, broken between words; commands and paths are not broken, to be copied."""
    console.print(text, soft_wrap=False)


def print_pairs(rows: Sequence[Sequence[str]]) -> None:
    """Print names with texts, which continue below themselves."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    for row in rows:
        grid.add_row(*row)
    console.print(grid, soft_wrap=False)
