"""What the machinery of a sweep costs, beside the training itself.

    OMP_NUM_THREADS=1 python benchmarks/machinery.py

Overhead of a run: a sweep of --runs tiny ones in one process, an epoch of 60 generated sentences
each; the first does not count, because it imports and creates the store. Everything but train and
eval seconds counts: composition by Hydra's launcher (from the end of one run to the start of the
next), plan and fingerprint, tracker, figures, predictions and model. The parts are those of
result.json.

Finished runs: write result.json of --known runs as finished, and measure the command that
recognises and skips all of them, in a fresh process with its imports: 1,000 settings with 10 seeds
each, and as many settings as runs.

Prints Markdown. Targets: less than 1 s per run, and less than 30 s for 10,000 finished runs.
"""

import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from common import machine, shown

from nersweep import __main__ as cli
from nersweep.command import line as line_module
from nersweep.config import schema as sections
from nersweep.results import result
from nersweep.run import execute as execute_module
from nersweep.sweep.members import members_of

TINY = [
    "data.train=60", "data.dev=20", "data.test=20", "model.hidden=16", "model.layers=1",
    "model.heads=2",
    "train.epochs=1", "train.precision=fp32", "device=cpu",
]  # fmt: skip
SCORES = {"status": "finished", "dev": {"f1": 0.5}, "test": {"f1": 0.5}, "seconds": {"total": 1.0}}


def overhead(runs: int, folder: Path) -> dict[str, list[float]]:
    """Seconds of each run but the first: between runs, and of what result.json tells."""
    ends, starts, results, execute = [], [], [], execute_module.execute

    def timed(*given: object, **named: object) -> dict:
        starts.append(time.perf_counter())
        results.append(execute(*given, **named))
        ends.append(time.perf_counter())
        return results[-1]

    execute_module.execute = timed
    sys.argv = [
        "nersweep",
        "-m",
        f"output_dir={folder}",
        *TINY,
        f"seed=range({runs})",
        "loss=focal",
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.main()
        except SystemExit as end:
            if end.code:
                raise RuntimeError(f"the sweep ended with exit code {end.code}") from end
        finally:
            execute_module.execute = execute
    parts: dict[str, list[float]] = {}
    for number in range(1, runs):
        seconds = results[number]["seconds"]
        all_of_it = ends[number] - ends[number - 1]
        row = {
            "in all": all_of_it - seconds["train"] - seconds["eval"],
            "composition by Hydra": starts[number] - ends[number - 1],
            "tracker": seconds["tracking"],
            "building the model": seconds["setup"],
        }
        inside = seconds["total"] - sum(
            seconds[part] for part in ("setup", "train", "eval", "tracking")
        )
        row["plan, fingerprint, files, pictures, saved model"] = inside
        for part, value in row.items():
            parts.setdefault(part, []).append(value)
    return parts


def known(typed: list[str], runs: int, folder: Path) -> float:
    """Seconds of the command line that skips so many runs."""
    arguments = ["-m", f"output_dir={folder}", *TINY, *typed]
    sections.register()
    line = line_module.read(command_arguments(arguments))
    with line.composer:
        for member in members_of(line):
            about = {"name": member.name, "fingerprint": member.fingerprint}
            result.write_result(member.folder, SCORES | about)
    started = time.perf_counter()
    output = subprocess.run(
        [sys.executable, "-m", "nersweep", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ,
    )
    seconds = time.perf_counter() - started
    if output.returncode or f"{runs} runs, {runs} already done" not in output.stdout:
        raise RuntimeError(output.stdout[-2000:] + output.stderr[-2000:])
    return seconds


def command_arguments(arguments: list[str]) -> argparse.Namespace:
    from hydra._internal.utils import get_args_parser

    return get_args_parser().parse_args(arguments)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=50, help="tiny runs of the sweep")
    parser.add_argument(
        "--known", type=int, default=10_000, help="finished runs that are skipped; a multiple of 10"
    )
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    print(f"{machine(torch.get_num_threads())}\n")
    with tempfile.TemporaryDirectory(prefix="nersweep-") as place:
        parts = overhead(given.runs, Path(place) / "tiny")
        print(f"| overhead of a run, of {given.runs} | s |\n|---|---|")
        for part, values in parts.items():
            print(f"| {part} | {shown(values, 2)} |", flush=True)
        cases = {
            f"{given.known // 10:,} settings with 10 seeds": [
                f"train.lr=range(1,{given.known // 10 + 1})",
                "seed=range(10)",
            ],
            f"{given.known:,} settings": [f"train.lr=range(1,{given.known + 1})"],
        }
        print(f"\n| {given.known:,} known runs, found and skipped | s |\n|---|---|")
        for number, (name, typed) in enumerate(cases.items()):
            print(
                f"| {name} | {known(typed, given.known, Path(place) / f'known-{number}'):.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
