"""A configuration folder from a stranger sets no more than a sweep and settings of runs."""

import sys

import pytest
from test_line import subject, subjects

from nersweep.command.untrusted import is_resolved

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
CROSS_ENTROPY = "nersweep.losses.CrossEntropyLoss"


@pytest.mark.parametrize("target", FOREIGN)
def test_only_classes_of_a_section_s_room_are_imported(target, strangers, faults, evil, caplog):
    folder = strangers("loss/mine", f"_target_: {target}\ngamma: 1.0", "loss")
    assert subjects(faults(folder, "loss=mine")) == [f"loss._target_={target}"]
    assert "evil" not in sys.modules and not caplog.records


@pytest.mark.parametrize("place", ["+hydra.callbacks.x", "hydra.launcher", "hydra.sweeper"])
@pytest.mark.parametrize("target", ["evil.Loss", "hydra.utils.get_object"])
def test_hydra_calls_no_class_but_its_own(place, target, faults, evil):
    expected = f"{place.removeprefix('+')}._target_={target}"
    assert subjects(faults(f"{place}._target_={target}")) == [expected]
    assert "evil" not in sys.modules


NESTED = {
    f"_target_: {CROSS_ENTROPY}\nreduction: {{_target_: evil.Loss}}": "loss.reduction._target_",
    f"_target_: {CROSS_ENTROPY}\nreduction: [{{_target_: evil.Loss}}]": "loss.reduction.0._target_",
    (
        "_target_: nersweep.losses.CompoundLoss\nweights: {x: 1.0}\n"
        "terms: {x: {_target_: evil.Loss}}"
    ): "loss.terms.x._target_",
}


@pytest.mark.parametrize("text", NESTED)
def test_nested_classes_are_refused(text, strangers, faults, evil):
    folder = strangers("loss/mine", text, "loss")
    assert subjects(faults(folder, "loss=mine")) == [f"{NESTED[text]}=evil.Loss"]
    assert "evil" not in sys.modules


SETS = {
    "a: {_target_: evil.Loss}": "data.sets.a._target_=evil.Loss",
    f"a: {{_target_: {CROSS_ENTROPY}}}": f"data.sets.a._target_={CROSS_ENTROPY}",
    "a: {_target_: nersweep.data.author.Author, seed: 1}": (
        "data.sets.a._target_=nersweep.data.author.Author"
    ),
    "a: {_target_: nersweep.data.mix.Mix, sets: {b: {_target_: evil.Loss}}}": (
        "data.sets.a.sets.b._target_=evil.Loss"
    ),
}


@pytest.mark.parametrize("text", SETS)
def test_a_set_of_a_mix_is_a_class_of_a_data_set(text, strangers, faults, evil):
    mix = f"_target_: nersweep.data.mix.Mix\nsets: {{{text}}}"
    folder = strangers("data/mine", mix, "data")
    assert SETS[text] in subjects(faults(folder, "data=mine"))
    assert "evil" not in sys.modules


