"""A command line is checked whole: each fault names a setting, its value, and what is allowed."""

from dataclasses import replace
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore

from nersweep.faults import UNSET, Fault

CONF = Path(__file__).parents[2] / "conf"


def subject(fault: Fault) -> str:
    """Return what a fault is about: focal_gamma=-1."""
    return str(replace(fault, must="", remedy=""))


def subjects(faults: list[Fault]) -> list[str]:
    """Return what faults are about. Each says what is allowed."""
    for fault in faults:
        assert len(fault.must) > 5
    return [subject(fault) for fault in faults]


def names(group: str) -> str:
    """Return the options of a group, as a fault lists them."""
    return ", ".join(sorted(file.stem for file in (CONF / group).glob("*.yaml")))


# Command lines whose last argument, without a plus, is the only fault.
LAST = [
    # Options
    "loss=nope",
    "loss=",
    "model=bert",
    "data=conll2004",
    "weights=x",
    "loss@x=focal",
    "experiment=nonsense",
    "hydra/launcher=x",
    "-m loss=glob(x*)",
    "experiment=quickstart loss=nope",
    # Settings that do not exist, or cannot be left out
    "~loss",
    "~seed",
    "sed=3",
    "+sed=3",
    "train.epocs=3",
    "+train.epocs=3",
    "train.epochs.x=3",
    "seed.x=3",
    "loss=focal loss.gamma.x=3",
    "tracking.url=x",
    "tracking.kind=mlfow",
    "tracking.kind=tensorboard tracking.uri=x",
    "data.pth=x",
    "model.layer=3",
    "loss=focal loss.gama=3",
    "loss=focal +loss.gama=3",
    "weights.cap=3",
    "choice.loss=focal",
    # Knobs that nothing reads
    "focal_gamma=3",
    "+focal_gamma=3",
    "loss.gamma=5",
    "loss=focal loss.gamma=5",
    "loss=class_balanced effective_beta=0.9",
    # Types
    "train=5",
    "train.epochs=abc",
    "train.epochs=2.5",
    "train.patience=abc",
    "train.engine=null",
    "train.engine.packing=maybe",
    "loss=focal focal_gamma=abc",
    "loss=focal focal_gamma=null",
    "loss=focal focal_alpha=3",
    "loss=weighted_focal weights=none +loss.weight=3",
    "weights=manual manual_weights=3",
    "loss=compound loss.terms=3",
    "loss=compound loss.terms.dice=null",
    "loss=compound +loss.terms.x=3",
    "loss=focal loss.weight=3",
    "loss=focal focal_alpha=[1,2] loss.weight=3",
    "seed=x",
    "rerun=yes",
    "output_dir=null",
    "data.train=abc",
    # Ranges
    "train.epochs=0",
    "train.lr=inf",
    "train.accumulation=33",
    "hydra.job.chdir=true",
    "train.precision=fp16",
    "train.sampler=rare",
    "loss=focal focal_gamma=-1",
    "loss=focal focal_gamma=nan",
    "loss=focal focal_alpha=[]",
    "loss=label_smoothing label_smoothing=1",
    "loss=label_smoothing label_smoothing=-0.1",
    "loss=class_balanced class_balance_beta=1",
    "loss=compound compound_weights.dice=-1",
    "loss=boundary boundary_window=-2",
    "loss=boundary boundary_weight=-1",
    "loss=logit_adjusted logit_adjusted_tau=-1",
    "loss=dice dice_absent=never",
    "loss=crf loss.reduction=none",
    "weights=effective effective_beta=1",
    "weights=inverse weights.smoothing=-1",
    "weights=inverse weights.cap=0",
    "head.decode=beam",
    "aux=pos aux_weight=-1",
    "device=gpu",
    "device=cpu:3",
    "device=cuda:x",
    "gpus_per_run=0.3",
    "gpus_per_run=1e-300",
    "device=cpu gpus_per_run=0.5",
    # Parts that do not fit each other
    "loss=dice weights=inverse",
    "train.head_lr=0.01",
    "train.repeat_threshold=0.1",
    "train.sampler=repeat_factor train.repeat_threshold=1.5",
    # Addresses
    "tracking.uri=foo",
    "tracking.uri=http://",
    "tracking.uri=sqlite://",
    "study=focal_gamma study.storage=foo",
    "study=focal_gamma study.storage=mysql://h/x",
    "study=focal_gamma study.name=a/b",
    # Grammar and interpolation
    "train.lr=[",
    "loss",
    "=3",
    "loss=focal focal_gamma=${nope}",
    "seed=1,2",
    "-m train.lr=glob(*)",
    "-m seed=range(3,1)",
    "-m train.lr=interval(0,1)",
    # Hydra's own
    "--config-dir=/nowhere",
    "--config-name=x",
    "--config-path=/x",
    "--experimental-rerun=x",
    "--shell-completion --experimental-rerun=x",
    "--package=train",
    "--resolve",
    "hydra.sweeper=null",
    "hydra.launcher=null",
    "-m seed=1,2 hydra.sweeper=null",
    "-m seed=1,2 hydra.launcher=null",
    "hydra.launcher.n_jobs=2",
    "hydra.sweep.dirs=x",
    "-m hydra/launcher=joblib hydra.launcher.n_jobs=two",
    "-m hydra/launcher=submitit_local hydra.launcher.nods=2",
    # A class is chosen by its option alone
    "loss._target_=os.system",
]


