"""A tiny trained run of each head, and the commands that use its model."""

import pytest

from nersweep import __main__ as cli
from nersweep import terminal

SMALL = [
    "data.train=200", "data.dev=40", "data.test=40", "train.epochs=4", "train.lr=0.01",
    "train.batch_size=8", "model.hidden=32", "model.layers=1",
    "train.precision=fp32", "tracking.kind=none",
]  # fmt: skip
RUNS = {
    "token": ["loss=cross_entropy"],
    "viterbi": ["loss=cross_entropy", "head.decode=viterbi"],
    "crf": ["loss=crf", "head=crf"],
    "span": ["loss=cross_entropy", "head=span"],
}


@pytest.fixture(scope="session")
def outputs(tmp_path_factory, exit_code):
    """An output folder, and in it the run of each head, by its name."""
    folder = tmp_path_factory.mktemp("outputs")
    runs = {}
    for head, overrides in RUNS.items():
        assert exit_code(cli.main, *SMALL, *overrides, f"output_dir={folder}") == 0
        (run,) = set((folder / "runs").iterdir()) - set(runs.values())
        runs[head] = run
    return folder, runs


@pytest.fixture
def ask(capsys, exit_code):
    """ask(module, *arguments): exit code, standard output and standard error."""

    def do(module, *arguments):
        terminal.faults.clear()  # each line is printed once in the life of a process
        code = exit_code(module.main, *arguments)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return do
