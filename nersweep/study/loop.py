"""A worker of a study: it takes a trial, trains, is pruned or not, tells, until there are enough trials."""

import re
import shlex
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from omegaconf import DictConfig
from optuna.trial import FrozenTrial, Trial, TrialState

from nersweep import terminal, tracking
from nersweep.config import overrides as overrides_module
from nersweep.config import settings
from nersweep.config.check import check_overrides
from nersweep.config.compose import Composer
from nersweep.evaluation import metrics
from nersweep.faults import Faults, fault_lines, shown
from nersweep.machine import files, signals
from nersweep.results import folder as folder_module
from nersweep.run import execute, plan
from nersweep.run.plan import Plan
from nersweep.study import lease, outcome, storage
from nersweep.study import space as spaces
from nersweep.study.queue import Queue, make_pruner
from nersweep.study.space import Space, setting
from nersweep.terminal import console

WAIT_SECONDS = 0.5  # between two looks at whether the others have left a trial


def work(config: DictConfig, overrides: Sequence[str], composed: Composer) -> float:
    """Makes this process a worker of the study that a configuration describes, until the study has all its trials, and
    returns the best value; NaN where no trial has come to its end.

    overrides: what was typed. composed: gives the configuration of other overrides. A trial that fails is told in a
    line of its own and does not stop the study. Ctrl-C and SIGTERM go through; the same command goes on from there.

    Raises ValueError for faults in space, settings and data, for a study of that name that is another one, and, with
    on_failure=stop, for a trial that fails; ConnectionError for a storage that cannot be used.
    """
    asked = ask(config, overrides, composed)
    files.writable(Path(config.output_dir))
    kept, lock = storage.open_storage(asked.url)
    pruner = make_pruner(config.study.pruner, asked.first.train.epochs)
    try:
        study = join(asked, config.study.direction, kept, lock, pruner)
        queue = Queue.of(study, kept, lock, asked.space, config)
        planned = asked.first.train.epochs * len(asked.seeds)
        result = outcome.Outcome(
            queue, config, planned, composed, command_of(overrides, composed), asked.url
        )
        try:
            if result.begin():
                Worker(queue, config, asked.seeds, composed).until_over()
            return result.conclude()
        except BaseException as error:
            result.leave_off("failed" if isinstance(error, Exception) else "killed")
            raise
    except storage.BROKEN as error:
        raise storage.unusable(asked.url, error) from error


def command_of(overrides: Sequence[str], composed: Composer) -> str:
    """As it is typed, but for passwords and the tracker's address."""
    folder = ["--config-dir", composed.folder] if composed.folder else []
    typed = [tracking.public(as_typed(o)) for o in overrides if not o.startswith("tracking.uri=")]
    return shlex.join(["python", "-m", "nersweep", *folder, *typed])


def as_typed(override: str) -> str:
    """study.space.focal_gamma=interval(0,5), of what Hydra was given in its place."""
    bare = override.removeprefix("++")
    unquoted = re.sub(
        r"='(.*)'$", lambda found: "=" + found[1].replace("\\'", "'"), bare, count=1, flags=re.S
    )
    return next(
        (o for o in (unquoted, bare) if overrides_module.as_hydra_takes_it(o) == override), override
    )


@dataclass(frozen=True)
class Asked:
    """What a command asks for, before anything is made. url: of the storage. about: all that is fixed and can change
    the study's results. first: a certain run."""

    name: str
    url: str
    space: Space
    seeds: Sequence[int]
    about: dict[str, Any]
    first: Plan


def ask(config: DictConfig, overrides: Sequence[str], composed: Composer) -> Asked:
    """Raises ValueError for faults in space, settings and data."""
    space, seeds = spaces.make(config, composed.choice(overrides), composed), spaces.seeds(config)
    typed = {setting(o): o.partition("=")[2] for o in overrides}
    if lines := spaces.twice(
        typed, [*space.groups, *space.settings]
    ):  # also with the value that is the usual one
        raise Faults(lines)
    first, *others = (
        plan.make(check_overrides(composed, [*space.fixed, *one, f"seed={seeds[0]}"]))
        for one in space.firsts()
    )
    check_metric(config.study.metric, first)
    about = describe(config, space, seeds, [first, *others])
    name = config.study.name or study_name(config, overrides, about)
    return Asked(
        name,
        storage.url_of(config.study.storage, Path(config.output_dir)),
        space,
        seeds,
        about,
        first,
    )


def trials_of(asked: Asked) -> list[FrozenTrial]:
    """Those that there are; nothing is made for that. Raises as `work`."""
    try:
        kept = storage.begun(asked.url)
        if kept is None or asked.name not in optuna.get_all_study_names(kept):
            return []
        study = optuna.load_study(study_name=asked.name, storage=kept)
        check_same(study, asked)
        return study.get_trials(deepcopy=False)
    except storage.BROKEN as error:
        raise storage.unusable(asked.url, error) from error


