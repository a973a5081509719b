"""Seeds until the answer is known: rounds of a sweep, each with the next seeds of open settings.

Each set of runs that a report compares (results/sets.py) has a plan of its own; a round makes the
runs of all plans together.
All state lies in the folders of the runs: what a killed sweep asked for, the same command asks for
again. Looks are taken on the development split (evaluation/sequential.py).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

from omegaconf import DictConfig

from nersweep.command.line import Command
from nersweep.config.compose import Composer
from nersweep.config.overrides import without_seed
from nersweep.data.corpus import Corpus, document_numbers, read, types_of
from nersweep.evaluation.inference import Contrast
from nersweep.evaluation.influence import Floats, measure
from nersweep.evaluation.metric import F1, EntityMetric
from nersweep.evaluation.sequential import Progress, expected_runs, look
from nersweep.faults import Fault, UserError, shown
from nersweep.results.baseline import baseline_of
from nersweep.results.counts import read_counts
from nersweep.results.looks import Judgement, Look, Looks
from nersweep.results.result import FinishedResult, Status
from nersweep.results.sets import group_runs
from nersweep.run.plan import metric_for
from nersweep.sweep import launchers
from nersweep.sweep.costs import duration
from nersweep.sweep.members import Member, distinct, labelled, member_of, members_of
from nersweep.terminal import console

GRID = "set seeds.max=null for a plain sweep"
MOST_SEED = 10**9 - 1  # larger ones are not told from other settings: config/overrides.py
# What a dry run assumes before the first look, in points: the differences of docs/statistics.md,
# and the sds of a run over seeds and of a difference over documents.
EFFECTS = (-0.62, 0.02, -0.75, -9.48, -8.64)
SDS = (0.2, 0.1)

Run = tuple[str, int]  # a setting and a seed


@dataclass(frozen=True)
class Row:
    """A setting of a sweep. overrides: without the seed."""

    setting: str
    loss: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """The settings of a set of runs, the baseline first, and the seeds that each may get.

    name: of the set. first: how many seeds all settings get. resolution: in points. runs: all that
    the plan may ask for. checksum: of the data. metric: what the settings are compared by.
    """

    name: str
    settings: tuple[str, ...]
    seeds: tuple[int, ...]
    first: int
    resolution: float
    runs: dict[Run, Member]
    checksum: str
    metric: EntityMetric = F1

    @property
    def identity(self) -> dict[str, Any]:
        """What makes it this plan, as JSON values."""
        fingerprints = sorted(member.fingerprint for member in self.runs.values())
        return {"resolution": self.resolution, "first": self.first, "runs": fingerprints}

    def look(self, faults: Mapping[str, Sequence[str]]) -> Progress:
        """Return where the set stands. faults: of each run that this command launched.

        Raises UserError for runs that cannot be compared.
        """
        counts: dict[str, dict[int, Floats]] = {setting: {} for setting in self.settings}
        failed: set[Run] = set()
        for (setting, seed), member in self.runs.items():
            result, lines = member.result(), faults.get(member.fingerprint)
            if isinstance(result, FinishedResult) and not lines:
                counts[setting][seed] = self.counts(member.folder, result)
            elif lines is not None or result.status == Status.DIVERGED:
                failed.add((setting, seed))
        samples = [measure(setting, runs, self.metric.rate) for setting, runs in counts.items()]
        return look(samples, self.seeds, self.resolution, failed=failed, first=self.first)

    def counts(self, folder: Path, result: FinishedResult) -> Floats:
        """Return what the metric counts of a run on dev, by document."""
        if result.data.checksum != self.checksum:
            must = "its data are not those of the other runs, so they cannot be compared"
            raise UserError(Fault(str(folder), must=must, remedy=GRID))
        counts = read_counts(folder, "dev")
        if counts is None:
            must = "has no counts of its development split, which seeds.max needs"
            raise UserError(Fault(str(folder), must=must, remedy="set rerun=true"))
        return self.metric.counts(counts, str(folder))

    def members(self, runs: Iterable[Run]) -> list[Member]:
        """Return runs, setting by setting."""
        chosen = set(runs)
        return [member for run, member in self.runs.items() if run in chosen]

    def seconds(self, runs: Iterable[Run]) -> float:
        """Return how long runs take if they take as long as the finished ones; NaN without any."""
        finished: dict[str, list[float]] = {}
        for (setting, _), member in self.runs.items():
            result = member.result()
            if isinstance(result, FinishedResult):
                finished.setdefault(setting, []).append(result.seconds.total)
        if not finished:
            return math.nan
        typical = [median(list(chain(*finished.values())))]
        return sum(median(finished.get(setting, typical)) for setting, _ in runs)

    def expected_runs(self, progress: Progress) -> int:
        """Return how many runs the set is expected to take in all.

        From the differences and variances of the settings; before a look from EFFECTS.
        """
        if not progress.next_runs:
            return len(progress.runs)
        effects: list[float] = []
        seed_sds: list[float] = []
        document_sds: list[float] = []
        for contrast in [*progress.stopped.values(), *progress.open.values()]:
            if contrast and math.isfinite(contrast.high):
                effects.append(contrast.difference)
                seed_sds.append(math.sqrt(contrast.seed_variance * contrast.seeds / 2))
                document_sds.append(math.sqrt(contrast.document_variance))
        sds = (median(seed_sds), median(document_sds)) if effects else SDS
        effects += islice(cycle(EFFECTS), len(self.settings) - 1 - len(effects))
        expected = expected_runs(effects, len(self.seeds), self.resolution, *sds, first=self.first)
        done = len(progress.runs) - len(progress.next_runs)
        return min(max(round(expected), len(progress.runs)), done + progress.runs_at_most)

    def looks(self, progress: Progress) -> Looks:
        """Return the looks that were taken."""
        looks: list[Look] = []
        for seeds, contrasts in progress.looks:
            looks.append(Look(seeds, tuple(map(judgement, contrasts))))
        return Looks(
            self.resolution,
            progress.alpha,
            self.seeds,
            self.settings[0],
            not progress.next_runs,
            tuple(looks),
            self.metric.name,
            self.name,
        )


def judgement(contrast: Contrast) -> Judgement:
    """Return what a look keeps of a setting."""
    ends = [end if math.isfinite(end) else None for end in (contrast.low, contrast.high)]
    return Judgement(
        contrast.name, contrast.seeds, contrast.difference, ends[0], ends[1], contrast.verdict
    )


def make(command: Command, composer: Composer) -> list[Plan]:
    """Return the plan of each set of a sweep with seeds.max; none for other sweeps. Reads its data.

    Raises UserError for a sweep that cannot have them.
    """
    settings = command.first().settings
    most = settings.seeds.max
    if most is None:
        return []
    members = distinct(members_of(command))
    given = list(dict.fromkeys(member.identity.seed for member in members))
    later = range(max(given) + 1, max(given) + 1 + most)
    seeds = [*given, *later][:most]
    sets: dict[str, list[Row]] = {}
    for name, firsts in group_runs(firsts_of(command, members, given[0])).items():
        sets[name] = name_rows(command, firsts)
    if faults := plan_faults(command, composer, sets, given, seeds):
        raise UserError(*faults)
    planned: list[Member] = []
    for rows in sets.values():
        baseline = baseline_of(rows) or rows[0]
        rows.sort(key=lambda row: row is not baseline)
        for row in rows:
            planned += [member_of(command, (*row.overrides, f"seed={seed}")) for seed in seeds]
    labels = iter(labelled(planned))
    plans: list[Plan] = []
    for name, rows in sets.items():
        runs: dict[Run, Member] = {}
        for row in rows:
            runs |= {(row.setting, seed): next(labels) for seed in seeds}
        corpus = corpus_of(command, rows[0])
        plan = Plan(
            name,
            tuple(row.setting for row in rows),
            tuple(seeds),
            max(2, len(given)),
            settings.resolution,
            runs,
            corpus.checksum,
            metric_for(settings, corpus),
        )
        plans.append(plan)
    return plans


def rows_of(command: Command, members: Sequence[Member], seed: int) -> list[Row]:
    """Return the settings of runs, each once. seed: any, the same for all."""
    return name_rows(command, firsts_of(command, members, seed))


def firsts_of(command: Command, members: Sequence[Member], seed: int) -> list[Member]:
    """Return a run of each setting of some runs. seed: theirs."""
    firsts: list[Member] = []
    for overrides in dict.fromkeys(without_seed(member.overrides) for member in members):
        firsts.append(member_of(command, (*overrides, f"seed={seed}")))
    return distinct(firsts)


def name_rows(command: Command, firsts: Sequence[Member]) -> list[Row]:
    """Return the settings of runs, under names that tell them apart."""
    rows: list[Row] = []
    for first in labelled(firsts):
        overrides = without_seed(first.overrides)
        loss = command.checked[overrides].settings.choice.loss
        rows.append(Row(first.setting, loss, overrides))
    return rows


def corpus_of(command: Command, row: Row) -> Corpus:
    return read(command.checked[row.overrides].parts.data)


def plan_faults(
    command: Command,
    composer: Composer,
    sets: Mapping[str, Sequence[Row]],
    given: Sequence[int],
    seeds: Sequence[int],
) -> list[Fault]:
    """Return the faults of a sweep with seeds.max. given: the seeds of the command."""
    most, faults = command.first().settings.seeds.max, []
    if len(given) > len(seeds):
        must = f"must be at least {len(given)}, the number of seeds in seed={shown(list(given))}"
        faults.append(Fault("seeds.max", most, must, GRID))
    if max(seeds) > MOST_SEED:
        faults.append(Fault("seed", max(given), f"must be below {MOST_SEED - len(seeds):,}"))
    for name, rows in sets.items():
        if len(rows) == 1:
            on = f" on {name}" if len(sets) > 1 else ""
            must = f"{rows[0].setting}{on} is compared with nothing"
            faults.append(Fault("seeds.max", most, must, f"sweep several settings, or {GRID}"))
    sweeper = composer.compose(command.runs[0]).hydra.sweeper["_target_"]
    if not sweeper.endswith(".BasicSweeper"):
        faults.append(Fault("hydra/sweeper", sweeper, "must be basic with seeds.max"))
    metrics: set[str] = set()
    corpora: dict[str, Corpus] = {}
    for row in chain(*sets.values()):
        metrics.add(command.checked[row.overrides].settings.metric)
        corpus = corpus_of(command, row)
        corpora[corpus.checksum] = corpus
    if len(metrics) > 1:
        must = f"compares settings by one metric, not by {', '.join(sorted(metrics))}"
        faults.append(Fault("seeds.max", most, must, f"use a command for each, or {GRID}"))
    for corpus in corpora.values():
        if corpus.pool:
            must = "compares settings on one split, and each run would draw its own"
            remedy = "leave data.folds and data.resample out, or set seeds.max=null"
            faults.append(Fault("seeds.max", most, must, remedy))
            break
        documents = document_numbers(corpus.dev).max(initial=-1) + 1
        if documents < 2 or not types_of(corpus.dev):
            must = f"the development split of {corpus.name} must have entities and two documents"
            faults.append(Fault("seeds.max", most, must, GRID))
    return faults


def show(plans: Sequence[Plan], progresses: Sequence[Progress], launcher: DictConfig) -> None:
    """Print each set's settings, and the next round with its time and what may be left."""
    count, left, number, seconds = 0, 0, 0, 0.0
    for plan, progress in zip(plans, progresses, strict=True):
        show_set(plan, progress, plan.name if len(plans) > 1 else "")
        if progress.next_runs:
            count += len(progress.next_runs)
            left += progress.runs_at_most
            number = max(number, max(progress.look - plan.first, -1) + 2)
            seconds += plan.seconds(progress.next_runs)
    if not count:
        return
    line = f"round {number}: {count} run{'s' * (count > 1)}"
    seconds /= launchers.concurrency(launcher, count) or count
    if math.isfinite(seconds):
        line += f", about {duration(seconds)}"
    console.print(f"{line}; at most {left - count} more")


