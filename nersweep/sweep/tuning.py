"""Fair rows: each row of a sweep at its own best settings, found with the same number of trials.

A row has a study of its own over its learning rate, its epochs and its knobs. All draw from the
same random design, so that rows have like learning rates and epochs. No trial is pruned: trials
differ in their epochs, so their scores after an epoch do not compare. The best trial on dev is then
run on the seeds of the command, beside the baseline as it was: an ordinary sweep.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nersweep.command.explain import compose_or_explain
from nersweep.command.line import Command
from nersweep.command.rows import Entry
from nersweep.config.check import check_overrides
from nersweep.config.compose import Composer
from nersweep.config.flat import flat, plain
from nersweep.config.overrides import for_hydra, literal, setting_of
from nersweep.faults import Fault, UserError
from nersweep.results.baseline import baseline_of
from nersweep.results.tuning import Search, Tuning
from nersweep.study import check, outcome
from nersweep.study import plan as study_plan
from nersweep.study.metric import metric_name
from nersweep.study.plan import StudyPlan
from nersweep.study.space import contains
from nersweep.sweep import launch, launchers
from nersweep.sweep.members import distinct, labelled, member_of, members_of
from nersweep.sweep.seeds import Row, corpus_of, rows_of
from nersweep.terminal import print_faults

SEED = 0  # of the trials
FACTOR = 4  # the learning rate is searched between a quarter and four times the row's own
KNOBS = ("study=loss",)  # the study whose space has the knobs of each loss


@dataclass(frozen=True)
class RowStudy:
    """The study of a row. overrides: of its workers."""

    row: Row
    overrides: tuple[str, ...]
    plan: StudyPlan

    @property
    def selected(self) -> tuple[str, ...]:
        """The overrides of the row with its best trial. Raises UserError if there is none."""
        searched = {dimension.name for dimension in self.plan.space.dimensions}
        kept = [o for o in of_run(self.row) if setting_of(o) not in searched]
        return (*kept, *outcome.selected(self.plan))


@dataclass(frozen=True)
class Plan:
    """The studies of the rows of a command, and what runs after them.

    trials: of each study. baseline: the row that is run untuned as well. seeds: of the command.
    """

    command: Command
    trials: int
    studies: tuple[RowStudy, ...]
    baseline: Row
    seeds: tuple[int, ...]

    def unfinished(self) -> list[RowStudy]:
        """Return the studies that have trials left."""
        return [study for study in self.studies if len(outcome.finished(study.plan)) < self.trials]

    def workers(self, launcher: Mapping[str, Any]) -> list[tuple[str, ...]]:
        """Return the overrides of workers: as many per study as the launcher keeps busy."""
        studies = self.unfinished()
        most = len(studies) * self.trials
        together = launchers.concurrency(launcher, most)
        if together is None or together == most:  # as many as there are
            together = len(studies)
        each = math.ceil(together / max(1, len(studies)))
        workers = []
        for number in range(each):
            for study in studies:
                workers.append((*study.overrides, f"study.worker={number}"))
        return workers

    def tuned(self) -> Command:
        """Return the sweep of the selected settings. Raises UserError for a row without one."""
        composer = self.command.composer
        tuned = Command([], [], True, composer)
        for study in self.studies:
            entry, overrides = self.command.entries.get(study.row.overrides), study.selected
            tuned.entries[overrides] = Entry(overrides, "", entry.name if entry else "")
        untuned = of_run(self.baseline)
        tuned.entries[untuned] = Entry(untuned, "", f"{self.baseline.setting} untuned")
        for overrides in tuned.entries:
            tuned.checked[overrides] = check_overrides(composer, overrides)
        for seed in self.seeds:
            tuned.runs += [(*overrides, f"seed={seed}") for overrides in tuned.entries]
        return tuned

    def record(self, tuned: Command) -> Tuning:
        """Return what the report shows of the searches."""
        firsts = [(*study.selected, f"seed={self.seeds[0]}") for study in self.studies]
        members = labelled([member_of(tuned, overrides) for overrides in firsts])
        searches = []
        for study, first in zip(self.studies, members, strict=True):
            values = tuple(map(outcome.value_of, outcome.finished(study.plan)))
            space = {d.name: d.text for d in study.plan.space.dimensions}
            selected = outcome.brief(outcome.selected(study.plan))
            searches.append(
                Search(first.setting, study.plan.name, first.fingerprint, space, selected, values)
            )
        return Tuning(self.trials, metric_name(self.studies[0].plan.config), tuple(searches))


def of_run(row: Row) -> tuple[str, ...]:
    """Return the overrides of a row without those of its search, which a run refuses."""
    return tuple(o for o in row.overrides if setting_of(o).split(".")[0] not in ("study", "tune"))


def make(command: Command, composer: Composer) -> Plan | None:
    """Return the plan of a sweep with tune.trials, None for others. Reads its data.

    Raises UserError for rows that cannot be tuned.
    """
    trials = command.first().settings.tune.trials
    if trials is None:
        return None
    members = distinct(members_of(command))
    seeds = tuple(dict.fromkeys(member.identity.seed for member in members))
    if SEED in seeds:
        must = "is the seed of the trials, so it is no fresh one"
        raise UserError(Fault("seed", SEED, must, "use seed=1,2"))
    rows = rows_of(command, members, seeds[0])
    if len({corpus_of(command, row).checksum for row in rows}) > 1:
        must, remedy = "tunes rows on one data set", "use a command for each"
        raise UserError(Fault("tune.trials", trials, must, remedy))
    if corpus_of(command, rows[0]).pool:
        must = "would select settings on data that runs with other splits are tested on"
        remedy = "leave data.folds and data.resample out"
        raise UserError(Fault("tune.trials", trials, must, remedy))
    spaces = [space_of(row, command, composer) for row in rows]
    if faults := space_faults(rows, spaces, command):
        raise UserError(*faults)
    studies: dict[str, RowStudy] = {}
    for row, space in zip(rows, spaces, strict=True):
        overrides = study_overrides(row, space, trials)
        composed = compose_or_explain(overrides, composer)
        for fault in check.study_faults(composed, overrides, composer):
            setting = fault.setting.replace("study.space.", "tune.space.")
            if (renamed := replace(fault, setting=setting)) not in faults:
                faults.append(renamed)
        if not faults:
            study = study_plan.make(composer(overrides), overrides, composer)
            other = studies.setdefault(study.name, RowStudy(row, overrides, study)).row
            if other is not row:
                must = f"makes one search of {other.setting} and {row.setting}"
                faults.append(Fault("tune.space", must=must, remedy="leave out one of these rows"))
    if faults:
        raise UserError(*faults)
    return Plan(command, trials, tuple(studies.values()), baseline_of(rows) or rows[0], seeds)


def space_of(row: Row, command: Command, composer: Composer) -> dict[str, str]:
    """Return what is searched for a row, by setting.

    By default its learning rate and its epochs, around their values, and the knobs that it leaves
    open; tune.space adds to that, replaces and removes.
    """
    settings, config = command.checked[row.overrides].settings, plain(composer(row.overrides))
    lr, epochs = settings.train.lr, settings.train.epochs
    space: dict[str, Any] = {
        "train.lr": f"tag(log,interval({lr / FACTOR:.6g},{lr * FACTOR:.6g}))",
        "train.epochs": f"int(interval({math.ceil(epochs / 2)},{2 * epochs}))",
    }
    given = set(map(setting_of, row.overrides))
    for name, text in flat(plain(composer(KNOBS).study.space)).items():
        if name not in given and name != "loss":
            space[name] = text
    space |= flat(settings.tune.space)
    own = {}
    for name, text in space.items():
        if text is not None and contains(config, name):
            own[name] = text if isinstance(text, str) else literal(text)
    return own


def space_faults(
    rows: Sequence[Row], spaces: Sequence[Mapping[str, str]], command: Command
) -> list[Fault]:
    """Return the faults of tune.space that no study of a row would have."""
    faults = []
    for name, text in flat(command.first().settings.tune.space).items():
        setting = f"tune.space.{name}"
        if name == "loss":
            faults.append(Fault(setting, text, "is a row of its own", "sweep it"))
        elif text is not None and not any(name in space for space in spaces):
            faults.append(Fault(setting, text, "no row has this setting"))
    for row, space in zip(rows, spaces, strict=True):
        if not space:
            must = f"leaves nothing to search for {row.setting}"
            faults.append(Fault("tune.space", must=must, remedy="set tune.trials=null"))
    return faults


def study_overrides(row: Row, space: Mapping[str, str], trials: int) -> tuple[str, ...]:
    """Return the overrides of the study of a row."""
    kept = [override for override in row.overrides if setting_of(override) not in space]
    searched = [for_hydra(f"study.space.{name}={text}") for name, text in space.items()]
    fixed = [f"study.trials={trials}", f"study.seeds=[{SEED}]"]
    return (*kept, *searched, *fixed, "study.sampler=random", "study.pruner=none", "report=false")


def tune(command: Command) -> tuple[Command, Tuning | None, list[str]]:
    """Tune the rows of a command; return the sweep that is left to do, and what tuned it.

    A command without tune.trials is returned as it is. The list has a line for each trial that
    failed; with on_failure=stop the command that is left has no runs then. The same command
    resumes. Raises UserError for rows that cannot be tuned, and for one without a finished trial.
    """
    with command.composer as composer:
        plan = make(command, composer)
        if plan is None:
            return command, None, []
        workers = plan.workers(composer.compose(command.runs[0]).hydra.launcher)
    failures: list[str] = []
    if workers:
        failures = launch.launch_workers(replace(command, runs=workers))
        print_faults(failures)  # before a row without a trial ends the command
    with command.composer:
        if failures and command.first().settings.on_failure == "stop":
            return replace(command, runs=[]), None, failures
        tuned = plan.tuned()
        return tuned, plan.record(tuned), failures
