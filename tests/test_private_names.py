"""Private names of other packages: docs/architecture.md lists all that the package uses."""

import ast
import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
PUBLIC = {"_asdict", "_replace", "_exit"}  # documented, in spite of their underscore


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def private_names(file: Path) -> set[str]:
    """Return the private names that a file imports, or reads of anything but its own objects."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                path = f"{node.module}.{alias.name}"
                if any(map(is_private, path.split("."))):
                    names.add(path)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if any(map(is_private, alias.name.split("."))):
                    names.add(alias.name)
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if not own:
                names.add(node.attr)
    return names


def test_private_names_are_listed_with_a_reason():
    text = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.partition("## Private names we rely on")[2].partition("\n## ")[0]
    listed = set()
    for row in section.splitlines():
        if row.startswith("| `"):
            listed |= set(re.findall(r"`([^`]+)`", row.split("|")[1]))
    attributes = {name.rpartition(".")[2] for name in listed}
    for file in sorted((CHECKOUT / "nersweep").rglob("*.py")):
        names = private_names(file)
        assert names <= listed | attributes, f"{file}: {sorted(names - listed - attributes)}"
