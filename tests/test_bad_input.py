"""Bad input gets one line per fault, exit code 1, and leaves nothing half-written."""

import http.server
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore
from mlflow import MlflowClient

from nersweep import __main__ as cli
from nersweep.data import hub
from nersweep.tracking.reading import run_id_of
from nersweep.training.progress import TrainingProgress

TRAIN = (
    "has epochs, batch_size, accumulation, lr, head_lr, warmup, weight_decay, max_grad_norm, patience, sampler, "
    "precision, auto_batch, checkpoint_minutes"
)
WITH_GAMMA = "loss=batch_balanced|class_balanced|compound|focal|weighted_focal"
SMALL = [
    "train.epochs=1",
    "model.hidden=8",
    "model.layers=1",
    "model.heads=2",
    "train.precision=fp32",
]
SENTENCES = "Ada B-PER\nlives O\nin O\nParis B-LOC\n\nAda B-PER\nB I-PER\nsang O\n\n" * 8


@pytest.fixture
def cli_run(tmp_path, capsys, monkeypatch):
    """cli_run(*arguments): exit code, standard output and lines of standard error, from an empty folder."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.delenv("NERSWEEP_DATA", raising=False)
    monkeypatch.setenv("NERSWEEP_TRACEBACK", "")  # main may set it

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["nersweep", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capsys.readouterr()
        return end.value.code, printed.out, printed.err.splitlines()

    return run


@pytest.fixture
def assert_refused(cli_run):
    """assert_refused(arguments, *lines): the command says these lines and nothing else, and writes nothing."""

    def check(arguments, *lines):
        code, out, err = cli_run(*arguments)
        assert err == [f"nersweep: {line}" for line in lines]
        assert (code, out) == (1, "")
        assert not list(Path.cwd().iterdir())

    return check


@pytest.fixture
def column_files(tmp_path):
    """column_files(train=TEXT): the arguments that name three column files; those not given are good ones."""

    def write(**given):
        arguments = ["data=conll"]
        for split in ("train", "dev", "test"):
            file = tmp_path / f"{split}.conll"
            text = given.get(split, SENTENCES)
            file.write_bytes(text if isinstance(text, bytes) else text.encode())
            arguments.append(f"data.{split}={file}")
        return arguments

    return write


@pytest.fixture(scope="module")
def output_dir(tmp_path_factory):
    """One for all runs here: to make the tables of a tracking store takes seconds."""
    return tmp_path_factory.mktemp("outputs")


def status_in_mlflow(output_dir, result):
    uri = f"sqlite:///{output_dir}/mlflow.db"
    folder = output_dir / "runs" / "{name}-{fingerprint:.8}".format(**result)
    return MlflowClient(uri).get_run(run_id_of(folder, uri)).info.status


def results(output_dir):
    files = sorted(
        (output_dir / "runs").glob("*/result.json"), key=lambda file: file.stat().st_mtime_ns
    )
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


# What the command line says


def options(group):
    """The options of a group, as a fault lists them."""
    return ", ".join(
        sorted(file.stem for file in (Path(__file__).parents[1] / "conf" / group).glob("*.yaml"))
    )


MISTYPED = {
    "loss=nope": [f"loss=nope: no such option; loss takes {options('loss')}"],
    "loss=": [f"loss=: no such option; loss takes {options('loss')}"],
    "model=bert": [f"model=bert: no such option; model takes {options('model')}"],
    "data=conll2004": [f"data=conll2004: no such option; data takes {options('data')}"],
    "weights=x": [f"weights=x: no such option; weights takes {options('weights')}"],
    "loss=[focal]": ["loss: takes one option, as in loss=NAME"],
    "loss@x=focal": ["loss@x=focal: an option stays at its place; type loss=NAME"],
    "+loss=focal": ["+loss=focal: loss is there already; type loss=focal"],
    "~loss": ["~loss: cannot be left out; type loss=VALUE"],
    "~seed": ["~seed: cannot be left out; type seed=VALUE"],
    # A setting that does not exist
    "sed=3": [
        "sed=3: no such setting; the top level has train, tracking, study, data, model, head, weights, aux, loss, "
        "seed, device, gpus_per_run, output_dir, rerun, dry_run, report, on_failure"
    ],
    "+sed=3": [
        "sed=3: no such setting; the top level has aux, data, device, dry_run, gpus_per_run, head, loss, model, "
        "on_failure, output_dir, report, rerun, seed, study, tracking, train, weights"
    ],
    "train.epocs=3": [f"train.epocs=3: no such setting; train {TRAIN}"],
    "+train.epocs=3": [f"train.epocs=3: no such setting; train {TRAIN}"],
    "train.epochs.x=3": [f"train.epochs.x=3: no such setting; train {TRAIN}"],
    "tracking.url=x": ["tracking.url=x: no such setting; tracking has kind, uri, experiment"],
    "data.pth=x": [
        "data.pth=x: no such setting; data=generated has imbalance, o_share, ambiguity, unseen, label_noise, train, "
        "dev, test, seed"
    ],
    "model.layer=3": [
        "model.layer=3: no such setting; model=tiny has hidden, layers, heads, dropout, max_length, min_count, pieces"
    ],
    "loss=focal loss.gama=3": [
        "loss.gama=3: no such setting; loss=focal has focal_gamma, focal_alpha, reduction"
    ],
    "loss=focal +loss.gama=3": ["loss.gama=3: no such setting; loss has focal_gamma, reduction"],
    "weights.cap=3": ["weights.cap=3: no such setting; weights=none has no settings"],
    "choice.loss=focal": [
        "choice.loss=focal: no such setting; the top level has train, tracking, study, data, model, head, weights, "
        "aux, loss, seed, device, gpus_per_run, output_dir, rerun, dry_run, report, on_failure"
    ],
    "+choice.loss=focal": [
        "choice={'loss': 'focal'}: no such setting; the top level has aux, data, device, dry_run, gpus_per_run, head, "
        "loss, model, on_failure, output_dir, report, rerun, seed, study, tracking, train, weights"
    ],
    # A knob that nothing would read
    "focal_gamma=3": [
        f"focal_gamma=3: nothing reads it with loss=cross_entropy; it belongs to {WITH_GAMMA}"
    ],
    "+focal_gamma=3": [
        f"focal_gamma=3: nothing reads it with loss=cross_entropy; it belongs to {WITH_GAMMA}"
    ],
    "loss.gamma=5": [
        "loss.gamma=5: no such setting here; it belongs to loss=batch_balanced|class_balanced|focal|weighted_focal, as "
        "focal_gamma and loss=tversky, as tversky_gamma"
    ],
    "loss=focal loss.gamma=5": ["loss.gamma=5: is set by focal_gamma; type focal_gamma=5"],
    # Types
    "train=5": [f"train=5: is a section; it {TRAIN}"],
    "train.epochs=abc": ["train.epochs=abc: expected a whole number"],
    "train.epochs=2.5": ["train.epochs=2.5: expected a whole number"],
    "train.patience=abc": ["train.patience=abc: expected a whole number or null"],
    "loss=focal focal_gamma=abc": ["focal_gamma=abc: expected a number"],
    "loss=focal focal_gamma=null": ["focal_gamma=null: expected a number"],
    "seed=x": ["seed=x: must be a whole number in [0, 2^32)"],
    "rerun=yes": ["rerun=yes: must be true or false"],
    "output_dir=null": ["output_dir=null: expected a folder"],
    "data.train=abc": ["data.train=abc: expected a whole number"],
    "data=conll data.train=3 data.dev=3 data.test=3": [
        f"data.{x}=3: expected text" for x in ("train", "dev", "test")
    ],
    # Ranges
    "train.epochs=0": ["train.epochs=0: must be ≥ 1"],
    "train.lr=inf": ["train.lr=inf: must be finite and > 0"],
    "train.precision=fp16": ["train.precision=fp16: must be one of auto, fp32, bf16"],
    "loss=focal focal_gamma=-1": ["focal_gamma=-1: must be ≥ 0 (0 is cross entropy)"],
    "loss=focal focal_gamma=nan": ["focal_gamma=nan: must be ≥ 0 (0 is cross entropy)"],
    "loss=label_smoothing label_smoothing=1": [
        "label_smoothing=1: must be in [0, 1) (0 is cross entropy)"
    ],
    "loss=label_smoothing label_smoothing=-0.1": [
        "label_smoothing=-0.1: must be in [0, 1) (0 is cross entropy)"
    ],
    "weights=effective effective_beta=1": [
        "effective_beta=1: must be in [0, 1) (0 is uniform, near 1 is the inverse count)"
    ],
    "model.heads=3": ["model.hidden=128: must be a multiple of heads=3"],
    "device=gpu": ["device=gpu: must be auto, cpu, cuda or cuda:N"],
    # What must be given, and places that are not there
    "data=conll": [
        f"data.{split}=???: must be given, as in data=conll data.{split}=VALUE"
        for split in ("dev", "test", "train")
    ],
    "model=hf": ["model.name=???: must be given, as in model=hf model.name=VALUE"],
    "data=conll2003 data.path=/nowhere": [
        "data=conll2003: no train.txt under /nowhere; expected train.txt, valid.txt, test.txt (word pos chunk tag); "
        "set data.path=DIR"
    ],
    "data=conll data.train=/a data.dev=/b data.test=/dev/null": [
        "data.train=/a: no such file",
        "data.dev=/b: no such file",
    ],
    # Grammar, interpolations, options of Hydra's
    "train.lr=[": [
        "train.lr=[: cannot be read; write name=value, with quotes around special characters"
    ],
    "loss": ["loss: cannot be read; write name=value, with quotes around special characters"],
    "=3": ["=3: cannot be read; write name=value, with quotes around special characters"],
    "loss=focal focal_gamma='${nope}'": ["focal_gamma=${nope}: Interpolation key 'nope' not found"],
    "seed=1,2": ["seed=1,2: a sweep needs -m; for one value put quotes around it"],
    "--config-dir=/nowhere": ["--config-dir=/nowhere: no such folder"],
    "--config-name=x": [
        "--config-name=x: type experiment=NAME, with a file experiment/NAME.yaml in --config-dir=DIR"
    ],
    "--config-path=/x": [
        "--config-path=/x: nersweep's own options would be missing; type --config-dir=DIR for further ones"
    ],
    "--experimental-rerun=x": [
        "--experimental-rerun=x: a pickle can run anything; type the run's command again"
    ],
    "--shell-completion --experimental-rerun=x": [
        "--experimental-rerun=x: a pickle can run anything; type the run's command again"
    ],
    "--package=train": ["--package=train: is a part of what --cfg shows; type --cfg job with it"],
    "hydra.searchpath=[pkg://x]": ["hydra.searchpath: type --config-dir=DIR"],
    "experiment=nonsense": [
        f"experiment=nonsense: no such option; experiment takes {options('experiment')}"
    ],
    "+experiment=quickstart": [
        "+experiment=quickstart: experiment is there already; type experiment=quickstart"
    ],
    "--nope": ["unrecognized arguments: --nope; see python -m nersweep --help"],
    "hydra/launcher=x": [
        "hydra/launcher=x: no such option; hydra/launcher takes basic, joblib, submitit_local, submitit_slurm"
    ],
    # Hydra's own settings
    "hydra.launcher.n_jobs=2": [
        "hydra.launcher.n_jobs=2: no such setting; hydra/launcher=basic has no settings"
    ],
    "hydra.sweep.dirs=x": ["hydra.sweep.dirs=x: no such setting; hydra.sweep has dir, subdir"],
    "-m hydra/launcher=nope hydra.launcher.n_jobs=2": [
        "hydra/launcher=nope: no such option; hydra/launcher takes basic, joblib, submitit_local, submitit_slurm"
    ],
    "-m hydra/launcher=joblib hydra.launcher.n_jobs=two": [
        "hydra.launcher.n_jobs=two: Value 'two' of type 'str' could not be converted to Integer"
    ],
    "-m hydra/launcher=submitit_local hydra.launcher.nods=2": [
        "hydra.launcher.nods=2: no such setting; hydra/launcher=submitit_local has submitit_folder, timeout_min, "
        "cpus_per_task, gpus_per_node, tasks_per_node, mem_gb, nodes, name, stderr_to_stdout"
    ],
    "-m hydra/launcher=joblib hydra.launcher.n_jobs=0": [
        "hydra.launcher.n_jobs=0: must be a number of processes, or -1 for one per core"
    ],
    "-m hydra/launcher=basic,joblib seed=1,2": [
        "hydra/launcher=basic,joblib: does not change the run, so it cannot be swept; give one value"
    ],
    "-m hydra/launcher=joblib hydra.launcher.n_jobs=1,2": [
        "hydra.launcher.n_jobs=1,2: does not change the run, so it cannot be swept; give one value"
    ],
    # GPUs
    "gpus_per_run=0.3": [
        "gpus_per_run=0.3: must be 1, or 1 over a whole number (0.5, 0.25: so many runs share a GPU)"
    ],
    "device=cpu gpus_per_run=0.5": [
        "gpus_per_run=0.5: device=cpu leaves no GPU to choose; type device=auto"
    ],
    # Sweeps: no job starts when one is at fault
    "-m loss=glob(x*)": [f"loss=glob(x*): no such option; loss takes {options('loss')}"],
    "-m train.lr=glob(*)": [
        "train.lr=glob(*): only values or a range can be swept, as in a=1,2 or a=range(1,4)"
    ],
    "-m seed=range(3,1)": [
        "seed=range(3,1): only values or a range can be swept, as in a=1,2 or a=range(1,4)"
    ],
    "-m loss=focal,nope": [f"loss=nope: no such option; loss takes {options('loss')}"],
    "-m loss=focal,cross_entropy focal_gamma=1,2": [
        f"focal_gamma=1: nothing reads it with loss=cross_entropy; it belongs to {WITH_GAMMA}",
        f"focal_gamma=2: nothing reads it with loss=cross_entropy; it belongs to {WITH_GAMMA}",
    ],
    "-m loss=focal focal_gamma=1,-1 seed=1,2": ["focal_gamma=-1: must be ≥ 0 (0 is cross entropy)"],
    "-m train.lr=interval(0,1)": [
        "train.lr=interval(0,1): only values or a range can be swept, as in a=1,2 or a=range(1,4)"
    ],
    "experiment=quickstart loss=nope": [f"loss=nope: no such option; loss takes {options('loss')}"],
    "experiment=quickstart hydra.mode=RUN": [
        "hydra.sweeper.params.loss=cross_entropy, focal, batch_balanced, weighted_cross_entropy: not swept here; type "
        "-m, and one experiment",
        "hydra.sweeper.params.seed=1, 2: not swept here; type -m, and one experiment",
    ],
    # A class is chosen by its option alone
    "loss._target_=os.system": [
        "loss._target_=os.system: a class comes with its option; type loss=NAME"
    ],
    "+model.hidden._target_=os.system": [
        "+model.hidden._target_=os.system: a class comes with its option; type model=NAME"
    ],
    "loss={_target_:os.system}": ["loss._target_=os.system: must be a class of nersweep.losses"],
}


@pytest.mark.parametrize("typed", MISTYPED)
def test_what_was_mistyped_is_said_in_one_line(typed, assert_refused):
    assert_refused(typed.replace("'", "").split(), *MISTYPED[typed])


PLUGINS = {
    "joblib": "pip install -e '.[parallel]'",
    "submitit_slurm": "pip install -e '.[slurm]'",
    "submitit_local": "pip install -e '.[slurm]'",
    "ray": "make ray",
}


@pytest.mark.parametrize("name", PLUGINS)
def test_a_launcher_that_is_not_installed_is_told_with_what_installs_it(
    name, assert_refused, monkeypatch
):
    monkeypatch.delitem(
        ConfigStore.instance().repo["hydra"]["launcher"], f"{name}.yaml", raising=False
    )
    typed = ["-m", f"hydra/launcher={name}", "hydra.launcher.n_jobs=2", "seed=1,2"]
    assert_refused(typed, f"hydra/launcher={name}: is not installed; type {PLUGINS[name]}")


def test_all_faults_are_told_together_and_each_once(assert_refused):
    assert_refused(
        [
            *(
                "train.epocs=3",
                "train.epochs=0",
                "train.warmup=1",
                "loss=focal",
                "focal_gamma=-1",
                "seed=x",
            ),
            *(
                "weights=effective",
                "effective_beta=1",
                "weights.cap=0",
                "data=wnut17",
                "data.path=/nowhere",
                "rerun=no",
            ),
        ],
        f"train.epocs=3: no such setting; train {TRAIN}",
        "train.epochs=0: must be ≥ 1",
        "train.warmup=1.0: must be ≥ 0 and < 1",
        "seed=x: must be a whole number in [0, 2^32)",
        "rerun=no: must be true or false",
        "data=wnut17: no train.conll under /nowhere; expected train.conll, dev.conll, test.conll (word tag); "
        "set data.path=DIR",
        "focal_gamma=-1: must be ≥ 0 (0 is cross entropy)",
        "weights.cap=0: must be > 0, or null for no cap",
        "effective_beta=1: must be in [0, 1) (0 is uniform, near 1 is the inverse count)",
    )


def test_what_hangs_on_a_mistyped_option_is_not_told(assert_refused):
    assert_refused(
        ["loss=focl", "focal_gamma=3", "data=conl", "data.train=x"],
        f"loss=focl: no such option; loss takes {options('loss')}",
        f"data=conl: no such option; data takes {options('data')}",
    )


def test_cuda_where_there_is_none_is_no_silent_fall_back(assert_refused, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert_refused(
        ["device=cuda"], "device=cuda: no CUDA device was found; type device=auto or device=cpu"
    )


def test_the_environment_may_name_a_folder_that_is_not_there(assert_refused, monkeypatch):
    monkeypatch.setenv("NERSWEEP_DATA", "/nowhere")
    assert_refused(
        ["data=wnut17"],
        "data=wnut17: no train.conll under /nowhere/wnut17 (of NERSWEEP_DATA); expected train.conll, dev.conll, "
        "test.conll (word tag); set data.path=DIR",
    )


@pytest.mark.parametrize("show", ["environment", "hydra.verbose=true"])
def test_a_traceback_is_shown_when_asked_for(show, cli_run, monkeypatch):
    if show == "environment":
        monkeypatch.setenv("NERSWEEP_TRACEBACK", "1")
    code, _, err = cli_run("seed=x", *([show] if "=" in show else []))
    assert code == 1 and "Traceback (most recent call last):" in err
    assert err[-1] == "nersweep: seed=x: must be a whole number in [0, 2^32)"


# Classes from a stranger's configuration

FOREIGN = [
    "evil.Loss",  # a module that can be imported
    "os.system",
    "nersweep.losses.base.torch.load",  # what a module of ours has imported
    "nersweep.losses.base.torch.nn.Linear",
    "nersweep.losses.base.math.sqrt",
    "nersweep.losses.base.TokenLoss",  # abstract
    "nersweep.losses.base.Loss",
    "nersweep.losses.CRF",  # no loss
    "nersweep.losses.TrainerLoss",
    "nersweep.losses.base.require",  # no class
    "nersweep.losses._module",
    "nersweep.losses.__class__",
    "nersweep.weights.Inverse",  # of another section
    "nersweep.losses.nothing.There",
    "nersweep.losses.evil",
]


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A module that says on import that it was imported."""
    (tmp_path / "evil.py").write_text(
        "import pathlib\npathlib.Path('imported').touch()\nclass Loss: pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    assert "evil" not in sys.modules


@pytest.mark.parametrize("target", FOREIGN)
def test_only_classes_of_a_section_s_room_are_imported_and_called(
    target, tmp_path, assert_refused, evil
):
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "conf" / "loss" / "mine.yaml").write_text(f"_target_: {target}\ngamma: 1.0\n")
    line = f"loss._target_={target}: must be a class of nersweep.losses"
    assert_refused([f"--config-dir={tmp_path / 'conf'}", "loss=mine"], line)


