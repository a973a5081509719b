"""Conclude from a comparison, in plain words: what to take, and what each row has shown."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from nersweep.config.settings import FIXED
from nersweep.evaluation.inference import ALPHA, Contrast, Verdict
from nersweep.evaluation.metric import F1, EntityMetric
from nersweep.evaluation.planning import MOST_SEEDS, Outlook
from nersweep.report.records import Record
from nersweep.report.rows import Row, names, points
from nersweep.results.result import Status

SENTENCES = 6  # rows of one verdict that still get a sentence each
BETTER = (Verdict.MUCH_BETTER, Verdict.BETTER)
WORSE = (Verdict.MUCH_WORSE, Verdict.WORSE)
ALWAYS = ("epochs", "batch_size", "lr")  # settings of train in a command that is rebuilt


@dataclass(frozen=True)
class Decision:
    """What to take, how sure that is, and where its model lies: a sentence each.

    setting: "" if none can be preferred. command: the one that repeats the model's run.
    provisional: what is still missing, or "". protocol: how the rows were tuned, or "". folder: of
    the model's run; None if it is not here.
    """

    setting: str
    choice: str
    command: str
    certainty: str
    model: str
    provisional: str = ""
    protocol: str = ""
    folder: Path | None = None

    @property
    def lines(self) -> list[str]:
        """The decision as lines of text."""
        lines = [f"{self.choice}: {self.command}", self.certainty, self.model]
        return [*filter(None, [self.provisional, self.protocol]), *lines]


NO_DECISION = Decision("", "", "", "", "")


def decide(rows: Sequence[Row], baseline: Row | None) -> Decision:
    """Return which of the finished rows to take: the one of least expected regret."""
    finished = [row for row in rows if row.records]
    highest = max(finished, key=Row.mean)
    ranked: list[tuple[float, Row]] = []
    for row in finished:
        if row.standing and np.isfinite(row.standing.regret):
            ranked.append((row.standing.regret, row))
    row = highest
    if ranked:
        row = min(ranked, key=lambda pair: (pair[0], pair[1] is not baseline))[1]
    record = row.best
    if not row.trained:
        setting, choice = "", "No setting trained: none predicts an entity; the first run"
        certainty = "More epochs or a higher learning rate may help (train.epochs, train.lr)."
    elif len(finished) == 1:
        setting, choice = row.setting, f"{row.setting} is the only setting"
        mean = f"Mean {row.metric.label} {100 * row.mean():.2f}{bounds(row)}"
        certainty = f"{mean}; there is nothing to compare."
    elif not ranked:
        setting, choice = "", f"No setting can be preferred yet; {row.setting} has the highest"
        choice += f" {row.metric.label}"
        certainty = one_seed(finished)
    else:
        setting, choice = row.setting, f"Take {row.setting}"
        if baseline and row.contrast and row.contrast.verdict is Verdict.SAME:
            choice += f" ({baseline.setting} is practically the same)"
        certainty = confidence(row, finished, baseline)
    place = f": {record.folder / 'model'}" if record.folder else " is not in the archive"
    model = (
        f"Its model{place} (seed {record.seed}, the best of {len(row.records)} on dev, "
        f"{on_dev(record, row.metric)})."
    )
    return Decision(
        setting,
        choice,
        command_of(record),
        certainty,
        model,
        missing_runs(rows),
        folder=record.folder,
    )


def on_dev(record: Record, metric: EntityMetric) -> str:
    """Return the metric on dev, or F1 if an older version has made the run."""
    value = record.result.value("dev", metric)
    if np.isnan(value):
        metric, value = F1, record.result.dev.f1
    return f"{metric.label} {100 * value:.2f}"


def one_seed(rows: Sequence[Row]) -> str:
    """Say what one seed tells."""
    if all(len(row.records) == 1 for row in rows):
        return (
            "How sure: one seed shows how each setting did once, not how much seeds vary. "
            "Add a second: with seed=1,2,3 the report gives a verdict on each row."
        )
    return (
        "How sure: no comparison of two settings has enough seeds, and scores other than 0 and 100."
    )


def bounds(row: Row) -> str:
    """Return the interval of the mean, in brackets."""
    low, high = row.interval
    return f" [{100 * low:.2f}, {100 * high:.2f}]"


def confidence(row: Row, rows: Sequence[Row], baseline: Row | None) -> str:
    """Say how sure a choice is, what it may cost, and which others may be the best."""
    assert row.standing
    ranked = [other for other in rows if other.standing and np.isfinite(other.standing.best)]
    text = (
        f"How sure: it is the best of {len(ranked)} with probability {share(row.standing.best)}, "
        f"and expected to cost {row.standing.regret:.2f} points against the best"
    )
    if baseline and baseline is not row and baseline.standing:
        text += f" (staying with {baseline.setting}: {baseline.standing.regret:.2f})"
    rivals: list[tuple[float, str]] = []
    for other in ranked:
        standing = other.standing
        if standing and standing.candidate and other is not row:
            rivals.append((-standing.best, f"{other.setting} ({share(standing.best)})"))
    if not rivals:
        return f"{text}. No other setting may be the best."
    return f"{text}. May be the best too: {', '.join(name for _, name in sorted(rivals))}."


def share(probability: float) -> str:
    """Return a probability in percent, never 0 or 100 by rounding."""
    percent = 100 * probability
    if percent > 99:
        return "above 99%"
    return f"{percent:.0f}%" if percent >= 1 else "below 1%"


def missing_runs(rows: Sequence[Row]) -> str:
    """Say that runs are still missing; "" if all have ended."""
    open_runs = 0
    finished = 0
    for row in rows:
        finished += len(row.records)
        for run in row.unfinished:
            open_runs += run.status in (Status.RUNNING, Status.NOT_STARTED, Status.RESTART)
    if not open_runs:
        return ""
    return (
        f"Provisional: {open_runs} of {finished + open_runs} runs are still running or have not "
        "started."
    )


def command_of(record: Record) -> str:
    """Return the command that repeats a run, rebuilt from its settings if it is unknown.

    What is rebuilt has the options, the knobs and the training, but nothing of the data's section.
    """
    if record.command:
        return record.command
    settings = {f"{group}={option}" for group, option in record.result.choice.items()}
    settings -= {"head=token", "weights=none", "aux=none"}
    for name, value in record.config.items():
        if name not in FIXED and name != "choice" and isinstance(value, int | float | str):
            settings.add(f"{name}={value}")
    for name in ALWAYS:
        if name in record.config["train"]:
            settings.add(f"train.{name}={record.config['train'][name]}")
    return shlex.join(["python", "-m", "nersweep", *sorted(settings), f"seed={record.seed}"])


def conclude(rows: Sequence[Row], baseline: Row | None, resolution: float) -> list[str]:
    """Return a sentence for each row but the baseline, and what else the rows have in common.

    Rows of one verdict share a sentence if there are many.
    """
    finished = [row for row in rows if row.records]
    lines: list[str] = []
    if baseline:
        by_verdict: dict[Verdict, list[Row]] = {}
        for row in finished:
            if row.contrast:
                by_verdict.setdefault(row.contrast.verdict, []).append(row)
        for verdict in Verdict:
            group = by_verdict.get(verdict, [])
            group.sort(key=lambda row: -difference(row))
            if len(group) > SENTENCES:
                lines.append(summary(verdict, group, baseline, resolution))
            else:
                lines += [sentence(row, baseline, resolution) for row in group]
        lines += rankings(finished, baseline)
    lines += shared(finished, "did not train: it predicts no entity", "did not train: they predict "
                    "no entity", lambda row: not row.trained)  # fmt: skip
    lines += shared(
        finished,
        "was still improving at its last epoch: more train.epochs may change its place",
        "were still improving at their last epoch: more train.epochs may change the order",
        lambda row: row.trained and row.improving,
    )
    return lines


def rankings(rows: Sequence[Row], baseline: Row) -> list[str]:
    """Say of each row whether it ranks entities better or only moves the threshold.

    Of many rows, only of those whose ranking differs.
    """
    compared = [row for row in rows if row.ranking and row.contrast]
    lines: list[str] = []
    for row in compared:
        assert row.ranking and row.contrast
        verdict, name = row.ranking.verdict, baseline.setting
        if verdict in BETTER:
            text = f"{row.setting} ranks entities better than {name}"
        elif verdict in WORSE:
            text = f"{row.setting} ranks entities worse than {name}"
        elif len(compared) > SENTENCES:
            continue
        elif row.contrast.verdict in (*BETTER, *WORSE):
            text = f"{row.setting} moves the threshold: it is not shown to rank unlike {name}"
        else:
            text = f"{row.setting} is not shown to rank unlike {name}"
        plain, shifted = (gap(row, baseline, score) for score in ("f1", "threshold/f1"))
        lines.append(
            f"{text}: area under the precision–recall curve {measured(row.ranking)}; F1 differs by "
            f"{points(plain)}, and with the τ chosen on dev by {points(shifted)}."
        )
    return lines


def gap(row: Row, baseline: Row, score: str) -> float:
    """Return the difference of a score's means, in points, over the seeds of the contrast."""
    own = dict(zip(row.draws, row.values(score).tolist(), strict=True))
    others = dict(zip(baseline.draws, baseline.values(score).tolist(), strict=True))
    if row.contrast and row.contrast.paired:
        return 100 * float(np.mean([own[seed] - others[seed] for seed in own.keys() & others]))
    return 100 * float(np.mean([*own.values()]) - np.mean([*others.values()]))