CALL = "{root: {handlers: [x]}, handlers: {x: {(): logging.FileHandler, filename: made}}}"
OPEN = "{root: {handlers: [x]}, handlers: {x: {class: logging.FileHandler, filename: made}}}"
ENV = "{job: {env_set: {LD_PRELOAD: made.so}}}"
PICKLE = "hydra.experimental.callbacks.PickleJobInfoCallback"
OF_HYDRA = {  # what a stranger's file sets, and the sections of Hydra's that are refused
    f"hydra: {{job_logging: {CALL}}}": ["hydra.job_logging"],
    f"hydra: {{job_logging: {OPEN}}}": ["hydra.job_logging"],
    f"hydra: {{hydra_logging: {CALL}}}": ["hydra.hydra_logging"],
    f"hydra: {ENV}": ["hydra.job"],
    "hydra: {job: {env_copy: [HOME]}}": ["hydra.job"],
    "hydra: {job: {chdir: true}, run: {dir: made}}": ["hydra.job", "hydra.run"],
    "hydra: {output_subdir: made}": ["hydra.output_subdir"],
    f"hydra: {{callbacks: {{x: {{_target_: {PICKLE}}}}}}}": ["hydra.callbacks"],
    "hydra: {overrides: {hydra: [+hydra.job.env_set.LD_PRELOAD=made.so]}}": ["hydra.overrides"],
    "hydra: {overrides: {task: [seed=3]}}": ["hydra.overrides"],
    # Hidden by YAML: an anchor, a merge key
    f"seed: 3\nmore: &x {ENV}\nhydra: *x": ["hydra.job"],
    f"more: &x {ENV}\nhydra:\n  <<: *x": ["hydra.job"],
    # By a defaults list: an option, a file of Hydra's, and our own file at another place
    "{defaults: [override /hydra/launcher: submitit_slurm, _self_], seed: 3}": ["hydra.launcher"],
    "defaults: [/hydra/job_logging/default, _self_]": ["hydra.job_logging"],
    "defaults: [/data/generated@hydra.job.env_set, _self_]": [
        "hydra.job",
        "hydra.job.env_set._target_",
    ],
}


COMMANDS = [([], text) for text in OF_HYDRA]
for others in (["--help"], ["-m", "seed=1,2"]):
    COMMANDS += [(others, text) for text in list(OF_HYDRA)[::4]]


@pytest.mark.parametrize(("options", "text"), COMMANDS, ids=str)
def test_a_file_sets_nothing_of_hydra_s_but_a_sweep(text, options, faults, strangers):
    result = faults(strangers("experiment/mine", text), *options, "experiment=mine")
    settings = {fault.setting for fault in result if fault.setting.startswith("hydra.")}
    assert settings == set(OF_HYDRA[text])


PLACED = {  # a file that an experiment includes: its package, its text
    "data/x": ("_global_", f"hydra: {ENV}"),
    "data/y": ("hydra", ENV[1:-1]),
    "more/z": ("hydra.job", "env_set: {LD_PRELOAD: made.so}"),
    "more/deep/z": ("_global_.hydra", ENV[1:-1]),
    "more/list": ("hydra.job.env_copy", "[HOME]"),
}


@pytest.mark.parametrize("file", PLACED)
def test_a_file_that_another_includes_sets_nothing_of_hydra_s(file, faults, strangers):
    package, text = PLACED[file]
    strangers(file, text, package)
    folder = strangers("experiment/mine", f"defaults: [/{file}, _self_]")
    result = faults(folder, "experiment=mine")
    assert "hydra.job" in {fault.setting for fault in result}


def test_a_defaults_list_may_give_the_package_that_is_refused(faults, strangers):
    strangers("data/x", "env_set: {LD_PRELOAD: made.so}", "data")
    folder = strangers("experiment/mine", "defaults: [/data/x@hydra.job, _self_]")
    assert "hydra.job" in {fault.setting for fault in faults(folder, "experiment=mine")}


def test_a_file_that_holds_a_list_is_no_preset(faults, strangers):
    for package in ("experiment", "_global_"):
        folder = strangers("experiment/mine", "[seed, 3]", package)
        (fault,) = faults(folder, "experiment=mine")
        assert fault.setting == "experiment/mine.yaml" and "NAME: VALUE" in fault.must


@pytest.mark.parametrize("option", ["experiment", "loss"])
def test_a_file_that_holds_a_number_is_no_option(option, faults, strangers):
    (fault,) = faults(strangers(f"{option}/mine", "5", "_global_"), f"{option}=mine")
    assert fault.setting == option and "NAME: VALUE" in fault.must