@pytest.mark.parametrize("place", ["+hydra.callbacks.x", "hydra.launcher", "hydra.sweeper"])
@pytest.mark.parametrize("target", ["evil.Loss", "hydra.utils.get_object"])
def test_hydra_calls_no_class_but_its_own(place, target, assert_refused, evil):
    line = f"{place.lstrip('+')}._target_={target}: must be a class of Hydra's"
    assert_refused([f"{place}._target_={target}"], line)


def test_nested_classes_are_refused(tmp_path, assert_refused, evil):
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    text = "_target_: nersweep.losses.CrossEntropyLoss\nreduction: {_target_: evil.Loss}\n"
    (tmp_path / "conf" / "loss" / "mine.yaml").write_text(text)
    line = "loss.reduction._target_=evil.Loss: a class can be named only as SECTION._target_, or in loss.terms"
    assert_refused([f"--config-dir={tmp_path / 'conf'}", "loss=mine"], line)


def test_a_term_of_a_compound_loss_is_held_to_the_room_of_losses(tmp_path, assert_refused, evil):
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    text = "_target_: nersweep.losses.CompoundLoss\nweights: {x: 1.0}\nterms: {x: {_target_: evil.Loss}}\n"
    (tmp_path / "conf" / "loss" / "mine.yaml").write_text(text)
    line = "loss.terms.x._target_=evil.Loss: must be a class of nersweep.losses"
    assert_refused([f"--config-dir={tmp_path / 'conf'}", "loss=mine"], line)


