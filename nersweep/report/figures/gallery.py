"""The pictures of a comparison, and what is said of each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from matplotlib.figure import Figure

from nersweep.machine import files as files_module
from nersweep.plotting import styled
from nersweep.report.comparison import Comparison
from nersweep.report.figures import scores, training
from nersweep.report.figures.drawing import TOLD_APART


@dataclass(frozen=True)
class Picture:
    """title and says: what it shows, and how to read it."""

    name: str
    title: str
    says: str
    png: Path
    svg: Path


@styled
def draw(comparison: Comparison, folder: Path) -> list[Picture]:
    """Those that have something to show, as PNG and SVG: of the same runs the same bytes."""
    pictures, known = [], facts(comparison)
    for make, title, sentences in FIGURES:
        if (figure := make(comparison)) is None:
            continue
        files = {kind: folder / f"{make.__name__}.{kind}" for kind in ("png", "svg")}
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once for both
        for kind, file in files.items():
            with files_module.in_place_of(file) as beside:
                nothing = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
                figure.savefig(beside, format=kind, metadata=nothing)
        pictures.append(
            Picture(make.__name__, title.format_map(known), told(sentences, known), **files)
        )
    return pictures


def told(sentences: tuple[str, ...], known: Mapping[str, str]) -> str:
    """The sentences of which all facts are known."""
    kept = [
        s
        for s in sentences
        if {name for _, name, _, _ in Formatter().parse(s) if name} <= known.keys()
    ]
    return " ".join(kept).format_map(known)


def facts(comparison: Comparison) -> dict[str, str]:
    """What the sentences below the pictures speak of; what is not there is left out."""
    rows = comparison.finished
    counts = sorted({len(row.seeds) for row in rows})
    seeds = f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else f"{counts[0]} seeds"
    over = "over seeds and sentences"
    if any(1 in (len(row.seeds), len(row.versus.seeds) if row.versus else 0) for row in rows):
        over += " (where there is one seed, over sentences alone)"
    known = {
        "split": {"dev": "development split", "test": "test split"}[comparison.split],
        "seeds": "one seed" if counts == [1] else seeds,
        "interval": "over sentences alone, as there is one seed" if counts == [1] else over,
        "rarest": comparison.rarest,
        "entities": f"{comparison.first.result.data.entities[comparison.rarest]:,}",
    }
    known["alone" if counts == [1] else "several"] = known["seeds"]
    if left := len(comparison.rows) - len(rows):
        known["unfinished"] = str(left)
    if len(rows) > TOLD_APART:
        known |= {"all": str(len(rows)), "shown": str(TOLD_APART)}
    if comparison.baseline:
        known["baseline"] = comparison.baseline
    if any("f1" in row.claimed for row in rows):
        known["source"] = comparison.reference.get("source", "others")
    if one := next((row.setting for row in rows if comparison.time_ratio(row) == 1), None):
        known["one"] = one
    if found := scores.knobs(comparison):
        known["knob"] = found[0]
    if len(found) > 1:
        known["second"] = found[1]
    return known


SOME = "Of the {all} rows the baseline and the best are shown, {shown} together."
OF_ALL = "Of the {all} rows the baseline and the best have a look of their own, {shown} together; the others are grey."
FIGURES: tuple[tuple[Callable[[Comparison], Figure | None], str, tuple[str, ...]], ...] = (
    (
        scores.f1,
        "F1 of each setting",
        (
            "Mean F1 of entities on the {split}, {seeds}, with its 95% interval {interval}.",
            "The dashed line is the mean of {baseline}.",
            "A diamond is what is claimed ({source}).",
            "Rows without a finished run, which are left out: {unfinished}.",
        ),
    ),
    (
        scores.difference,
        "Difference to the baseline",
        (
            "Mean F1 on the {split} less that of {baseline}, over the seeds that both have ({seeds}), with its 95% "
            "interval {interval}.",
            "A full dot marks an interval that leaves out 0; it is not corrected for the number of rows.",
            "Of other seeds {alone} tells nothing.",
        ),
    ),
    (
        scores.per_type,
        "F1 of each type",
        (
            "Mean F1 in percent on the {split}, {seeds}; the darker, the higher. Below a type stands how many "
            "entities of it the split has.",
            "The frame marks the rarest type in training, {rarest} ({entities} entities).",
        ),
    ),
    (
        scores.precision_recall,
        "Precision against recall",
        (
            "On the {split}, {seeds}; along a grey line F1 is the same.",
            "Large markers are means over {several}, small ones single seeds.",
            OF_ALL,
        ),
    ),
    (
        scores.time,
        "Time against F1",
        (
            "Time of an optimiser step (processor time on a CPU), where {one} is 1, and mean F1 on the {split}, "
            "{seeds}, with its 95% interval {interval}.",
            "The time is the median over seeds, and the line across leads from the least to the greatest of them. Up "
            "and to the left is better.",
            OF_ALL,
        ),
    ),
    (
        scores.over_knob,
        "F1 over {knob}",
        (
            "Mean F1 on the {split} for each value of {knob}, {seeds}; bars are 95% intervals {interval}.",
            "Small circles are single ones of {several}.",
        ),
    ),
    (
        scores.over_two_knobs,
        "F1 over {knob} and {second}",
        ("Mean F1 in percent on the {split}, {seeds}; the darker, the higher.",),
    ),
    (
        training.learning_curves,
        "Learning curves",
        (
            "Left: F1 on the development split after each epoch, {seeds}. Right: the training loss, as a share of its "
            "first value, because different losses are not comparable in height.",
            "Lines are means over those of {several} that are still in training, bands go from the lowest to the "
            "highest.",
            OF_ALL,
        ),
    ),
    (
        training.confusion,
        "Confusion of types",
        (
            "Of the words of each true type on the {split}, how many percent are predicted as which, {seeds}; "
            "B- and I- are taken together. Off the diagonal are errors; shares below half a percent are "
            "blank.",
        ),
    ),
    (
        training.reliability,
        "Reliability",
        (
            "How often the most probable label is right, by how probable it is, in 15 bins over the words of the "
            "{split} that are an entity's in truth or as predicted, {seeds}; a larger dot holds more words. "
            "Below the diagonal the model is too sure. Bins with fewer than ten words are left out. ECE, the "
            "expected calibration error, is the mean over seeds.",
            SOME,
        ),
    ),
    (
        training.gradient_norms,
        "Where the gradient comes from",
        (
            "g = 1 − p_y is how far a word's probability for its true label is from 1: easy words on the left, hard "
            "ones on the right, 30 bins, {seeds}. Left and middle: how many words there are, in the first "
            "epoch (dotted) and in the last, entities thick and O thin; of training every tenth step is looked at. "
            "Right: the share of the whole gradient that each bin pulls with, summed over training, entities upwards "
            "and O downwards; the black line is what cross entropy would give to the same words.",
            SOME,
        ),
    ),
    (
        training.effective_weights,
        "Effective weighting",
        (
            "By how much each loss multiplies the gradient that cross entropy would have at a word, by how hard the "
            "word is (g = 1 − p_y), summed over training, {seeds}; cross entropy is 1 everywhere. Bins with fewer "
            "than ten words are left out.",
            SOME,
        ),
    ),
)