@pytest.mark.parametrize("text", LAST)
def test_the_last_argument_is_the_fault(text, faults):
    *_, last = text.split(" ")
    (fault,) = faults(*text.split(" "))
    assert subject(fault) == last.removeprefix("+")
    assert len(fault.must) > 5


OTHERS = {
    # Options that Hydra answers one at a time
    "--cfg job -m": ["--multirun --cfg"],
    "--cfg job --run": ["--run --cfg"],
    "--cfg job --info all": ["--cfg --info"],
    "-m --shell-completion": ["--multirun --shell-completion"],
    "loss=[focal]": ["loss"],
    "loss=focal ~loss.gamma": ["loss.gamma=null"],
    "gpus_per_run=1e-320": ["gpus_per_run=9.99989e-321"],
    "+loss=focal": ["+loss=focal"],
    "+experiment=quickstart": ["+experiment=quickstart"],
    "+choice.loss=focal": ["choice={loss: focal}"],
    "data=conll data.train=3 data.dev=3 data.test=3": ["data.train=3", "data.dev=3", "data.test=3"],
    "model.heads=3": ["model.hidden=128"],
    # What must be given, and places that do not exist
    "data=conll": ["data.train=???"],
    "data=mix": ["data.sets=null"],
    "data=mix +data@data.sets.a=nope": ["+data@data.sets.a=nope", "data.sets=null"],
    "data=mix +data@data.sets.a=generated data.sets.a.o_share=2": ["data.sets.a.o_share=2"],
    "data=mix +data@data.sets.a=generated data.test=[b] data.temperature=0": [
        "data.test=[b]",
        "data.temperature=0",
    ],
    "model=hf": ["model.name=???"],
    "weights=manual": ["manual_weights=???"],
    "data=conll2003 data.path=/nowhere": ["data=conll2003"],
    "data=conll data.train=/a data.dev=/b data.test=/dev/null": ["data.train=/a", "data.dev=/b"],
    "hydra.searchpath=[pkg://x]": ["hydra.searchpath"],
    # Sweeps: no job starts if one is at fault
    "-m hydra/launcher=nope hydra.launcher.n_jobs=2": ["hydra/launcher=nope"],
    "-m loss=focal,nope": ["loss=nope"],
    "-m loss=focal,cross_entropy focal_gamma=1,2": ["focal_gamma=1", "focal_gamma=2"],
    "-m loss=focal focal_gamma=1,-1 seed=1,2": ["focal_gamma=-1"],
    "experiment=quickstart hydra.mode=RUN": [
        "hydra.sweeper.params.loss=cross_entropy, focal, batch_balanced, weighted_cross_entropy",
        "hydra.sweeper.params.seed=1, 2, 3",
    ],
    "+model.hidden._target_=os.system": ["+model.hidden._target_=os.system"],
    "loss={_target_:os.system}": ["loss._target_=os.system"],
    # Class weights
    "weights=manual manual_weights={O:-1}": ["manual_weights={O: -1}"],
    "weights=manual manual_weights={O:inf}": ["manual_weights={O: inf}"],
    "loss=focal focal_alpha={B-PER:nan}": ["focal_alpha={B-PER: nan}"],
    "loss=focal focal_alpha=[1,1] weights=inverse": ["focal_alpha=[1, 1]"],
    "loss=class_balanced weights=inverse": ["class_balance_beta=0.999"],
    # Losses and heads that do not fit each other
    "loss=crf head=token": ["loss=crf head=token"],
    "loss=crf head=span": ["loss=crf head=span"],
    "loss=boundary head=span": ["loss=boundary head=span"],
    "loss=focal head=crf": ["loss=focal head=crf"],
    "aux=pos aux.columns=[ner]": ["aux.columns=[ner]"],
    "aux=pos aux_weight={chunk:1}": ["aux_weight={chunk: 1}"],
    # All faults together, each once
    "study=focal_gamma study.trials=0 study.seeds=[]": ["study.trials=0", "study.seeds=[]"],
    "device=gpu output_dir=3 tracking.uri=foo study=focal_gamma study.seeds=0 study.metric=zzz": [
        "output_dir=3",
        "device=gpu",
        "tracking.uri=foo",
        "study.seeds=0",
        "study.metric=zzz",
    ],
    "device=gpu study=focal_gamma focal_gamma=2": ["device=gpu", "focal_gamma=2"],
    "seed=x study=focal_gamma study.pruner=wilcoxon study.seeds=4": [
        "seed=x",
        "study.pruner=wilcoxon",
    ],
    "output_dir=${nope} study=focal_gamma study.storage=foo": ["output_dir=${nope}"],
    "loss=nope study.space.focal_gamma=1,2": ["loss=nope"],
    "loss=focl focal_gamma=3 data=conl data.train=x": ["loss=focl", "data=conl"],
    (
        "train.epocs=3 train.epochs=0 train.warmup=1 loss=focal focal_gamma=-1 seed=x rerun=no "
        "weights=effective effective_beta=1 weights.cap=0 data=wnut17 data.path=/nowhere"
    ): [
        "train.epocs=3",
        "train.epochs=0",
        "train.warmup=1.0",
        "seed=x",
        "rerun=no",
        "data=wnut17",
        "focal_gamma=-1",
        "weights.cap=0",
        "effective_beta=1",
    ],
}