@pytest.fixture
def strangers(tmp_path):
    """strangers("experiment/mine", TEXT): the option that names a folder with this file."""

    def write(file, text, package="_global_"):
        file = tmp_path / "strangers" / f"{file}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"# @package {package}\n{text}\n", encoding="utf-8")
        return f"--config-dir={tmp_path / 'strangers'}"

    return write


TINY = ["data.train=60", "data.dev=20", "data.test=20", *SMALL]
BY_A_FILE = "set by a file of --config-dir, which may set only hydra.mode and hydra.sweeper.params there; type it"
CALL = "{root: {handlers: [x]}, handlers: {x: {(): logging.FileHandler, filename: made}}}"
OPEN = "{root: {handlers: [x]}, handlers: {x: {class: logging.FileHandler, filename: made}}}"
OF_HYDRA = {  # what a stranger's file sets, by the section that is told
    f"hydra: {{job_logging: {CALL}}}": "hydra.job_logging",
    f"hydra: {{job_logging: {OPEN}}}": "hydra.job_logging",
    f"hydra: {{hydra_logging: {CALL}}}": "hydra.hydra_logging",
    "hydra: {job: {env_set: {LD_PRELOAD: made.so}}}": "hydra.job",
    "hydra: {job: {env_copy: [HOME]}}": "hydra.job",
    "hydra: {job: {chdir: true}, run: {dir: made}}": "hydra.job, hydra.run",
    "hydra: {output_subdir: made}": "hydra.output_subdir",
    "hydra: {callbacks: {x: {_target_: hydra.experimental.callbacks.PickleJobInfoCallback}}}": "hydra.callbacks",
    "{defaults: [override /hydra/launcher: submitit_slurm, _self_], hydra: {launcher: {setup: [touch made]}}}": (
        "hydra.launcher"
    ),
    "hydra: {overrides: {hydra: [+hydra.job.env_set.LD_PRELOAD=made.so]}}": "hydra.overrides",
    "hydra: {overrides: {task: [seed=3]}}": "hydra.overrides",
}