WRONG_TYPES = {
    "train: {epochs: 1.5}": ["train.epochs=1.5 (experiment/mine.yaml): expected a whole number"],
    "train: {lr: abc}": ["train.lr=abc (experiment/mine.yaml): expected a number"],
    "train: 3": ["train=3 (experiment/mine.yaml): must be a section; set train.NAME"],
    "study: {space: null}": ["study.space=null (experiment/mine.yaml): expected a mapping"],
    "tracking: {uri: [1]}": ["tracking.uri=[1] (experiment/mine.yaml): expected text or null"],
    "hydra: {mode: SIDEWAYS}": [
        "hydra.mode=SIDEWAYS (experiment/mine.yaml): must be RUN or MULTIRUN"
    ],
    "hydra: {sweeper: {params: [1, 2]}}": [
        "hydra.sweeper.params=[1, 2] (experiment/mine.yaml): must be a section of NAME: VALUES"
    ],
    "train: {epochs: 1.5, warmup: [1]}": [
        "train.epochs=1.5 (experiment/mine.yaml): expected a whole number",
        "train.warmup=[1] (experiment/mine.yaml): expected a number",
    ],
}


# Of a sweep some are enough: the same function explains each of its runs.
SWEPT = ("train: 3", "hydra: {mode: SIDEWAYS}", "hydra: {sweeper: {params: [1, 2]}}")
TYPED = [(text, []) for text in WRONG_TYPES] + [(text, ["-m", "seed=1,2"]) for text in SWEPT]


@pytest.mark.parametrize(("text", "options"), TYPED, ids=str)
def test_a_value_of_a_wrong_type_is_named_with_its_file(text, options, faults, strangers):
    result = faults(strangers("experiment/mine", text), *options, "experiment=mine")
    assert list(map(str, result)) == WRONG_TYPES[text]


def test_a_file_that_another_includes_is_named(faults, strangers):
    strangers("more/x", "train: {epochs: many, nope: 1}")
    (epochs, nope) = faults(
        strangers("experiment/mine", "defaults: [/more/x, _self_]"), "experiment=mine"
    )
    assert (epochs.setting, epochs.file) == ("train.epochs", "more/x.yaml")
    assert (nope.setting, nope.must, nope.file) == ("train.nope", "no such setting", "more/x.yaml")


@pytest.mark.parametrize("text", ["seed: 3", "train: {epochs: 3}", "loss: {gamma: 3}"])
def test_an_experiment_without_its_package_is_told_the_missing_line(text, faults, tmp_path):
    file = tmp_path / "folder" / "experiment" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    (fault,) = faults(f"--config-dir={tmp_path / 'folder'}", "experiment=mine")
    assert fault.setting == "experiment/mine.yaml" and "# @package _global_" in fault.remedy
    file.write_text("# @package _global_\nseed: 3")
    assert faults(f"--config-dir={tmp_path / 'folder'}", "experiment=mine") == []


def test_a_study_without_its_package_is_told_the_missing_line(faults, strangers):
    text = "study: {space: {seed: 1}}"
    (fault,) = faults(strangers("study/mine", text, "study"), "study=mine")
    assert fault.setting == "study/mine.yaml" and "# @package _global_" in fault.remedy


def test_a_duplicate_key_is_refused(faults, strangers):
    folder = strangers("experiment/mine", f"hydra: {{mode: MULTIRUN}}\nhydra: {ENV}")
    (fault,) = faults(folder, "experiment=mine")
    assert subject(fault) == "experiment=mine" and "duplicate key hydra" in fault.must


def test_a_file_with_another_suffix_is_not_read(faults, strangers):
    folder = strangers("experiment/mine", f"hydra: {ENV}", suffix=".yml")
    assert subjects(faults(folder, "experiment=mine")) == ["experiment=mine"]


