"""What the tests of studies share: small real runs, and queues of studies on no data."""

import time

import optuna

from nersweep.config import overrides as overrides_module
from nersweep.config import schema as sections
from nersweep.config.compose import Composer
from nersweep.study import loop, storage
from nersweep.study import space as spaces
from nersweep.study.queue import Queue, make_pruner

SMALL = [
    "data.train=60", "data.dev=20", "data.test=20", "train.epochs=2", "train.batch_size=8", "train.lr=1e-2",
    "model.hidden=8", "model.layers=1", "model.heads=2", "train.precision=fp32",
]  # fmt: skip
LR = "study.space.train.lr="


def composed(*arguments):
    """(configuration, its overrides, what composes)."""
    sections.register()
    overrides = [overrides_module.as_hydra_takes_it(argument) for argument in arguments]
    composer = Composer()
    return composer(overrides), overrides, composer


def work(*arguments):
    return loop.work(*composed(*SMALL, *arguments))


def work_without(setting, *arguments):
    """With that setting left to the study."""
    return loop.work(*composed(*(a for a in SMALL if not a.startswith(setting)), *arguments))


def faults(*arguments):
    config, overrides, composer = composed(*SMALL, *arguments)
    return spaces.faults(config, composer.choice(overrides), composer)


def asked(*arguments):
    config, overrides, composer = composed(*arguments)
    return loop.ask(config, overrides, composer)


def trials_of(output_dir, name):
    return optuna.load_study(study_name=name, storage=f"sqlite:///{output_dir}/studies.db").trials


def states(trials):
    return [trial.state.name for trial in trials]


def make_queue(folder, *arguments, name="s"):
    """The queue of a study on no data."""
    config, overrides, composer = composed(*arguments)
    kept, lock = storage.open_storage(f"sqlite:///{folder}/studies.db")
    pruner = make_pruner(config.study.pruner, 8)
    study = optuna.create_study(
        study_name=name,
        storage=kept,
        direction=config.study.direction,
        pruner=pruner,
        load_if_exists=True,
    )
    return Queue.of(
        study, kept, lock, spaces.make(config, composer.choice(overrides), composer), config
    )


def drain(queue, value=lambda trial: trial.number / 100):
    """Overrides of the trials that were taken until there were enough; `value` is told of each."""
    taken = []
    while not queue.over():
        trial, drawn = queue.take()
        taken.append(drawn)
        queue.study.tell(trial, value(trial))
    return taken


def names(output_dir, option):
    """The one study of this option."""
    found = optuna.get_all_study_names(f"sqlite:///{output_dir}/studies.db")
    (name,) = [name for name in found if name.startswith(f"{option}-")]
    return name


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)
