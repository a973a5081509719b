"""The functions of `import nersweep`: they do what the command line does, inside a program."""

import doctest
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir, version
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

import nersweep
import nersweep.api
from nersweep import __main__ as cli
from nersweep.command.python import overrides_of, session
from nersweep.faults import UserError
from nersweep.machine import signals

CHECKOUT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.S | re.M)
COLUMNS = "Ada\tB-PER\nsaw\tO\nPau\tB-LOC\n\nIt\tO\nrained\tO\n\nBo\tB-PER\nleft\tO\nUlm\tB-LOC\n\n"

MODULES = """
import json, sys
before = set(sys.modules)
import nersweep
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_importing_the_package_imports_no_other_one():
    done = subprocess.run(
        [sys.executable, "-c", MODULES], capture_output=True, text=True, check=True
    )
    roots = {name.partition(".")[0] for name in json.loads(done.stdout)} - {"nersweep"}
    assert roots <= sys.stdlib_module_names


def test_every_public_name_has_a_docstring():
    for name in nersweep.__all__:
        assert name == "__version__" or getattr(nersweep, name).__doc__, name


def test_rooms_of_the_same_names_do_not_replace_the_functions():
    from nersweep.run import execute
    from nersweep.sweep import launch

    assert execute.__name__ == "nersweep.run.execute" and launch.__name__ == "nersweep.sweep.launch"
    assert nersweep.run.__module__ == nersweep.sweep.__module__ == "nersweep.api"


# Overrides


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"loss": "focal", "focal_gamma": 3}, ["loss=focal", "focal_gamma=3"]),
        ({"train": {"epochs": 1, "lr": 1e-5}}, ["train.epochs=1", "train.lr=1e-05"]),
        ({"train.epochs": 1}, ["train.epochs=1"]),
        ({"rerun": True, "gpus_per_run": None}, ["rerun=true", "gpus_per_run=null"]),
        ({"train": {"engine": {"masks": False}}}, ["train.engine={masks: false}"]),
        ({"hydra": {"launcher": {"n_jobs": 2}}}, ["hydra.launcher={n_jobs: 2}"]),
        ({"focal_alpha": {"O": 0.5, "B-X": 2}}, ["focal_alpha={O: 0.5, B-X: 2}"]),
        ({"x": "a,b=c{}"}, ["x='a,b=c{}'"]),
        ({"x": "null"}, ["x='null'"]),
        ({"x": ["a b", "1", 1]}, ["x=['a b', '1', 1]"]),
        ({"x": Path("a b/c")}, ["x='a b/c'"]),
        ({"x": np.float64(0.5), "y": np.arange(2)}, ["x=0.5", "y=[0, 1]"]),
        ({"x": OmegaConf.create({"a": [1]})}, ["x={a: [1]}"]),
    ],
)
def test_settings_are_overrides(settings, expected):
    assert overrides_of([], settings) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"loss": ["focal", "dice"], "seed": range(1, 4)}, ["loss=focal,dice", "seed=1,2,3"]),
        ({"x": ["a,b", None, True]}, ["x='a,b',null,true"]),
        ({"x": [[1, 2], [3]]}, ["x=[1, 2],[3]"]),
        ({"x": (1, 2)}, ["x=[1, 2]"]),
        ({"train": {"lr": [1e-4, 1e-3]}}, ["train.lr=0.0001,0.001"]),
        ({"x": np.array([1, 2])}, ["x=1,2"]),
        ({"sweep.settings": [{"loss": "dice"}]}, ["sweep.settings=[{loss: dice}]"]),
    ],
)
def test_lists_are_swept_in_a_sweep(settings, expected):
    assert overrides_of([], settings, swept=True) == expected


def test_any_text_arrives_as_it_was_given():
    grammar, draw = OverridesParser.create(), random.Random(1)
    signs = "ab1_-./ ,={}[]()'\"\\:;$#%&*@!~+|<>?`^\n\té漢\u00a0"
    texts = ["", "null", "True", "1e3", "nan", "-inf", "range(1,2)", "a:b", "\\", "_é", "a\\\n"]
    for _ in range(300):
        texts.append("".join(draw.choices(signs, k=draw.randint(0, 6))))
    for text in texts:
        (override,) = overrides_of([], {"x": text})
        assert grammar.parse_override(override).value() == text
        (sweep,) = overrides_of([], {"x": [text, "b"]}, swept=True)
        assert grammar.parse_override(sweep).is_sweep_override()


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"x": {1, 2}}, "x={1, 2}: cannot be a set; give text, a number, True, False, None, a l"),
        ({"x": {"y": print}}, "x.y=<built-in function print>: cannot be a builtin_function_or"),
        ({"a=b": 1}, "'a=b': is no name of a setting; give name=value"),
        ({"": 1}, "'': is no name of a setting; give name=value"),
        ({"x": []}, "x=[]: sweeps no value; give at least one"),
    ],
)
def test_what_no_configuration_holds_is_refused(settings, line):
    with pytest.raises(UserError) as error:
        overrides_of([], settings, swept=True)
    assert str(error.value).startswith(line)


# Faults


@pytest.mark.parametrize(
    ("call", "command"),
    [
        ({"loss": "focal", "focal_gamma": -1, "seed": "x"}, "loss=focal focal_gamma=-1 seed=x"),
        ({"losss": "focal", "train": {"nope": 1}}, "losss=focal train.nope=1"),
        ({"train.repeat_threshold": 0.1}, "train.repeat_threshold=0.1"),
        ({"data": "conll", "data.train": "no"}, "data=conll data.train=no"),
        ({"seeds": {"max": 5}, "tune.trials": 1}, "seeds.max=5 tune.trials=1"),
        ({"config_dir": "/nowhere"}, "--config-dir=/nowhere"),
    ],
)
def test_faults_are_those_of_the_command_line(
    call, command, exit_code, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        nersweep.run(**call)
    assert not list(tmp_path.iterdir())
    assert exit_code(cli.main, *command.split()) == 1
    lines = [line.removeprefix("nersweep: ") for line in capsys.readouterr().err.splitlines()]
    assert str(error.value).splitlines() == lines


@pytest.mark.parametrize(
    ("function", "settings", "line"),
    [
        (nersweep.run, {"dry_run": True}, "dry_run=true: is for the command line; use python -m"),
        (nersweep.sweep, {"study": "focal_gamma"}, "study.space={focal_gamma:"),
        (nersweep.sweep, {"loss": ["focal", "dise"]}, "loss=dise: no such option; loss takes"),
        (nersweep.sweep, {"settings": [{"loss": "dise"}]}, "loss=dise (entry 1 of sweep.settings"),
        (nersweep.compare, {"sweep": "nope"}, "sweep=nope: no such sweep; outputs/sweeps has none"),
        (nersweep.compare, {"resolution": 0}, "resolution=0: must be > 0 and ≤ 100"),
        (nersweep.Run.read, {"folder": "nope"}, "folder=nope: cannot be read (No such file"),
    ],
)
def test_a_wrong_call_is_refused_in_a_line(function, settings, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        function(**settings)
    assert str(error.value).startswith(line)
    assert not list(tmp_path.iterdir())


# The program around


def test_a_session_leaves_hydra_and_the_environment_as_they_were(tmp_path, monkeypatch):
    (tmp_path / "theirs.yaml").write_text("a: 1\n")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    ConfigStore.instance().store(name="sections", node={"theirs": 1})
    monkeypatch.delitem(ConfigStore.instance().repo, "sections.yaml", raising=False)
    stored = dict(ConfigStore.instance().repo)
    with initialize_config_dir(str(tmp_path), version_base="1.2"):
        HydraConfig.instance().cfg = None
        before = GlobalHydra.instance().hydra, version.getbase()
        with pytest.raises(UserError, match="focal_gamma"):
            nersweep.run(loss="focal", focal_gamma=-1)
        with session():
            os.environ["OMP_NUM_THREADS"] = "1"
        assert (GlobalHydra.instance().hydra, version.getbase()) == before
        assert HydraConfig.instance().cfg is None and compose("theirs") == {"a": 1}
    assert ConfigStore.instance().repo == stored and os.environ["OMP_NUM_THREADS"] == "3"


def test_signals_are_heeded_only_inside_and_only_where_the_program_has_no_handler():
    def own(number, frame):
        raise AssertionError

    signal.signal(signal.SIGINT, signal.default_int_handler)  # an earlier test may have set ours
    usual = signal.signal(signal.SIGTERM, own)
    try:
        with pytest.raises(KeyboardInterrupt), signals.listening():
            assert signal.getsignal(signal.SIGTERM) is own
            with signals.deferral():
                os.kill(os.getpid(), signal.SIGINT)
                assert signals.pending  # the body goes on
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) is own and not signals.pending
    finally:
        signal.signal(signal.SIGTERM, usual)


# Runs


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The names that the program of docs/python.md has set, in a folder with its files.

    Each block prints something, and ends with what is shown.
    """
    folder = tmp_path_factory.mktemp("program")
    for split in ("train", "dev", "test"):
        (folder / f"{split}.txt").write_text(COLUMNS * 4)
    names = {"__name__": "program", "folder": folder}
    text = (CHECKOUT / "docs" / "python.md").read_text(encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with initialize_config_dir(str(folder), version_base="1.3"):  # as a program with Hydra
            names["printed"] = [run_block(code, names) for code, _ in BLOCK.findall(text)]
        names["shown"] = [output for _, output in BLOCK.findall(text)]
        yield names


def run_block(code, names):
    """Run code, and return what it has printed."""
    with redirect_stdout(StringIO()) as out:
        exec(code, names)
    return out.getvalue()


@pytest.mark.slow
def test_the_page_prints_what_it_shows(program):
    for printed, shown in zip(program["printed"], program["shown"], strict=True):
        assert printed and printed.endswith(shown)


@pytest.mark.slow
def test_a_run_is_that_of_the_command_line(program, exit_code, capsys):
    run = program["run"]
    file = run.folder / "result.json"
    written = file.stat().st_mtime_ns
    text = ["loss=focal", "focal_gamma=3", *(f"{k}={v}" for k, v in program["mine"].items())]
    assert nersweep.run(*text).folder == run.folder
    assert exit_code(cli.main, *text) == 0 and "finished before" in capsys.readouterr().out
    assert file.stat().st_mtime_ns == written
    assert json.loads(file.read_text())["test"]["f1"] == run.test.f1
    assert nersweep.Run.read(run.folder) == run and run.folder.is_absolute()


@pytest.mark.slow
def test_a_run_has_its_scores_as_frames(program):
    run = program["run"]
    scores, types, history = run.scores(), run.types(), run.history()
    assert scores.loc["test", "f1"] == run.test.f1
    assert scores.loc["dev", "strict/recall"] == run.dev.strict.recall
    assert not [column for column in scores if column.startswith(("types/", "PER/", "LOC/"))]
    assert list(types.index) == ["LOC", "PER"] and types.loc["PER", "support"] == 8
    assert types.loc["PER", "recall"] == run.test.types["PER"].recall
    assert list(history.index) == list(range(1, run.result.epochs + 1))
    assert history["dev/f1"].max() == pytest.approx(run.dev.f1, rel=1e-5)
    assert history.loc[1, "dev/types/PER/support"] == 8


@pytest.mark.slow
def test_a_sweep_is_compared_as_in_its_report(program):
    sweep, comparison = program["sweep"], program["comparison"]
    runs = sorted(sweep.runs(), key=lambda run: run.name)
    assert [run.name for run in runs] == [
        "cross_entropy-s1", "cross_entropy-s2", "focal-g2-s1", "focal-g2-s2",
    ]  # fmt: skip
    frame = comparison.frame()
    for setting, own in (("cross_entropy", runs[:2]), ("focal-g2", runs[2:])):
        mean = np.mean([run.test.f1 for run in own])
        assert frame.loc[setting, "f1"] == pytest.approx(mean, rel=1e-5)
        assert frame.loc[setting, "seeds"] == "1 2"
    assert np.isnan(frame.loc["cross_entropy", "difference"])
    best = comparison.best()
    same = [run for run in runs if run.result.setting == best.result.setting]
    assert best.dev.f1 == max(run.dev.f1 for run in same)
    assert str(best.folder) in repr(comparison)
    assert nersweep.compare(sweep, split="dev").frame().loc["focal-g2", "f1"] == pytest.approx(
        np.mean([run.dev.f1 for run in runs[2:]]), rel=1e-5
    )
    with pytest.raises(UserError, match="dataset=nope: must be one of"):
        comparison.best("nope")


@pytest.mark.slow
def test_failed_runs_are_named_and_the_others_kept(program, capsys):
    """A learning rate of 1e30 diverges."""
    sweep = nersweep.sweep(train={"lr": [1e-3, 1e30], "epochs": 2}, **program["mine"])
    (line,) = sweep.failures
    assert "train.lr=1e+30" in line and f"nersweep: {line}" in capsys.readouterr().err
    assert [run.result.config["train"]["lr"] for run in sweep.runs()] == [1e-3]
    with pytest.raises(
        UserError, match=r"cross_entropy-s1: the model's scores of dev are no numbers"
    ):
        nersweep.sweep(train={"lr": 1e30, "epochs": 2}, **program["mine"])


@pytest.mark.slow
def test_a_call_works_in_a_thread(program):
    runs = []

    def call():
        runs.append(nersweep.run(loss="focal", focal_gamma=3, **program["mine"]))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert runs == [program["run"]]


def test_the_examples_of_the_docstrings_are_true():
    results = doctest.testmod(nersweep.api, optionflags=doctest.ELLIPSIS)
    assert results.attempted > 3 and results.failed == 0


SMALLER = (
    ('"train": 400, "dev": 150, "test": 150', '"train": 40, "dev": 15, "test": 15'),
    ('"epochs": 4', '"epochs": 1'),
)


@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_it_has_printed(tmp_path, monkeypatch):
    notebook = json.loads((CHECKOUT / "examples" / "notebook.ipynb").read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "notebook"}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            code = "".join(cell["source"])
            if "small" not in names:
                for whole, part in SMALLER:
                    assert whole in code
                    code = code.replace(whole, part)
            run_block(code, names)
            kinds = {output["output_type"] for output in cell["outputs"]}
            assert cell["execution_count"] and kinds and kinds <= {"stream", "execute_result"}
    assert names["run"].result.data.sentences["train"] == 40
    assert names["rare"].result.data.augmented == 40 and names["run"].result.data.augmented == 0