@pytest.mark.parametrize("text", OTHERS)
def test_every_fault_is_reported_once(text, faults):
    assert subjects(faults(*text.split(" "))) == OTHERS[text]


WITH_GAMMA = "loss=batch_balanced|class_balanced|compound|focal|weighted_focal"
WHOLE = {
    "loss=focal focal_gamma=-1": "focal_gamma=-1: must be ≥ 0 (0 is cross entropy)",
    "loss=nope": f"loss=nope: no such option; loss takes {names('loss')}",
    "loss=focal loss.gamma=5": "loss.gamma=5: is set by focal_gamma; set focal_gamma=5",
    "loss=focal loss.gama=3": (
        "loss.gama=3: no such setting; loss=focal has focal_gamma, focal_alpha, reduction"
    ),
    "focal_gamma=3": (
        f"focal_gamma=3: nothing reads it with loss=cross_entropy; it belongs to {WITH_GAMMA}"
    ),
    "train.engine=null": "train.engine=null: must be a section; set train.engine.NAME",
    "train.engine.packing=maybe": "train.engine.packing=maybe: expected true or false",
    "train.patience=abc": "train.patience=abc: expected a whole number or null",
    "model=hf": "model.name=???: must be given, as in model=hf model.name=VALUE",
    "loss=crf head=token": (
        "loss=crf head=token: the loss needs scores of transitions between labels; set head=crf"
    ),
    "train.lr=nan": "train.lr=nan: must be finite and > 0",
    "weights=inverse weights.smoothing=inf": "weights.smoothing=inf: must be finite and ≥ 0",
    "seed={a: [null, true]}": "seed={a: [null, true]}: must be a whole number in [0, 2^32)",
    "train=null": "train=null: must be a section; set train.NAME",
    "train={epochs: null}": "train.epochs=null: expected a whole number",
    "tracking={uri: [1]}": "tracking.uri=[1]: expected text or null",
    "study={space: null}": "study.space=null: expected a mapping",
    "hydra.launcher.n_jobs=2": (
        "hydra.launcher.n_jobs=2: no such setting; hydra/launcher=basic has no settings"
    ),
}


@pytest.mark.parametrize("text", WHOLE)
def test_a_fault_reads_as_one_line(text, faults):
    arguments = [text] if "{" in text else text.split(" ")
    assert list(map(str, faults(*arguments))) == [WHOLE[text]]


def test_a_section_s_faults_are_those_of_its_settings(faults):
    result = faults("train={nope: 1, epochs: 1.5, lr: 0.1, engine: 3}", "seed=x")
    assert subjects(result) == ["train.nope=1", "train.epochs=1.5", "train.engine=3", "seed=x"]


@pytest.mark.parametrize("name", ["joblib", "submitit_slurm", "submitit_local", "ray"])
def test_a_missing_launcher_is_reported_with_its_install_command(name, faults, monkeypatch):
    launchers = ConfigStore.instance().repo["hydra"]["launcher"]
    monkeypatch.delitem(launchers, f"{name}.yaml", raising=False)
    (fault,) = faults("-m", f"hydra/launcher={name}", "hydra.launcher.n_jobs=2", "seed=1,2")
    assert (fault.setting, fault.value) == ("hydra/launcher", name)
    assert "install" in fault.must and fault.remedy.startswith("run ")


def test_cuda_without_a_gpu_is_no_silent_fall_back(faults, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (fault,) = faults("device=cuda")
    assert subject(fault) == "device=cuda"


def test_the_environment_may_name_a_folder_that_does_not_exist(faults, monkeypatch):
    monkeypatch.setenv("NERSWEEP_DATA", "/nowhere")
    (fault,) = faults("data=wnut17")
    assert subject(fault) == "data=wnut17" and "NERSWEEP_DATA" in fault.must


def test_an_argument_that_hydra_does_not_know_has_no_value(faults):
    (fault,) = faults("~loss")
    assert fault.setting == "~loss" and fault.value is UNSET


def test_a_metric_at_a_precision_needs_no_quotes(read):
    command = read("-m", "metric=recall@precision=.9,f1", "loss=dice")
    assert not command.faults
    settings = [checked.settings.metric for checked in command.checked.values()]
    assert settings == ["recall@precision=.9", "f1"]
    assert not read("study=focal_gamma", "loss=focal", "study.metric=recall@precision=.5",
                    "study.pruner=none").faults  # fmt: skip
