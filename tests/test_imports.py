"""Imports point down: a room imports rooms of earlier ranks, and nothing else of the package."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]

# A room may import the rooms of earlier lines and, within its line, those to its left.
RANKS = """
    version faults
    machine terminal plotting labels losses weights
    config
    data command
    batches
    model
    evaluation
    training
    results
    tracking
    run
    study report diagnosis
    deployment
    sweep
    __main__ diagnose sync predict evaluate export suspects
    api
"""
RANK = {room: rank for rank, room in enumerate(RANKS.split())}
ROOT = "nersweep"  # the package itself offers what api has
RANK[ROOT] = len(RANK)

# Rooms that import less than their rank allows.
NARROW = {"losses": {"faults", "labels"}, "labels": {"faults"}, "weights": {"faults", "losses"}}

# Packages that only these rooms import.
OWNERS = {
    "mlflow": {"tracking"},
    "tensorboard": {"tracking"},
    "optuna": {"study"},
    "datasets": {"data"},
    "jinja2": {"report"},
    "scipy": {"evaluation"},
    "psutil": {"machine"},
    "filelock": {"machine"},
    "tabulate": {"report"},
}


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(file): file for file in sorted((CHECKOUT / "nersweep").rglob("*.py"))}


def room_of(module: str) -> str:
    """Return the room of a module: nersweep.data.columns is in data."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ROOT


def imports_of(file: Path) -> set[str]:
    """Return the modules that a file imports, also inside functions."""
    modules = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: write the import in full"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                modules.add(name if name in MODULES else str(node.module))
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            argument = node.args[0]
            if isinstance(argument, ast.Constant):
                modules.add(str(argument.value))
    return modules


IMPORTS = {module: imports_of(file) for module, file in MODULES.items()}


def test_every_room_has_a_rank():
    assert {room_of(module) for module in MODULES} == RANK.keys()


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    room = room_of(module)
    for imported in IMPORTS[module]:
        other = room_of(imported)
        if imported.split(".")[0] != ROOT or other == room:
            continue
        assert RANK[other] < RANK[room], f"{module} must not import {imported}"
        assert other in NARROW.get(room, RANK), f"{module} must not import {imported}"


def test_a_loss_imports_no_other_loss():
    for module, imported in IMPORTS.items():
        if room_of(module) == "losses" and module != "nersweep.losses":
            others = {name for name in imported if name.startswith("nersweep.losses.")}
            assert others <= {"nersweep.losses.base"}, module


def test_modules_do_not_import_each_other_in_a_circle():
    visited: dict[str, str] = {}

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert visited.get(module) != "open", " -> ".join([*path, module])
        if module in visited:
            return
        visited[module] = "open"
        for imported in sorted(IMPORTS[module] & MODULES.keys()):
            if imported != module:
                visit(imported, (*path, module))
        visited[module] = "closed"

    for module in MODULES:
        visit(module, ())


@pytest.mark.parametrize(("package", "owners"), OWNERS.items())
def test_only_its_owners_import_a_package(package, owners):
    rooms = set()
    for module, imported in IMPORTS.items():
        if any(name.split(".")[0] == package for name in imported):
            rooms.add(room_of(module))
    assert rooms <= owners


def test_imported_packages_are_declared():
    text = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    lines = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        lines += extra
    declared = {re.match(r"[\w-]+", line)[0] for line in lines}
    distributions = packages_distributions()
    for module, imported in IMPORTS.items():
        for name in imported:
            package = name.split(".")[0]
            if package in sys.stdlib_module_names or package == ROOT:
                continue
            installed = distributions.get(package)
            if installed is None:  # only in an environment of its own: ray
                continue
            names = {name.lower().replace("_", "-") for name in installed}
            assert declared & names, f"{module} imports {package}, which is not declared"