def check_metric(name: str, prepared: Plan) -> None:
    """Raises ValueError where the tracker would show no such score of the development split."""
    labels = prepared.facts.labels
    none = np.zeros(1, dtype=int)
    known = [
        x.removeprefix("dev/")
        for x in metrics.flatten(metrics.score(none, none, none + 1, labels), "dev")
    ]
    known = [*(x for x in known if not x.endswith("/support")), *spaces.ONCE]
    if name.removeprefix("dev/") not in known:
        raise ValueError(f"study.metric={name}: no such score; there are {', '.join(known)}")


def describe(
    config: DictConfig, space: Space, seeds: Sequence[int], firsts: Sequence[Plan]
) -> dict[str, Any]:
    return {
        "space": {d.name: "".join(d.typed.split()) for d in (*space.groups, *space.settings)},
        "seeds": list(seeds),
        "metric": config.study.metric.removeprefix("dev/"),
        "direction": config.study.direction,
        "fixed": sorted(
            o for o in space.fixed if settings.matters(setting(o)) and setting(o) != "seed"
        ),
        # data, model and version are in it, and the source of each loss and head
        "runs": files.fingerprint([prepared.fingerprint for prepared in firsts]),
    }


def study_name(config: DictConfig, overrides: Sequence[str], about: dict[str, Any]) -> str:
    """That of the option, where one was typed, and a hash: the same command has the same name, wherever its data is."""
    option = next((o.partition("=")[2] for o in overrides if o.startswith("study=")), "study")
    method = {"sampler": config.study.sampler, "pruner": config.study.pruner}
    fixed = [o for o in about["fixed"] if not settings.is_source(setting(o))]
    return f"{option}-{files.fingerprint(about | method | {'fixed': fixed})[:8]}"


def join(asked: Asked, direction: str, kept: Any, lock: storage.Lock, pruner: Any) -> optuna.Study:
    """The study of that name; the first worker makes it. Raises ValueError for one that searched something else."""
    with lock(asked.name):
        study = optuna.create_study(
            study_name=asked.name,
            storage=kept,
            direction=direction,
            pruner=pruner,
            load_if_exists=True,
        )
        if not study.get_trials(deepcopy=False) and "about" not in study.user_attrs:
            study.set_user_attr("about", asked.about)
    check_same(study, asked)
    return study


def check_same(study: optuna.Study, asked: Asked) -> None:
    """Raises ValueError, a line for each thing that was other when the study was begun."""
    before = study.user_attrs.get("about")
    if before is None:
        raise ValueError(
            f"study.name={asked.name}: the storage has such a study of another program; type another name"
        )
    if lines := contradictions(asked.name, before, asked.about):
        raise ValueError("\n".join(lines))


