"""Write the best trial of a study as an experiment that a command can run."""

import shlex
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from optuna.trial import FrozenTrial

from nersweep.config import settings
from nersweep.config.build import COMPONENTS
from nersweep.config.overrides import setting_of
from nersweep.machine import files
from nersweep.study.changes import changes
from nersweep.study.metric import metric_name
from nersweep.study.plan import StudyPlan, relevant


def write_experiment(file: Path, trial: FrozenTrial, trials: int, plan: StudyPlan) -> None:
    """Write a trial as experiment/NAME.yaml, which begins with the command that runs it.

    trials: how many trials the study has.
    """
    space, composer = plan.space, plan.space.composer
    overrides = [*space.fixed, *space.overrides(trial.params), f"seed={plan.seeds[0]}"]
    config = composer(overrides)
    difference = changes(config, composer.choice(overrides), composer)
    OmegaConf.resolve(config)  # a file of --config-dir may not read the environment
    values: dict[str, Any] = {"seed": plan.seeds[0]}
    defaults: list[Any] = []
    for name, value in difference.items():
        setting = setting_of(name)
        if name in COMPONENTS:
            defaults.append({f"override /{name}": value})
        elif setting != "seed" and settings.matters(setting):
            set_nested(values, setting, OmegaConf.select(config, setting))
    score = f"{trial.value:.4f} {metric_name(plan.config)} on dev"
    head = [
        "# @package _global_",
        f"# {rerun_command(file, trial, plan)}",
        f"# {score}{seeds_remark(trial, plan)}: trial {trial.number} of {trials}, found by",
        f"# {plan.command}",
    ]
    body = OmegaConf.to_yaml(OmegaConf.create({"defaults": [*defaults, "_self_"], **values}))
    files.write_text(file, "\n".join(head) + "\n" + body)


def seeds_remark(trial: FrozenTrial, plan: StudyPlan) -> str:
    """Name the seeds behind the value of a trial."""
    if len(plan.seeds) == 1:
        return f", seed {plan.seeds[0]}"
    values = ", ".join(f"{value:.4f}" for value in trial.user_attrs.get("values", []))
    return f", the mean of seeds {', '.join(map(str, plan.seeds))} ({values})"


def set_nested(values: dict[str, Any], name: str, value: Any) -> None:
    """Set a value under its dotted name."""
    *sections, last = name.split(".")
    for section in sections:
        values = values.setdefault(section, {})
    values[last] = value


def rerun_command(file: Path, trial: FrozenTrial, plan: StudyPlan) -> str:
    """Return the command that runs a trial, exported to this file.

    A command accepts one --config-dir. If that of the study is another than the file's, the
    command sets the trial's values instead.
    """
    arguments = ["--config-dir", str(file.parents[1]), f"experiment={file.stem}"]
    folder = plan.space.composer.folder
    if folder and Path(folder).resolve() != file.parents[1].resolve():
        arguments = ["--config-dir", folder, *relevant(plan.space.fixed)]
        arguments += [*plan.space.overrides(trial.params), f"seed={plan.seeds[0]}"]
    if plan.config.output_dir != "outputs":
        arguments.append(f"output_dir={plan.config.output_dir}")
    return shlex.join(["python", "-m", "nersweep", *arguments])
