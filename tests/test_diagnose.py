"""`python -m nersweep.diagnose`: what it prints and writes; its recommendations are commands."""

import json
import shlex

import pytest
from hydra._internal.utils import get_args_parser

from nersweep import diagnose
from nersweep.command import line as line_module
from nersweep.diagnosis import describe

SMALL = ["data.train=60", "data.dev=20", "data.test=20", "model.hidden=32", "model.layers=1"]


@pytest.fixture
def diagnosed(tmp_path, capsys, monkeypatch, exit_code):
    """diagnosed(*arguments): exit code, lines of standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments):
        code = exit_code(diagnose.main, *arguments)
        printed = capsys.readouterr()
        return code, printed.out.splitlines(), printed.err

    return call


def rows_after(lines, title):
    """First cell and last cell of the rows of a table."""
    start = next(i for i, line in enumerate(lines) if line.startswith(title))
    cells = [line.split() for line in lines[start + 2 :]]
    return {row[0]: row[-1] for row in cells[: cells.index([])]}


def test_it_shows_the_weights_as_typed_trains_nothing_and_leaves_pictures(diagnosed, tmp_path):
    code, lines, errors = diagnosed("weights=manual", "manual_weights={O: 0.25, B-PER: 2}", *SMALL)
    assert code == 0, errors
    weights = rows_after(lines, "class weights")
    assert (weights["O"], weights["B-PER"], weights["I-PER"]) == ("0.25", "2", "1")
    files = [line.partition(": ")[2] for line in lines[-3:]]
    folder = "outputs/diagnosis/generated"
    assert files == [f"{folder}/labels.png", f"{folder}/labels.svg", f"{folder}/diagnosis.json"]
    left = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert left == set(files)


def test_typed_weights_stand_beside_those_of_their_scheme(diagnosed):
    code, lines, errors = diagnosed("weights=effective", "effective_beta=0", *SMALL)
    assert code == 0, errors
    start = next(i for i, line in enumerate(lines) if line.startswith("class weights"))
    assert " ".join(lines[start + 1].split()).endswith(
        "inverse inverse_sqrt effective effective, as set"
    )
    rows = [line.split() for line in lines[start + 2 :]]
    rows = rows[: rows.index([])]
    assert {row[-1] for row in rows} == {"1"} and len(
        {row[-2] for row in rows}
    ) > 1  # β=0: all weigh the same


def test_the_file_matches_the_screen_and_the_counts_match_the_data(diagnosed, tmp_path):
    texts = {
        "train": "x O\ny B-A\n\nx O\nx O\ny B-B\nz I-B\n",
        "dev": "x O\ny B-A\n",
        "test": "z O\nz B-A\n",
    }
    for split, text in texts.items():
        (tmp_path / f"{split}.txt").write_text(text)
    files = [f"data.{split}={split}.txt" for split in texts]
    code, lines, errors = diagnosed("data=conll", *files, "model.hidden=32", "output_dir=here")
    assert code == 0, errors
    numbers = json.loads((tmp_path / lines[-1].partition(": ")[2]).read_text("utf-8"))
    assert numbers["counts"]["train"] == {"O": 3, "B-A": 1, "I-A": 0, "B-B": 1, "I-B": 1}
    assert numbers["o_share"] == 0.5 and numbers["ratio"] == 3 and numbers["absent"]["I-A"] is None
    assert (numbers["unseen"]["dev"]["mentions"], numbers["unseen"]["test"]["mentions"]) == (0, 1)
    assert numbers["entity_words"] == {"1": 1, "2": 1}
    windows = numbers["windows"]
    assert windows.pop("unknown_words") == {"train": 0, "dev": 0, "test": 0}
    assert windows == {"pieces": 256, "train": 0, "dev": 0, "test": 0, "lost_words": 0}
    assert [flaw["places"] for flaw in numbers["flaws"]] == [2]  # types with few entities
    assert any("fewer than 20 entities in train: A (1), B (1)" in line for line in lines)
    assert [finding["name"] for finding in numbers["findings"]] == ["rare classes", "new names"]
    assert any("50.0%" in line for line in lines if line.startswith("words outside"))
    printed = [" ".join(line.split()) for line in lines]
    evidence = [line for line in printed if line.startswith("Evidence: ")]
    assert len(evidence) == 2 and evidence[1].startswith("Evidence: a guess")
    for setting in numbers["sweep"]:
        assert any(line.startswith(shlex.join(setting)) for line in printed)


def test_a_sentence_longer_than_the_window_is_reported(diagnosed):
    code, lines, errors = diagnosed(*SMALL, "model.max_length=8", "model.pieces=characters")
    assert code == 0, errors
    (line,) = (line for line in lines if line.startswith("longer than 8 pieces"))
    assert "60 train, 20 dev, 20 test" in line  # in characters, a sentence has more than six


def test_the_command_keeps_the_settings_of_data_and_model_and_has_no_faults(diagnosed):
    overrides = [
        "loss=focal",
        "focal_gamma=3",
        "weights=effective",
        "effective_beta=0.99",
        "head=span",
        "seed=4",
    ]
    code, lines, errors = diagnosed(
        *overrides, *SMALL, "data.imbalance=50", "train.batch_size=16", "output_dir=a b"
    )
    assert code == 0, errors
    (line,) = (line for line in lines if line.startswith("python -m nersweep"))
    arguments = shlex.split(line)[3:]
    kept = ["head=span", *SMALL, "data.imbalance=50", "train.batch_size=16", "output_dir=a b"]
    assert arguments == ["experiment=recommended", *kept]
    read = line_module.read(get_args_parser().parse_args(arguments))
    assert read.many and not read.faults


def test_a_head_that_came_for_the_loss_goes_with_it():
    assert describe.sweep_command(["loss=crf", "head=crf", "data=wnut17"]).endswith(
        "experiment=recommended data=wnut17"
    )


@pytest.mark.parametrize(
    "overrides", [["-m", "seed=1,2"], ["experiment=quickstart"], ["dry_run=true"]], ids=" ".join
)
def test_more_than_one_data_set_gets_one_line(diagnosed, overrides, tmp_path):
    code, lines, errors = diagnosed(*overrides, *SMALL)
    assert (
        (code, lines) == (1, [])
        and errors.count("\n") == 1
        and "leave out -m, experiment" in errors
    )
    assert not list(tmp_path.iterdir())


def test_faults_get_one_line_each(diagnosed, tmp_path):
    (tmp_path / "file").touch()
    code, _, errors = diagnosed(*SMALL, "output_dir=file")
    assert code == 1 and errors.count("\n") == 1 and "set output_dir=DIR" in errors
    code, lines, errors = diagnosed("data=conll2003", "data.path=nowhere")
    assert (code, lines) == (1, []) and errors.startswith(
        "nersweep: data=conll2003: no train.txt under nowhere"
    )