def contradictions(name: str, before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    remedy = f"; the study {name} was begun that way: type it so, or another study.name"
    lines = [
        f"study.{key}={shown(now[key])}: was {shown(before[key])}{remedy}"
        for key in ("seeds", "metric", "direction")
        if before[key] != now[key]
    ]
    for key in sorted(before["space"].keys() | now["space"].keys()):
        old, new = before["space"].get(key, "not searched"), now["space"].get(key, "not searched")
        if old != new:
            lines.append(f"study.space.{key}={new}: was {old}{remedy}")
    same = before["runs"] == now["runs"]  # so other files may hold the same data
    gone, more = (
        [
            o
            for o in one["fixed"]
            if o not in other["fixed"] and not (same and settings.is_source(setting(o)))
        ]
        for one, other in ((before, now), (now, before))
    )
    if gone or more:
        lines.append(f"{' '.join(more) or 'nothing'}: was {' '.join(gone) or 'not typed'}{remedy}")
    if not same and not lines:
        lines.append(
            f"study.name={name}: was begun with other data, model, precision or version, or other code of a loss or "
            "head; type another name"
        )
    return lines


@dataclass
class Worker:
    """This process, with the trials that it takes."""

    queue: Queue
    config: DictConfig
    seeds: Sequence[int]
    composed: Composer

    def until_over(self) -> None:
        told = False
        while not self.queue.over():
            with signals.held():
                taken = self.queue.take()
            if taken:
                self.perform(*taken)
            else:
                if not told:
                    console.print("waiting for trials that other processes have begun")
                told = True
                signals.end()
                time.sleep(WAIT_SECONDS)

    def perform(self, trial: Trial, drawn: list[str]) -> None:
        """From the taking of a trial to what is told of it. What ends the process leaves the trial to others."""
        study, began = self.queue.study, time.perf_counter()
        try:
            signals.end()
            with lease.held(trial):
                try:
                    value, state = self.objective(trial, drawn), TrialState.COMPLETE
                except execute.Pruned:
                    value, state = None, TrialState.PRUNED
        except storage.BROKEN:
            raise
        except BaseException as error:
            with signals.held():
                if signals.asked or not isinstance(error, Exception):
                    self.queue.give_back(trial)
                    raise
                lines = fault_lines(error)
                self.queue.note(trial, {"failed": lines[0]})
                study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            lines = [f"trial {trial.number} ({outcome.said(drawn)}): {line}" for line in lines]
            if self.config.on_failure == "stop":
                raise Faults(lines) from error
            terminal.print_faults(lines)
            return
        with signals.held():
            told = study.tell(trial, value, state, skip_if_finished=True)
        self.show(told, drawn, time.perf_counter() - began)
        signals.end()

    def objective(self, trial: Trial, drawn: list[str]) -> float:
        """The mean over seeds. Epochs of the first seed are reported, or, for Wilcoxon's test, the seeds. Raises
        Pruned."""
        while self.queue.twin_runs(trial):
            signals.end()
            time.sleep(WAIT_SECONDS)
        by_seed, once = (
            self.config.study.pruner == "wilcoxon",
            spaces.at_the_end(self.config.study.metric),
        )
        told = self.queue.told(trial)
        values: list[float] = []
        for number, seed in enumerate(self.seeds):
            overrides = [*self.queue.space.fixed, *drawn, f"seed={seed}"]
            config = self.composed(overrides)
            last = config.train.epochs if len(self.seeds) == 1 else None
            watch = Watch(
                self, trial, number, told, last, reports=number == 0 and not (by_seed or once)
            )
            result = self.made(overrides, watch)
            watch.note(result["epochs"])
            values.append(self.score(result["analysis"]["dev"] if once else result["dev"]))
            trial.set_user_attr("values", values)
            if by_seed and number not in told:
                trial.report(values[-1], number)
                if number + 1 < len(self.seeds) and trial.should_prune():
                    raise execute.Pruned(f"after {number + 1} seeds")
        return statistics.fmean(values)

    def made(self, overrides: list[str], watch: "Watch") -> dict[str, Any]:
        """The result of a run, which another sweep or study may be making: then it is waited for."""
        checked = check_overrides(self.composed, overrides)

        def make() -> dict[str, Any]:
            with quiet():
                prepared = plan.make(checked)
                return execute.execute(
                    prepared, overrides, self.queue.study.user_attrs["run_id"], watch
                )

        return folder_module.when_free(make, lambda: plan.place(checked)[0])

    def score(self, dev: dict[str, Any]) -> float:
        return metrics.flatten(dev, "dev")[f"dev/{self.config.study.metric.removeprefix('dev/')}"]

    def show(self, trial: FrozenTrial, drawn: list[str], seconds: float) -> None:
        """A line for a trial that has ended."""
        metric = self.config.study.metric
        ended = {TrialState.COMPLETE: metric, TrialState.PRUNED: f"pruned at {metric}"}.get(
            trial.state, "lost, at"
        )
        value = "" if trial.value is None else f" {trial.value:.4f}"
        best = outcome.best(self.queue.trials(), self.queue.study.direction)
        so_far = f"; best {best[0].value:.4f}, of trial {best[0].number}" if best else ""
        console.print(
            f"trial {trial.number}: {outcome.said(drawn)}: {ended}{value}{so_far} ({seconds:.1f} s)"
        )


@dataclass
class Watch:
    """Is told each epoch of a run, and raises Pruned where the study has seen enough of the trial. Of epochs that the
    study was told before the trial was begun again, that has been decided but for the last, after which it ended."""

    worker: Worker
    trial: Trial
    seed: int  # the first, second, …
    told: set[int]  # such epochs
    last: int | None  # the epoch at which there is nothing left to save
    reports: bool

    def __call__(self, epoch: int, dev: dict[str, Any]) -> None:
        if self.reports and epoch >= max(self.told, default=0):
            if epoch not in self.told:
                self.trial.report(self.worker.score(dev), epoch)
            if epoch != self.last and self.trial.should_prune():
                self.note(epoch)
                raise execute.Pruned(f"after epoch {epoch}")

    def note(self, epochs: int) -> None:
        """How many epochs this seed has taken."""
        before = self.trial.user_attrs.get("epochs", [])
        self.trial.set_user_attr("epochs", [*before[: self.seed], epochs])


@contextmanager
def quiet() -> Iterator[None]:
    """A run does not say what it says when it is alone."""
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before
