"""What a study leaves: its run in the tracker, the best trial as a file, pictures, a table."""

import base64
import os
import shlex
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nersweep import tracking
from nersweep.config import settings as settings_module
from nersweep.config.check import check_overrides
from nersweep.config.compose import Composer
from nersweep.machine import files as files_module
from nersweep.results import result
from nersweep.run import plan, publish
from nersweep.study import space as spaces
from nersweep.study import storage
from nersweep.study.queue import FINISHED, Queue
from nersweep.terminal import console, print_table

PICTURES = {  # file: function of optuna.visualization
    "history": "plot_optimization_history",
    "importance": "plot_param_importances",
    "slice": "plot_slice",
    "contour": "plot_contour",
}
MOST_CONTOURS = 4  # parameters: each with each other


def best(trials: Sequence[FrozenTrial], direction: StudyDirection) -> list[FrozenTrial]:
    """Those that have come to their end, the best first."""
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    return sorted(
        complete,
        key=lambda t: (-t.value if direction == StudyDirection.MAXIMIZE else t.value, t.number),
    )


def said(drawn: Sequence[str]) -> str:
    """Overrides for a line of text: numbers with six digits."""
    parts = []
    for override in drawn:
        name, _, value = override.partition("=")
        try:
            parts.append(f"{name}={float(value):.6g}")
        except ValueError:
            parts.append(override)
    return " ".join(parts)


