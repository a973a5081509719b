"""Write the best trial of a study as an experiment that a command can run."""

import shlex
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial

from nersweep.config import settings
from nersweep.config.compose import Composer
from nersweep.config.overrides import setting_of
from nersweep.machine import files
from nersweep.study.changes import changes
from nersweep.study.metric import short_name
from nersweep.study.space import Space, seeds


def write_experiment(
    file: Path,
    trial: FrozenTrial,
    trials: int,
    space: Space,
    config: DictConfig,
    composer: Composer,
    command: str,
) -> None:
    """Write a trial as experiment/NAME.yaml, which begins with the command that runs it.

    trials: how many trials the study has. command: that of the study.
    """
    seed_list = seeds(config)
    overrides = [*space.fixed, *space.overrides(trial.params), f"seed={seed_list[0]}"]
    difference = changes(composer(overrides), composer.choice(overrides), composer)
    values: dict[str, Any] = {"seed": seed_list[0]}
    for change in difference.settings:
        if change.name != "seed" and settings.matters(change.name):
            set_nested(values, change.name, change.value)
    defaults: list[Any] = []
    for group, option in difference.options.items():
        defaults.append({f"override /{group}": option})
    head = [
        "# @package _global_",
        f"# {rerun_command(file, trial, space, config, composer.folder)}",
        f"# {trial.value:.4f} {short_name(config.study.metric)} on dev{seeds_remark(trial, config)}: "
        f"trial {trial.number} of {trials}, found by",
        f"# {command}",
    ]
    body = OmegaConf.to_yaml(OmegaConf.create({"defaults": [*defaults, "_self_"], **values}))
    files.write_text(file, "\n".join(head) + "\n" + body)


def seeds_remark(trial: FrozenTrial, config: DictConfig) -> str:
    """Say which seeds the value of a trial comes from."""
    seed_list = seeds(config)
    if len(seed_list) == 1:
        return f", seed {seed_list[0]}"
    values = ", ".join(f"{value:.4f}" for value in trial.user_attrs.get("values", []))
    return f", the mean of seeds {', '.join(map(str, seed_list))} ({values})"


def set_nested(values: dict[str, Any], name: str, value: Any) -> None:
    """Set a value under its dotted name."""
    *sections, last = name.split(".")
    for section in sections:
        values = values.setdefault(section, {})
    values[last] = value


def rerun_command(
    file: Path, trial: FrozenTrial, space: Space, config: DictConfig, folder: str | None
) -> str:
    """Return the command that runs a trial, exported to this file.

    A command accepts one --config-dir. If `folder`, that of the study, is another than the file's,
    the command sets the trial's values instead.
    """
    arguments = ["--config-dir", str(file.parents[1]), f"experiment={file.stem}"]
    if folder and Path(folder).resolve() != file.parents[1].resolve():
        arguments = ["--config-dir", folder]
        for override in space.fixed:
            name = setting_of(override)
            if settings.matters(name) and name != "seed":
                arguments.append(override)
        arguments += [*space.overrides(trial.params), f"seed={seeds(config)[0]}"]
    if config.output_dir != "outputs":
        arguments.append(f"output_dir={config.output_dir}")
    return shlex.join(["python", "-m", "nersweep", *arguments])