THERE = "http://127.0.0.1:9/x"
TAKEN = "a file of --config-dir takes values from other settings alone; type it"
ADDRESSES = {
    f"tracking: {{uri: '{THERE}'}}": f"tracking.uri={THERE}: set by a file of --config-dir; type it",
    f"hydra: {{mode: MULTIRUN, sweeper: {{params: {{tracking.uri: \"'{THERE}'\"}}}}}}": (
        f"tracking.uri={THERE}: set by a file of --config-dir; type it"
    ),
    "output_dir: elsewhere": "output_dir=elsewhere: set by a file of --config-dir; type it",
    "hydra: {mode: MULTIRUN, sweeper: {params: {output_dir: elsewhere}}}": (
        "output_dir=elsewhere: set by a file of --config-dir; type it"
    ),
    "study: {storage: 'sqlite:////x.db'}": "study.storage=sqlite:////x.db: set by a file of --config-dir; type it",
    "tracking: {experiment: '${oc.env:HOME}'}": f"tracking.experiment=${{oc.env:HOME}}: {TAKEN}",
    "{device: oc, tracking: {experiment: '${${device}.env:HOME}'}}": (
        f"tracking.experiment=${{${{device}}.env:HOME}}: {TAKEN}"
    ),
}


@pytest.mark.parametrize("text", ADDRESSES)
def test_a_file_neither_says_where_to_send_nor_reads_the_environment(
    text, assert_refused, strangers
):
    assert_refused([strangers("experiment/mine", text), "experiment=mine", *TINY], ADDRESSES[text])


