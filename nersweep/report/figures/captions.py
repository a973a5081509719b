"""All figures with their titles and captions. A sentence stays only if its facts are known."""

from collections.abc import Callable, Mapping, Sequence
from string import Formatter

from matplotlib.figure import Figure

from nersweep.evaluation.metric import F1
from nersweep.report.comparison import Comparison
from nersweep.report.figures import scores, training
from nersweep.report.figures.drawing import HIGHLIGHTS

SPLITS = {"dev": "development split", "test": "test split"}
SHOWN = "Of the {all} rows, the baseline and the best are shown, {shown} in total."
COLOURED = (
    "Of the {all} rows, the baseline and the best, {shown} in total, have their own colours; "
    "the others are grey."
)
RANKING = "The best first: {ranking}."
# A function, its title, what it looks like to whoever does not see it, and its caption.
FIGURES: tuple[tuple[Callable[[Comparison], Figure | None], str, str, tuple[str, ...]], ...] = (
    (
        scores.verdict,
        "Difference from the baseline",
        "A line with an interval for each setting beside the line of no difference.",
        (
            "Mean {metric} on the {split} minus that of {baseline}, {seeds}, the best on top. The "
            "lines are intervals that hold together in 95 of 100 such experiments, from seeds and "
            "documents. The shaded band is the resolution, ±{resolution} points: a line inside "
            "of it is practically the same, one without 0 is better or worse.",
        ),
    ),
    (
        scores.f1,
        "{Metric} of each setting",
        "A line with an interval for each setting. " + RANKING,
        (
            "Mean {metric} on the {split}, {seeds}, with its 95% interval {interval}. Such "
            "intervals overlap even where a difference is certain, as all settings have the same "
            "documents and seeds.",
            "The dashed line is the mean of {baseline}.",
            "Diamonds are claims ({source}).",
            "Rows without a finished run, which are left out: {unfinished}.",
        ),
    ),
    (
        scores.per_type,
        "F1 of each type",
        "Shades, a row for each setting and a column for each type; the table of that name has "
        "the numbers.",
        (
            "Mean F1 in percent on the {split}, {seeds}; stronger is higher. Below each type "
            "stands its number of entities in the split.",
            "The frame marks the rarest type in training, {rarest} ({entities} entities).",
        ),
    ),
    (
        scores.precision_recall,
        "Precision against recall",
        "Points, a colour for each setting: recall to the right, precision upwards. " + RANKING,
        (
            "On the {split}, {seeds}; F1 is constant along the grey lines.",
            "Large markers are means over {several}, small ones single seeds.",
            COLOURED,
        ),
    ),
    (
        scores.time,
        "Time against {metric}",
        "Points, a colour for each setting: time to the right, {metric} upwards. " + RANKING,
        (
            "Time of an optimiser step (processor time on a CPU) as a multiple of that of {one}, "
            "and mean {metric} on the {split}, {seeds}, with its 95% interval {interval}.",
            "The time is the median over seeds; the horizontal line spans the fastest and the "
            "slowest. Up and to the left is better.",
            COLOURED,
        ),
    ),
    (
        scores.over_knob,
        "{Metric} over {knob}",
        "Points with intervals: {knob} to the right, {metric} upwards. " + RANKING,
        (
            "Mean {metric} on the {split} for each value of {knob}, {seeds}; bars are 95% "
            "intervals {interval}.",
            "Small circles are single ones of {several}.",
        ),
    ),
    (
        scores.over_two_knobs,
        "{Metric} over {knob} and {second}",
        "Shades, by {knob} and {second}. " + RANKING,
        ("Mean {metric} in percent on the {split}, {seeds}; stronger is higher.",),
    ),
    (
        training.expected_best,
        "What tuning brings",
        "Rising curves, a colour for each setting: trials to the right, {metric} upwards.",
        (
            "{metric} on the development split that the best of k trials is expected to have, of "
            "the {trials} trials of each row (Dodge et al. 2019). Bands are 95% intervals from "
            "resampled trials; near the right end they are too narrow above, because no resample "
            "exceeds the best trial. Where curves still rise, more trials may change the order.",
        ),
    ),
    (
        training.learning_curves,
        "Learning curves",
        "Curves, a colour for each setting: epochs to the right, {epochs_metric} upwards.",
        (
            "{epochs_metric} on the development split after each epoch, {seeds}.",
            "Beside it stands its cross entropy, the mean −log p of a word's true class in nats, "
            "a measure that {losses} have in common: each trains with a scale of its own.",
            "Lines are means over those of {several} that are still in training; bands span the "
            "lowest and the highest.",
            COLOURED,
        ),
    ),
    (
        training.confusion,
        "Confusion of types",
        "Squares with percentages, true types down and predicted types across, for the best "
        "setting and the baseline.",
        (
            "Words of each true type on the {split} by predicted type, in percent, {seeds}; B- "
            "and I- are taken together. Errors are off the diagonal; shares below half a percent "
            "are blank.",
        ),
    ),
    (
        training.reliability,
        "Reliability",
        "A curve for each setting beside the diagonal of perfect calibration; the table After "
        "training has the errors.",
        (
            "How often the most probable label is correct, by its probability, in 15 bins over the "
            "words of the {split} that belong to an entity, true or predicted, {seeds}; larger "
            "dots hold more words. Below the diagonal the model is overconfident. Bins with fewer "
            "than ten words are left out. ECE, the expected calibration error, is the mean over "
            "seeds.",
            SHOWN,
        ),
    ),
    (
        training.gradient_norms,
        "Where the gradient comes from",
        "Three histograms for each setting: words of train, words of dev, and their shares in the "
        "gradient.",
        (
            "g = 1 − p_y is how far the probability of a word's true label is from 1: easy words "
            "on the left, hard ones on the right, 30 bins, {seeds}. Left and middle: the number "
            "of words in the first epoch (dotted) and in the last, entities thick and O thin; in "
            "training, every tenth step is measured. Right: the share of each bin in the whole "
            "gradient, summed over training, entities upwards and O downwards; the black line is "
            "what cross entropy would give the same words.",
            SHOWN,
        ),
    ),
    (
        training.effective_weights,
        "Effective weighting",
        "Curves, a colour for each setting: easy words on the left, hard ones on the right.",
        (
            "By how much each loss multiplies the gradient that cross entropy would have at a "
            "word, by how hard the word is (g = 1 − p_y), summed over training, {seeds}; cross "
            "entropy is 1 everywhere. Bins with fewer than ten words are left out.",
            SHOWN,
        ),
    ),
)


