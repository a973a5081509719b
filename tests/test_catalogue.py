"""docs/losses.md: complete, up to date, and true of the configuration and the classes."""

import inspect
import re
import shutil
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from hydra._internal.utils import get_args_parser

from loss_catalogue.__main__ import main
from loss_catalogue.curves import P, Picture, draw
from loss_catalogue.document import catalogue, document, draw_weights, write
from loss_catalogue.entries import ENTRIES
from loss_catalogue.options import CONLL, Option
from nersweep.command import line as line_module
from nersweep.config import schema as sections

CHECKOUT = Path(__file__).parents[1]
CONF, DOCS = CHECKOUT / "conf", CHECKOUT / "docs"
OPTIONS = sorted(file.stem for file in (CONF / "loss").glob("*.yaml"))


@pytest.fixture(scope="module")
def text():
    """The document, without its pictures, which take 10 s to draw."""
    options = catalogue(CONF)
    pictures = {option.name: ENTRIES[option.name].picture(option) for option in options}
    return document(options, pictures, CONF)


@pytest.fixture(scope="module")
def chapters(text):
    """Option -> the text of its section."""
    return {
        part.split("\n", 1)[0]: part
        for part in re.split(r"^### ", text.split("\n## Class weights")[0], flags=re.M)
    }


@pytest.fixture
def conf(tmp_path):
    return Path(shutil.copytree(CONF, tmp_path / "conf"))


def settings(name):
    """The keys that an option's own file has at top level, with their values."""
    text = (CONF / "loss" / f"{name}.yaml").read_text(encoding="utf-8")
    keys = yaml.safe_load(text) if "@package _global_" in text else {}
    return {key: value for key, value in keys.items() if key not in ("loss", "defaults")}


def rows(chapter):
    """knob -> the cells of its row: default, range, meaning."""
    cells = [
        line.strip("| ").split(" | ") for line in chapter.splitlines() if line.startswith("| `")
    ]
    return {first.strip("`"): rest for first, *rest in cells}


def curves(name):
    return ENTRIES[name].picture(Option(name, CONF)).curves


def test_the_committed_catalogue_is_up_to_date(text):
    same = text == (DOCS / "losses.md").read_text("utf-8")
    assert same, "run make docs"
    links = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert set(links) == pictures(DOCS) and len(links) == len(OPTIONS) + 1


def pictures(folder):
    return {file.relative_to(folder).as_posix() for file in folder.glob("img/losses/*")}


