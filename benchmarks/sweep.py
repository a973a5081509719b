"""The cost of a run in a sweep, from process start to logged result, against the Trainer's.

    python benchmarks/sweep.py --data DIR --rounds 3

DIR holds train.txt, valid.txt and test.txt of CoNLL-2003. A run trains MiniLM for an epoch on a
quarter (--share) of the training split, 32 sentences per step, scores dev and test, and is in an
MLflow store on SQLite when it ends. Ours is one command, with one worker of one thread per core;
--alone also measures one process with all cores:

    python -m nersweep -m data=conll2003 data.path=DIR model=minilm train.epochs=1 \\
        'seed=range(1,13)' hydra/launcher=joblib hydra.launcher.n_jobs=2

This includes imports, creating the store, tokenising and saving the models; seconds per run are
the wall clock over the number of runs. Users of the Trainer start a process per run, with a thread
per core (benchmarks/trainer.py): as in its example, and with bf16 in training and evaluation and
group_by_length. Those processes are all alike, so each round measures only --theirs of them; their
store exists before, and they save no model. The contenders are interleaved over the rounds. Prints
Markdown: medians over the rounds, and the range; memory is the largest resident set of a process.

The share of the peak is FLOP per run over seconds per run, over the rate of a large bf16 matrix
product on all cores, measured before each round. FLOP counts what the work needs and no padding:
2·N per piece in evaluation (dev once, test once) and 6·N in training, where N is the number of
weights in matrices of the encoder's layers and of the classifier (no embeddings); and for the
attention of a window of n pieces 4·n²·hidden per layer in evaluation, three times that in training.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from common import FILES, LABELS, MINILM, corpus_of, machine, peak, ratios, shown

from nersweep.batches.windows import tokenise

WORKERS, ALONE = "nersweep", "nersweep, one process"
CONTENDERS = {
    WORKERS: None,
    ALONE: None,
    "Trainer, as in its example": [],
    "Trainer, bf16 and group_by_length": ["--bf16", "--bf16-eval", "--group-by-length"],
}
Command = tuple[list[str], set[int]]  # and the cores that it may use


def write_share(data: Path, share: float, folder: Path) -> None:
    """The three files, of the training split the first sentences."""
    for file in FILES.values():
        shutil.copyfile(data / file, folder / file)
    blocks = (data / FILES["train"]).read_text(encoding="utf-8").split("\n\n")
    sentences = [block for block in blocks if block.strip() and not block.startswith("-DOCSTART-")]
    cut = "\n\n".join(sentences[: round(share * len(sentences))]) + "\n"
    (folder / FILES["train"]).write_text(cut, encoding="utf-8")


def flop_per_run(folder: Path) -> float:
    encoder, corpus = MINILM.build(LABELS.names), corpus_of(folder)
    config = encoder.model.config
    matrices = [
        p for name, p in encoder.named_parameters() if p.dim() == 2 and "embeddings" not in name
    ]
    weights, total = sum(p.numel() for p in matrices), 0.0
    for split, sentences in corpus.splits().items():
        sizes = np.diff(
            tokenise(sentences, LABELS, encoder.tokenizer, encoder.max_length).window_starts
        ).astype(float)
        attention = 4 * config.num_hidden_layers * config.hidden_size * (sizes**2).sum()
        total += (3 if split == "train" else 1) * (2 * weights * sizes.sum() + attention)
    return total


def finished(commands: list[Command], folder: Path) -> tuple[float, float]:
    """Run commands side by side; return the seconds to the last end, and the largest memory, GB.

    Memory is the resident set. Raises RuntimeError with the output of a command that fails.
    """
    started, running = time.perf_counter(), []
    for number, (command, cores) in enumerate(commands):
        output = folder / f"said-{number}.txt"
        with open(output, "w") as file:
            process = subprocess.Popen(
                [sys.executable, *command],
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
                preexec_fn=lambda cores=cores: os.sched_setaffinity(0, cores),
            )
        running.append((process, output))
    memory, failed = 0.0, []
    for process, output in running:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        memory = max(memory, usage.ru_maxrss / 1e6)  # KiB on Linux
        failed += [output] * (process.returncode != 0)
    seconds = time.perf_counter() - started
    if failed:
        raise RuntimeError(
            "\n".join(
                output.read_text(encoding="utf-8", errors="replace")[-4000:] for output in failed
            )
        )
    return seconds, memory


def ours(
    data: Path, workers: int, runs: int, cores: list[int], folder: Path
) -> tuple[float, float]:
    """Seconds per run, and memory. Raises RuntimeError unless each run leaves a finished result."""
    settings = [
        "data=conll2003",
        f"data.path={data}",
        "model=minilm",
        "train.epochs=1",
        f"output_dir={folder / 'out'}",
    ]
    launcher = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={workers}"] if workers > 1 else []
    seeds = f"seed=range(1,{runs + 1})"
    seconds, _ = finished(
        [(["-m", "nersweep", "-m", *settings, seeds, *launcher], set(cores))], folder
    )
    results = [
        json.loads(file.read_text("utf-8"))
        for file in (folder / "out" / "runs").glob("*/result.json")
    ]
    if len(results) != runs or any(result["status"] != "finished" for result in results):
        raise RuntimeError(
            f"{len(results)} of {runs} runs left a result\n"
            + (folder / "said-0.txt").read_text()[-4000:]
        )
    return seconds / runs, max(result["peak_memory_bytes"] for result in results) / 1e9


def theirs(
    data: Path, flags: list[str], runs: int, cores: list[int], folder: Path
) -> tuple[float, float]:
    store = f"sqlite:///{folder / 'mlflow.db'}"
    finished(
        [
            (
                ["-c", f"import mlflow; mlflow.MlflowClient({store!r}).search_experiments()"],
                set(cores),
            )
        ],
        folder,
    )
    script, threads = str(Path(__file__).with_name("trainer.py")), str(len(cores))
    fixed = [
        script,
        "--data",
        str(data),
        "--epochs",
        "1",
        "--threads",
        threads,
        "--tracking",
        store,
        *flags,
    ]
    costs = [
        finished([([*fixed, "--seeds", str(seed)], set(cores))], folder)
        for seed in range(1, runs + 1)
    ]
    return sum(seconds for seconds, _ in costs) / runs, max(memory for _, memory in costs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.25, help="of the training split")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=12, help="of ours per round")
    parser.add_argument(
        "--theirs", type=int, default=1, help="runs of each of the Trainer's contenders per round"
    )
    parser.add_argument(
        "--alone", action="store_true", help="measure one process with all cores too"
    )
    parser.add_argument("--no-trainer", action="store_true", help="measure ours alone")
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    torch.set_num_threads(len(cores))
    left_out = {ALONE} if not given.alone else set()
    left_out |= {
        name for name, flags in CONTENDERS.items() if flags is not None and given.no_trainer
    }
    contenders = {name: flags for name, flags in CONTENDERS.items() if name not in left_out}
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    peaks = []
    with tempfile.TemporaryDirectory(prefix="nersweep-") as place:
        data = Path(place) / "data"
        data.mkdir()
        write_share(given.data, given.share, data)
        flop = flop_per_run(data)
        for number in range(1, given.rounds + 1):
            peaks.append(peak())
            for name, flags in contenders.items():
                print(
                    f"round {number} of {given.rounds}: {name}",
                    end=": ",
                    file=sys.stderr,
                    flush=True,
                )
                with tempfile.TemporaryDirectory(dir=place) as folder:
                    runs = given.runs if flags is None else given.theirs
                    where = (runs, cores, Path(folder))
                    workers = len(cores) if name == WORKERS else 1
                    costs[name].append(
                        ours(data, workers, *where)
                        if flags is None
                        else theirs(data, flags, *where)
                    )
                print(f"{costs[name][-1][0]:.1f} s per run", file=sys.stderr, flush=True)
    print(f"{machine(len(cores))}, {given.runs} runs of ours per round, {given.rounds} rounds\n")
    print(
        "| | seconds per run | times ours | memory of a process, GB | share of the peak, % |\n"
        "|---|---|---|---|---|"
    )
    seconds = {name: [cost[0] for cost in some] for name, some in costs.items()}
    for name, some in costs.items():
        of_peak = [100 * flop / s / (max(peaks) * 1e9) for s in seconds[name]]
        cells = [shown(seconds[name]), shown(ratios(seconds[name], seconds[WORKERS]))]
        cells += [shown([memory for _, memory in some], 2), shown(of_peak)]
        print(f"| {name} | {' | '.join(cells)} |")
    peak_rate = f"peak of a bf16 matrix product: {max(peaks):.0f} GFLOP/s"
    print(f"\n{flop / 1e12:.2f} TFLOP per run; {peak_rate}")


if __name__ == "__main__":
    main()