@pytest.mark.parametrize("shown", [[], ["--help"], ["-m", "seed=1,2"]], ids=str)
@pytest.mark.parametrize("text", OF_HYDRA)
def test_a_file_sets_nothing_of_hydra_s_but_a_sweep(text, shown, assert_refused, strangers):
    folder = strangers("experiment/mine", text)
    assert_refused([folder, *shown, "experiment=mine", *TINY], f"{OF_HYDRA[text]}: {BY_A_FILE}")
    assert "LD_PRELOAD" not in os.environ


@pytest.mark.parametrize("shown", [[], ["--help"], ["--hydra-help"]], ids=str)
def test_a_file_cannot_take_the_place_of_hydra_s_own(shown, assert_refused, strangers):
    defaults = "[{/hydra/job_logging: none}, {/hydra/hydra_logging: none}]"
    folder = strangers("hydra/config", f"defaults: {defaults}\nhydra: {{hydra_logging: {CALL}}}")
    line = "'hydra/config' is validated against ConfigStore schema with the same name."  # which Hydra refuses
    assert_refused([folder, *shown], line)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # of Hydra, which finds two files of one name
@pytest.mark.parametrize(
    ("name", "line"),
    {
        "mine": "hydra/launcher=mine: must be an option of Hydra's or of its plugins, and no file of --config-dir",
        "joblib": f"hydra.launcher: {BY_A_FILE}",
    }.items(),
)
def test_a_launcher_of_a_file_is_refused_though_its_name_is_typed(
    name, line, assert_refused, strangers
):
    target = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
    text = f"_target_: {target}\nn_jobs: 1\ntemp_folder: made"
    assert_refused(
        [strangers(f"hydra/launcher/{name}", text, "hydra.launcher"), f"hydra/launcher={name}"],
        line,
    )


def test_a_preset_sweeps_settings_of_runs_alone(assert_refused, strangers):
    params = "{+hydra.job.env_set.LD_PRELOAD: made.so, loss._target_: os.system, train.lr: 'interval(0,1)'}"
    folder = strangers(
        "experiment/mine", f"hydra: {{mode: MULTIRUN, sweeper: {{params: {params}}}}}"
    )
    assert_refused(
        [folder, "experiment=mine"],
        "loss._target_=os.system: a class comes with its option; type loss=NAME",
        "hydra.sweeper.params.hydra.job.env_set.LD_PRELOAD: is Hydra's own and no setting of a run; type "
        "+hydra.job.env_set.LD_PRELOAD=made.so",
        "train.lr=interval(0,1): only values or a range can be swept, as in a=1,2 or a=range(1,4)",
    )


def test_a_preset_names_no_class_but_ours(assert_refused, strangers, evil):
    folder = strangers("experiment/mine", "loss: {_target_: evil.Loss}")
    assert_refused(
        [folder, "experiment=mine"], "loss._target_=evil.Loss: must be a class of nersweep.losses"
    )


def test_what_is_typed_of_hydra_s_is_the_user_s(cli_run, strangers):
    folder = strangers(
        "experiment/mine", "hydra: {mode: MULTIRUN, sweeper: {params: {seed: '1,2', loss: focal}}}"
    )
    typed = [
        "hydra/launcher=submitit_slurm",
        "hydra.launcher.setup=[module load x]",
        "+hydra.job.env_set.X=1",
    ]
    code, out, err = cli_run(folder, "experiment=mine", *typed, "dry_run=true", *TINY)
    assert (code, err) == (0, []) and out.startswith("2 runs, 2 to be made")