@pytest.mark.long  # draws all pictures
def test_the_command_writes_the_document_and_its_pictures(text, tmp_path):
    assert main([str(tmp_path)]) == 0
    assert (tmp_path / "losses.md").read_text("utf-8") == text
    assert pictures(tmp_path) == pictures(DOCS)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_has_its_section_and_its_picture(name, chapters):
    for part in (
        "```math\n",
        f"python -m nersweep loss={name}",
        "**When to use it.**",
        "**When not.**",
        "**Class**",
    ):
        assert part in chapters[name]
    (link,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", chapters[name])
    assert link == f"img/losses/{name}.svg"
    assert ElementTree.parse(DOCS / link).getroot().tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize("name", OPTIONS)
def test_a_knob_is_shown_with_the_default_of_its_yaml(name, chapters):
    cells = rows(chapters[name])
    for knob, value in settings(name).items():
        if "${" not in str(value):
            assert yaml.safe_load(cells[knob][0].strip("`")) == value, knob


def test_defaults_follow_the_yaml(conf):
    file = conf / "loss" / "focal.yaml"
    file.write_text(
        file.read_text("utf-8").replace("focal_gamma: 2.0", "focal_gamma: 1.25"), encoding="utf-8"
    )
    assert Option("focal", conf).default("focal_gamma") == "1.25"


def test_ranges_are_those_of_the_classes(chapters):
    assert rows(chapters["focal"])["focal_gamma"][1] == "≥ 0 (0 is cross entropy)"
    assert rows(chapters["ghm"])["ghm_bins"][1] == "a whole number ≥ 1"
    assert rows(chapters["class_balanced"])["class_balance_beta"][1].startswith("in [0, 1)")
    assert rows(chapters["dice"])["dice_absent"][1] == "one of include, skip"


@pytest.mark.parametrize("name", OPTIONS)
def test_commands_are_accepted(name, chapters):
    (arguments,) = re.findall(r"```bash\npython -m nersweep (.*)\n```", chapters[name])
    sections.register()
    assert line_module.read(get_args_parser().parse_args(arguments.split())).faults == []


@pytest.mark.parametrize("name", OPTIONS)
def test_sources_are_those_of_the_docstrings(name):
    option = Option(name, CONF)
    targets = [
        option.recipe().target,
        *(term.target for term in option.recipe().arguments.get("terms", {}).values()),
    ]
    targets += [import_module("nersweep.weights").Effective]
    docstrings = " ".join(" ".join(inspect.getdoc(target).split()) for target in targets)
    for citation in ENTRIES[name].sources:
        assert citation in docstrings


def test_a_step_splits_if_its_loss_does(chapters):
    splits = {name for name in OPTIONS if "**A step** can be split" in chapters[name]}
    batch = {"boundary", "compound", "contrastive", "dice", "embedding_smoothing", "ghm", "tversky"}
    assert splits == {*OPTIONS} - batch


def test_an_option_without_an_entry_is_refused(conf, tmp_path, faults_of):
    (conf / "loss" / "newcomer.yaml").write_text(
        "_target_: nersweep.losses.CrossEntropyLoss\n", encoding="utf-8"
    )
    (fault,) = faults_of(lambda: write(tmp_path / "docs", conf))
    assert (fault.setting, fault.value, fault.remedy) == ("loss", "newcomer", "write one")
    assert not (tmp_path / "docs").exists()


def test_a_knob_that_no_entry_explains_is_refused(conf, tmp_path, faults_of):
    file = conf / "loss" / "gce.yaml"
    file.write_text(file.read_text("utf-8").replace("gce_q", "gce_power"), encoding="utf-8")
    faults = faults_of(lambda: write(tmp_path / "docs", conf))
    assert [fault.setting for fault in faults] == ["gce_power", "gce_q"]


def test_an_entry_without_an_option_is_refused(conf, tmp_path, faults_of):
    (conf / "loss" / "poly1.yaml").unlink()
    (fault,) = faults_of(lambda: write(tmp_path / "docs", conf))
    assert (fault.setting, fault.value) == ("loss", "poly1")


def test_the_command_reports_a_fault_in_one_line(tmp_path, capsys):
    (tmp_path / "docs").write_text("a file", encoding="utf-8")
    assert main([str(tmp_path / "docs")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_pictures_are_the_same_bytes_each_time(tmp_path):
    for name in ("a", "b"):
        draw(tmp_path / f"{name}.svg", Picture(curves("focal"), ""))
        draw_weights(tmp_path / f"{name}-weights.svg", CONF)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a-weights.svg").read_bytes() == (tmp_path / "b-weights.svg").read_bytes()


def test_the_curves_are_those_of_the_formulas():
    p = P.numpy()
    (line,) = curves("cross_entropy")
    assert line.loss == pytest.approx(-np.log(p)) and line.gradient == pytest.approx(1 - p)
    assert curves("focal")[2].label == "focal_gamma=2"
    assert curves("focal")[2].loss == pytest.approx(-((1 - p) ** 2) * np.log(p))
    assert curves("gce")[2].gradient == pytest.approx(p**0.7 * (1 - p))
    assert curves("poly1")[0].gradient == pytest.approx((1 - p) ** 2)
    # In a batch, cross entropy's part of one word of 20.
    assert curves("ghm")[0].gradient == pytest.approx((1 - p) / 20)
    # Rare over frequent: I-MISC 1155, O 169578.
    frequent, _, rare = curves("weighted_cross_entropy")
    assert rare.loss / frequent.loss == pytest.approx(np.full(len(p), 169578 / 1155))


def test_the_weights_are_those_of_the_counts(text):
    cells = {
        line.split(" | ")[0]: line.strip("| ").split(" | ")
        for line in text.split("\n## Class weights")[1].splitlines()
        if line.startswith("| ")
    }
    head, counts = cells["| label"], np.array([*CONLL.values()])
    inverse = 1 / counts / (1 / counts).mean()
    effective = (1 - 0.9999) / (1 - 0.9999**counts)
    for name, expected in {"inverse": inverse, "β=0.9999": effective / effective.mean()}.items():
        column = [float(cells[f"| {label}"][head.index(f"`{name}`")]) for label in CONLL]
        assert column == pytest.approx(expected, rel=0.005)


def test_make_docs_writes_it():
    assert "\ndocs: $(ready)\n\tPYTHONPATH=docs $(python) -m loss_catalogue\n" in (
        CHECKOUT / "Makefile"
    ).read_text("utf-8")


def test_pictures_say_numbers_in_full(tmp_path):
    """Coordinates are cut to two digits, what a reader reads is not."""
    draw_weights(tmp_path / "weights.svg", CONF)
    texts = "".join(ElementTree.parse(tmp_path / "weights.svg").getroot().itertext())
    assert all(f"β={beta}" in texts for beta in ("0.99", "0.999", "0.9999", "0.99999"))