@dataclass
class Outcome:
    """Of the study in this queue. Its folder is output_dir/studies/NAME."""

    queue: Queue
    config: DictConfig
    planned_epochs: int  # of a trial that is not pruned
    composed: Composer
    command: str
    url: str  # of the storage
    tracker: tracking.Run | tracking.Away | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        return self.queue.study.study_name

    @property
    def folder(self) -> Path:
        return Path(self.config.output_dir) / "studies" / self.name

    def begin(self) -> bool:
        """Makes the study's run in the tracker, or reopens it; False where all is done already."""
        if self.queue.over():
            return False
        with self.queue.lock(self.name):
            self.track()
        console.print(f"study {self.name}: {self.queue.total} trials in {storage.public(self.url)}")
        return True

    def leave_off(self, status: str) -> None:
        """Ends the study's run in the tracker, where no other worker goes on or has concluded the study. The next start
        reopens it."""
        over = self.queue.over()
        with self.queue.lock(self.name):
            concluded = over and self.concluded(self.queue.trials())
            if self.tracker and not (concluded or self.queue.others_work()):
                self.tracker.finish(status)

    def concluded(self, trials: Sequence[FrozenTrial]) -> bool:
        return self.queue.study.user_attrs.get("concluded") == sum(
            t.state.is_finished() for t in trials
        )

    def track(self, tags: dict[str, Any] | None = None) -> tracking.Run | tracking.Away:
        """The study's run in the tracker. Once it is known there, the study goes on while the tracker is away."""
        study, output_dir = self.queue.study, Path(self.config.output_dir)
        known = study.user_attrs.get("run_id")
        settings = OmegaConf.to_container(self.config.study)
        kept = {key: settings[key] for key in ("metric", "direction", "sampler", "pruner", "seeds")}
        try:
            self.tracker = tracking.Run.start(
                tracking.open_store(self.config.tracking.uri, output_dir),
                output_dir,
                run_id=known,
                experiment=self.config.tracking.experiment,
                name=f"study-{self.name}",
                params={
                    **kept,
                    **{
                        f"space.{key}": text
                        for key, text in study.user_attrs["about"]["space"].items()
                    },
                },
                tags={
                    "kind": "study",
                    "study": self.name,
                    "folder": self.folder.absolute(),
                    **(tags or {}),
                },
                note=f"`{self.command}`",
            )
        except ConnectionError as error:
            if known is None:
                raise
            self.tracker = tracking.Away(known, str(error))
        if known != self.tracker.id:
            study.set_user_attr("run_id", self.tracker.id)
        return self.tracker

    def conclude(self) -> float:
        """Shows what was found, and returns the best value. The first worker to see that the study is over leaves files
        and tells the tracker; the runs that it has missed are told without the lock, as that may take long."""
        trials = self.queue.trials()
        ranked = best(trials, self.queue.study.direction)
        file = self.export(ranked[0], len(trials)) if ranked else None
        study, ended = self.queue.study, sum(t.state.is_finished() for t in trials)
        with self.queue.lock(self.name):
            heard = self.concluded(trials)
            if not heard and (heard := self.leave(trials, ranked, file)):
                study.set_user_attr("concluded", ended)
        self.show(trials, ranked, file)
        if heard and study.user_attrs.get("told") != ended:
            heard = publish.catch_up(self.untold(trials), study.user_attrs["run_id"])
            study.set_user_attr("told", ended if heard else None)
        if not heard:
            console.print("to tell MLflow of what it has missed, type the same command again")
        return ranked[0].value if ranked else float("nan")

    def leave(
        self, trials: Sequence[FrozenTrial], ranked: Sequence[FrozenTrial], file: Path | None
    ) -> bool:
        """Pictures, and what the tracker is told. Returns whether it has heard."""
        finished = sum(t.state in FINISHED for t in trials)
        tags = (
            {f"best/{key}": value for key, value in self.settings(ranked[0]).items()}
            if ranked
            else {}
        )
        tracker = self.track({**tags, **({"best/trial": ranked[0].number} if ranked else {})})
        if ranked:
            found = {f"best/{self.config.study.metric}": ranked[0].value}
            found |= {
                f"best/{k}": v
                for k, v in self.settings(ranked[0]).items()
                if isinstance(v, int | float)
            }
            tracker.metrics(found, step=finished)
        counts = {
            f"trials/{state.name.lower()}": count(trials, state)
            for state in (*FINISHED, TrialState.FAIL)
        }
        counts["epochs"], counts["epochs/without_pruning"] = self.epochs(trials)
        tracker.metrics(counts, step=finished)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of few trials, and of parameters that not every trial has
            drawn = (
                pictures(self.queue.study, self.folder, self.config.study.metric) if ranked else []
            )
        for picture in drawn:
            tracker.artifact(picture)
        if file:
            tracker.artifact(file)
        tracker.finish("finished" if ranked else "failed")
        return tracker.ended

    def untold(self, trials: Sequence[FrozenTrial]) -> Iterator[tuple[plan.Plan, list[str]]]:
        """The trials' runs that have ended while the tracker was away, with their overrides."""
        for trial in trials:
            for seed in spaces.seeds(self.config) if trial.state.is_finished() else ():
                overrides = [*self.queue.space.fixed, *self.overrides(trial), f"seed={seed}"]
                try:
                    checked = check_overrides(self.composed, overrides)
                    folder, fingerprint = plan.place(checked)
                except ValueError:  # at which the trial has failed
                    continue
                if "untracked" in result.read_result(folder, fingerprint):
                    yield plan.make(checked), overrides

    def settings(self, trial: FrozenTrial) -> dict[str, Any]:
        """The settings that were drawn in a trial, under their own names."""
        dimensions = {d.key: d for d in (*self.queue.space.groups, *self.queue.space.settings)}
        return {
            dimensions[key].name: dimensions[key].setting(value)
            for key, value in trial.params.items()
        }

    def overrides(self, trial: FrozenTrial) -> list[str]:
        return [f"{name}={spaces.quoted(value)}" for name, value in self.settings(trial).items()]

    def epochs(self, trials: Sequence[FrozenTrial]) -> tuple[int, int]:
        """Those that finished trials took, and that they had taken without pruning."""
        taken = 0
        planned = 0
        for trial in trials:
            if trial.state in FINISHED:
                own = sum(trial.user_attrs.get("epochs", []))
                taken += own
                planned += own if trial.state == TrialState.COMPLETE else self.planned_epochs
        return taken, planned

    def export(self, trial: FrozenTrial, trials: int) -> Path:
        """Writes the best trial as a file of the group experiment. It begins with the command that runs it."""
        given = self.config.study.export
        file = (Path(given) if given else self.folder / "experiment" / "best.yaml").absolute()
        seeds = spaces.seeds(self.config)
        overrides = [*self.queue.space.fixed, *self.overrides(trial), f"seed={seeds[0]}"]
        config, choice = self.composed(overrides), self.composed.choice(overrides)
        options, changes = spaces.changes(config, choice, self.composed)
        settings: dict[str, Any] = {"seed": seeds[0]}
        for name, value, _ in changes:
            *sections, last = name.split(".")
            if name == "seed" or not settings_module.matters(name):
                continue
            place = settings
            for section in sections:
                place = place.setdefault(section, {})
            place[last] = value
        values = ", ".join(f"{value:.4f}" for value in trial.user_attrs.get("values", []))
        dev = f"{self.config.study.metric.removeprefix('dev/')} on dev"
        mean = f", seed {seeds[0]}"
        if len(seeds) > 1:
            mean = f", the mean of seeds {', '.join(map(str, seeds))} ({values})"
        defaults = [{f"override /{group}": option} for group, option in options.items()]
        head = [
            "# @package _global_",
            f"# {self.rerun(trial, file)}",
            f"# {trial.value:.4f} {dev}{mean}: trial {trial.number} of {trials}, found by",
            f"# {self.command}",
        ]
        body = OmegaConf.to_yaml(OmegaConf.create({"defaults": [*defaults, "_self_"], **settings}))
        files_module.write_text(file, "\n".join(head) + "\n" + body)
        return file

    def rerun(self, trial: FrozenTrial, file: Path) -> str:
        """The command that runs the best trial: its file, or, where options are from another folder, of which a command
        takes one, its settings."""
        folder, output_dir = self.composed.folder, self.config.output_dir
        typed = ["--config-dir", str(file.parents[1]), f"experiment={file.stem}"]
        if folder and Path(folder).resolve() != file.parents[1].resolve():
            fixed = [
                o
                for o in self.queue.space.fixed
                if settings_module.matters(name := spaces.setting(o)) and name != "seed"
            ]
            seed = f"seed={spaces.seeds(self.config)[0]}"
            typed = ["--config-dir", folder, *fixed, *self.overrides(trial), seed]
        typed += [f"output_dir={output_dir}"] if output_dir != "outputs" else []
        return shlex.join(["python", "-m", "nersweep", *typed])

    def show(
        self, trials: Sequence[FrozenTrial], ranked: Sequence[FrozenTrial], file: Path | None
    ) -> None:
        states = {
            TrialState.COMPLETE: "ran to the end",
            TrialState.PRUNED: "pruned",
            TrialState.FAIL: "failed",
        }
        counts = ", ".join(
            f"{count(trials, s)} {word}" for s, word in states.items() if count(trials, s)
        )
        rows = [[str(t.number), said(self.overrides(t)), f"{t.value:.4f}"] for t in ranked[:5]]
        print_table(
            f"\nstudy {self.name}: {counts}", ["trial", "settings", self.config.study.metric], rows
        )
        taken, planned = self.epochs(trials)
        if taken < planned:
            console.print(f"pruning saved {planned - taken} of {planned} epochs")
        if file:
            console.print(f"best: {self.rerun(ranked[0], file)}")
            console.print(f"files: {self.folder}")
        console.print(f"dashboard: {storage.dashboard_command(self.url)}")


