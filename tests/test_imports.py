"""Imports point one way, outside packages stay in their rooms, and what is imported is declared."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]

# A room may import the rooms of earlier lines, and itself. A room is a module or a package of nersweep.
ORDER = """
    (nersweep/__init__.py)
    filesystems
    config faults device gpus progress signals fitted gradients store tracking stats weights labels
    report.pictures dropout vocabulary optimiser worker
    hub losses metrics compose
    data
    batching imbalance
    packing cache
    encoder
    heads multitask
    build analysis
    checkpoint
    plan train
    saved study.space recommendation
    outputs
    publish
    run
    command
    cli
    study
    jobs
    sweep
    preview
    report
    diagnose
    __main__
"""
LEVEL = {room: level for level, line in enumerate(ORDER.split("\n")) for room in line.split()}
ROOT = "(nersweep/__init__.py)"

# Narrower than the order: these rooms import only so much of the project.
ONLY = {
    "losses": {"losses", "labels"},
    "weights": set(),
    "labels": set(),
    "tracking": {"tracking", "filesystems"},
    "stats": set(),
}
# Packages that only these rooms know.
OWNERS = {
    "mlflow": {"tracking"},
    "optuna": {"study"},
    "datasets": {"data"},
    "matplotlib": {"report"},
    "jinja2": {"report"},
    "scipy": {"stats"},
}

MODULES = {
    ".".join(file.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted((CHECKOUT / "nersweep").rglob("*.py"))
}


def room_of(module: str) -> str:
    """nersweep.data.columns -> data; a part of a package with a line of its own in ORDER is a room of its own."""
    parts = module.split(".")[1:]
    whole = ".".join(parts)
    return whole if whole in LEVEL else parts[0] if parts else ROOT


def imported(file: Path) -> set[str]:
    """The modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: a relative import; write it in full"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found


def ours(module: str) -> set[str]:
    return {name for name in imported(MODULES[module]) if name.split(".")[0] == "nersweep"}


def outside(module: str) -> set[str]:
    return {name.split(".")[0] for name in imported(MODULES[module])} - {
        "nersweep",
        *sys.stdlib_module_names,
    }


def test_every_module_has_its_place_in_the_order():
    assert {room_of(module) for module in MODULES} <= LEVEL.keys()


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module):
    room = room_of(module)
    for other in map(room_of, ours(module)):
        assert other == room or LEVEL[other] < LEVEL[room], f"{module} must not import {other}"
        assert other in ONLY.get(room, LEVEL), f"{module} must not import {other}"


def test_a_loss_knows_no_other_loss():
    for module in MODULES:
        if room_of(module) == "losses":
            assert ours(module) <= {"nersweep.losses.base", "nersweep.labels"}, module


@pytest.mark.parametrize(("package", "owners"), OWNERS.items())
def test_only_its_owners_import(package, owners):
    users = {module for module in MODULES if package in outside(module)}
    assert {module.split(".")[1] for module in users} == owners, users


def test_what_is_imported_is_declared():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]}
    providers = {
        package: {name.lower().replace("_", "-") for name in names}
        for package, names in packages_distributions().items()
    }
    for module in MODULES:
        for package in outside(module):
            assert declared & providers[package], (
                f"{module} imports {package}, which pyproject.toml lacks"
            )
