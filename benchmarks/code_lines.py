"""Count lines of code, without docstrings, comments and blank lines.

python benchmarks/code_lines.py nersweep
"""

import ast
import sys
import tokenize
from pathlib import Path

NO_CODE = (
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENCODING, tokenize.ENDMARKER,
)  # fmt: skip


def code_lines(file: Path) -> int:
    """Return the number of lines of a module that hold a part of a statement."""
    lines: set[int] = set()
    with file.open("rb") as content:
        for token in tokenize.tokenize(content.readline):
            if token.type not in NO_CODE:
                lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            docstring = node.body[0]
            lines.difference_update(range(docstring.lineno, docstring.end_lineno + 1))
    return len(lines)


total = 0
for argument in sys.argv[1:]:
    path = Path(argument)
    for file in path.rglob("*.py") if path.is_dir() else [path]:
        total += code_lines(file)
print(f"{total:,}")