def test_the_options_of_the_folder_are_told_with_the_others(assert_refused, strangers):
    offered = ", ".join(sorted(["mine", *options("experiment").split(", ")]))
    line = f"experiment=nonsense: no such option; experiment takes {offered}"
    assert_refused([strangers("experiment/mine", "seed: 3"), "experiment=nonsense"], line)


def test_an_option_of_the_folder_that_is_wrong_itself_is_no_missing_one(assert_refused, strangers):
    folder = strangers("loss/mine", "defaults: [{override /weights: nope}]")
    assert_refused([folder, "loss=mine"], "loss=mine: In 'config': Could not find 'weights/nope'")


def test_a_preset_is_not_swept_itself(assert_refused, strangers):
    line = "hydra.sweeper.params.loss=focal,dice: not swept here; type -m, and one experiment"
    strangers("experiment/other", "seed: 3")
    folder = strangers("experiment/mine", "hydra: {sweeper: {params: {loss: 'focal,dice'}}}")
    assert_refused([folder, "experiment=mine"], line)
    assert_refused([folder, "-m", "experiment=mine,other"], line)


# Losses, weights and heads

CLASSES = "O, B-LOC, I-LOC, B-PER, I-PER"
PARTS = {
    # Weights by hand
    "weights=manual": [
        "manual_weights=???: must be given, as in weights=manual manual_weights=VALUE"
    ],
    "weights=manual manual_weights=[1,2]": [
        f"manual_weights=[1, 2]: 2 weights for 5 classes, which are {CLASSES}"
    ],
    "weights=manual manual_weights={O:0.2,PER:3}": [
        f"manual_weights={{O: 0.2, PER: 3}}: no class PER; there are {CLASSES}"
    ],
    "weights=manual manual_weights={O:-1}": [
        "manual_weights={O: -1}: the weight of O must be a finite number ≥ 0"
    ],
    "weights=manual manual_weights={O:inf}": [
        "manual_weights={O: inf}: the weight of O must be a finite number ≥ 0"
    ],
    "weights=manual manual_weights=3": ["manual_weights=3: expected a list or a mapping"],
    "loss=focal focal_alpha=[1,2]": [
        f"focal_alpha=[1, 2]: 2 weights for 5 classes, which are {CLASSES}"
    ],
    "loss=focal focal_alpha={B-PER:nan}": [
        "focal_alpha={B-PER: nan}: the weight of B-PER must be a finite number ≥ 0"
    ],
    "loss=focal focal_alpha=[]": ["focal_alpha=[]: must weigh at least one class"],
    "loss=focal focal_alpha=3": ["focal_alpha=3: expected a list, or a mapping label: weight"],
    "loss=focal focal_alpha=[1,1,1,1,1] weights=inverse": [
        "focal_alpha=[1, 1, 1, 1, 1]: weighs the classes as weights=inverse does; type weights=none"
    ],
    "head=span weights=manual manual_weights={B-PER:2}": [
        "manual_weights={B-PER: 2}: no class B-PER; there are O, LOC, PER"
    ],
    "weights=inverse weights.smoothing=-1": ["weights.smoothing=-1: must be ≥ 0"],
    "weights=inverse weights.cap=0": ["weights.cap=0: must be > 0, or null for no cap"],
    "loss=dice weights=inverse": [
        "weights=inverse: loss=dice takes no class weights; type weights=none"
    ],
    "loss=class_balanced weights=inverse": [
        "class_balance_beta=0.999: nothing reads it with weights=inverse; it belongs to weights=effective"
    ],
    "loss=class_balanced effective_beta=0.9": [
        "effective_beta=0.9: is set by class_balance_beta; type class_balance_beta=0.9"
    ],
    # Knobs outside their range, under the name as typed
    "loss=class_balanced class_balance_beta=1": [
        "class_balance_beta=1: must be in [0, 1) (0 is uniform, near 1 is the inverse count)"
    ],
    "loss=compound compound_weights.dice=-1": [
        "compound_weights.dice=-1: must be a finite number ≥ 0"
    ],
    "loss=boundary boundary_window=-2": ["boundary_window=-2: must be ≥ 0 tokens"],
    "loss=boundary boundary_weight=-1": ["boundary_weight=-1: must be a finite number ≥ 0"],
    "loss=logit_adjusted logit_adjusted_tau=-1": [
        "logit_adjusted_tau=-1: must be ≥ 0 (0 is cross entropy)"
    ],
    "loss=dice dice_exclude=[B-ORG]": [
        f"dice_exclude=['B-ORG']: must be among the labels: {CLASSES}"
    ],
    "loss=dice dice_absent=never": ["dice_absent=never: expected one of include, skip"],
    # Losses, heads and data that do not fit each other
    "loss=crf head=token": [
        "loss=crf head=token: the loss needs scores of transitions between labels; type head=crf"
    ],
    "loss=crf head=span": [
        "loss=crf head=span: the loss needs scores of transitions between labels and labels in the order of a "
        "sentence; type head=crf"
    ],
    "loss=boundary head=span": [
        "loss=boundary head=span: the loss needs labels in the order of a sentence; type head=token"
    ],
    "loss=focal head=crf": [
        "loss=focal head=crf: nothing trains the transitions of this head; type loss=crf, or head=token "
        "head.decode=viterbi"
    ],
    "head.decode=beam": ["head.decode=beam: expected one of argmax, viterbi"],
    "train.head_lr=0.01": [
        "train.head_lr=0.01: nothing reads it, because head=token aux=none adds no parameter to the encoder's; type "
        "train.lr"
    ],
    "train.sampler=rare": ["train.sampler=rare: must be one of random, entity_balanced"],
    "aux=pos": ["aux=pos: data=conll has no column pos; it has no further column"],
    "aux=pos aux.columns=[ner]": [
        "aux.columns=['ner']: ner cannot name a task: it must be a word, and none of loss, ner, uncertainty"
    ],
    "loss=dice dice_exclude=[99]": [
        "dice_exclude=[99]: must be class ids in [0, 5), or names with labels given"
    ],
    "loss=crf loss.reduction=none": ["loss.reduction=none: must be one of token_mean, mean, sum"],
    "loss=weighted_focal weights=none +loss.weight=3": [
        "loss.weight=3: expected a list, or a mapping label: weight"
    ],
    "aux=pos aux_weight=-1": [
        "aux_weight=-1: must be ≥ 0, or uncertainty for weights that are learned"
    ],
    "aux=pos aux_weight={chunk:1}": ["aux_weight={'chunk': 1}: must name the columns pos"],
}


