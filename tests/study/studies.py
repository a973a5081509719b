"""Small real studies, and queues of studies without data."""

import time

import optuna

from nersweep.command.explain import compose_or_explain
from nersweep.config import overrides as overrides_module
from nersweep.config import schema
from nersweep.config.compose import Composer
from nersweep.study import check, loop, plan, storage
from nersweep.study.queue import Queue, make_pruner
from nersweep.study.space import Space

SMALL = [
    "data.train=60", "data.dev=20", "data.test=20", "train.epochs=2", "train.batch_size=8",
    "train.lr=1e-2",
    "model.hidden=8", "model.layers=1", "model.heads=2", "train.precision=fp32",
]  # fmt: skip
LR = "study.space.train.lr="


def compose(*arguments, folder=None):
    """Return the configuration of a command, its overrides and the composer."""
    schema.register()
    overrides = [overrides_module.for_hydra(argument) for argument in arguments]
    composer = Composer(folder)
    return composer(overrides), overrides, composer


def work(*arguments):
    """Run a study of small runs and return its best value."""
    return loop.work(*compose(*SMALL, *arguments))


def work_without(setting, *arguments):
    """Run a study of small runs that leaves one setting to the study."""
    return loop.work(*compose(*(a for a in SMALL if not a.startswith(setting)), *arguments))


def study_faults(*arguments):
    _, overrides, composer = compose(*SMALL, *arguments)
    return faults_of_study(overrides, composer)


def faults_of_study(overrides, composer):
    with composer:
        return check.study_faults(compose_or_explain(overrides, composer), overrides, composer)


def make_plan(*arguments):
    return plan.make(*compose(*arguments))


def trials_of(output_dir, name):
    return optuna.load_study(study_name=name, storage=f"sqlite:///{output_dir}/studies.db").trials


def states(trials):
    return [trial.state.name for trial in trials]


def make_queue(folder, *arguments, name="s"):
    """Return the queue of a study without data."""
    config, overrides, composer = compose(*arguments)
    space = Space.of(config, composer.choice(overrides), composer)
    store, lock = storage.open_storage(f"sqlite:///{folder}/studies.db")
    study = optuna.create_study(
        study_name=name,
        storage=store,
        direction=config.study.direction,
        pruner=make_pruner(config.study.pruner, 8),
        load_if_exists=True,
    )
    return Queue(study, store, lock, space, config)


def drain(queue, value=lambda trial: trial.number / 100):
    """Run all trials of a queue, with a formula for their values; return their overrides."""
    trials = []
    while not queue.is_over():
        trial, overrides = queue.ask()
        trials.append(overrides)
        queue.study.tell(trial, value(trial))
    return trials


def name_of(output_dir, option):
    """Return the name of the only study with this option."""
    names = optuna.get_all_study_names(f"sqlite:///{output_dir}/studies.db")
    (name,) = [name for name in names if name.startswith(f"{option}-")]
    return name


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