@pytest.mark.parametrize("option", [[], ["--help"], ["--hydra-help"]], ids=str)
def test_a_file_cannot_take_the_place_of_hydra_s_own(option, faults, strangers):
    defaults = "[{/hydra/job_logging: none}, {/hydra/hydra_logging: none}]"
    text = f"defaults: {defaults}\nhydra: {{hydra_logging: {CALL}}}"
    (fault,) = faults(strangers("hydra/config", text), *option)
    assert "hydra/config" in fault.must


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # of Hydra, which finds two files of one name
@pytest.mark.parametrize("name", ["mine", "joblib"])
def test_a_launcher_of_a_file_is_refused_though_the_user_names_it(name, faults, strangers):
    target = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
    text = f"_target_: {target}\nn_jobs: 1\ntemp_folder: made"
    folder = strangers(f"hydra/launcher/{name}", text, "hydra.launcher")
    assert subjects(faults(folder, f"hydra/launcher={name}")) == ["hydra.launcher"]


THERE = "http://127.0.0.1:9/x"
VALUES = {
    f"tracking: {{uri: '{THERE}'}}": f"tracking.uri={THERE}",
    "tracking: {kind: os}": "tracking.kind=os",
    f"hydra: {{mode: MULTIRUN, sweeper: {{params: {{tracking.uri: \"'{THERE}'\"}}}}}}": (
        f"tracking.uri={THERE}"
    ),
    "hydra: {mode: MULTIRUN, sweeper: {params: {tracking.experiment: '${oc.env:HOME}'}}}": (
        "hydra.sweeper.params.tracking.experiment=${oc.env:HOME}"
    ),
    "output_dir: elsewhere": "output_dir=elsewhere",
    "hydra: {mode: MULTIRUN, sweeper: {params: {output_dir: elsewhere}}}": "output_dir=elsewhere",
    "study: {storage: 'sqlite:////x.db'}": "study.storage=sqlite:////x.db",
    "tracking: {experiment: '${oc.env:HOME}'}": "tracking.experiment=${oc.env:HOME}",
    "{device: oc, tracking: {experiment: '${${device}.env:HOME}'}}": (
        "tracking.experiment=${${device}.env:HOME}"
    ),
}


@pytest.mark.parametrize("text", ["hydra: null", "hydra: {sweeper: null}"])
@pytest.mark.parametrize("options", [[], ["--help"]], ids=str)
def test_a_file_leaves_hydra_its_sections(text, options, faults, strangers):
    result = faults(strangers("experiment/mine", text), *options, "experiment=mine")
    subject = f"{'hydra.sweeper' if 'sweeper' in text else 'hydra'}=null (experiment/mine.yaml)"
    assert subjects(result) == [subject] and "must be a section" in result[0].must


@pytest.mark.parametrize("section", ["loss: 3", "loss: null", "data: 3"])
def test_a_section_of_a_file_is_a_section(section, faults, strangers):
    (fault,) = faults(strangers("experiment/mine", section), "experiment=mine")
    assert fault.setting == section.partition(":")[0]


@pytest.mark.parametrize("text", VALUES)
def test_a_file_neither_gives_an_address_nor_reads_the_environment(text, faults, strangers):
    assert subjects(faults(strangers("experiment/mine", text), "experiment=mine")) == [VALUES[text]]


def test_a_file_does_not_choose_where_the_best_trial_is_written(faults, strangers):
    folder = strangers("study/mine", "study: {export: x/experiment/y.yaml, space: {seed: 1}}")
    assert "study.export=x/experiment/y.yaml" in map(subject, faults(folder, "study=mine"))


def test_the_command_line_may_set_what_a_file_may_not(faults, strangers):
    folder = strangers("experiment/mine", "tracking: {uri: there}\noutput_dir: elsewhere")
    chosen = ["tracking.uri=http://127.0.0.1:9", "output_dir=o"]
    assert faults(folder, "experiment=mine", *chosen) == []
    folder = strangers("experiment/mine", "tracking: {experiment: '${hydra:runtime.choices.loss}'}")
    assert faults(folder, "experiment=mine") == []