def complete(sentences: Sequence[str], values: Mapping[str, str]) -> str:
    """Fill in the sentences, and leave out those whose facts are unknown."""
    kept: list[str] = []
    for sentence in sentences:
        names = {name for _, name, _, _ in Formatter().parse(sentence) if name}
        if names <= values.keys():
            kept.append(sentence.format_map(values))
    return " ".join(kept)


def facts(comparison: Comparison) -> dict[str, str]:
    """Return the facts that captions mention; what does not apply is left out."""
    rows = comparison.finished
    counts = sorted({len(row.seeds) for row in rows})
    seeds, interval = f"{counts[0]} seeds", "from seeds and documents"
    one_seed = counts == [1]
    if one_seed:
        seeds, interval = "one seed", "from documents alone, as there is one seed"
    elif len(counts) > 1:
        seeds = f"{counts[0]} to {counts[-1]} seeds"
    if not one_seed and 1 in counts:
        interval += " (where there is one seed, from documents alone)"
    entities = comparison.first.result.data.entities[comparison.rarest]
    values = {
        "metric": comparison.metric.label,
        "Metric": comparison.metric.label[0].upper() + comparison.metric.label[1:],
        "epochs_metric": training.metric_of_epochs(comparison).label,
        "split": SPLITS[comparison.split],
        "seeds": seeds,
        "interval": interval,
        "rarest": comparison.rarest,
        "entities": f"{entities:,}",
        "one": comparison.time_unit.setting,
        "resolution": f"{comparison.resolution:g}",
        "ranking": ranking(comparison),
    }
    if training.knows_cross_entropy(comparison):
        values["losses"] = "all losses"
    if not one_seed:
        values["several"] = seeds
    unfinished = len(comparison.rows) - len(rows)
    if unfinished:
        values["unfinished"] = str(unfinished)
    if len(rows) > HIGHLIGHTS:
        values |= {"all": str(len(rows)), "shown": str(HIGHLIGHTS)}
    if comparison.baseline:
        values["baseline"] = comparison.baseline
    if comparison.metric == F1 and any(row.claim.f1 is not None for row in rows):
        values["source"] = comparison.reference.source
    if comparison.tuning:
        values |= {"metric": comparison.tuning.metric, "trials": str(comparison.tuning.trials)}
    values |= zip(("knob", "second"), scores.varying_knobs(comparison), strict=False)
    return values


def ranking(comparison: Comparison) -> str:
    """Return the best rows with their means, in percent."""
    rows = sorted(comparison.finished, key=lambda row: -row.mean())
    return ", ".join(f"{row.setting} {100 * row.mean():.2f}" for row in rows[:HIGHLIGHTS])