def shared(rows: Sequence[Row], one: str, several: str, holds: Callable[[Row], bool]) -> list[str]:
    """Return a sentence on the rows for which something holds; none without one."""
    group = names([row for row in rows if holds(row)])
    if not group:
        return []
    subject = ", ".join(group)
    if len(group) == len(rows) > 1:
        subject = f"All {len(rows)} settings"
    return [f"{subject} {one if len(group) == 1 else several}."]


def difference(row: Row) -> float:
    return row.contrast.difference if row.contrast else 0.0


def summary(verdict: Verdict, rows: Sequence[Row], baseline: Row, resolution: float) -> str:
    """Return one sentence on many rows of a verdict."""
    parts = [f"{row.setting} ({points(difference(row))})" for row in rows]
    what = f"{len(rows)} settings are {phrase(verdict, baseline, resolution)}"
    return f"{what}; their differences in points, with intervals in the table: {', '.join(parts)}."


def phrase(verdict: Verdict, baseline: Row, resolution: float) -> str:
    """Return a verdict in words that follow "is"."""
    more = f" by more than {resolution:g} points"
    return {
        Verdict.MUCH_BETTER: f"better than {baseline.setting}{more}",
        Verdict.BETTER: f"better than {baseline.setting}",
        Verdict.SAME: f"practically the same as {baseline.setting}",
        Verdict.UNDECIDED: "undecided",
        Verdict.WORSE: f"worse than {baseline.setting}",
        Verdict.MUCH_WORSE: f"worse than {baseline.setting}{more}",
    }[verdict]