def test_a_section_of_the_command_line_sets_only_what_is_in_it(faults, strangers):
    folder = strangers("experiment/mine", "tracking: {uri: there, experiment: e}")
    assert faults(folder, "experiment=mine", "tracking={uri: 'sqlite:///x.db'}") == []
    result = faults(folder, "experiment=mine", "tracking={experiment: mine}")
    assert subjects(result) == ["tracking.uri=there"]


@pytest.mark.parametrize("text", ["exp: ${seed}", "${seed}: a", "${train.lr} ${${device}}"])
def test_a_colon_beside_a_reference_reads_nothing(text):
    assert not is_resolved(text)


@pytest.mark.parametrize("text", ["a ${oc.env:HOME}", "${${device}.env:HOME}", "${oc.env:${seed}}"])
def test_a_resolver_reads_something(text):
    assert is_resolved(text)


def test_a_defaults_list_does_not_read_the_environment(faults, strangers):
    folder = strangers("experiment/mine", "defaults: [{override /loss: '${oc.env:HOME}'}, _self_]")
    (fault,) = faults(folder, "experiment=mine")
    assert fault.setting.endswith("experiment/mine.yaml")


def test_a_defaults_list_may_name_another_option(faults, strangers):
    strangers("more/mine", "seed: x")
    folder = strangers("experiment/mine", "defaults: [{/more: '${experiment}'}, _self_]")
    assert subjects(faults(folder, "experiment=mine")) == ["seed=x"]


def test_a_preset_sweeps_only_settings_of_runs(faults, strangers):
    params = (
        "{+hydra.job.env_set.LD_PRELOAD: made.so, loss._target_: os.system, "
        "train.lr: 'interval(0,1)'}"
    )
    text = f"hydra: {{mode: MULTIRUN, sweeper: {{params: {params}}}}}"
    assert subjects(faults(strangers("experiment/mine", text), "experiment=mine")) == [
        "loss._target_=os.system",
        "hydra.sweeper.params.hydra.job.env_set.LD_PRELOAD",
        "train.lr=interval(0,1)",
    ]


def test_a_preset_names_no_class_but_ours(faults, strangers, evil):
    folder = strangers("experiment/mine", "loss: {_target_: evil.Loss}")
    assert subjects(faults(folder, "experiment=mine")) == ["loss._target_=evil.Loss"]
    assert "evil" not in sys.modules


def test_hydra_s_settings_of_the_user_are_allowed(read, strangers):
    params = "{seed: '1,2', loss: focal}"
    folder = strangers(
        "experiment/mine", f"hydra: {{mode: MULTIRUN, sweeper: {{params: {params}}}}}"
    )
    launcher = ["hydra/launcher=submitit_slurm", "hydra.launcher.setup=[module load x]"]
    command = read(folder, "experiment=mine", *launcher, "+hydra.job.env_set.X=1")
    assert command.faults == [] and len(command.runs) == 2


def test_the_options_of_the_folder_are_listed_with_the_others(faults, strangers):
    (fault,) = faults(strangers("experiment/mine", "seed: 3"), "experiment=nonsense")
    assert "mine" in fault.remedy and "quickstart" in fault.remedy


def test_an_option_of_the_folder_with_a_fault_is_not_a_missing_one(faults, strangers):
    folder = strangers("loss/mine", "defaults: [{override /weights: nope}]")
    (fault,) = faults(folder, "loss=mine")
    assert subject(fault) == "loss=mine" and "weights/nope" in fault.must


def test_a_preset_is_not_swept_itself(faults, strangers):
    strangers("experiment/other", "seed: 3")
    folder = strangers("experiment/mine", "hydra: {sweeper: {params: {loss: 'focal,dice'}}}")
    expected = ["hydra.sweeper.params.loss=focal,dice"]
    assert subjects(faults(folder, "experiment=mine")) == expected
    assert subjects(faults(folder, "-m", "experiment=mine,other")) == expected
