"""The shape of the code: short functions, few comprehensions. ruff checks the rest."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "nersweep"
LONGEST = 80  # lines of a function
MOST_COMPREHENSIONS = 3  # per 100 lines of the package
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

TEXTS = {file: file.read_text(encoding="utf-8") for file in sorted(PACKAGE.rglob("*.py"))}
NODES = {file: list(ast.walk(ast.parse(text))) for file, text in TEXTS.items()}


def test_only_the_training_loop_is_longer_than_80_lines():
    long = []
    for file, nodes in NODES.items():
        for node in nodes:
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= LONGEST:
                long.append(f"{file.stem}.{node.name}")
    assert long == ["loop.fit"]


def test_comprehensions_are_few():
    lines = sum(text.count("\n") for text in TEXTS.values())
    comprehensions = 0
    for nodes in NODES.values():
        comprehensions += sum(isinstance(node, COMPREHENSIONS) for node in nodes)
    assert 100 * comprehensions <= MOST_COMPREHENSIONS * lines
