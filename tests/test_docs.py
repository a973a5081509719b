"""The examples in docs/ run, and end with what is shown under them."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
# A block of Python, and where a block of text follows it, the end of what it prints.
EXAMPLE = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.S | re.M)
EXAMPLES = [
    pytest.param(
        result[1], result[2], id=f"{file.name}:{text[: result.start()].count(chr(10)) + 1}"
    )
    for file in sorted(DOCS.glob("*.md"))
    if file.name != "python.md"  # one program, which tests/test_api.py runs
    for text in [file.read_text(encoding="utf-8")]
    for result in EXAMPLE.finditer(text)
]


@pytest.mark.parametrize(("code", "output"), EXAMPLES)
def test_an_example_prints_what_is_shown(code, output, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(code, {"__name__": "example"})
    printed = capsys.readouterr().out
    assert printed and printed.endswith(output or "")


def test_every_example_of_using_the_losses_shows_what_it_prints():
    output = [
        example.values[1] for example in EXAMPLES if example.id.startswith("using-the-losses.md:")
    ]
    assert len(output) == 5 and all(output)