@pytest.mark.parametrize("typed", PARTS)
def test_parts_that_are_at_fault_or_do_not_fit_are_told_in_one_line(
    typed, column_files, assert_refused
):
    assert_refused([*column_files(), *typed.split(" ")], *PARTS[typed])


# What is in the data

BAD_FILES = {
    "ragged row": ("Ada NNP B-PER\nsang VBD\n", ":2: 2 columns, expected 3"),
    "one column": ("Ada\n", ":1: 1 columns, expected 2"),
    "no sentence": ("", ": no sentence in it"),
    "blank lines alone": ("\n\n\t\n", ": no sentence in it"),
    "no tag": ("Ada PER\n", ":1: tag=PER: expected O, or one of B- I- E- S- followed by a type"),
    "not UTF-8": (b"Ada B-PER\nM\xfcller I-PER\n", ":2: not valid UTF-8 (byte 0xfc)"),
}


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("fault", BAD_FILES)
def test_a_bad_data_file_is_told_by_its_line(fault, split, column_files, assert_refused, tmp_path):
    text, told = BAD_FILES[fault]
    assert_refused(column_files(**{split: text}), f"{tmp_path / split}.conll{told}")


def test_a_data_file_that_is_a_folder(column_files, assert_refused, tmp_path):
    *arguments, _ = column_files()
    assert_refused(
        [*arguments, f"data.test={tmp_path}"], f"{tmp_path}: is a folder, expected a file"
    )


CLUENER = (
    '{"text": "李白在成都", "label": {"name": {"李白": [[0, 1]]}, "address": {"成都": [[3, 4]]}}}\n'
)
BAD_OFFSETS = {
    "overlapping": (
        '{"text": "李白在成都", "label": {"name": {"李白": [[0, 1]]}, "game": {"白在": [[1, 2]]}}}',
        "name [0, 1] and game [1, 2] overlap",
    ),
    "outside": (
        '{"text": "李白在成都", "label": {"address": {"成都": [[4, 5]]}}}',
        'address "成都" [4, 5]: outside the text, whose offsets are 0 to 4',
    ),
}


@pytest.mark.parametrize("split", ["train", "dev"])
@pytest.mark.parametrize("fault", BAD_OFFSETS)
def test_bad_offsets_are_told_by_their_line(fault, split, assert_refused, tmp_path):
    line, told = BAD_OFFSETS[fault]
    for name in ("train", "dev"):
        text = 3 * CLUENER + (f"{line}\n" if name == split else "")
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    assert_refused(["data=cluener", f"data.path={tmp_path}"], f"{tmp_path}/{split}.json:4: {told}")


def test_cluener_without_a_folder_says_where_it_comes_from(assert_refused):
    origin = "https://github.com/CLUEbenchmark/CLUENER2020"
    assert_refused(
        ["data=cluener", "data.dev_seed=-1"],
        "data.dev_seed=-1: must be ≥ 0",
        f"data=cluener: no folder given; set data.path=DIR with train.json and dev.json of {origin}, or "
        "NERSWEEP_DATA to a folder of data sets",
    )


def test_data_without_entities(column_files, assert_refused):
    plain = "no O\nname O\n"
    told = "data=conll: no entity in it; expected tags such as B-PER and I-PER"
    assert_refused(column_files(train=plain, dev=plain, test=plain), told)


def test_labels_that_training_lacks_and_broken_entities_are_told_and_the_run_goes_on(
    column_files, cli_run, output_dir
):
    dev = "Ada B-PER\nB O\nC I-PER\nin O\n\nRex B-DOG\nand O\nBo B-DOG\n"
    code, out, err = cli_run(*column_files(dev=dev), f"output_dir={output_dir}", *SMALL)
    assert (code, err) == (0, [])
    assert "note: dev: 1 I- tags began an entity and are read as B-" in out.splitlines()
    assert "note: dev: B-DOG (2 words) is not in the training data" in out.splitlines()
    result = results(output_dir)[-1]
    assert (
        result["dev"]["types"]["DOG"]["support"] == 2
        and result["dev"]["types"]["PER"]["support"] == 2
    )
    assert len(result["notes"]) == 2


# Places and servers


@pytest.mark.parametrize("folder", ["/proc/nersweep", __file__ + "/outputs"])
def test_an_output_folder_that_cannot_be_written_to(folder, column_files, cli_run):
    code, _, err = cli_run(*column_files(), f"output_dir={folder}")
    assert code == 1 and len(err) == 1
    assert err[0].startswith(f"nersweep: output_dir={folder}: cannot be written to (")
    assert err[0].endswith("); type output_dir=DIR")


@pytest.mark.parametrize("server", ["silent", "absent"])
def test_a_tracking_server_that_does_not_answer(server, column_files, cli_run):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        if server == "silent":
            deaf.listen()
        uri = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        began = time.monotonic()
        code, _, err = cli_run(*column_files(), f"tracking.uri={uri}")
    assert time.monotonic() - began < 10
    assert code == 1 and len(err) == 1
    assert err[0].startswith(f"nersweep: tracking.uri={uri}: no MLflow server answers there (")
    assert not list(Path.cwd().glob("outputs/*"))