def show_set(plan: Plan, progress: Progress, name: str) -> None:
    """Print where each setting of a set stands. name: of the set, if there are several."""
    if progress.looks:
        place = f"{name}: " if name else ""
        console.print(
            f"{place}after {progress.look} seeds, {plan.metric.label} on dev against "
            f"{plan.settings[0]}, in points:"
        )
    width = max(map(len, plan.settings))
    for setting in plan.settings[1:] if progress.looks else ():
        contrast = progress.stopped.get(setting) or progress.open[setting]
        text, state = "no run finished, given up", ""
        if contrast:
            text = f"{contrast.verdict} ({numbers(contrast)})"
            state = "stopped" if setting in progress.stopped else "open"
            state = f"  {contrast.seeds} seeds, {state}"
        console.print(f"{setting:{width}}  {text}{state}")
    if not progress.next_runs:
        undecided = [setting for setting, contrast in progress.open.items() if contrast]
        end = (
            f"no answer with these seeds: {', '.join(undecided)}"
            if undecided
            else "no setting is open"
        )
        console.print(end)


def numbers(contrast: Contrast) -> str:
    """Return a difference and its interval, if it has one: −0.57 [−0.86, −0.28]."""
    text = f"{contrast.difference:+.2f}"
    if math.isfinite(contrast.low):
        text += f" [{contrast.low:+.2f}, {contrast.high:+.2f}]"
    return text.replace("-", "−")