def sentence(row: Row, baseline: Row, resolution: float) -> str:
    """Return what a row has shown against the baseline."""
    contrast, outlook = row.contrast, row.outlook
    assert contrast and outlook
    text = (
        f"{row.setting} is {phrase(contrast.verdict, baseline, resolution)}: {measured(contrast)}"
    )
    if contrast.verdict is Verdict.SAME:
        text += f", within ±{resolution:g}"
    elif contrast.verdict is Verdict.UNDECIDED:
        text += f"; {remedy(contrast, outlook)}"
    else:
        text += f", {p_words(contrast.p)}"
    unfinished = len(row.unfinished)
    if unfinished:
        seeds = len(row.records) + unfinished
        text += f"; {unfinished} of its {seeds} seeds did not finish and are not counted"
    return f"{text}."


def measured(contrast: Contrast) -> str:
    """Return a difference with its interval."""
    text = f"{points(contrast.difference)} points"
    if np.isfinite(contrast.low):
        text += f" [{points(contrast.low)}, {points(contrast.high)}]"
    return text


def p_words(p: float) -> str:
    """Return a p value as papers print it: p = .002, p < .001."""
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".")


def remedy(contrast: Contrast, outlook: Outlook) -> str:
    """Say what would decide a row: seeds, or nothing that the test data can show."""
    if not np.isfinite(contrast.low):
        if np.isnan(contrast.document_variance):
            return "one draw of the splits tells no more than that"
        if np.isinf(contrast.document_variance):
            return "this test set cannot tell: it has one document, or every run scores 0 or 100"
        chance = NormalDist().inv_cdf(1 - ALPHA / 2) * contrast.document_variance**0.5
        return (
            f"one seed tells no more than that; chance in the documents alone reaches ±{chance:.2f}"
            ", and how much seeds vary is unknown"
        )
    if outlook.more_seeds:
        plural = "s" if outlook.more_seeds > 1 else ""
        seeds = float(f"{outlook.more_seeds:.2g}")  # a few seeds support no more digits
        return f"about {seeds:,.0f} more seed{plural} would decide it"
    if outlook.limit > abs(contrast.difference):
        data = "test set" if contrast.document_variance else "corpus"  # of drawn splits
        return (
            f"no number of seeds decides it: this {data} cannot detect less than "
            f"{outlook.limit:.2g} points"
        )
    return f"more than {MOST_SEEDS:,} seeds would be needed to decide it"