def count(trials: Sequence[FrozenTrial], state: TrialState) -> int:
    return sum(t.state == state for t in trials)


def pictures(study: optuna.Study, folder: Path, metric: str) -> list[Path]:
    """PNG and HTML of each picture that can be drawn; contours and importance need two parameters. The HTML needs no
    other file; with plotly installed one can look into it."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    files: list[Path] = []
    for name, function in PICTURES.items():
        more = {"target_name": metric} | (
            {"params": parameters(study)} if name == "contour" else {}
        )
        if name in ("contour", "importance") and len(parameters(study)) < 2:
            continue
        png, html = folder / f"{name}.png", folder / f"{name}.html"
        try:
            draw_png(png, getattr(optuna.visualization.matplotlib, function)(study, **more))
            if optuna.visualization.is_available():
                page = getattr(optuna.visualization, function)(study, **more).to_html(
                    include_plotlyjs=True
                )
            else:
                page = page_of(png, f"{study.study_name}: {name}")
        except (ValueError, RuntimeError) as error:  # one trial, or the same value in all
            console.print(f"note: no picture of the {name} ({error})")
            continue
        files_module.write_text(html, page)
        files += [png, html]
    return files


def parameters(study: optuna.Study) -> list[str]:
    """Some that several values were tried of in trials that came to their end, the important ones first."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    names = dict.fromkeys(key for trial in complete for key in trial.params)
    varied = [key for key in names if len({str(t.params.get(key)) for t in complete}) > 1]
    try:
        ranks = optuna.importance.get_param_importances(study)
    except (ValueError, RuntimeError):
        ranks = {}
    return sorted(varied, key=lambda key: -ranks.get(key, 0.0))[:MOST_CONTOURS]


def draw_png(file: Path, axes: Any) -> None:
    """axes: of matplotlib, or an array of them."""
    figure = getattr(axes, "flat", [axes])[0].figure
    figure.set_size_inches(9, 6)
    with files_module.in_place_of(file) as beside:
        figure.savefig(beside, format="png", dpi=100, bbox_inches="tight")
    figure.clear()


def page_of(png: Path, title: str) -> str:
    data = base64.b64encode(png.read_bytes()).decode()
    head = f'<!doctype html><meta charset="utf-8"><title>{title}</title>'
    return f'{head}<img alt="{title}" src="data:image/png;base64,{data}">\n'