@pytest.fixture
def fake_hub(monkeypatch):
    """A hub of our own; `fake_hub(status, code)` sets what it answers to everything."""
    answer = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(answer["status"])
            if answer["code"]:
                self.send_header("X-Error-Code", answer["code"])
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(
        hub, "hf_hub_url", lambda name, file, **_: f"http://127.0.0.1:{server.server_port}/{file}"
    )
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_, **__: None)
    yield lambda status, code="": answer.update(status=status, code=code)
    server.shutdown()
    server.server_close()


LOCAL_COPY = "; for a local copy type model=hf model.name=DIR"


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (404, "RepoNotFound", "the hub has no model of that name, or it is private"),
        (403, "GatedRepo", "it is gated: accept its terms on the hub, then run hf auth login"),
        (404, "RevisionNotFound", "the hub has no revision v9 of it"),
        (404, "EntryNotFound", "it has no config.json"),
    ],
)
def test_a_model_that_the_hub_does_not_give(status, code, told, fake_hub, column_files, cli_run):
    fake_hub(status, code)
    typed = [*column_files(), "model=hf", "model.name=some/model", "model.revision=v9"]
    code, out, err = cli_run(*typed)
    line = f"nersweep: model.name=some/model: cannot be loaded as a folder or from the hub ({told}){LOCAL_COPY}"
    assert (code, err) == (1, [line])
    assert out == "asking the hub for some/model\n"
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize("name", ["/nowhere/model", "a/b/c"])
def test_a_model_that_is_neither_a_folder_nor_a_name(name, column_files, assert_refused):
    told = "neither a folder nor a name of the form OWNER/NAME"
    assert_refused(
        [*column_files(), "model=hf", f"model.name={name}"],
        f"model.name={name}: cannot be loaded as a folder or from the hub ({told}){LOCAL_COPY}",
    )


def test_without_a_network_the_hub_is_asked_once(column_files, cli_run, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(hub, "hf_hub_url", lambda *_, **__: f"http://127.0.0.1:{port}/config.json")
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_, **__: None)
    began = time.monotonic()
    code, out, err = cli_run(*column_files(), "model=bert_base")
    assert time.monotonic() - began < 5
    assert code == 1 and out == "asking the hub for bert-base-cased\n" and len(err) == 1
    assert err[0].startswith(
        "nersweep: model.name=bert-base-cased: cannot be loaded as a folder or from the hub (the "
    )
    assert err[0].endswith(LOCAL_COPY)

    code, out, err = cli_run("data=wnut17")
    assert code == 1 and out == "asking the hub for leondz/wnut_17\n" and len(err) == 1
    assert err[0].startswith(
        "nersweep: data=wnut17: leondz/wnut_17 cannot be fetched from the hub (the hub does not "
    )
    assert err[0].endswith(
        "; for a local copy set data.path=DIR, or NERSWEEP_DATA to a folder of data sets"
    )


# Runs that end early


def test_a_loss_that_is_no_number_ends_its_run_and_no_other(column_files, cli_run, output_dir):
    arguments = [
        *column_files(),
        f"output_dir={output_dir}",
        *SMALL,
        "train.batch_size=2",
        "train.warmup=0",
    ]
    before = len(results(output_dir))
    code, _, err = cli_run("-m", *arguments, "train.max_grad_norm=1e30", "train.lr=1e30,1e-3")
    assert code == 1 and len(err) == 1
    failed, finished = results(output_dir)[before:]
    folder = output_dir / "runs" / "{name}-{fingerprint:.8}".format(**failed)
    steps = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert err[0].startswith("nersweep: cross_entropy-s1 train.lr=1e+30: the loss is ")
    assert err[0].endswith(
        f" at step {len(steps) + 1} with learning rate 8.75e+29; last good loss: "
        f"{steps[-1]['loss']:.4g}; a lower train.lr or train.max_grad_norm may help"
    )
    assert (
        failed["status"] == "diverged"
        and f"nersweep: cross_entropy-s1 train.lr=1e+30: {failed['error']}" == err[0]
    )
    assert status_in_mlflow(output_dir, failed) == "FAILED"
    assert finished["status"] == status_in_mlflow(output_dir, finished).lower() == "finished"


def test_sigterm_marks_the_run_killed(column_files, cli_run, output_dir, monkeypatch):
    monkeypatch.setattr(TrainingProgress, "step", lambda _: signal.raise_signal(signal.SIGTERM))
    code, _, err = cli_run(*column_files(), f"output_dir={output_dir}", *SMALL, "seed=15")
    assert code == 143 and len(err) == 1
    assert err[0].startswith(
        "nersweep: stopped by SIGTERM; the same command goes on from there: python -m "
    )
    result = results(output_dir)[-1]
    assert result["status"] == "killed" and result["error"] == "stopped by SIGTERM"
    assert status_in_mlflow(output_dir, result) == "KILLED"


def test_ctrl_c_marks_the_run_killed(column_files, output_dir, tmp_path):
    command = [
        sys.executable,
        "-m",
        "nersweep",
        *column_files(),
        f"output_dir={output_dir}",
        *SMALL,
        "seed=2",
    ]
    process = subprocess.Popen(
        [*command, "rerun=true", "train.epochs=100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.default_int_handler
        ),  # a job in the background ignores it
    )
    try:
        for line in process.stdout:
            if line.startswith("epoch 2/"):
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    again = shlex.join(
        ["python", *command[1:], "train.epochs=100000"]
    )  # with rerun=true it would begin again
    assert process.returncode == 130
    assert err == f"nersweep: interrupted; the same command goes on from there: {again}\n"
    result = results(output_dir)[-1]
    assert result["status"] == "killed"
    assert status_in_mlflow(output_dir, result) == "KILLED"
